//! The old process after the change: it tells the new one how far its drain is, and what it still counts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::channel::Message;
use super::{Leaving, Phase, Upgrades, relay};
use crate::server::Server;
use crate::server::drain::{self, Progress};
use crate::server::signals;

/// How often the new process hears of the drain.
const TELL: Duration = Duration::from_secs(1);

impl Upgrades {
    /// True once the state is taken for another process: what operators change of it from then on would be lost.
    pub fn is_handing_over(&self) -> bool {
        let phase = *self.phase.borrow();
        phase.is_some_and(|(at, _)| matches!(at, Phase::HandingOver | Phase::Committed))
    }
}

/// The node was told to stop in the very moment in which another process took over: that one is told. Returns once this
/// process knows which sockets are that one's.
pub async fn pass_on_stop(server: &Arc<Server>) {
    server.upgrades.handed_over.notified().await;
    let leaving = server.upgrades.leaving.lock();
    let successor = leaving.as_ref().and_then(|one| one.successor.as_ref());
    if let Some(successor) = successor {
        log::warn!(
            "told to stop while process {} took over: it is told",
            successor.pid
        );
        successor.stop();
    }
}

/// Tells the new process of the drain until `drained`. When it asks for the end, what is left is cut.
pub async fn tell(
    server: &Arc<Server>,
    told: watch::Receiver<Progress>,
    drained: impl Future<Output = ()>,
) {
    let leaving = server.upgrades.leaving.lock().take();
    let mut borrowed = Borrowed { server, leaving };
    let Some(leaving) = &mut borrowed.leaving else {
        return drained.await;
    };
    talk(server, &told, leaving, drained).await;
}

/// What a process needs that leaves, for as long as it is talked with. Its end looks who owns which socket there.
struct Borrowed<'s> {
    server: &'s Server,
    leaving: Option<Leaving>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        *self.server.upgrades.leaving.lock() = self.leaving.take();
    }
}

/// Ends with `drained`, but never in the middle of a message.
async fn talk(
    server: &Arc<Server>,
    told: &watch::Receiver<Progress>,
    leaving: &mut Leaving,
    drained: impl Future<Output = ()>,
) {
    let mut drained = std::pin::pin!(drained);
    let mut ticks = interval(TELL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = drained.as_mut() => return,
            _ = ticks.tick() => {
                let now = *told.borrow();
                for counted in leaving.tally.since(&server.node.metrics) {
                    let progress = progress(&now, counted);
                    if leaving.channel.send(&progress).await.is_err() {
                        break;
                    }
                }
            }
            message = leaving.channel.next() => match message {
                Ok(Some(Message::Hurry)) => {
                    log::warn!("the node stops: draining ends now");
                    drain::hurry(server);
                }
                Ok(Some(Message::ReopenLogs)) => {
                    if let Err(why) = signals::reopen_logs(server) {
                        log::error!("{why}");
                    }
                }
                Ok(Some(message)) => {
                    if let Some(answer) = relay::hear_successor(server, message) {
                        // One that is gone is seen in the next turn.
                        let _ = leaving.channel.send(&answer).await;
                    }
                }
                // The new process is gone; what is under way here goes on all the same.
                Ok(None) | Err(_) => {
                    leaving.outbox.close();
                    server.upgrades.relay.alone();
                    return drained.await;
                }
            },
            letter = leaving.outbox.next() => {
                let _ = leaving.channel.send(&letter).await;
            }
        }
    }
}

fn progress(now: &Progress, counted: Value) -> Message {
    Message::Progress {
        open: u32::try_from(now.left.connections).unwrap_or(u32::MAX),
        requests: now.left.requests,
        tunnels: now.left.tunnels,
        left_ms: u64::try_from(now.remaining().as_millis()).unwrap_or(u64::MAX),
        counted,
    }
}

/// The last word, once nothing can count any more.
pub async fn last_word(server: &Arc<Server>) {
    let Some(mut leaving) = server.upgrades.leaving.lock().take() else {
        return;
    };
    let mut counted = leaving.tally.since(&server.node.metrics);
    let last = counted.pop().unwrap_or_default();
    let Some(now) = drain::progress(server) else {
        return;
    };
    for counted in counted {
        let progress = progress(&now, counted);
        // A new process that is gone does not count.
        if leaving.channel.send(&progress).await.is_err() {
            return;
        }
    }
    let drained = now.drained.unwrap_or_default();
    let last = Message::Drained {
        cut: u32::try_from(drained.cuts.lost()).unwrap_or(u32::MAX),
        told: drained.to_string(),
        counted: last,
    };
    let _ = leaving.channel.send(&last).await;
}
