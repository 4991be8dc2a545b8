//! A steady stream of requests, and what its clients saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::harness::Client;
use crate::harness::node::joined;

/// How the requests come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// One begins each time this has passed, whatever became of those before. What a slow machine does not begin in time
    /// is left out: it has fewer requests, not bursts of them.
    pub(super) every: Duration,
    /// A client that waits longer leaves, and counts as failed.
    pub(super) patience: Duration,
    /// Clients at a time; while all of them wait none begins.
    pub(super) clients: usize,
}

/// A request as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) begun: Instant,
    pub(super) took: Duration,
    pub(super) end: End,
}

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A whole answer with this status.
    Answer(u16),
    /// The connection ended before the answer was whole.
    Cut,
    /// The client left.
    Gone,
}

impl Told {
    pub(super) fn is_good(&self) -> bool {
        matches!(self.end, End::Answer(200..=299))
    }

    /// When it ended.
    pub(super) fn ended(&self) -> Instant {
        self.begun + self.took
    }
}

/// A stream under way.
pub(super) struct Stream {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<Vec<Told>>,
}

impl Stream {
    /// Asks for `target` until [`Stream::end`].
    pub(super) fn start(address: SocketAddr, target: String, pace: Pace) -> Self {
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let task = tokio::spawn(offer(
            address,
            target.into(),
            pace,
            Arc::clone(&over),
            Arc::clone(&answered),
        ));
        Self {
            over,
            answered,
            task,
        }
    }

    /// Good answers so far.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Begins no more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Waits for those under way, and tells of all.
    pub(super) async fn told(self) -> Vec<Told> {
        self.end();
        joined(self.task).await
    }
}

async fn offer(
    address: SocketAddr,
    target: Arc<str>,
    pace: Pace,
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Vec<Told> {
    let idle = Arc::<Mutex<Vec<Client>>>::default();
    let mut under_way = JoinSet::new();
    let mut all = Vec::new();
    let mut ticks = tokio::time::interval(pace.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        while let Some(told) = under_way.try_join_next() {
            all.push(told.expect("a client that does not panic"));
        }
        if under_way.len() < pace.clients {
            let (idle, target) = (Arc::clone(&idle), Arc::clone(&target));
            let answered = Arc::clone(&answered);
            under_way.spawn(async move {
                let told = ask(address, &target, pace.patience, &idle).await;
                answered.fetch_add(usize::from(told.is_good()), Ordering::Relaxed);
                told
            });
        }
    }
    all.extend(under_way.join_all().await);
    all
}

/// One request, on a connection that is idle or a new one.
async fn ask(
    address: SocketAddr,
    target: &str,
    patience: Duration,
    idle: &Mutex<Vec<Client>>,
) -> Told {
    let begun = Instant::now();
    let kept = idle.lock().pop();
    let exchange = async {
        let mut client = match kept {
            Some(client) => client,
            None => Client::connect(address).await,
        };
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.send(request).await;
        (client.response().await, client)
    };
    let end = match tokio::time::timeout(patience, exchange).await {
        Err(_) => End::Gone,
        Ok((None, _)) => End::Cut,
        Ok((Some(response), client)) => {
            if response.header("connection") != Some("close") {
                idle.lock().push(client);
            }
            End::Answer(response.status)
        }
    };
    Told {
        begun,
        took: begun.elapsed(),
        end,
    }
}
