//! One endpoint: what is configured, and what is known about it across reloads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::address::EndpointAddress;
use super::ewma::{LatencyAverage, clock_ms};
use super::health::Health;
use super::lines::Lines;
use super::outlier::{Member, Outlier, Standing};
use super::ramp::{WarmUp, millis};
use super::shared::Line;
use super::turns::Turns;
use crate::telemetry::metrics::EndpointMetrics;

/// Largest weight of an endpoint; 0 means that it gets nothing.
pub const MAX_WEIGHT: u32 = 1_000_000;

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

/// The living part of an endpoint. Aligned so that two endpoints never share a cache line, and in
/// this order so that what a choice reads is on the first line.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct EndpointState {
    id: u64,
    /// Attempts begun and attempts ended. In flight is the difference: an attempt costs two
    /// additions and not three.
    started_total: AtomicU64,
    ended_total: AtomicU64,
    pub(super) latency: LatencyAverage,
    pub(super) warm_up: WarmUp,
    drained: AtomicBool,
    unavailable: AtomicU8,
    /// It is in the published set of its upstream and may get requests.
    in_use: AtomicBool,
    failures_total: AtomicU64,
    /// What `started_total` was when the imbalance was last measured.
    measured_total: AtomicU64,
    open_connections: AtomicU32,
    opened_total: AtomicU64,
    metrics: OnceLock<EndpointMetrics>,
    /// What active checks say.
    pub health: Arc<Health>,
    /// What its answers say, and whether it is left out for them.
    pub outlier: Outlier,
    /// Its open connections.
    pub lines: Lines,
    /// Who opens the next HTTP/2 connection.
    pub turns: Turns,
}

/// Counts changes of who may be chosen, of all endpoints of the process. A set that has seen the
/// present number knows its shares; changes are rare, so the line stays in every core's cache.
static CHANGES: Line = Line::new(0);

/// The number of changes so far.
pub(super) fn changes_total() -> u64 {
    CHANGES.0.load(Ordering::Acquire)
}

fn changed() {
    // Release: who sees the new number also sees the mark that was set before.
    CHANGES.0.fetch_add(1, Ordering::Release);
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Default for EndpointState {
    fn default() -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            started_total: AtomicU64::new(0),
            ended_total: AtomicU64::new(0),
            latency: LatencyAverage::default(),
            warm_up: WarmUp::default(),
            drained: AtomicBool::new(false),
            unavailable: AtomicU8::new(0),
            in_use: AtomicBool::new(false),
            failures_total: AtomicU64::new(0),
            measured_total: AtomicU64::new(0),
            open_connections: AtomicU32::new(0),
            opened_total: AtomicU64::new(0),
            metrics: OnceLock::new(),
            health: Arc::default(),
            outlier: Outlier::default(),
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

    /// True while this cause holds it back.
    pub fn is_held_by(&self, cause: Unavailable) -> bool {
        self.unavailable.load(Ordering::Relaxed) & cause as u8 != 0
    }

    /// Sets or clears one cause of being unavailable. Returns true if availability changed. An
    /// endpoint that returns warms up, if its upstream has a slow start.
    pub fn set_unavailable(&self, cause: Unavailable, on: bool) -> bool {
        let mark = cause as u8;
        let before = if on {
            self.unavailable.fetch_or(mark, Ordering::Relaxed)
        } else {
            self.unavailable.fetch_and(!mark, Ordering::Relaxed)
        };
        let after = if on { before | mark } else { before & !mark };
        let differs = (before == 0) != (after == 0);
        if differs {
            if after == 0 {
                self.warm_up.ask();
            }
            changed();
        }
        differs
    }

    /// True if an operator drains this endpoint: it gets no new request, not even in panic.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Starts or ends a drain. After a drain the endpoint warms up, if its upstream has a slow start.
    pub fn set_drained(&self, on: bool) {
        if self.drained.swap(on, Ordering::Relaxed) != on {
            if !on {
                self.warm_up.ask();
            }
            changed();
        }
    }

    /// True while the endpoint is in the published set of its upstream with a weight above 0.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    pub(super) fn set_in_use(&self, on: bool) {
        if self.in_use.swap(on, Ordering::Relaxed) != on {
            // What it got in an earlier life is no part of the next measurement.
            self.take_measured();
        }
    }

    /// It came into a set that already serves.
    pub(super) fn came(&self) {
        self.warm_up.ask();
        changed();
    }

    /// Attempts begun since the last call.
    pub(super) fn take_measured(&self) -> u64 {
        let started = self.requests_total();
        let before = self.measured_total.swap(started, Ordering::Relaxed);
        started.saturating_sub(before)
    }

    /// Counts an attempt that begins.
    pub(super) fn start(&self) {
        self.started_total.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt that begins unless `limit` are in flight. Exact over all threads.
    pub(super) fn try_start(&self, limit: u32) -> bool {
        // Both counters only grow, and `ended` is read first: an exchange that succeeds proves
        // that fewer than `limit` were in flight at that moment.
        let mut ended = self.ended_total.load(Ordering::Acquire);
        let mut started = self.started_total.load(Ordering::Relaxed);
        loop {
            if started.saturating_sub(ended) >= u64::from(limit) {
                let ended_now = self.ended_total.load(Ordering::Acquire);
                if ended_now == ended {
                    // Nothing ended while `started` was read: it was full then.
                    return false;
                }
                ended = ended_now;
                started = self.started_total.load(Ordering::Relaxed);
                continue;
            }
            match self.started_total.compare_exchange_weak(
                started,
                started.wrapping_add(1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => started = now,
            }
        }
    }

    /// Counts an attempt that has ended.
    pub(super) fn end(&self) {
        self.ended_total.fetch_add(1, Ordering::Release);
    }

    /// Counts an attempt that failed.
    pub(super) fn fail(&self) {
        self.failures_total.fetch_add(1, Ordering::Relaxed);
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

    /// How long it has warmed up so far; `None` when it is warm. A time beyond the slow start is
    /// over, too: nobody has counted since.
    pub fn warming_for(&self, now: Instant) -> Option<Duration> {
        let age = self.warm_up.age_ms(clock_ms(now));
        age.map(Duration::from_millis)
    }

    /// Goes on to warm up as in another process, where it did for `age`.
    pub fn restore_warm_up(&self, now: Instant, age: Duration) {
        self.warm_up.restore(clock_ms(now), millis(age));
        changed();
    }

    /// Adds what another process counted: attempts that ended, those that failed, connections that were opened.
    pub fn add_totals(&self, requests: u64, failures: u64, opened: u64) {
        // Begun and ended there: nothing of it is in flight here, and no balance of here sent it.
        self.measured_total.fetch_add(requests, Ordering::Relaxed);
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
    /// 0 first; a higher number takes what the lower ones are too short for.
    pub priority: u8,
    /// Where the endpoint runs.
    pub zone: Option<Arc<str>>,
    /// What outlives a reload.
    pub state: Arc<EndpointState>,
}

impl Member for Endpoint {
    fn outlier(&self) -> &Outlier {
        &self.state.outlier
    }

    fn standing(&self) -> Standing {
        if self.weight == 0 || self.state.is_drained() {
            return Standing::Idle;
        }
        match self.state.is_held_by(Unavailable::HealthCheck) {
            true => Standing::Down,
            false => Standing::Usable,
        }
    }

    fn hold(&self, out: bool) {
        self.state.set_unavailable(Unavailable::Outlier, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
