//! An upstream as compiled: its endpoints and how they are spoken to.

use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::Source;
use http::HeaderValue;

use crate::telemetry::Reason;
use crate::telemetry::metrics::{EndpointMetrics, Metrics, UpstreamMetrics};
use crate::tls::upstream::UpstreamTls;
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

/// An upstream of one generation.
pub struct UpstreamPlan {
    /// The endpoints and the policy; shared state behind.
    pub upstream: Arc<Upstream>,
    /// Where the hash of `consistent_hash` is read from.
    pub hash_key: Option<Source>,
    /// Protocol.
    pub protocol: UpstreamProtocol,
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

    /// The upstream's name.
    pub fn name(&self) -> &Arc<str> {
        self.upstream.name()
    }
}
