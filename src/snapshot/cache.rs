//! What a route with a cache knows: the compiled `[[cache_policy]]`, and who may purge.

use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::units::Cidr;

use crate::cache::Policy;
use crate::cache::shared::compress::CompressRules;
use crate::telemetry::metrics::RouteCacheMetrics;

/// A `[[cache_policy]]`, shared by the routes that name it.
#[derive(Clone, Debug)]
pub struct CachePlan {
    /// Its name.
    pub name: Arc<str>,
    /// What may be stored, for how long, under which key.
    pub policy: Policy,
    /// How long a request waits for another one's fetch before it makes its own.
    pub wait: Duration,
    /// Uses, the fetch included, before an object is put on disk.
    pub min_uses_disk: u8,
    /// Whether Cache-Status is sent.
    pub status_header: bool,
    /// Compressed variants that are made of what is stored plain; none: nothing is compressed.
    pub compress: Option<CompressRules>,
}

/// Who may purge by PURGE on a route, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeRights {
    /// From where.
    pub from: Box<[Cidr]>,
    /// The URL of the request.
    pub url: bool,
    /// Its path and all below.
    pub prefix: bool,
    /// Its host.
    pub host: bool,
    /// Tags, over all hosts.
    pub tag: bool,
    /// Everything.
    pub all: bool,
}

/// The cache of one route.
#[derive(Clone, Debug)]
pub struct RouteCache {
    /// Its policy.
    pub plan: Arc<CachePlan>,
    /// Counted here.
    pub metrics: RouteCacheMetrics,
}
