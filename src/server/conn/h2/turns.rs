//! The turns of a connection's task: what it does when it is woken, and when what it wrote leaves.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::requests::Active;
use crate::server::stream::Outlet;

/// A connection's turns.
///
/// The first stream that has a response wakes the task, and the runtime runs what was woken last before everything
/// else: each response would leave alone. So while several requests are under way the task lets everybody else go
/// first, drives the engine when nobody is left who is ready, and then sends all of it.
pub(super) struct Turns {
    outlet: Outlet,
    active: Arc<Active>,
    /// The others went first.
    begun: bool,
}

impl Turns {
    pub(super) fn new(outlet: Outlet, active: &Arc<Active>) -> Self {
        Self {
            outlet,
            active: Arc::clone(active),
            begun: false,
        }
    }

    /// Drives `work` to its end. Whenever it has nothing to do, what was written is sent.
    ///
    /// # Errors
    /// That failed.
    pub(super) async fn run<T>(&mut self, work: impl Future<Output = T>) -> io::Result<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if !self.begun {
                self.begun = true;
                if self.active.is_many() {
                    run_later(cx);
                    return Poll::Pending;
                }
            }
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.begun = false;
            match self.outlet.poll_flush(self.active.is_none(), cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// Has the task woken when the worker ran everything that is ready and looked at its sockets once, at the latest after
/// 61 other tasks (the runtime's `event_interval`).
fn run_later(cx: &mut Context<'_>) {
    // The future tells the runtime at its first poll and holds nothing.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
