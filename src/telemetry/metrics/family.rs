//! A family holds the series of one metric name; a series lives as long as somebody holds its handle.
//!
//! The compiler of a configuration resolves handles by label values; requests only touch the handles. A handle
//! costs no series until it is first used, so ten thousand idle routes export nothing. Two snapshots that name
//! the same thing share one series, and the last holder's drop removes it: reloads with ever new names do not
//! grow the export.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::cell::{self, Cell, CounterCell, GaugeCell, GroupCell, HistogramCell};
use super::declare::Declared;

/// What an open label value becomes when the cap is reached.
pub const OTHER: &str = "other";

/// Combinations of closed label values that another process may name. The code has fewer.
const MAX_FOLDED: usize = 1024;

/// The cap on exported series, shared by all families of a process.
#[derive(Debug)]
pub struct SeriesBudget {
    cap: AtomicUsize,
    used: AtomicUsize,
    folded: Arc<CounterCell>,
}

impl SeriesBudget {
    /// A budget of `cap` series.
    pub fn new(cap: usize) -> Self {
        SeriesBudget {
            cap: AtomicUsize::new(cap),
            used: AtomicUsize::new(0),
            folded: Arc::new(CounterCell::new(&[])),
        }
    }

    /// Changes the cap (a reload). Series that exist stay.
    pub fn set_cap(&self, cap: usize) {
        self.cap.store(cap, Relaxed);
    }

    /// Series in use.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// How often a label value was folded.
    pub fn folded(&self) -> u64 {
        self.folded.get()
    }

    /// Counts how often a label value was folded.
    pub(super) fn folded_cell(&self) -> &Arc<CounterCell> {
        &self.folded
    }

    fn try_take(&self, n: usize) -> bool {
        let cap = self.cap.load(Relaxed);
        let taken = self
            .used
            .fetch_update(AcqRel, Relaxed, |used| {
                used.checked_add(n).filter(|sum| *sum <= cap)
            })
            .is_ok();
        if !taken {
            self.folded.add(1);
        }
        taken
    }

    fn give(&self, n: usize) {
        self.used.fetch_sub(n, AcqRel);
    }
}

type Labels = Box<[Arc<str>]>;

/// Gets labels, whether folded series count in it, and the cell.
pub(super) type CellVisitor<'v, M> = dyn FnMut(&[Arc<str>], bool, &Arc<M>) + 'v;

/// All series of one metric name.
pub struct Family<M: Cell> {
    desc: Desc,
    /// Names of the labels that a caller gives, in the order of the declaration.
    labels: &'static [&'static str],
    closed_label: &'static str,
    closed_words: &'static [&'static str],
    budget: Arc<SeriesBudget>,
    series: Mutex<HashMap<Labels, Weak<Series<M>>>>,
    /// Where folded series count. One entry per combination of closed label values: never removed, few.
    folded: Mutex<BTreeMap<Labels, Arc<M>>>,
}

/// One combination of label values. Cheap to hold, exported once it was used.
pub struct Series<M: Cell> {
    family: Arc<Family<M>>,
    labels: Labels,
    slot: OnceLock<Slot<M>>,
    fallback: OnceLock<Arc<M>>,
}

struct Slot<M> {
    cell: Arc<M>,
    own: bool,
}

/// Makes a family known to the registry.
struct Exported<M: Cell>(Arc<Family<M>>);

/// Counts up.
pub type Counter = Arc<Series<CounterCell>>;
/// Goes up and down.
pub type Gauge = Arc<Series<GaugeCell>>;
/// Counts durations in buckets.
pub type Histogram = Arc<Series<HistogramCell>>;
/// Counts over a closed set of words.
pub type Group = Arc<Series<GroupCell>>;

impl<M: Cell> Family<M> {
    /// Declares the family to `registry`. Fails on a name or label that Prometheus does not allow, or twice the same name.
    pub fn register(
        declared: &Declared,
        budget: &Arc<SeriesBudget>,
        registry: &prometheus::Registry,
    ) -> prometheus::Result<Arc<Self>> {
        let mut names: Vec<String> = declared.labels.iter().map(|l| (*l).to_owned()).collect();
        if !declared.closed_label.is_empty() {
            names.push(declared.closed_label.to_owned());
        }
        let desc = Desc::new(
            declared.name.to_string(),
            declared.help.to_string(),
            names,
            HashMap::new(),
        )?;
        let family = Arc::new(Family {
            desc,
            labels: declared.labels,
            closed_label: declared.closed_label,
            closed_words: declared.closed_words,
            budget: budget.clone(),
            series: Mutex::new(HashMap::new()),
            folded: Mutex::new(BTreeMap::new()),
        });
        registry.register(Box::new(Exported(family.clone())))?;
        Ok(family)
    }

