//! Counters and gauges of plugins over the process's metrics.

use std::sync::Arc;

use farmgate_plugin_api::services::{Counter, Gauge};

use crate::telemetry::metrics::{self, PluginMetricError, PluginMetrics};

struct Count(metrics::Counter);

impl Counter for Count {
    fn add(&self, n: u64) {
        self.0.add(n);
    }
}

struct Level(metrics::Gauge);

impl Gauge for Level {
    fn set(&self, value: i64) {
        self.0.set(value);
    }
}

/// For a name that could not be declared: the plugin works, its number is not seen.
struct Unseen;

impl Counter for Unseen {
    fn add(&self, _n: u64) {}
}

impl Gauge for Unseen {
    fn set(&self, _value: i64) {}
}

/// The counter of this name.
pub(super) fn counter(metrics: &PluginMetrics, name: &str, help: &str) -> Arc<dyn Counter> {
    match metrics.counter(name, help) {
        Ok(counter) => Arc::new(Count(counter)),
        Err(error) => unseen(&error),
    }
}

/// The gauge of this name.
pub(super) fn gauge(metrics: &PluginMetrics, name: &str, help: &str) -> Arc<dyn Gauge> {
    match metrics.gauge(name, help) {
        Ok(gauge) => Arc::new(Level(gauge)),
        Err(error) => unseen(&error),
    }
}

fn unseen(error: &PluginMetricError) -> Arc<Unseen> {
    log::error!("a plugin's metric is not exported: {error}");
    Arc::new(Unseen)
}
