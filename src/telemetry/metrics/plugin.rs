//! Counters and gauges that plugins declare: `farmgate_plugin_<kind>_<name>`, labelled by the plugin's name.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Metrics;
use super::cell::{CounterCell, GaugeCell, HistogramCell};
use super::declare::{Declared, Kind};
use super::family::{Counter, Family, Gauge, Histogram, OTHER};

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
    CounterBy(&'static str, Arc<Family<CounterCell>>),
    Gauge(Arc<Family<GaugeCell>>),
    Histogram(Arc<Family<HistogramCell>>),
}

/// What a declaration is to be.
#[derive(Clone, Copy)]
enum Shape {
    Counter,
    CounterBy(&'static str),
    Gauge,
    Histogram,
}

/// A counter by the values of a label: the first so many have a series each.
#[derive(Debug)]
pub struct CounterBy {
    family: Arc<Family<CounterCell>>,
    plugin: Arc<str>,
    most: usize,
    known: RwLock<HashMap<Box<str>, Counter>>,
    other: Counter,
}

impl CounterBy {
    /// Adds `n` to the series of this value, or to that of `other`.
    pub fn add(&self, value: &str, n: u64) {
        if let Some(counter) = self.known.read().get(value) {
            counter.add(n);
            return;
        }
        let mut known = self.known.write();
        if known.len() >= self.most && !known.contains_key(value) {
            drop(known);
            self.other.add(n);
            return;
        }
        let make = || self.family.get(&[&self.plugin, value]);
        known.entry(value.into()).or_insert_with(make).add(n);
    }
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

fn total(name: &str) -> Cow<'_, str> {
    match name.strip_suffix("_total") {
        Some(_) => Cow::Borrowed(name),
        None => Cow::Owned(format!("{name}_total")),
    }
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
        self.declare(
            &total(name),
            help,
            Shape::Counter,
            |declaration| match declaration {
                Declaration::Counter(family) => Some(family.get(&[&self.plugin])),
                _ => None,
            },
        )
    }

    /// A counter with one label more, whose first `most` values have a series each. The name as for a counter.
    pub fn counter_by(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        most: usize,
    ) -> Result<CounterBy, PluginMetricError> {
        if !valid(label) || label == "plugin" {
            return Err(PluginMetricError::Name(label.to_owned()));
        }
        let shape = Shape::CounterBy(label);
        self.declare(&total(name), help, shape, |declaration| match declaration {
            Declaration::CounterBy(known, family) if *known == label => Some(CounterBy {
                family: Arc::clone(family),
                plugin: Arc::clone(&self.plugin),
                most,
                known: RwLock::default(),
                other: family.get(&[&self.plugin, OTHER]),
            }),
            _ => None,
        })
    }

    /// A histogram. `name` is without prefix, as `score`; one that ends in `_total` is refused.
    pub fn histogram(&self, name: &str, help: &str) -> Result<Histogram, PluginMetricError> {
        if name.ends_with("_total") {
            return Err(PluginMetricError::Name(name.to_owned()));
        }
        self.declare(
            name,
            help,
            Shape::Histogram,
            |declaration| match declaration {
                Declaration::Histogram(family) => Some(family.get(&[&self.plugin])),
                _ => None,
            },
        )
    }

    /// A gauge. `name` is without prefix, as `entries`; one that ends in `_total` is refused.
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, PluginMetricError> {
        if name.ends_with("_total") {
            return Err(PluginMetricError::Name(name.to_owned()));
        }
        self.declare(name, help, Shape::Gauge, |declaration| match declaration {
            Declaration::Gauge(family) => Some(family.get(&[&self.plugin])),
            _ => None,
        })
    }

    fn declare<T>(
        &self,
        name: &str,
        help: &str,
        shape: Shape,
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
            kind: match shape {
                Shape::Counter | Shape::CounterBy(_) => Kind::Counter,
                Shape::Gauge => Kind::Gauge,
                Shape::Histogram => Kind::Histogram,
            },
            unit: "",
            labels: match shape {
                // Kept for the life of the process, as the declaration is; there are `MAX_PLUGIN_METRICS` at most.
                Shape::CounterBy(label) => Box::leak(Box::new(["plugin", label])),
                _ => &["plugin"],
            },
            closed_label: "",
            closed_words: &[],
            help: Cow::Owned(help.to_owned()),
        };
        let book = &self.metrics.book;
        let family = match shape {
            Shape::Gauge => book.gauge(&declaration).map(Declaration::Gauge),
            Shape::Counter => book.counted(&declaration).map(Declaration::Counter),
            Shape::Histogram => book.counted(&declaration).map(Declaration::Histogram),
            Shape::CounterBy(label) => {
                let family = book.counted(&declaration);
                family.map(|family| Declaration::CounterBy(label, family))
            }
        }
        .map_err(|_| conflict())?;
        let taken = take(&family).ok_or_else(conflict);
        declared.insert(full, (help.to_owned(), family));
        taken
    }
}
