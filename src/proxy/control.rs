//! What the pipeline tells the client's stream, and what the stream tells the pipeline.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::telemetry::{DrainCut, Reason};

/// What the pipeline tells the stream, and what the stream tells the pipeline.
///
/// One per connection; the limits of a request are set anew when its route is known.
#[derive(Debug)]
pub struct Control {
    epoch: Instant,
    /// Why the stream ended the request; set at most once, since it ends the connection too.
    cut: OnceLock<Reason>,
    tunnel: AtomicBool,
    head_sent: AtomicBool,
    response_cut: AtomicBool,
    /// The end of the connection is all that ends the response.
    until_close: AtomicBool,
    websocket: AtomicBool,
    /// The node ends what is under way.
    ended: AtomicBool,
    /// The same, and the head of the response had been sent by then: nothing more is to follow it.
    ended_late: AtomicBool,
    /// An answer of our own was said to its end.
    said: AtomicBool,
    /// The client of a WebSocket was told so.
    told_going: AtomicBool,
    body_limit: AtomicU64,
    /// Milliseconds after `epoch` of the last piece of the body, plus one; 0 when none is awaited.
    body_awaited_ms: AtomicU64,
    body_idle_ms: AtomicU64,
    /// Payload bytes so far, where [`Control::body_progress`] is told.
    body_bytes: AtomicU64,
    /// What the client let us wait for them, without the wait under way.
    body_waited_ms: AtomicU64,
    /// Payload bytes per second of waiting, at least; 0 for no bound. Held by [`Control::end`].
    body_rate: AtomicU64,
    /// Milliseconds after `epoch`; 0 for none.
    request_deadline_ms: AtomicU64,
    tunnel_idle_ms: AtomicU64,
    tunnel_age_ms: AtomicU64,
    /// Told by [`Control::set_over`], and by [`Control::break_off`].
    over: Notify,
}

