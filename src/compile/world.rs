//! A world that keeps nothing: for `check`, `explain` and the look before the first start.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use farmgate_plugin_api::Services;

use super::dry::DryServices;
use super::{Slots, World};
use crate::config::words::Config;
use crate::snapshot::listener::BindAddress;
use crate::telemetry::metrics::Metrics;
use crate::tls::Material;
use crate::upstream::{AddressBook, EndpointStore, NoAddresses, UnsharedStore};

/// Series of the metrics nobody will read.
const SERIES: usize = 1_000_000;

/// The dry world.
pub struct DryWorld {
    services: DryServices,
    metrics: Arc<Metrics>,
    slots: RefCell<Slots>,
    tls: Material,
}

impl DryWorld {
    /// For this configuration.
    ///
    /// # Panics
    /// A metric is declared wrong, which a test rules out.
    pub fn new(config: &Config) -> Self {
        let names = config.upstreams.iter().map(|u| u.name.value.as_str());
        Self {
            services: DryServices::new(names),
            metrics: Metrics::new(SERIES, "").expect("the declared metrics register"),
            slots: RefCell::default(),
            tls: Material::default(),
        }
    }
}

impl World for DryWorld {
    fn store(&self) -> Arc<dyn EndpointStore> {
        Arc::new(UnsharedStore)
    }

    fn book(&self) -> &dyn AddressBook {
        &NoAddresses
    }

    fn tls(&self) -> &Material {
        &self.tls
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    fn lend(&self, _: &'static str, _: &str, _: &Arc<[Arc<str>]>) -> Arc<dyn Services> {
        Arc::new(self.services.clone())
    }

    fn switch(&self, _: &str) -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(true))
    }

    fn slot(&self, address: &BindAddress) -> u16 {
        self.slots.borrow_mut().of(address)
    }

    fn generation(&self) -> u64 {
        1
    }
}