    /// The series of these label values: the living one, or a new one. `values` follow the declaration's order.
    pub fn get(self: &Arc<Self>, values: &[&str]) -> Arc<Series<M>> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.desc.fq_name);
        let labels: Labels = values.iter().map(|v| Arc::from(*v)).collect();
        let mut series = self.series.lock();
        if let Some(living) = series.get(&labels).and_then(Weak::upgrade) {
            return living;
        }
        let made = Arc::new(Series {
            family: self.clone(),
            labels: labels.clone(),
            slot: OnceLock::new(),
            fallback: OnceLock::new(),
        });
        series.insert(labels, Arc::downgrade(&made));
        made
    }

    /// How many series are held by somebody.
    pub fn living(&self) -> usize {
        self.series.lock().len()
    }

    fn folded(&self, labels: &[Arc<str>]) -> Arc<M> {
        self.folded
            .lock()
            .entry(self.fold(labels))
            .or_insert_with(|| Arc::new(M::new(self.closed_words)))
            .clone()
    }

    fn fold(&self, labels: &[Arc<str>]) -> Labels {
        let pairs = self.labels.iter().zip(labels);
        pairs
            .map(|(name, value)| match super::declare::is_closed(name) {
                true => value.clone(),
                false => Arc::from(OTHER),
            })
            .collect()
    }

    /// Where folded series of these values count, as another process names them; none when there are too many.
    pub(super) fn folded_for(&self, labels: &[Arc<str>]) -> Option<Arc<M>> {
        let folded = self.fold(labels);
        let mut all = self.folded.lock();
        if all.len() >= MAX_FOLDED && !all.contains_key(&folded) {
            return None;
        }
        let cell = all.entry(folded);
        let make = || Arc::new(M::new(self.closed_words));
        Some(cell.or_insert_with(make).clone())
    }

    /// Names of the labels that a caller gives.
    pub(super) fn label_names(&self) -> &'static [&'static str] {
        self.labels
    }

    /// Words of the closed set.
    pub(super) fn closed_words(&self) -> &'static [&'static str] {
        self.closed_words
    }

    /// The series of these values, if somebody holds it.
    pub(super) fn held(&self, labels: &[Arc<str>]) -> Option<Arc<Series<M>>> {
        self.series.lock().get(labels).and_then(Weak::upgrade)
    }

    /// Shows every cell in use with its labels, and whether folded series count in it.
    pub(super) fn each_cell(&self, see: &mut CellVisitor<'_, M>) {
        for series in self.living_series() {
            if let Some(Slot { cell, own: true }) = series.slot.get() {
                see(&series.labels, false, cell);
            }
        }
        for (labels, cell) in self.folded.lock().iter() {
            see(labels, true, cell);
        }
    }

    /// Taken out of the map before anything is done with them: dropping the last handle locks the map again.
    fn living_series(&self) -> Vec<Arc<Series<M>>> {
        let series = self.series.lock();
        series.values().filter_map(Weak::upgrade).collect()
    }

    fn pairs(&self, values: &[Arc<str>]) -> Vec<proto::LabelPair> {
        let mut pairs: Vec<_> = self
            .labels
            .iter()
            .zip(values)
            .map(|(name, value)| cell::label(name, value))
            .collect();
        pairs.sort_by(|a, b| a.name().cmp(b.name()));
        pairs
    }
}

impl<M: Cell> Series<M> {
    /// The cell to count in: our own, or the folded one when the budget was used up at the first use.
    #[inline]
    pub fn cell(&self) -> &M {
        &self.slot.get_or_init(|| self.activate()).cell
    }

    #[cold]
    fn activate(&self) -> Slot<M> {
        match self.family.budget.try_take(M::WEIGHT) {
            true => Slot {
                cell: Arc::new(M::new(self.family.closed_words)),
                own: true,
            },
            false => Slot {
                cell: self.family.folded(&self.labels),
                own: false,
            },
        }
    }
}

