//! What survives a reload, by the identity of the configured thing, never by generation.
//!
//! Snapshots hold the values; this holds only weak references, but for the cache. A value lives as long as any
//! snapshot or request uses it, so a name that a reload removes and a later one brings back
//! starts afresh once the last old request has ended.

pub mod cache;
pub mod plugin;
pub mod registry;

pub use cache::CacheState;
pub use plugin::PluginState;
pub use registry::Registry;

use std::sync::Arc;

use crate::tls::Material;
use crate::upstream::limits::Bulkhead;
use crate::upstream::{EndpointId, EndpointState, EndpointStore, UpstreamState};

/// All state of one process.
#[derive(Debug, Default)]
pub struct State {
    /// Endpoints: in flight, latency, health, drains.
    pub endpoints: Registry<EndpointId, EndpointState>,
    /// Upstreams: round robin's cursor, runtime changes.
    pub upstreams: Registry<Arc<str>, UpstreamState>,
    /// Certificates by their files, ticket secrets by name.
    pub tls: Material,
    /// The shared cache.
    pub cache: CacheState,
    /// Requests at a time of routes and tenants.
    pub bulkhead: Arc<Bulkhead>,
    /// Plugins: shared values, switches.
    pub plugins: PluginState,
}

impl State {
    /// Frees entries nothing uses any more. Call after a reload. Returns how many.
    pub fn purge(&self) -> usize {
        self.tls.certificates.purge();
        self.endpoints.purge() + self.upstreams.purge() + self.plugins.purge()
    }
}

impl EndpointStore for State {
    fn endpoint(&self, id: &EndpointId) -> Arc<EndpointState> {
        self.endpoints
            .get_or_insert(id.clone(), EndpointState::default)
    }

    fn upstream(&self, name: &Arc<str>) -> Arc<UpstreamState> {
        self.upstreams
            .get_or_insert(name.clone(), UpstreamState::default)
    }

    fn bulkhead(&self) -> Arc<Bulkhead> {
        Arc::clone(&self.bulkhead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{EndpointSpec, NoAddresses, Policy, SetOptions, Upstream, UpstreamSpec};

    fn snapshot(state: &Arc<State>, endpoints: &[&str]) -> Upstream {
        let one = |address: &&str| EndpointSpec {
            address: address.parse().unwrap(),
            weight: 1,
            priority: 0,
            zone: None,
        };
        let spec = UpstreamSpec {
            name: "app".into(),
            endpoints: endpoints.iter().map(one).collect(),
            policy: Policy::RoundRobin,
            options: SetOptions::default(),
        };
        Upstream::build(spec, state.clone(), &NoAddresses).unwrap()
    }

    fn ids(upstream: &Upstream) -> Vec<u64> {
        upstream
            .set()
            .endpoints()
            .iter()
            .map(|e| e.state.id())
            .collect()
    }

    #[test]
    fn endpoint_state_follows_its_identity_over_reloads() {
        let state = Arc::new(State::default());
        let first = snapshot(&state, &["10.0.0.1:80", "10.0.0.2:80"]);
        let before = ids(&first);
        let second = snapshot(&state, &["10.0.0.2:80", "10.0.0.3:80"]);
        assert!(Arc::ptr_eq(first.shared(), second.shared()));
        assert_eq!(ids(&second)[0], before[1]);
        assert_eq!(state.endpoints.len(), 3);
        drop(first);
        assert_eq!(state.purge(), 1);
        let third = snapshot(&state, &["10.0.0.1:80"]);
        assert_ne!(ids(&third)[0], before[0]);
        drop((second, third));
        assert_eq!(state.purge(), 4);
        assert!(state.endpoints.is_empty() && state.upstreams.is_empty());
    }
}
