//! Counters and gauges that plugins declare: `farmgate_plugin_<kind>_<name>`, labelled by the plugin's name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Metrics;
use super::cell::{CounterCell, GaugeCell};
use super::declare::{Declared, Kind};
use super::family::{Counter, Family, Gauge};

/// Metric names that all plugins of a process may declare together.
pub(super) const MAX_PLUGIN_METRICS: usize = 512;

/// Why a plugin did not get its metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginMetricError {
    /// Not `[a-z][a-z0-9_]*`, or longer than 64 bytes.
    Name(String),
    /// The name exists with another kind or help.
    Conflict(String),
    /// `MAX_PLUGIN_METRICS` are declared.
    TooMany,
}

impl std::fmt::Display for PluginMetricError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PluginMetricError::Name(name) => {
                write!(f, "`{name}` is no metric name ([a-z][a-z0-9_]*, 64 bytes)")
            }
            PluginMetricError::Conflict(name) => {
                write!(f, "the metric {name} is declared differently elsewhere")
            }
            PluginMetricError::TooMany => {
                write!(f, "plugins declare more than {MAX_PLUGIN_METRICS} metrics")
            }
        }
    }
}

impl std::error::Error for PluginMetricError {}

enum Declaration {
    Counter(Arc<Family<CounterCell>>),
    Gauge(Arc<Family<GaugeCell>>),
}

/// The declared names. They stay for the life of the process: they come from code, so they are few.
pub(super) struct PluginFamilies(Mutex<BTreeMap<String, (String, Declaration)>>);

/// The metrics of one plugin instance.
#[derive(Clone, Debug)]
pub struct PluginMetrics {
    metrics: Arc<Metrics>,
    kind: &'static str,
    plugin: Arc<str>,
}

impl PluginFamilies {
    pub(super) fn new() -> Self {
        PluginFamilies(Mutex::new(BTreeMap::new()))
    }
}

fn valid(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl PluginMetrics {
    pub(super) fn new(metrics: Arc<Metrics>, kind: &'static str, plugin: &str) -> Self {
        PluginMetrics {
            metrics,
            kind,
            plugin: Arc::from(plugin),
        }
    }

    /// A counter. `name` is without prefix, as `denied`; `_total` is appended when it does not end so.
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, PluginMetricError> {
        let name = match name.strip_suffix("_total") {
            Some(_) => Cow::Borrowed(name),
            None => Cow::Owned(format!("{name}_total")),
        };
        self.declare(
            &name,
            help,
            Kind::Counter,
            |declaration| match declaration {
                Declaration::Counter(family) => Some(family.get(&[&self.plugin])),
                Declaration::Gauge(_) => None,
            },
        )
    }

    /// A gauge. `name` is without prefix, as `entries`; one that ends in `_total` is refused.
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, PluginMetricError> {
        if name.ends_with("_total") {
            return Err(PluginMetricError::Name(name.to_owned()));
        }
        self.declare(name, help, Kind::Gauge, |declaration| match declaration {
            Declaration::Gauge(family) => Some(family.get(&[&self.plugin])),
            Declaration::Counter(_) => None,
        })
    }

    fn declare<T>(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        take: impl FnOnce(&Declaration) -> Option<T>,
    ) -> Result<T, PluginMetricError> {
        if !valid(name) || !valid(self.kind) {
            return Err(PluginMetricError::Name(name.to_owned()));
        }
        let full = format!("farmgate_plugin_{}_{name}", self.kind);
        let conflict = || PluginMetricError::Conflict(full.clone());
        let mut declared = self.metrics.plugins.0.lock();
        if let Some((known_help, declaration)) = declared.get(&full) {
            return match known_help == help {
                true => take(declaration).ok_or_else(conflict),
                false => Err(conflict()),
            };
        }
        if declared.len() >= MAX_PLUGIN_METRICS {
            return Err(PluginMetricError::TooMany);
        }
        let declaration = Declared {
            name: Cow::Owned(full.clone()),
            kind,
            unit: "",
            labels: &["plugin"],
            closed_label: "",
            closed_words: &[],
            help: Cow::Owned(help.to_owned()),
        };
        let book = &self.metrics.book;
        let family = match kind {
            Kind::Gauge => book.gauge(&declaration).map(Declaration::Gauge),
            _ => book.counted(&declaration).map(Declaration::Counter),
        }
        .map_err(|_| conflict())?;
        let taken = take(&family).ok_or_else(conflict);
        declared.insert(full, (help.to_owned(), family));
        taken
    }
}