impl<M: Cell> Drop for Series<M> {
    fn drop(&mut self) {
        if let Some(Slot { cell, own: true }) = self.slot.get() {
            self.family.budget.give(cell.held());
        }
        let mut series = self.family.series.lock();
        // A new holder may have put a successor in our place between our last count and this lock.
        if series
            .get(&self.labels)
            .is_some_and(|weak| weak.strong_count() == 0)
        {
            series.remove(&self.labels);
        }
    }
}

impl Series<CounterCell> {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.cell().add(1);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.cell().add(n);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.cell().get()
    }
}

impl Series<GaugeCell> {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.cell().add(1);
    }

    /// Adds `n`, which may be negative.
    #[inline]
    pub fn add(&self, n: i64) {
        self.cell().add(n);
    }

    /// Takes one away.
    #[inline]
    pub fn dec(&self) {
        self.cell().add(-1);
    }

    /// Sets it.
    pub fn set(&self, value: i64) {
        self.cell().set(value);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.cell().get()
    }

    /// Adds one until the guard is dropped: on every way out, also when a future is cancelled.
    pub fn enter(self: &Arc<Self>) -> GaugeGuard {
        self.inc();
        GaugeGuard(self.clone())
    }
}

/// One unit of a gauge; its drop takes it back.
#[must_use]
pub struct GaugeGuard(Gauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Series<HistogramCell> {
    /// Counts a duration.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        self.observe_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a duration in nanoseconds.
    #[inline]
    pub fn observe_ns(&self, ns: u64) {
        self.cell().observe_ns(ns);
    }
}

impl Series<GroupCell> {
    /// Adds one to the word at `index` of the closed set; an index outside it is ignored.
    #[inline]
    pub fn inc(&self, index: usize) {
        self.add(index, 1);
    }

    /// Adds `n` to the word at `index`; 0 is not a count.
    #[inline]
    pub(super) fn add(&self, index: usize, n: u64) {
        if let Some(slot) = self.cell().slot(index) {
            if slot.load(Relaxed) == 0 {
                self.first(index, n);
            } else {
                slot.fetch_add(n, Relaxed);
            }
        }
    }

    /// The first count of a word makes it a series: charged to the budget, or folded.
    #[cold]
    fn first(&self, index: usize, n: u64) {
        if n == 0 {
            return;
        }
        let Some(Slot { cell, own }) = self.slot.get() else {
            return;
        };
        let Some(slot) = cell.slot(index) else { return };
        if !own {
            slot.fetch_add(n, Relaxed);
        } else if self.family.budget.try_take(1) {
            // Another thread may have been first: then the charge is its, not ours.
            if slot.compare_exchange(0, n, Relaxed, Relaxed).is_err() {
                self.family.budget.give(1);
                slot.fetch_add(n, Relaxed);
            }
        } else {
            let fallback = self
                .fallback
                .get_or_init(|| self.family.folded(&self.labels));
            if let Some(slot) = fallback.slot(index) {
                slot.fetch_add(n, Relaxed);
            }
        }
    }

    /// The value of the word at `index`; what was folded is not in it.
    pub fn get(&self, index: usize) -> u64 {
        self.cell().get(index)
    }
}

impl Family<GaugeCell> {
    /// The sum over all series, folded ones too.
    pub fn sum(&self) -> i64 {
        let living: Vec<_> = {
            let series = self.series.lock();
            series.values().filter_map(Weak::upgrade).collect()
        };
        let own = living.iter().filter_map(|one| match one.slot.get() {
            Some(Slot { cell, own: true }) => Some(cell.get()),
            _ => None,
        });
        let own: i64 = own.sum();
        let folded: i64 = self.folded.lock().values().map(|cell| cell.get()).sum();
        own + folded
    }
}

impl<M: Cell> Collector for Exported<M> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let family = &self.0;
        let mut samples = Vec::new();
        family.each_cell(&mut |labels, _, cell| {
            cell.collect(&family.pairs(labels), family.closed_label, &mut samples);
        });
        vec![cell::family(&family.desc, M::KIND, samples)]
    }
}

impl<M: Cell> std::fmt::Debug for Family<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.desc.fq_name)
    }
}

impl<M: Cell> std::fmt::Debug for Series<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}", self.family.desc.fq_name, self.labels)
    }
}
