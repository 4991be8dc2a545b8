//! A timer that costs nothing while nothing waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// A deadline that is moved often and reached rarely. The timer behind it is armed for the earliest
/// deadline asked for; when it fires too early it is armed again, so that moving a deadline later
/// (the usual case: one more byte came) touches no timer wheel.
#[derive(Debug, Default)]
pub(in crate::server) struct LazyTimer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl LazyTimer {
    /// Ready once `deadline` has passed; else the task is woken then.
    pub(in crate::server) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let at = tokio::time::Instant::from_std(deadline);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}
