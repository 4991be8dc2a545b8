//! The state of one request, from its head to its log record. No engine types.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::{BodyMode, Consumer, Headers, Reply};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::admission::Places;
use super::attempt::{Granted, Then};
use super::body_memory::HeldBytes;
use super::caching::CacheCx;
use super::caching::note::Note;
use super::control::Control;
use super::deadline::Told;
use super::fallback::Fallbacks;
use super::id::RequestId;
use super::outgoing::Outgoing;
use super::start::Start;
use crate::snapshot::router::Captures;
use crate::snapshot::upstream::{UpstreamPlan, UpstreamTimeouts};
use crate::snapshot::{Chain, Route};
use crate::telemetry::Reason;
use crate::telemetry::guard::Attempt;
use crate::telemetry::metrics::GaugeGuard;
use crate::upstream::limits::Class;
use crate::upstream::retry::Attempts;
use crate::upstream::{Line, Picked, TriedSet};

/// Most response fields plugins may add by `add_response_header`.
const MAX_ADDED_HEADERS: usize = 32;

/// Times of a request. All measured from the complete head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// When the current attempt began.
    pub attempt: Option<Instant>,
    /// How long connecting took in the last attempt; none on a reused connection.
    pub connect: Option<Duration>,
    /// When the request's head went to the endpoint.
    pub sent: Option<Instant>,
    /// From `sent` to the head of the response.
    pub first_byte: Option<Duration>,
}

/// Everything a request knows.
pub struct Ctx {
    /// Node, snapshot, listener, connection.
    pub start: Start,
    /// The method.
    pub method: Method,
    /// The host in lower case, without port.
    pub host: String,
    /// The port the client wrote behind it.
    pub port: Option<u16>,
    /// The target as received, where it differs from `target`.
    pub raw_target: Option<Bytes>,
    /// The normalised path and query; `path_len` splits them.
    pub target: String,
    /// Length of the path within `target`.
    pub path_len: usize,
    /// Who asks.
    pub client: IpAddr,
    /// The peer is a trusted proxy: what it says of earlier hops is believed.
    pub trusted: bool,
    /// The last look at the clock. Reading it costs as much as a small plugin, so a step that
    /// follows at once uses this one.
    pub clock: Instant,
    /// By when others want the answer.
    pub told: Told,
    /// The client used TLS: to us, or to a trusted proxy that says so.
    pub https: bool,
    /// The request's id.
    pub id: RequestId,
    /// `traceparent`'s trace id, when the client sent a valid one.
    pub trace: Option<[u8; 32]>,
    /// The chosen route.
    pub route: Option<Arc<Route>>,
    /// What its path captured.
    pub captures: Captures,
    /// Target towards the origin, when a plugin replaced it.
    pub upstream_target: Option<String>,
    /// Host towards the origin, when a plugin replaced it.
    pub upstream_host: Option<HeaderValue>,
    /// Who the client proved to be.
    pub consumer: Option<Consumer>,
    /// The client speaks gRPC-Web, the origin gRPC.
    pub grpc_web: bool,
    /// Per-request state of filters.
    pub states: Vec<(u16, Box<dyn Any + Send + Sync>)>,
    /// Fields every response to this request carries.
    pub added_headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields over the cap, dropped.
    pub added_dropped: u32,
    /// A body read before the origin is asked.
    pub body: Option<BufferedBody>,
    /// The same in one piece, for every attempt.
    pub replay: Option<Bytes>,
    /// The whole body is in `replay`.
    pub replay_complete: bool,
    /// How much of the body was read when `replay` was made: what came later cannot be sent again.
    pub replay_read: u64,
    /// Memory of `replay` and of what is held back.
    pub held_bytes: Option<HeldBytes>,
    /// How filters want this body, where they said so for this request.
    pub body_modes: Vec<(u16, BodyMode)>,
    /// The response is held back by so many filters.
    pub holding: Vec<u16>,
    /// What is held back, in the engine's own words.
    pub held: Option<Box<dyn Any + Send + Sync>>,
    /// A filter ended the response with this.
    pub refusal: Option<Box<Reply>>,
    /// What filters made of the response.
    pub outgoing: Outgoing,
    /// How long filters want the piece of the response's body in hand held up.
    pub body_delay: Duration,
    /// What filters note for `explain`.
    pub notes: String,
    /// The protocol as the client named it.
    pub protocol: &'static str,
    /// The upstream in charge.
    pub upstream: Option<Arc<UpstreamPlan>>,
    /// Times towards it: the route's, else the upstream's.
    pub upstream_timeouts: Option<UpstreamTimeouts>,
    /// The side of a split was chosen anew: set the cookie to this.
    pub sticky_cookie: Option<HeaderValue>,
    /// The endpoint of the current attempt.
    pub picked: Option<Picked>,
    /// The connection of the current attempt.
    pub line: Option<Arc<Line>>,
    /// The endpoint of the last attempt that ended, for the log.
    pub last_endpoint: Option<Arc<crate::upstream::Endpoint>>,
    /// Endpoints of earlier attempts.
    pub tried: TriedSet,
    /// Counts attempts and decides whether there is another.
    pub attempts: Attempts,
    /// An endpoint was asked.
    pub asked: bool,
    /// Why the last attempt failed, while another is made.
    pub failed: Option<Reason>,
    /// Why the last attempt failed, after which a fallback is wanted.
    pub falls_back: Option<Reason>,
    /// What the upstream in charge has given it.
    pub granted: Granted,
    /// The fallbacks that are left.
    pub fallbacks: Fallbacks,
    /// The answer of a fallback that is made here.
    pub stand_in: Option<Box<Reply>>,
    /// When the client may ask again.
    pub retry_after: Option<Duration>,
    /// It cannot be sent to another upstream: some of it was done, or its body is gone.
    pub is_spent: bool,
    /// An answer came that is not to be passed on, and this follows.
    pub answer_left: Option<Then>,
    /// How the last attempt ended.
    pub ended_as: Option<Attempt>,
    /// The current attempt runs on a connection used before.
    pub reused: bool,
    /// Bytes of the request may have reached an endpoint.
    pub sent: bool,
    /// The connection of this attempt is to be closed after it.
    pub retire_upstream: bool,
    /// The head of the final response went to the client.
    pub responded: bool,
    /// The response's own status.
    pub status: u16,
    /// Bytes of request and response body.
    pub bytes_in: u64,
    /// To the client.
    pub bytes_out: u64,
    /// What the route's cache does with it.
    pub cache: Option<CacheCx>,
    /// It is a fetch for the cache, no client's request: what it does is noted here.
    pub fetch: Option<Arc<Note>>,
    /// Why it ended.
    pub reason: Reason,
    /// A plugin's word beside the reason.
    pub detail: &'static str,
    /// The client asked for another protocol.
    pub upgrade: bool,
    /// The client waits for 100 Continue.
    pub expect_continue: bool,
    /// Times.
    pub times: Times,
    /// Its places on its route.
    pub places: Option<Places>,
    /// Counts the request as in flight.
    pub in_flight: Option<GaugeGuard>,
    /// Keeps it counted as a tunnel.
    pub tunnel: Option<GaugeGuard>,
    /// The record was written.
    pub logged: bool,
}

