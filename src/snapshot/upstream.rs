//! An upstream as compiled: its endpoints and how they are spoken to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farmgate_plugin_api::{Reply, Source};
use http::HeaderValue;

use crate::protocol::proxy_protocol::Version;
use crate::telemetry::Reason;
use crate::telemetry::guard::{BreakerChange, Ejection};
use crate::telemetry::metrics::{DiscoveryMetrics, EndpointMetrics, Metrics, UpstreamMetrics};
use crate::tls::upstream::UpstreamTls;
use crate::upstream::balance::random::next_u64;
use crate::upstream::breaker::{BreakerOptions, Change, Phase};
use crate::upstream::discovery::source::DiscoveryOptions;
use crate::upstream::health::HealthOptions;
use crate::upstream::limits::GateOptions;
use crate::upstream::outlier::{Cause, OutlierOptions, Verdict};
use crate::upstream::retry::RetryPolicy;
use crate::upstream::{Endpoint, Upstream};

/// The protocol towards the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    H2,
    /// What ALPN says; HTTP/1.1 without TLS.
    Auto,
}

/// The Host an endpoint sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMode {
    /// The client's.
    Keep,
    /// The endpoint's own address.
    Endpoint,
    /// This one.
    Name(HeaderValue),
}

/// Times of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// TCP and TLS together.
    pub connect: Duration,
    /// From the request sent to the head of the response.
    pub first_byte: Duration,
    /// Between two reads of a response.
    pub idle: Duration,
    /// Between two reads of a tunnel from the endpoint, when configured; else the listener's
    /// `upgrade_idle` alone holds.
    pub tunnel_idle: Option<Duration>,
    /// Between two writes of the request.
    pub write: Duration,
    /// Bounds connecting and the wait for the head of each attempt; an attempt it ends may be
    /// followed by another one.
    pub per_try: Option<Duration>,
}

/// Idle connections to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Kept at most, of all threads together.
    pub idle: u32,
    /// Kept at most this long without use.
    pub idle_timeout: Duration,
    /// Closed after this time, none for no limit.
    pub max_age: Option<Duration>,
    /// Closed after this many requests, none for no limit.
    pub max_requests: Option<u64>,
}

/// What is done when there is no answer to give.
#[derive(Clone)]
pub enum Fallback {
    /// What the route's cache still holds.
    Stale,
    /// Another upstream.
    Upstream(Arc<UpstreamPlan>),
    /// An answer made here.
    Reply(Arc<Reply>),
}

/// An upstream of one generation.
pub struct UpstreamPlan {
    /// The endpoints and the policy; shared state behind.
    pub upstream: Arc<Upstream>,
    /// Where the hash of `consistent_hash` is read from.
    pub hash_key: Option<Source>,
    /// Protocol.
    pub protocol: UpstreamProtocol,
    /// The PROXY header that connections begin with. It names a client, so that each connection serves one request.
    pub proxy_protocol: Option<Version>,
    /// TLS towards the endpoints; none: they are spoken to in the clear.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Host.
    pub host: HostMode,
    /// Times.
    pub timeouts: UpstreamTimeouts,
    /// Pool.
    pub pool: Pool,
    /// Further attempts.
    pub retry: Arc<RetryPolicy>,
    /// Tells its connections from those made under other settings; with TLS the connector's key comes on top.
    pub group_key: u64,
    /// Opens when too much fails.
    pub breaker: Option<BreakerOptions>,
    /// Requests at a time.
    pub gate: Option<Arc<GateOptions>>,
    /// Active checks.
    pub health: Option<Arc<HealthOptions>>,
    /// Passive ones.
    pub outlier: Option<OutlierOptions>,
    /// Where the endpoints come from, if not from the configuration.
    pub discovery: Option<Arc<DiscoveryOptions>>,
    /// What is counted of that.
    pub discovery_metrics: Option<DiscoveryMetrics>,
    /// What is done when there is no answer to give, those of other upstreams among them in their place.
    pub fallbacks: Arc<[Fallback]>,
    /// Counted here.
    pub metrics: UpstreamMetrics,
    /// Where those of its endpoints are resolved: names bring endpoints at run time.
    pub metrics_of: Arc<Metrics>,
}

impl UpstreamPlan {
    /// The metrics of an endpoint.
    pub fn endpoint_metrics<'e>(&self, endpoint: &'e Endpoint) -> &'e EndpointMetrics {
        endpoint
            .state
            .metrics(|| self.metrics_of.endpoint(self.name(), &endpoint.configured))
    }

    /// Counts a failed attempt of an endpoint.
    pub fn endpoint_failed(&self, endpoint: &Endpoint, reason: Reason) {
        self.endpoint_metrics(endpoint).failed(reason);
    }

    /// The breaker came to another phase: says so.
    pub fn breaker_changed(&self, change: Option<Change>) {
        let Some(change) = change else {
            return;
        };
        let to = match change.to {
            Phase::Closed => BreakerChange::Closed,
            Phase::Open => BreakerChange::Open,
            Phase::HalfOpen => BreakerChange::HalfOpen,
        };
        self.metrics.guard.breaker_changed(to);
        let (name, from, why) = (self.name(), change.from.word(), change.why.word());
        log::warn!("upstream {name}: breaker {from} -> {to} ({why})");
    }

    /// An endpoint failed so often that it is to be left out, unless too many are.
    pub fn eject(&self, options: &OutlierOptions, endpoint: &Endpoint, cause: Cause, now: Instant) {
        let set = self.upstream.set();
        let ejector = &self.upstream.shared().ejector;
        let verdict = ejector.eject(
            options,
            set.endpoints(),
            &endpoint.state.outlier,
            cause,
            now,
            next_u64(),
        );
        if let Verdict::Ejected { lasts, times } = verdict {
            self.ejected(endpoint, cause, lasts, times);
        }
    }

    /// An endpoint was left out: says so.
    pub fn ejected(&self, endpoint: &Endpoint, cause: Cause, lasts: Duration, times: u32) {
        self.metrics.guard.ejected(match cause {
            Cause::Consecutive5xx(_) => Ejection::Consecutive5xx,
            Cause::ConnectFailures(_) => Ejection::ConnectFailures,
            Cause::SuccessRate { .. } => Ejection::SuccessRate,
            Cause::Latency { .. } => Ejection::Latency,
        });
        let (name, address, seconds) = (self.name(), &endpoint.address, lasts.as_secs_f32());
        log::warn!(
            "upstream {name}: endpoint {address} is ejected for {seconds:.1} s (number {times}): {cause}"
        );
    }

    /// Its name, and those of the upstreams that it falls back to.
    pub fn all_names(&self) -> Vec<Arc<str>> {
        let others = self.fallbacks.iter().filter_map(|fallback| match fallback {
            Fallback::Upstream(plan) => Some(Arc::clone(plan.name())),
            Fallback::Stale | Fallback::Reply(_) => None,
        });
        let mut names: Vec<_> = std::iter::once(Arc::clone(self.name()))
            .chain(others)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The upstream's name.
    pub fn name(&self) -> &Arc<str> {
        self.upstream.name()
    }
}
