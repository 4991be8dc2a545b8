//! The picture: everything decided, immutable, one per generation.
//!
//! A request loads one [`Arc<Snapshot>`] at its start and keeps it to its end, so a reload in between
//! cannot change its mind. What must survive a reload is not here but in `state`, and only referred to.

pub mod cache;
pub mod chain;
pub mod listener;
pub mod route;
pub mod router;
pub mod upstream;
pub mod when;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderName;

pub use cache::{CachePlan, PurgeRights, RouteCache};
pub use chain::{Body, Chain, Instance};
pub use listener::{Listener, ProxyProtocol};
pub use route::{Route, Sticky, Target};
pub use upstream::{HostMode, UpstreamPlan, UpstreamProtocol};

use crate::cache::SharedCache;
use crate::telemetry::credentials::Credentials;
use crate::telemetry::metrics::{GaugeGuard, RouteMetrics};
use crate::tls::Edge;
use router::Router;

/// One compiled configuration.
pub struct Snapshot {
    /// Its number, from 1, never used twice by one process.
    pub generation: u64,
    /// By slot; a slot belongs to a bound address for as long as that address is configured.
    pub listeners: Vec<Option<Arc<Listener>>>,
    /// Which route takes a request; the numbers it gives are places in `routes`.
    pub router: Router,
    /// In the order of writing.
    pub routes: Vec<Arc<Route>>,
    /// By name.
    pub upstreams: BTreeMap<Arc<str>, Arc<UpstreamPlan>>,
    /// `[[tls]]` by name.
    pub tls: BTreeMap<Arc<str>, Arc<Edge>>,
    /// Those for which an authority asks listeners without TLS (ACME's http-01).
    pub validated: Vec<Arc<Edge>>,
    /// Named plugins by name.
    pub plugins: BTreeMap<Arc<str>, Arc<Instance>>,
    /// The shared cache, where `[cache]` is configured: the process has one, over all generations. Hung up as the
    /// picture is published.
    pub cache: Option<Arc<SharedCache>>,
    /// Request fields that plugins write as identity: removed from what clients send.
    pub identity_headers: Vec<HeaderName>,
    /// Where plugins read credentials: hidden in what is logged of requests under this picture.
    pub credentials: Arc<Credentials>,
    /// Where requests without a route are counted.
    pub unrouted: RouteMetrics,
    /// Counts this picture as alive until its last request ends.
    pub alive: Option<GaugeGuard>,
}

impl Snapshot {
    /// The listener of this slot, unless the configuration no longer has it.
    pub fn listener(&self, slot: u16) -> Option<&Arc<Listener>> {
        self.listeners.get(usize::from(slot))?.as_ref()
    }
}

/// Where the current picture hangs. Readers never wait; a reload swaps the pointer.
pub struct Current(ArcSwap<Snapshot>);

impl Current {
    /// Hangs up the first picture.
    pub fn new(first: Arc<Snapshot>) -> Self {
        Self(ArcSwap::new(first))
    }

    /// The picture to use for one request.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Publishes another picture; what ran under the old one ends under it.
    pub fn publish(&self, next: Arc<Snapshot>) -> Arc<Snapshot> {
        self.0.swap(next)
    }
}

impl Snapshot {
    /// A picture of nothing, for the moment before the first configuration.
    pub fn empty(metrics: &crate::telemetry::metrics::Metrics) -> Self {
        Self {
            generation: 0,
            listeners: Vec::new(),
            router: Router::default(),
            routes: Vec::new(),
            upstreams: BTreeMap::new(),
            tls: BTreeMap::new(),
            validated: Vec::new(),
            plugins: BTreeMap::new(),
            cache: None,
            identity_headers: Vec::new(),
            credentials: Arc::default(),
            unrouted: metrics.route(crate::telemetry::metrics::NONE),
            alive: None,
        }
    }
}