impl Ctx {
    /// A request at its start, nothing known but where it came in.
    pub fn new(start: Start) -> Self {
        let client = start.connection.peer_ip();
        let https = start.connection.is_https();
        Self {
            trusted: start.listener.trusted.contains(client),
            clock: start.head_at,
            told: Told::default(),
            https,
            start,
            method: Method::GET,
            host: String::new(),
            port: None,
            raw_target: None,
            target: String::new(),
            path_len: 0,
            client,
            id: RequestId::new(),
            trace: None,
            route: None,
            captures: Captures::default(),
            upstream_target: None,
            upstream_host: None,
            consumer: None,
            grpc_web: false,
            states: Vec::new(),
            added_headers: Vec::new(),
            added_dropped: 0,
            body: None,
            replay: None,
            replay_complete: false,
            replay_read: 0,
            held_bytes: None,
            body_modes: Vec::new(),
            holding: Vec::new(),
            held: None,
            refusal: None,
            outgoing: Outgoing::default(),
            body_delay: Duration::ZERO,
            notes: String::new(),
            protocol: "HTTP/1.1",
            upstream: None,
            upstream_timeouts: None,
            sticky_cookie: None,
            picked: None,
            line: None,
            last_endpoint: None,
            tried: TriedSet::new(),
            attempts: Attempts::default(),
            asked: false,
            failed: None,
            falls_back: None,
            granted: Granted::default(),
            fallbacks: Fallbacks::default(),
            stand_in: None,
            retry_after: None,
            is_spent: false,
            answer_left: None,
            ended_as: None,
            reused: false,
            sent: false,
            retire_upstream: false,
            responded: false,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            cache: None,
            fetch: None,
            reason: Reason::Ok,
            detail: "",
            upgrade: false,
            expect_continue: false,
            times: Times::default(),
            places: None,
            in_flight: None,
            tunnel: None,
            logged: false,
        }
    }

    /// A fetch for the cache on behalf of `of`: the same route and upstream, nothing of its client's connection but what
    /// origins are told of it. Filters have no state from phases before.
    pub fn fetching(of: &Self, note: Arc<Note>) -> Self {
        let now = Instant::now();
        let mut cx = Self::new(Start {
            node: Arc::clone(&of.start.node),
            snapshot: Arc::clone(&of.start.snapshot),
            listener: Arc::clone(&of.start.listener),
            connection: Arc::clone(&of.start.connection),
            control: Control::new(now),
            raw_target: None,
            head_at: now,
        });
        cx.method = Method::GET;
        cx.host = of.host.clone();
        cx.port = of.port;
        cx.raw_target = of.raw_target.clone();
        cx.target = of.target.clone();
        cx.path_len = of.path_len;
        cx.client = of.client;
        cx.trusted = of.trusted;
        cx.https = of.https;
        cx.id = of.id.clone();
        cx.protocol = of.protocol;
        cx.trace = of.trace;
        cx.route = of.route.clone();
        cx.captures = of.captures.clone();
        cx.upstream_target = of.upstream_target.clone();
        cx.upstream_host = of.upstream_host.clone();
        cx.consumer = of.consumer.clone();
        cx.upstream = of.upstream.clone();
        cx.upstream_timeouts = of.upstream_timeouts;
        cx.fetch = Some(note);
        cx
    }

