//! One endpoint: what is configured, and what is known about it across reloads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::address::EndpointAddress;
use super::ewma::LatencyAverage;
use super::lines::Lines;
use super::shared::UpstreamState;
use super::turns::Turns;
use crate::telemetry::metrics::EndpointMetrics;

/// Largest weight of an endpoint; 0 means that it gets nothing.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// A failed attempt counts in the latency average as at least this long. Otherwise an endpoint
/// that refuses at once would look like the fastest one.
const FAILURE_LATENCY: Duration = Duration::from_secs(1);

/// What an endpoint's state is kept by: over reloads, and over DNS answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointId {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The address as configured, in canonical text.
    pub configured: Arc<str>,
    /// For a configured name: the resolved address.
    pub resolved: Option<SocketAddr>,
}

/// Who holds an endpoint back. Each cause sets and clears only its own mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unavailable {
    /// Active health checks failed.
    HealthCheck = 1,
    /// Passive outlier detection ejected it.
    Outlier = 2,
}

/// The living part of an endpoint. Aligned so that two endpoints never share a cache line.
#[derive(Debug)]
#[repr(align(64))]
pub struct EndpointState {
    id: u64,
    /// Attempts begun and attempts ended. In flight is the difference: an attempt costs two
    /// additions and not three.
    started_total: AtomicU64,
    ended_total: AtomicU64,
    drained: AtomicBool,
    unavailable: AtomicU8,
    latency: LatencyAverage,
    failures_total: AtomicU64,
    open_connections: AtomicU32,
    opened_total: AtomicU64,
    metrics: OnceLock<EndpointMetrics>,
    /// Its open connections.
    pub lines: Lines,
    /// Who opens the next HTTP/2 connection.
    pub turns: Turns,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Default for EndpointState {
    fn default() -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            started_total: AtomicU64::new(0),
            ended_total: AtomicU64::new(0),
            drained: AtomicBool::new(false),
            unavailable: AtomicU8::new(0),
            latency: LatencyAverage::default(),
            failures_total: AtomicU64::new(0),
            open_connections: AtomicU32::new(0),
            opened_total: AtomicU64::new(0),
            metrics: OnceLock::new(),
            lines: Lines::default(),
            turns: Turns::default(),
        }
    }
}

impl EndpointState {
    /// The endpoint's metrics, resolved by `make` when they are first asked for. They live as long
    /// as the endpoint is configured, so a reload does not restart them.
    pub fn metrics(&self, make: impl FnOnce() -> EndpointMetrics) -> &EndpointMetrics {
        self.metrics.get_or_init(make)
    }

    /// A number no other endpoint of this process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Requests that were sent here and have not ended.
    pub fn in_flight(&self) -> u32 {
        // Ended first, so that an attempt that ends in between does not make it negative.
        let ended = self.ended_total.load(Ordering::Acquire);
        let started = self.started_total.load(Ordering::Relaxed);
        u32::try_from(started.saturating_sub(ended)).unwrap_or(u32::MAX)
    }

    /// False while a health check or outlier detection holds the endpoint back.
    pub fn is_available(&self) -> bool {
        self.unavailable.load(Ordering::Relaxed) == 0
    }

    /// Sets or clears one cause of being unavailable. Returns true if availability changed.
    pub fn set_unavailable(&self, cause: Unavailable, on: bool) -> bool {
        let mark = cause as u8;
        let before = if on {
            self.unavailable.fetch_or(mark, Ordering::Relaxed)
        } else {
            self.unavailable.fetch_and(!mark, Ordering::Relaxed)
        };
        let after = if on { before | mark } else { before & !mark };
        (before == 0) != (after == 0)
    }

    /// True if an operator drains this endpoint: it gets no new request, not even in panic.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Starts or ends a drain.
    pub fn set_drained(&self, on: bool) {
        self.drained.store(on, Ordering::Relaxed);
    }

    /// Average response time in seconds, decayed to `now`; 0.0 before the first response.
    pub fn latency_seconds(&self, now: Instant) -> f32 {
        self.latency.seconds(now)
    }

    /// The average as of its last sample, and the time since; none before the first sample.
    pub fn latency_and_age(&self, now: Instant) -> Option<(f32, Duration)> {
        self.latency.average_and_age(now)
    }

    /// Takes over an average whose last sample is `age` old, unless there is one already.
    pub fn restore_latency(&self, now: Instant, seconds: f32, age: Duration) {
        self.latency.restore(now, seconds, age);
    }

    /// Adds what another process counted: attempts that ended, those that failed, connections that were opened.
    pub fn add_totals(&self, requests: u64, failures: u64, opened: u64) {
        // Begun and ended there: nothing of it is in flight here.
        self.started_total.fetch_add(requests, Ordering::Relaxed);
        self.ended_total.fetch_add(requests, Ordering::Release);
        self.failures_total.fetch_add(failures, Ordering::Relaxed);
        self.opened_total.fetch_add(opened, Ordering::Relaxed);
    }

    /// Attempts started since this endpoint is known.
    pub fn requests_total(&self) -> u64 {
        self.started_total.load(Ordering::Relaxed)
    }

