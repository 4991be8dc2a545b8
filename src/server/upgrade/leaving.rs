//! The old process after the change: it tells the new one how far its drain is, and what it still counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::Leaving;
use super::channel::Message;
use crate::server::Server;

/// How often the new process hears of the drain.
const TELL: Duration = Duration::from_secs(1);

/// Tells the new process of the drain until `drained`, or until it asks to end at once.
pub async fn tell(server: &Arc<Server>, until: Instant, drained: impl Future<Output = ()>) {
    let leaving = server.upgrades.leaving.lock().take();
    let Some(mut leaving) = leaving else {
        return drained.await;
    };
    tokio::select! {
        () = drained => {}
        () = talk(server, until, &mut leaving) => {}
    }
    *server.upgrades.leaving.lock() = Some(leaving);
}

/// Ends only when the new process wants this one to end.
async fn talk(server: &Arc<Server>, until: Instant, leaving: &mut Leaving) {
    let mut ticks = interval(TELL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let left = until.saturating_duration_since(Instant::now());
                let open = server.listeners.lock().open();
                for counted in leaving.tally.since(&server.node.metrics) {
                    let progress = Message::Progress {
                        open,
                        left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                        counted,
                    };
                    if leaving.channel.send(&progress).await.is_err() {
                        break;
                    }
                }
            }
            message = leaving.channel.next() => match message {
                Ok(Some(Message::Hurry)) => {
                    log::warn!("the node stops: draining ends now");
                    return;
                }
                Ok(Some(_)) => {}
                // The new process is gone; what is under way here goes on all the same.
                Ok(None) | Err(_) => std::future::pending().await,
            },
        }
    }
}

/// The last word, once nothing can count any more.
pub async fn last_word(server: &Arc<Server>, cut: u32) {
    let Some(mut leaving) = server.upgrades.leaving.lock().take() else {
        return;
    };
    let mut counted = leaving.tally.since(&server.node.metrics);
    let last = counted.pop().unwrap_or_default();
    for counted in counted {
        let progress = Message::Progress {
            open: 0,
            left_ms: 0,
            counted,
        };
        // A new process that is gone does not count.
        if leaving.channel.send(&progress).await.is_err() {
            return;
        }
    }
    let _ = leaving
        .channel
        .send(&Message::Drained { cut, counted: last })
        .await;
}
