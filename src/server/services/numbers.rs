//! Counters and gauges of plugins over the process's metrics.

use std::sync::Arc;

use farmgate_plugin_api::services::{Counter, CounterBy, Gauge, Histogram};

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

    fn add(&self, n: i64) {
        self.0.add(n);
    }
}

struct ByValue(metrics::CounterBy);

impl CounterBy for ByValue {
    fn add(&self, value: &str, n: u64) {
        self.0.add(value, n);
    }
}

struct Observed(metrics::Histogram);

impl Histogram for Observed {
    fn observe(&self, value: f64) {
        // The cast cuts at both ends, and takes what is no number for 0.
        self.0.observe_ns((value * 1e9) as u64);
    }
}

/// For a name that could not be declared: the plugin works, its number is not seen.
struct Unseen;

impl Counter for Unseen {
    fn add(&self, _n: u64) {}
}

impl Gauge for Unseen {
    fn set(&self, _value: i64) {}

    fn add(&self, _n: i64) {}
}

impl CounterBy for Unseen {
    fn add(&self, _value: &str, _n: u64) {}
}

impl Histogram for Unseen {
    fn observe(&self, _value: f64) {}
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

/// The counter of this name by the values of a label.
pub(super) fn counter_by(
    metrics: &PluginMetrics,
    name: &str,
    help: &str,
    label: &'static str,
    most: usize,
) -> Arc<dyn CounterBy> {
    match metrics.counter_by(name, help, label, most) {
        Ok(counter) => Arc::new(ByValue(counter)),
        Err(error) => unseen(&error),
    }
}

/// The histogram of this name.
pub(super) fn histogram(metrics: &PluginMetrics, name: &str, help: &str) -> Arc<dyn Histogram> {
    match metrics.histogram(name, help) {
        Ok(histogram) => Arc::new(Observed(histogram)),
        Err(error) => unseen(&error),
    }
}

fn unseen(error: &PluginMetricError) -> Arc<Unseen> {
    log::error!("a plugin's metric is not exported: {error}");
    Arc::new(Unseen)
}
