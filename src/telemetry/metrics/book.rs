//! All families of a process: where a metric is declared, exported, and found again by its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::Registry;

use super::cell::GaugeCell;
use super::declare::{self, Declared};
use super::family::{Family, SeriesBudget};
use super::moved::{Movable, Moving};

/// The registry of the `prometheus` crate, the budget, and what counts.
pub(super) struct Book {
    pub(super) registry: Registry,
    pub(super) budget: Arc<SeriesBudget>,
    /// Families whose counts move at an upgrade, by name: all but gauges. As many as are declared.
    counted: Mutex<BTreeMap<Arc<str>, Arc<dyn Movable>>>,
}

impl Book {
    /// An empty one with a cap on series.
    pub(super) fn new(max_series: usize) -> Self {
        let budget = Arc::new(SeriesBudget::new(max_series));
        let folded: Arc<dyn Movable> = budget.clone();
        let name = Arc::from(&*declare::METRIC_SERIES_FOLDED.name);
        Self {
            registry: Registry::new(),
            counted: Mutex::new(BTreeMap::from([(name, folded)])),
            budget,
        }
    }

    /// Declares a gauge.
    pub(super) fn gauge(&self, declared: &Declared) -> prometheus::Result<Arc<Family<GaugeCell>>> {
        Family::register(declared, &self.budget, &self.registry)
    }

    /// Declares what counts.
    pub(super) fn counted<M: Moving>(
        &self,
        declared: &Declared,
    ) -> prometheus::Result<Arc<Family<M>>> {
        let family = Family::<M>::register(declared, &self.budget, &self.registry)?;
        let name = Arc::from(&*declared.name);
        self.counted.lock().insert(name, family.clone());
        Ok(family)
    }

    /// What counts under this name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<dyn Movable>> {
        self.counted.lock().get(name).cloned()
    }

    /// All that counts.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<dyn Movable>)> {
        let counted = self.counted.lock();
        let both = counted
            .iter()
            .map(|(name, one)| (Arc::clone(name), Arc::clone(one)));
        both.collect()
    }
}
