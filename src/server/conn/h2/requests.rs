//! Streams that became requests.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::HttpSession;
use tokio::sync::Notify;

use super::super::Serving;
use crate::proxy::control::Control;
use crate::proxy::pingora::never;
use crate::proxy::start::{Start, with_start};
use crate::server::stream::LazyTimer;
use crate::telemetry::Reason;

/// How long a request whose client let us wait too long may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Requests of one connection under way.
#[derive(Default)]
pub(super) struct Active {
    count: AtomicUsize,
    /// The connection's task: it begins to wait when the last one has ended.
    done: AtomicWaker,
    /// The time of a drain is over.
    over: AtomicBool,
    cut: Notify,
}

impl Active {
    /// True while nothing is under way.
    pub(super) fn is_none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// True while more than one is under way.
    pub(super) fn is_many(&self) -> bool {
        self.count.load(Ordering::Acquire) > 1
    }

    /// Ends all that is under way: each is told, and answers if it can.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.cut.notify_waiters();
    }

    async fn ended(&self) {
        let mut told = std::pin::pin!(self.cut.notified());
        // Told from here on; what was told before stands in `over`.
        told.as_mut().enable();
        if !self.over.load(Ordering::Acquire) {
            told.await;
        }
    }
}

struct Guard(Arc<Active>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.done.wake();
        }
    }
}

/// How long nothing has been under way.
pub(super) struct Quiet {
    active: Arc<Active>,
    most: Duration,
    since: Option<Instant>,
    timer: LazyTimer,
}

impl Quiet {
    /// Ready after `most` without a request.
    pub(super) fn new(active: &Arc<Active>, most: Duration) -> Self {
        Self {
            active: Arc::clone(active),
            most,
            since: None,
            timer: LazyTimer::default(),
        }
    }

    /// Counts from now on.
    pub(super) fn again(&mut self) {
        self.since = None;
    }

    /// Ready when nothing was under way for that long. While something is, this costs two atomic operations.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.active.done.register(cx.waker());
        if !self.active.is_none() {
            self.since = None;
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.timer.poll(since + self.most, cx)
    }
}

/// Serves a request in a task of its own.
pub(super) fn spawn(serving: &Serving, session: HttpSession, active: &Arc<Active>) {
    let snapshot = serving.node.current.load();
    let listener = serving.listener(&snapshot);
    if serving.connection.requests.fetch_add(1, Ordering::Relaxed) > 0 {
        listener.metrics.keepalive_requests.inc();
    }
    active.count.fetch_add(1, Ordering::AcqRel);
    let guard = Guard(Arc::clone(active));
    let now = Instant::now();
    let control = Control::new(now);
    if let Some(rate) = listener.min_body_rate {
        control.set_body_rate(rate);
    }
    let start = Start {
        node: Arc::clone(&serving.node),
        snapshot,
        listener,
        connection: Arc::clone(&serving.connection),
        control: Arc::clone(&control),
        raw_target: None,
        head_at: now,
    };
    let proxy = Arc::clone(&serving.proxy);
    let node = Arc::clone(&serving.node);
    let active = Arc::clone(active);
    tokio::spawn(async move {
        let _guard = guard;
        let session = ServerSession::new_http2(session);
        let serve = with_start(start, proxy.process_new_http(session, never()));
        let over = async {
            let mut timer = LazyTimer::default();
            tokio::select! {
                biased;
                reason = poll_fn(|cx| poll_end(&control, &mut timer, cx)) => control.set_over(reason),
                () = active.ended() => node.metrics.drain().cut(control.break_off().on_http2()),
            }
            // The request was told, and answers if it can.
            Box::pin(tokio::time::sleep(LAST_WORDS)).await;
        };
        // Dropping the request resets its stream.
        tokio::select! {
            // What the request awaits changes while it is polled, so its end is looked up after that.
            biased;
            _ = serve => {}
            () = over => {}
        }
    });
}

/// Ready when the request is over because its client let us wait too long. Who awaits nothing costs no timer.
fn poll_end(control: &Control, timer: &mut LazyTimer, cx: &mut Context<'_>) -> Poll<Reason> {
    let Some((end, reason)) = control.end() else {
        return Poll::Pending;
    };
    timer.poll(end, cx).map(|()| reason)
}
