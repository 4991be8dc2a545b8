//! How a request starts, and how that gets to the engine.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::LocalKey;
use std::time::Instant;

use bytes::Bytes;

use super::connection::{Connection, Node};
use super::control::Control;
use super::ctx::Ctx;
use crate::snapshot::{Listener, Snapshot};

/// What a request's head reader knew.
pub struct Start {
    /// The node.
    pub node: Arc<Node>,
    /// The picture this request keeps to its end.
    pub snapshot: Arc<Snapshot>,
    /// The listener within that picture.
    pub listener: Arc<Listener>,
    /// The connection.
    pub connection: Arc<Connection>,
    /// Shared with the stream that carries this request.
    pub control: Arc<Control>,
    /// The target as received, when the engine is given its normalised form instead.
    pub raw_target: Option<Bytes>,
    /// When the head was complete.
    pub head_at: Instant,
}

/// What a request's context is made of.
enum Begin {
    /// A client's request.
    Request(Start),
    /// A fetch for the cache, whose context is made already.
    Fetch(Box<Ctx>),
}

thread_local! {
    static BEGIN: Cell<Option<Begin>> = const { Cell::new(None) };
}

/// The context of the request that is being polled. For the engine, which creates a request's context without
/// arguments; it takes it, so a second call finds none.
pub fn take_context() -> Option<Box<Ctx>> {
    match BEGIN.take()? {
        Begin::Request(start) => Some(Box::new(Ctx::new(start))),
        Begin::Fetch(context) => Some(context),
    }
}

/// Runs `request` so that it finds a context of `start` in [`take_context`]: a way in that needs no downcast and holds
/// for HTTP/1 and 2 alike.
pub fn with_start<F: Future + Unpin>(
    start: Start,
    request: F,
) -> impl Future<Output = F::Output> + Unpin {
    Handing {
        value: Some(Begin::Request(start)),
        place: &BEGIN,
        inner: request,
    }
}

/// Runs `fetch` so that it finds `context` in [`take_context`].
pub fn with_context<F: Future + Unpin>(
    context: Box<Ctx>,
    fetch: F,
) -> impl Future<Output = F::Output> + Unpin {
    Handing {
        value: Some(Begin::Fetch(context)),
        place: &BEGIN,
        inner: fetch,
    }
}

/// A future that finds `value` in `place` whenever it is polled, until it takes it from there. Tokio's task-locals
/// do the same for shared values on every poll; this one costs nothing once the value was taken.
struct Handing<T: 'static, F> {
    value: Option<T>,
    place: &'static LocalKey<Cell<Option<T>>>,
    inner: F,
}

impl<T: Unpin, F: Future + Unpin> Future for Handing<T, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(value) = self.value.take() else {
            return Pin::new(&mut self.inner).poll(cx);
        };
        self.place.set(Some(value));
        let polled = Pin::new(&mut self.inner).poll(cx);
        // Not taken yet: it waits here, where nobody else on this thread can find it.
        self.value = self.place.take();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;

    thread_local! {
        static PLACE: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// Looks for its value at the poll with this number and ends with it; waits in all others.
    fn taking_at(number: u32) -> impl Future<Output = Option<u32>> + Unpin {
        let mut polls = 0;
        poll_fn(move |_| {
            polls += 1;
            if polls == number {
                Poll::Ready(PLACE.take())
            } else {
                Poll::Pending
            }
        })
    }

    #[test]
    fn everyone_finds_their_own_however_polls_alternate() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut all: Vec<_> = (1..=4)
            .map(|number| Handing {
                value: Some(number * 10),
                place: &PLACE,
                inner: taking_at(number),
            })
            .collect();
        for round in 1..=4 {
            for (number, one) in (1..=4).zip(&mut all) {
                if number < round {
                    continue;
                }
                let expected = if number == round {
                    Poll::Ready(Some(number * 10))
                } else {
                    Poll::Pending
                };
                assert_eq!(Pin::new(one).poll(&mut cx), expected);
                assert_eq!(PLACE.take(), None, "nothing stays behind");
            }
        }
    }

    #[test]
    fn it_is_found_once() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        let mut twice = Handing {
            value: Some(1),
            place: &PLACE,
            inner: poll_fn(|_| {
                seen.push(PLACE.take());
                seen.push(PLACE.take());
                if seen.len() < 4 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            }),
        };
        while Pin::new(&mut twice).poll(&mut cx).is_pending() {}
        assert_eq!(seen, [Some(1), None, None, None]);
    }
}
