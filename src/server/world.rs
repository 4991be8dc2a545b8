//! The running node, as the compiler needs it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use farmgate_plugin_api::Services;

use super::services::{Host, UpstreamSource};
use crate::compile::{Slots, World};
use crate::proxy::connection::Node;
use crate::snapshot::UpstreamPlan;
use crate::snapshot::listener::BindAddress;
use crate::state::State;
use crate::telemetry::metrics::Metrics;
use crate::tls::Material;
use crate::upstream::discovery::Resolver;
use crate::upstream::{AddressBook, EndpointStore};

/// A world over the node's real state. New slots are only proposed: they count once the
/// configuration that asked for them is published.
pub struct LiveWorld {
    /// State by identity.
    pub state: Arc<State>,
    /// Names.
    pub resolver: Arc<Resolver>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Plugin services.
    pub host: Arc<Host>,
    /// Slots taken.
    pub slots: RefCell<Slots>,
    /// The number of the snapshot to be made.
    pub generation: u64,
}

impl World for LiveWorld {
    fn store(&self) -> Arc<dyn EndpointStore> {
        Arc::clone(&self.state) as Arc<dyn EndpointStore>
    }

    fn book(&self) -> &dyn AddressBook {
        &*self.resolver
    }

    fn tls(&self) -> &Material {
        &self.state.tls
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    fn lend(
        &self,
        kind: &'static str,
        plugin: &str,
        upstreams: &Arc<[Arc<str>]>,
    ) -> Arc<dyn Services> {
        self.host.lend_for(kind, plugin, upstreams)
    }

    fn switch(&self, plugin: &str) -> Arc<AtomicBool> {
        self.host.switch(plugin)
    }

    fn slot(&self, address: &BindAddress) -> u16 {
        self.slots.borrow_mut().of(address)
    }

    fn generation(&self) -> u64 {
        self.generation
    }
}

/// The upstreams in force, for the plugins' clients.
pub struct LiveUpstreams(pub Arc<Node>);

impl UpstreamSource for LiveUpstreams {
    fn upstream(&self, name: &str) -> Option<Arc<UpstreamPlan>> {
        self.0.current.load().upstreams.get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.current.load().upstreams.keys().cloned().collect()
    }
}