    /// The normalised path.
    pub fn path(&self) -> &str {
        self.target.get(..self.path_len).unwrap_or(&self.target)
    }

    /// The query.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path_len + 1..)
    }

    /// The target the origin gets.
    pub fn target_to_origin(&self) -> &str {
        self.upstream_target.as_deref().unwrap_or(&self.target)
    }

    /// The target as the client sent it.
    pub fn raw(&self) -> &[u8] {
        self.raw_target.as_deref().unwrap_or(self.target.as_bytes())
    }

    /// How much the request matters when there is too much to do.
    pub fn class(&self) -> Class {
        self.route
            .as_deref()
            .map_or(Class::Default, |route| route.class)
    }

    /// The route's chain, once there is one.
    pub fn chain(&self) -> Option<&Chain> {
        self.route.as_deref().map(|route| &route.chain)
    }

    /// Adds a response field, up to the bound.
    pub fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        if self.added_headers.len() < MAX_ADDED_HEADERS {
            self.added_headers.push((name, value));
        } else {
            self.added_dropped += 1;
        }
    }

    /// Takes memory for so many bytes that are held back.
    ///
    /// # Errors
    /// There is none.
    pub fn hold_bytes(&mut self, bytes: u64) -> Result<(), Reason> {
        let node = &self.start.node;
        let holder = self
            .held_bytes
            .get_or_insert_with(|| node.body_memory.holder());
        if holder.take(bytes) {
            Ok(())
        } else {
            Err(Reason::BodyMemory)
        }
    }

    /// True if the answer may come out of a cache, or go into it.
    pub fn is_cached(&self) -> bool {
        let cached = self
            .route
            .as_deref()
            .is_some_and(|route| route.cache.is_some());
        cached && self.start.snapshot.cache.is_some()
    }

    /// True if it waited for a place at its upstream.
    pub fn has_waited(&self) -> bool {
        self.granted.queued.is_some()
    }

    /// When the head of the response must have been sent: by our own rules, or sooner, where others say so.
    pub fn deadline(&self) -> Instant {
        self.told
            .shorten(self.start.head_at + self.request_timeout())
    }

    /// The `request` timeout in force.
    pub fn request_timeout(&self) -> Duration {
        self.route
            .as_deref()
            .and_then(|route| route.timeouts.request)
            .unwrap_or(self.start.listener.timeouts.request)
    }

    /// The longest pause inside a body in force.
    pub fn body_idle(&self) -> Duration {
        self.route
            .as_deref()
            .and_then(|route| route.timeouts.body_idle)
            .unwrap_or(self.start.listener.timeouts.body_idle)
    }

    /// The largest body in force.
    pub fn body_limit(&self) -> u64 {
        self.route
            .as_deref()
            .and_then(|route| route.body_bytes)
            .unwrap_or(self.start.listener.body_bytes)
    }

    /// Tells the client's stream the limits in force.
    pub fn set_limits(&self) {
        self.start
            .control
            .set_request(self.body_limit(), self.body_idle(), Some(self.deadline()));
    }
}

impl Drop for Ctx {
    /// A request that was cut off before its end (its task was dropped) is counted and logged too.
    fn drop(&mut self) {
        if self.logged {
            return;
        }
        if self.reason == Reason::Ok {
            let otherwise = if self.start.node.is_leaving() {
                Reason::Draining
            } else {
                Reason::Internal
            };
            self.reason = self.start.control.cut().unwrap_or(otherwise);
        }
        let said = self.start.control.is_ended() && !self.responded;
        if said && !self.start.connection.h2 {
            // Said by the stream as it is dropped.
            self.status = 503;
        }
        if self.start.connection.h2 {
            // The engine counts them at the end, which a request that was dropped never came to.
            self.bytes_in = self.start.control.body_bytes();
        }
        super::finish::finish(self, &mut NoFields::default());
    }
}

/// Header fields of a request whose head is gone.
#[derive(Default)]
struct NoFields(HeaderMap);

impl Headers for NoFields {
    fn map(&self) -> &HeaderMap {
        &self.0
    }
    fn set(&mut self, _: &HeaderName, _: HeaderValue) {}
    fn append(&mut self, _: &HeaderName, _: HeaderValue) {}
    fn remove(&mut self, _: &HeaderName) -> bool {
        false
    }
    fn each_as_received(&self, _: &mut dyn FnMut(&[u8], &HeaderValue)) {}
}
