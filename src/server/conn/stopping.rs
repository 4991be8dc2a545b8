//! The end of a listener, as its connections see it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::Serving;

/// Ready when the listener goes and what is to happen then has happened. One per connection: it is registered with
/// the listener's watch when it is first polled and costs one atomic load after that.
pub(super) struct Stopping<'s> {
    watch: watch::Receiver<bool>,
    ready: Pin<Box<dyn Future<Output = ()> + Send + 's>>,
    registered: bool,
}

impl<'s> Stopping<'s> {
    /// `then` runs once the listener goes.
    pub(super) fn new(serving: &'s Serving, then: impl Future<Output = ()> + Send + 's) -> Self {
        let mut shutdown = serving.shutdown.clone();
        Self {
            watch: serving.shutdown.clone(),
            ready: Box::pin(async move {
                if shutdown.wait_for(|stop| *stop).await.is_ok() {
                    then.await;
                }
            }),
            registered: false,
        }
    }
}

impl Future for Stopping<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The task's waker does not change, so the first registration holds for good.
        if self.registered && !self.watch.has_changed().unwrap_or(true) {
            return Poll::Pending;
        }
        self.registered = true;
        self.ready.as_mut().poll(cx)
    }
}
