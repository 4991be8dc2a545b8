//! Going down without losing a request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Server, linger};
use crate::proxy::connection::Node;

/// How often a drain looks whether everything has ended.
const LOOK: Duration = Duration::from_millis(50);

/// How long an idle connection of a draining listener is kept for its next request.
pub async fn idle_grace(node: &Node) {
    let grace = Duration::from_millis(node.idle_grace_ms.load(Ordering::Relaxed));
    tokio::time::sleep(grace).await;
}

/// What a drain left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the deadline.
    pub cut: u32,
}

/// Why a process drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The node goes down: load balancers are told first.
    Stop,
    /// Another process serves on the same addresses: clients and load balancers notice nothing.
    Upgraded,
}

/// Starts the node's one drain, or finds it under way. What comes of it is told by the receiver,
/// whoever waits and whoever leaves.
pub fn start(server: &Arc<Server>, occasion: Occasion) -> watch::Receiver<Option<Drained>> {
    let mut under_way = server.drain.lock();
    if let Some(known) = &*under_way {
        return known.clone();
    }
    let (done, told) = watch::channel(None);
    *under_way = Some(told.clone());
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let drained = drain(&server, occasion).await;
        // Nobody may be waiting.
        let _ = done.send(Some(drained));
    });
    told
}

/// Waits for the end of a drain.
pub async fn ended(mut told: watch::Receiver<Option<Drained>>) -> Drained {
    match told.wait_for(Option::is_some).await {
        Ok(drained) => drained.unwrap_or(Drained { cut: 0 }),
        Err(_) => Drained { cut: 0 },
    }
}

/// Finishes what runs and takes nothing new: health checks fail, then accepting ends after
/// `lb_grace`, connections end with their requests, and what is left at the deadline is cut.
async fn drain(server: &Arc<Server>, occasion: Occasion) -> Drained {
    let times = server.settings().drain;
    let until = Instant::now() + times.deadline;
    if occasion == Occasion::Stop {
        server.node.draining.store(true, Ordering::SeqCst);
        log::info!("draining: health checks fail from now on");
        tokio::time::sleep(times.lb_grace.min(times.deadline)).await;
        server.listeners.lock().stop();
    }
    log::info!("draining: no new connections are taken");
    loop {
        let open = server.listeners.lock().open();
        // Those that are closing have been sent something that the end of the process would destroy.
        if open == 0 && linger::under_way() == 0 {
            return Drained { cut: 0 };
        }
        if Instant::now() >= until {
            log::warn!("draining: the deadline cuts {open} connections");
            return Drained { cut: open };
        }
        tokio::time::sleep(LOOK).await;
    }
}
