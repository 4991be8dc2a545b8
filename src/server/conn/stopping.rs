//! The end of a listener, as its connections see it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::proxy::connection::Node;
use crate::server::drain::Stage;
use crate::server::stream::LazyTimer;

type Change = Pin<Box<dyn Future<Output = Option<(Stage, watch::Receiver<Stage>)>> + Send>>;

/// What its listener tells a connection. One per connection: it is registered with the listener's watch when it is
/// first polled and costs one atomic load after that, until something changes.
pub(super) struct Stopping {
    node: Arc<Node>,
    /// Never marked as seen: says cheaply whether anything has changed since the accept.
    first: watch::Receiver<Stage>,
    /// Waits for the next change; none once there can be no further one.
    change: Option<Change>,
    registered: bool,
    stage: Stage,
    /// When idle connections of a listener that goes are closed.
    grace_ends: Option<Instant>,
    timer: LazyTimer,
}

impl Stopping {
    /// Listens to `told`, as of now.
    pub(super) fn new(node: &Arc<Node>, mut told: watch::Receiver<Stage>) -> Self {
        let stage = *told.borrow_and_update();
        Self {
            node: Arc::clone(node),
            first: told.clone(),
            change: Some(next(told)),
            registered: false,
            stage,
            grace_ends: None,
            timer: LazyTimer::default(),
        }
    }

    /// True if the listener goes.
    pub(super) fn is_leaving(&self) -> bool {
        *self.first.borrow() >= Stage::Leaving
    }

    /// True once the time is over.
    pub(super) fn is_cut(&self) -> bool {
        *self.first.borrow() >= Stage::Cut
    }

    /// Looks for news. The task's waker does not change, so the first registration holds until something changes.
    fn look(&mut self, cx: &mut Context<'_>) -> Stage {
        if self.registered && !self.first.has_changed().unwrap_or(true) {
            return self.stage;
        }
        self.registered = true;
        while let Some(change) = &mut self.change {
            match change.as_mut().poll(cx) {
                Poll::Ready(Some((stage, told))) => {
                    self.stage = stage;
                    self.change = Some(next(told));
                }
                Poll::Ready(None) => self.change = None,
                Poll::Pending => break,
            }
        }
        self.stage
    }

    /// The listener goes: what runs ends in its own time, nothing new is begun.
    pub(super) async fn leaving(&mut self) {
        poll_fn(|cx| ready_at(self.look(cx), Stage::Leaving)).await;
    }

    /// The time is over: everything ends now.
    pub(super) async fn cut(&mut self) {
        poll_fn(|cx| ready_at(self.look(cx), Stage::Cut)).await;
    }

    /// A connection has waited for its next request for as long as it may, or the time is over. One whose request has
    /// `begun` may wait to the end.
    pub(super) async fn waited(&mut self, begun: bool) {
        poll_fn(|cx| match self.look(cx) {
            Stage::Open | Stage::Asking => Poll::Pending,
            Stage::Leaving if begun => Poll::Pending,
            Stage::Leaving => {
                let grace = self.node.idle_grace_ms.load(Ordering::Relaxed);
                let grace = Duration::from_millis(grace);
                let end = *self
                    .grace_ends
                    .get_or_insert_with(|| Instant::now() + grace);
                self.timer.poll(end, cx)
            }
            Stage::Cut => Poll::Ready(()),
        })
        .await;
    }
}

fn ready_at(now: Stage, wanted: Stage) -> Poll<()> {
    if now >= wanted {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

fn next(mut told: watch::Receiver<Stage>) -> Change {
    Box::pin(async move {
        told.changed().await.ok()?;
        let stage = *told.borrow_and_update();
        Some((stage, told))
    })
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn node() -> Arc<Node> {
        Arc::new(Node::new(&Metrics::new(100, "test").unwrap()))
    }

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        std::pin::pin!(future).poll(&mut cx).is_ready()
    }

    #[test]
    fn every_stage_is_heard_in_turn() {
        let (tell, told) = watch::channel(Stage::Open);
        let node = node();
        let mut stopping = Stopping::new(&node, told);
        assert!(!is_ready(stopping.leaving()) && !is_ready(stopping.cut()));
        tell.send_replace(Stage::Asking);
        assert!(!is_ready(stopping.leaving()) && !is_ready(stopping.cut()));
        tell.send_replace(Stage::Leaving);
        assert!(is_ready(stopping.leaving()) && !is_ready(stopping.cut()));
        tell.send_replace(Stage::Cut);
        assert!(is_ready(stopping.leaving()) && is_ready(stopping.cut()));
        // Who is gone tells nothing more; what was told holds.
        drop(tell);
        assert!(is_ready(stopping.cut()));
        assert!(stopping.is_leaving());
    }

    #[test]
    fn what_was_told_before_the_accept_is_known() {
        let (tell, told) = watch::channel(Stage::Open);
        tell.send_replace(Stage::Leaving);
        let node = node();
        let mut stopping = Stopping::new(&node, told);
        assert!(stopping.is_leaving());
        assert!(is_ready(stopping.leaving()));
    }
}
