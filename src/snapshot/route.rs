//! A route as compiled: its chain, its upstreams, its limits.

use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::Source;

use super::cache::{PurgeRights, RouteCache};
use super::chain::Chain;
use super::router::Split;
use super::upstream::UpstreamPlan;
use crate::telemetry::metrics::{RequestMetrics, RouteMetrics};
use crate::upstream::limits::{Bulkhead, Class};
use crate::upstream::retry::RetryPolicy;

/// A route of one generation.
pub struct Route {
    /// Its place in the configuration, from 0.
    pub index: u32,
    /// Its name.
    pub name: Arc<str>,
    /// The default plugins and its own, in order.
    pub chain: Chain,
    /// Where its requests go.
    pub target: Target,
    /// Keeps a client on a side of a split.
    pub sticky: Option<Sticky>,
    /// How much it matters when there is too much to do.
    pub class: Class,
    /// Requests at a time.
    pub bulkhead: Option<RouteBulkhead>,
    /// Most bytes of a request body; none: the listener's.
    pub body_bytes: Option<u64>,
    /// Times that replace the listener's.
    pub timeouts: RouteTimeouts,
    /// The route's own rules for further attempts and waits, else the upstream's hold.
    pub retry: Option<Arc<RetryPolicy>>,
    /// `retry.per_try` of the route's own rules.
    pub per_try: Option<Duration>,
    /// The route's own upstream times, else the upstream's hold.
    pub upstream_timeouts: Option<super::upstream::UpstreamTimeouts>,
    /// What of its answers is kept, if any.
    pub cache: Option<RouteCache>,
    /// Who may send PURGE; it is 405 for others. None: PURGE is a method like any.
    pub purge: Option<PurgeRights>,
    /// Counted here.
    pub metrics: RouteMetrics,
    /// Per listener and upstream this route may meet. Resolved when it is compiled, so that the
    /// counters of a route that stays are held by two snapshots in a row and never restart.
    pub requests: Box<[RequestSeries]>,
}

/// How many requests a route, and one tenant on it, may have at a time.
pub struct RouteBulkhead {
    /// The places in use; those of all routes.
    pub places: Arc<Bulkhead>,
    /// What the route's are counted by; it stays over a reload.
    pub key: u64,
    /// Most of the route.
    pub most: Option<u32>,
    /// What tells tenants apart, and most of one.
    pub tenant: Option<(Source, u32)>,
}

/// The request counter of a route for one listener and one upstream.
pub struct RequestSeries {
    /// The listener's slot.
    pub slot: u16,
    /// The upstream; none for answers made here.
    pub upstream: Option<Arc<str>>,
    /// The counter.
    pub metrics: RequestMetrics,
}

impl Route {
    /// The counter for a request that came in here and went there.
    pub fn requests(&self, slot: u16, upstream: Option<&Arc<str>>) -> Option<&RequestMetrics> {
        self.requests
            .iter()
            .find(|one| one.slot == slot && one.upstream.as_ref() == upstream)
            .map(|one| &one.metrics)
    }
}

/// Listener times a route may replace.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteTimeouts {
    /// Pause inside a body.
    pub body_idle: Option<Duration>,
    /// Until the response's head.
    pub request: Option<Duration>,
    /// Idle tunnel.
    pub upgrade_idle: Option<Duration>,
    /// Oldest tunnel.
    pub upgrade_age: Option<Duration>,
}

/// Where a route's requests go.
pub enum Target {
    /// Nowhere: a plugin answers. A request that comes this far gets 404.
    None,
    /// One upstream.
    One(Arc<UpstreamPlan>),
    /// Several by weight; the numbers of the split are places in the list.
    Split(Split, Vec<Arc<UpstreamPlan>>),
}

/// `sticky = "cookie:NAME"`.
pub struct Sticky {
    /// The cookie's name.
    pub cookie: Box<str>,
}
