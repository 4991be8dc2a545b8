//! What a snapshot holds: the handles of one listener, route, upstream, endpoint or plugin, resolved once.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::family::{Counter, Gauge, Group, Histogram};
use super::guard::GuardMetrics;
use crate::telemetry::drain_cut::{DrainCut, DrainCuts};
use crate::telemetry::h2_end::H2End;
use crate::telemetry::reason::Reason;

/// Handles of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    /// Client connections open now.
    pub connections_open: Gauge,
    /// Client connections accepted.
    pub connections: Counter,
    /// Connections closed before a request; count with `connection_rejected`.
    pub connections_rejected: Group,
    /// HTTP/2 connections that ended; count with `h2_ended`.
    pub h2_ended: Group,
    /// Requests that ended before routing; count with `request_rejected`.
    pub requests_rejected: Group,
    /// Requests in work.
    pub requests_in_flight: Gauge,
    /// Those of them that became tunnels.
    pub tunnels_open: Gauge,
    /// Requests on a connection that had carried one.
    pub keepalive_requests: Counter,
}

/// Handles of one route, over all listeners and upstreams.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    /// Whole requests.
    pub duration: Histogram,
    /// Ends that were not a delivered response; count with `error`.
    pub errors: Group,
    /// Body bytes from clients.
    pub request_bytes: Counter,
    /// Body bytes to clients.
    pub response_bytes: Counter,
}

/// The request counter of one (listener, route, upstream).
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    /// By class of status; count with `ended`.
    pub by_code: Group,
}

/// Handles of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    /// Waiting for a free place.
    pub queue: Histogram,
    /// Connecting, TLS included; only for new connections.
    pub connect: Histogram,
    /// From the request sent to the head of the response.
    pub first_byte: Histogram,
    /// The whole attempt.
    pub total: Histogram,
    /// Connections open now.
    pub connections_open: Gauge,
    /// Connections opened.
    pub connections_opened: Counter,
    /// Attempts; count with `attempt`.
    pub requests: Group,
    /// Further attempts; count with `retried`.
    pub retries: Group,
    /// Changed files of TLS that were read again; count with `tls_refreshed`.
    pub tls_refreshes: Group,
    /// Files of TLS whose present content cannot be used.
    pub tls_stale_files: Gauge,
    /// Breaker, limits, retries, ejections, fallbacks.
    pub guard: GuardMetrics,
}

/// Handles of one endpoint of an upstream.
#[derive(Clone, Debug)]
pub struct EndpointMetrics {
    /// Attempts in work.
    pub in_flight: Gauge,
    /// 1 while an operator keeps new requests away.
    pub drained: Gauge,
    /// Failed attempts; count with `failed`.
    pub errors: Group,
}

/// Handles of one plugin instance.
#[derive(Clone, Debug)]
pub struct PluginSeries {
    /// Errors and panics; count with `error` and `panic`.
    pub errors: Group,
    /// Requests it answered itself.
    pub replies: Counter,
    /// 1 while an operator has it switched off.
    pub off: Gauge,
}

/// What the reload keeps up to date.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    /// The number in use.
    pub generation: Gauge,
    /// Snapshots alive; hold a `GaugeGuard` in each.
    pub generations_alive: Gauge,
    /// By result; count with `reloaded`.
    pub reloads: Group,
    /// 1 or 0.
    pub last_reload_success: Gauge,
    /// Unix seconds.
    pub last_reload_timestamp: Gauge,
    /// By result; count with `upgraded`.
    pub upgrades: Group,
    /// Old processes that drain.
    pub draining_processes: Gauge,
}

/// What the access log's writer counts.
#[derive(Clone, Debug)]
pub struct AccessLogMetrics {
    /// Records written.
    pub records: Counter,
    /// Records lost.
    pub dropped: Counter,
    /// Writes that failed.
    pub write_errors: Counter,
}

/// What the requests of all listeners are at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Requests, without those that became tunnels.
    pub requests: u64,
    /// WebSockets, and other protocols after a 101.
    pub tunnels: u64,
}