    /// Attempts that failed.
    pub fn failures_total(&self) -> u64 {
        self.failures_total.load(Ordering::Relaxed)
    }

    /// Connections open to this endpoint, idle ones too.
    pub fn open_connections(&self) -> u32 {
        self.open_connections.load(Ordering::Relaxed)
    }

    /// Connections ever opened. With `requests_total` it gives the reuse ratio.
    pub fn opened_total(&self) -> u64 {
        self.opened_total.load(Ordering::Relaxed)
    }

    /// Counts a new connection.
    pub fn connection_opened(&self) {
        self.open_connections.fetch_add(1, Ordering::Relaxed);
        self.opened_total.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a closed connection. One call per `connection_opened`.
    pub fn connection_closed(&self) {
        let less = |open: u32| open.checked_sub(1);
        let _ = self
            .open_connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// One member of an upstream, immutable. A new weight makes a new `Endpoint` with the same state.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where to connect: `Socket` or `Unix`. A configured name becomes one endpoint per address.
    pub address: EndpointAddress,
    /// The configured text, for `host = "endpoint"`, SNI, logs and operators.
    pub configured: Arc<str>,
    /// Weight in force, runtime changes included: 0..=1,000,000, 0 gets nothing.
    pub weight: u32,
    /// 0 first; a higher number is used when no usable endpoint is left below it.
    pub priority: u8,
    /// Where the endpoint runs.
    pub zone: Option<Arc<str>>,
    /// What outlives a reload.
    pub state: Arc<EndpointState>,
}

/// Counts one attempt as in flight until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the attempt"]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    /// Only policies that bound the load need the sum over the upstream.
    sum: Option<Arc<UpstreamState>>,
}

impl InFlight {
    /// Counts an attempt that starts now. `sum` also counts for the whole upstream.
    pub fn start(endpoint: Arc<Endpoint>, sum: Option<Arc<UpstreamState>>) -> Self {
        endpoint.state.started_total.fetch_add(1, Ordering::Relaxed);
        if let Some(upstream) = &sum {
            upstream.add_in_flight();
        }
        Self { endpoint, sum }
    }

    /// Records that the response's head came `elapsed` after the attempt began.
    pub fn answered(&self, now: Instant, elapsed: Duration) {
        self.endpoint.state.latency.observe(now, elapsed);
    }

    /// Records that the attempt failed after `elapsed`.
    pub fn failed(&self, now: Instant, elapsed: Duration) {
        let state = &self.endpoint.state;
        state.failures_total.fetch_add(1, Ordering::Relaxed);
        state.latency.observe(now, elapsed.max(FAILURE_LATENCY));
    }

    /// The endpoint the attempt goes to.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint
            .state
            .ended_total
            .fetch_add(1, Ordering::Release);
        if let Some(upstream) = &self.sum {
            upstream.sub_in_flight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Arc<Endpoint> {
        Arc::new(Endpoint {
            address: "10.0.0.1:80".parse().unwrap(),
            configured: "10.0.0.1:80".into(),
            weight: 1,
            priority: 0,
            zone: None,
            state: Arc::default(),
        })
    }

    #[test]
    fn the_guard_counts_and_uncounts() {
        let endpoint = endpoint();
        let state = &endpoint.state;
        let upstream = Arc::new(UpstreamState::default());
        let first = InFlight::start(endpoint.clone(), Some(upstream.clone()));
        let second = InFlight::start(endpoint.clone(), None);
        assert_eq!((state.in_flight(), upstream.in_flight()), (2, 1));
        drop(first);
        drop(second);
        assert_eq!((state.in_flight(), upstream.in_flight()), (0, 0));
        assert_eq!(state.requests_total(), 2);
    }

    #[test]
    fn causes_of_unavailability_do_not_clear_each_other() {
        let state = EndpointState::default();
        assert!(state.set_unavailable(Unavailable::HealthCheck, true));
        assert!(!state.set_unavailable(Unavailable::Outlier, true));
        assert!(!state.set_unavailable(Unavailable::HealthCheck, false));
        assert!(!state.is_available());
        assert!(state.set_unavailable(Unavailable::Outlier, false));
        assert!(state.is_available());
    }

    #[test]
    fn a_quick_failure_does_not_look_fast() {
        let endpoint = endpoint();
        let state = &endpoint.state;
        let guard = InFlight::start(endpoint.clone(), None);
        let now = Instant::now();
        guard.answered(now, Duration::from_millis(5));
        guard.failed(now, Duration::from_micros(80));
        assert_eq!(state.latency_seconds(now), 1.0);
        assert_eq!(state.failures_total(), 1);
    }

    #[test]
    fn connections_are_counted_and_never_below_zero() {
        let state = EndpointState::default();
        state.connection_opened();
        state.connection_opened();
        state.connection_closed();
        assert_eq!((state.open_connections(), state.opened_total()), (1, 2));
        state.connection_closed();
        state.connection_closed();
        assert_eq!(state.open_connections(), 0);
    }
}