impl Control {
    /// A control block whose times count from now.
    pub fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            epoch: now,
            cut: OnceLock::new(),
            tunnel: AtomicBool::new(false),
            head_sent: AtomicBool::new(false),
            response_cut: AtomicBool::new(false),
            until_close: AtomicBool::new(false),
            websocket: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            said: AtomicBool::new(false),
            told_going: AtomicBool::new(false),
            ended_late: AtomicBool::new(false),
            body_limit: AtomicU64::new(u64::MAX),
            body_awaited_ms: AtomicU64::new(0),
            body_idle_ms: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            body_waited_ms: AtomicU64::new(0),
            body_rate: AtomicU64::new(0),
            request_deadline_ms: AtomicU64::new(0),
            tunnel_idle_ms: AtomicU64::new(0),
            tunnel_age_ms: AtomicU64::new(0),
            over: Notify::new(),
        })
    }

    /// Why the stream ended the request, if it did.
    pub fn cut(&self) -> Option<Reason> {
        self.cut.get().copied()
    }

    /// Notes why the stream ended the request.
    pub fn set_cut(&self, reason: Reason) {
        // The first reason is the cause; later ones follow from it.
        let _ = self.cut.set(reason);
    }

    /// A new request begins; its head is not answered yet.
    pub fn begin_request(&self) {
        self.head_sent.store(false, Ordering::Relaxed);
        self.until_close.store(false, Ordering::Relaxed);
        self.said.store(false, Ordering::Relaxed);
    }

    /// Sets the limits of the current request: most payload bytes, the longest pause of the client
    /// inside a body, and when the head of the response must have been sent.
    pub fn set_request(&self, body_limit: u64, body_idle: Duration, deadline: Option<Instant>) {
        self.body_limit.store(body_limit, Ordering::Relaxed);
        self.body_idle_ms
            .store(millis(body_idle), Ordering::Relaxed);
        let deadline = deadline.map_or(0, |at| {
            millis(at.saturating_duration_since(self.epoch)).max(1)
        });
        self.request_deadline_ms.store(deadline, Ordering::Relaxed);
    }

    /// The head of the final response is on its way: the request deadline holds no longer.
    pub fn head_sent(&self) {
        self.head_sent.store(true, Ordering::Relaxed);
    }

    /// True once the head of the final response is on its way.
    pub fn is_head_sent(&self) -> bool {
        self.head_sent.load(Ordering::Relaxed)
    }

    /// The response's end is told by the end of the connection alone (RFC 9112 section 6.3).
    pub fn ends_by_close(&self) {
        self.until_close.store(true, Ordering::Relaxed);
    }

    /// True if the response's end is told by the end of the connection alone.
    pub fn is_ended_by_close(&self) -> bool {
        self.until_close.load(Ordering::Relaxed)
    }

    /// The node goes and waits no longer: the request is over, and nobody but the task that drives it calls this. What
    /// it cuts.
    pub fn break_off(&self) -> Ended {
        self.set_cut(Reason::Draining);
        let ended = match (self.is_tunnel(), self.is_head_sent()) {
            (true, _) => Ended::Tunnel,
            (false, true) => Ended::Response,
            (false, false) => Ended::Request,
        };
        if ended == Ended::Response {
            self.ended_late.store(true, Ordering::Relaxed);
        }
        self.ended.store(true, Ordering::Relaxed);
        self.over.notify_waiters();
        ended
    }

    /// True once [`Control::break_off`] was called.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// An answer of our own was written to its end.
    pub fn said(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    /// True once an answer of our own was written to its end.
    pub fn is_said(&self) -> bool {
        self.said.load(Ordering::Relaxed)
    }

    /// The client of a WebSocket was told by a Close frame.
    pub fn told_going(&self) {
        self.told_going.store(true, Ordering::Relaxed);
    }

    /// True if the client of a WebSocket was told by a Close frame.
    pub fn is_told_going(&self) -> bool {
        self.told_going.load(Ordering::Relaxed)
    }

    /// True if a response under way was ended: not a byte more of it is sent.
    pub fn is_response_ended(&self) -> bool {
        self.ended_late.load(Ordering::Relaxed)
    }

    /// The request failed after the head of its response had gone out. The connection ends, and that end may be all
    /// by which the client would take the response for whole.
    pub fn cut_response(&self) {
        self.response_cut.store(true, Ordering::Relaxed);
    }

    /// True once a response was cut.
    pub fn is_response_cut(&self) -> bool {
        self.response_cut.load(Ordering::Relaxed)
    }

    /// The connection became a tunnel (101): bytes pass as they are, bounded by idle time and age.
    /// Those towards the client are frames of a WebSocket where `websocket` says so.
    pub fn start_tunnel(&self, idle: Duration, age: Option<Duration>, websocket: bool) {
        self.websocket.store(websocket, Ordering::Relaxed);
        self.tunnel_idle_ms.store(millis(idle), Ordering::Relaxed);
        let age = age.map_or(0, |age| {
            millis(self.epoch.elapsed().saturating_add(age)).max(1)
        });
        self.tunnel_age_ms.store(age, Ordering::Relaxed);
        self.tunnel.store(true, Ordering::Release);
    }

    /// True once the connection is a tunnel.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Acquire)
    }

    /// True once the connection is a tunnel that carries a WebSocket.
    pub fn is_websocket(&self) -> bool {
        self.is_tunnel() && self.websocket.load(Ordering::Relaxed)
    }

    fn at(&self, millis: u64) -> Option<Instant> {
        (millis != 0)
            .then(|| self.epoch.checked_add(Duration::from_millis(millis)))
            .flatten()
    }

    /// Bounds the rate of the body, for streams without a guard of their own.
    pub fn set_body_rate(&self, bytes_per_second: u64) {
        self.body_rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// A piece of the body came, `bytes` in all so far; `more` says whether another is awaited.
    pub fn body_progress(&self, bytes: u64, more: bool) {
        let now = millis(self.epoch.elapsed()) + 1;
        let next = if more { now } else { 0 };
        let since = self.body_awaited_ms.swap(next, Ordering::Relaxed);
        if since != 0 {
            self.body_waited_ms
                .fetch_add(now.saturating_sub(since), Ordering::Relaxed);
        }
        self.body_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Payload bytes so far, as [`Control::body_progress`] was told.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Until when the next piece of the body must come, and what it means if it does not: the pause between
    /// two pieces is bounded, and so is the rate over all pauses (as Apache's `mod_reqtimeout` counts).
    fn body_end(&self, idle: Duration) -> Option<(Instant, Reason)> {
        let since = self.at(self.body_awaited_ms.load(Ordering::Relaxed))?;
        if idle.is_zero() {
            return None;
        }
        let paused = (since + idle, Reason::BodyTimeout);
        let rate = self.body_rate.load(Ordering::Relaxed);
        if rate == 0 {
            return Some(paused);
        }
        let earned = self.body_bytes.load(Ordering::Relaxed).saturating_mul(1000) / rate;
        let waited = Duration::from_millis(self.body_waited_ms.load(Ordering::Relaxed));
        let left = (idle + Duration::from_millis(earned)).saturating_sub(waited);
        let dripped = (since + left, Reason::BodyRateTooLow);
        Some(if dripped.0 < paused.0 {
            dripped
        } else {
            paused
        })
    }

    /// For streams without a guard of their own (HTTP/2): when the request is over as things stand, and why: the client
    /// let us wait too long inside its body. None while nothing is awaited. The request's own deadline is held by the
    /// waits of the engine; this is the backstop behind them.
    pub fn end(&self) -> Option<(Instant, Reason)> {
        /// How far behind the deadline the backstop stands.
        const BEHIND: Duration = Duration::from_secs(1);
        let body = self.body_end(self.body_idle());
        let request = self
            .request_deadline()
            .map(|deadline| (deadline + BEHIND, Reason::RequestTimeout));
        match (body, request) {
            (Some(body), Some(request)) if request.0 < body.0 => Some(request),
            (None, request) => request,
            (body, _) => body,
        }
    }

    /// The request has come to its [`Control::end`].
    pub fn set_over(&self, reason: Reason) {
        self.set_cut(reason);
        self.over.notify_waiters();
    }

    /// Waits until the request is found over ([`Control::set_over`], [`Control::break_off`]), so that who reads its body
    /// may answer.
    pub async fn over(&self) {
        let mut told = std::pin::pin!(self.over.notified());
        // Told from here on; what was told before stands in `cut`.
        told.as_mut().enable();
        if self.cut().is_none() {
            told.await;
        }
    }

    /// Most payload bytes of the current body.
    pub fn body_limit(&self) -> u64 {
        self.body_limit.load(Ordering::Relaxed)
    }

    /// The longest pause of a tunnel.
    pub fn tunnel_idle(&self) -> Duration {
        Duration::from_millis(self.tunnel_idle_ms.load(Ordering::Relaxed))
    }

    /// When the tunnel must end, if it must.
    pub fn tunnel_end(&self) -> Option<Instant> {
        self.at(self.tunnel_age_ms.load(Ordering::Relaxed))
    }

    /// The longest pause inside a body or a response; zero for none.
    pub fn body_idle(&self) -> Duration {
        Duration::from_millis(self.body_idle_ms.load(Ordering::Relaxed))
    }

    /// When the head of the response must have been sent; none once it was.
    pub fn request_deadline(&self) -> Option<Instant> {
        if self.head_sent.load(Ordering::Relaxed) {
            return None;
        }
        self.at(self.request_deadline_ms.load(Ordering::Relaxed))
    }
}

/// What [`Control::break_off`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A request without a response.
    Request,
    /// A response under way.
    Response,
    /// A tunnel.
    Tunnel,
}

impl Ended {
    /// As it is counted over HTTP/2.
    pub fn on_http2(self) -> DrainCut {
        match self {
            Self::Request => DrainCut::Http2Request,
            Self::Response | Self::Tunnel => DrainCut::Http2Response,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