/// What a drain counts. A process drains once.
#[derive(Clone, Debug)]
pub struct DrainMetrics {
    /// By kind; count with `cut`.
    cut: Group,
    /// The same, whatever `max_series` leaves room for: the end of the process is told by these.
    counts: Arc<[AtomicU64; DrainCut::ALL.len()]>,
}

impl DrainMetrics {
    pub(super) fn new(cut: Group) -> Self {
        Self {
            cut,
            counts: Arc::new([const { AtomicU64::new(0) }; DrainCut::ALL.len()]),
        }
    }

    /// The deadline ended one.
    pub fn cut(&self, kind: DrainCut) {
        self.cut.inc(kind.index());
        if let Some(count) = self.counts.get(kind.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// All so far.
    pub fn cuts(&self) -> DrainCuts {
        let of = |kind: DrainCut| self.counts.get(kind.index());
        DrainCuts::new(|kind| of(kind).map_or(0, |count| count.load(Relaxed)))
    }
}

impl ListenerMetrics {
    /// An HTTP/2 connection ended.
    pub fn h2_ended(&self, end: H2End) {
        self.h2_ended.inc(end.index());
    }

    /// A connection ended before its first request.
    pub fn connection_rejected(&self, reason: Reason) {
        self.connections_rejected.inc(reason.index());
    }

    /// A request ended before routing.
    pub fn request_rejected(&self, reason: Reason) {
        self.requests_rejected.inc(reason.index());
    }
}

impl RouteMetrics {
    /// The whole request, at its end. `Ok` and `PluginReply` are no errors and not counted as such.
    #[inline]
    pub fn ended(&self, reason: Reason, duration_ns: u64, bytes_in: u64, bytes_out: u64) {
        self.duration.observe_ns(duration_ns);
        if bytes_in > 0 {
            self.request_bytes.add(bytes_in);
        }
        if bytes_out > 0 {
            self.response_bytes.add(bytes_out);
        }
        if !reason.is_ok() {
            self.errors.inc(reason.index());
        }
    }
}

impl RequestMetrics {
    /// A request ended with this status (0: none was sent).
    #[inline]
    pub fn ended(&self, status: u16) {
        self.by_code.inc(super::declare::code_class(status));
    }
}

impl UpstreamMetrics {
    /// An attempt was sent, on a connection that had been used before or not.
    #[inline]
    pub fn attempt(&self, reused: bool) {
        self.requests.inc(usize::from(reused));
    }

    /// Another attempt follows one that ended with `reason`.
    pub fn retried(&self, reason: Reason) {
        self.retries.inc(reason.index());
    }

    /// Changed files of TLS were read again, with this success.
    pub fn tls_refreshed(&self, ok: bool) {
        self.tls_refreshes.inc(usize::from(!ok));
    }

    /// The share of attempts that went over a used connection, 0 to 1; none before the first attempt.
    pub fn reuse_ratio(&self) -> Option<f64> {
        let (fresh, reused) = (self.requests.get(0), self.requests.get(1));
        match fresh + reused {
            0 => None,
            all => Some(reused as f64 / all as f64),
        }
    }
}

impl EndpointMetrics {
    /// An attempt failed.
    pub fn failed(&self, reason: Reason) {
        self.errors.inc(reason.index());
    }
}

impl PluginSeries {
    /// The plugin returned an error.
    pub fn error(&self) {
        self.errors.inc(0);
    }

    /// The plugin panicked.
    pub fn panic(&self) {
        self.errors.inc(1);
    }
}

impl ConfigMetrics {
    /// An upgrade ended.
    pub fn upgraded(&self, ok: bool) {
        self.upgrades.inc(usize::from(!ok));
    }

    /// A reload ended. `unix_seconds` is now; a refused one leaves generation and time as they are.
    pub fn reloaded(&self, taken: Option<u64>, unix_seconds: u64) {
        match taken {
            Some(generation) => {
                self.reloads.inc(0);
                self.last_reload_success.set(1);
                self.generation
                    .set(i64::try_from(generation).unwrap_or(i64::MAX));
                self.last_reload_timestamp
                    .set(i64::try_from(unix_seconds).unwrap_or(i64::MAX));
            }
            None => {
                self.reloads.inc(1);
                self.last_reload_success.set(0);
            }
        }
    }
}
