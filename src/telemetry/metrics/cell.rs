//! The values behind a series: counter, gauge, histogram, and a counter over a closed set.
//!
//! All of them are plain atomics with relaxed order: a scrape may see one request's counter and not yet its
//! histogram, which Prometheus allows. An update costs one or two atomic additions.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use prometheus::core::Desc;
use prometheus::proto;

/// Upper bounds of the duration buckets in nanoseconds: 0.1 ms to 60 s, then `+Inf`.
pub const BOUNDS_NS: [u64; 18] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// For every bit length of a duration the first bucket it can fall into: at most three comparisons remain.
const FIRST_BUCKET: [u8; 65] = {
    let mut table = [0u8; 65];
    let mut bits = 1;
    while bits <= 64 {
        let lowest = 1u64 << (bits - 1);
        let mut bucket = 0;
        while bucket < BOUNDS_NS.len() && BOUNDS_NS[bucket] < lowest {
            bucket += 1;
        }
        table[bits] = bucket as u8;
        bits += 1;
    }
    table
};

/// A value that a series holds and a scrape reads.
pub trait Cell: Send + Sync + 'static {
    /// Series it costs as soon as it is used.
    const WEIGHT: usize;
    /// Prometheus' word for it.
    const KIND: proto::MetricType;
    /// An empty cell. `closed` is the closed set that `Group` counts over, otherwise empty.
    fn new(closed: &'static [&'static str]) -> Self;
    /// Series it costs now; given back to the budget when it is dropped.
    fn held(&self) -> usize {
        Self::WEIGHT
    }
    /// Appends its samples. `closed` names the label of the closed set.
    fn collect(&self, labels: &[proto::LabelPair], closed: &str, out: &mut Vec<proto::Metric>);
}

/// Only goes up.
#[derive(Debug)]
pub struct CounterCell(AtomicU64);

/// Goes up and down.
#[derive(Debug)]
pub struct GaugeCell(AtomicI64);

/// Durations in fixed buckets.
#[derive(Debug)]
pub struct HistogramCell {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// Counters over a closed set of words (a reason, a code class). Words never counted are not exported.
#[derive(Debug)]
pub struct GroupCell {
    words: &'static [&'static str],
    slots: Box<[AtomicU64]>,
}

impl CounterCell {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl GaugeCell {
    /// Adds `n`, which may be negative.
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Sets it.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// The bucket of a duration; the bounds are inclusive, as Prometheus' `le` says.
#[inline]
pub(super) fn bucket_of(ns: u64) -> usize {
    let bits = (u64::BITS - ns.leading_zeros()) as usize;
    let mut bucket = FIRST_BUCKET.get(bits).map_or(0, |b| usize::from(*b));
    while let Some(bound) = BOUNDS_NS.get(bucket) {
        if ns <= *bound {
            break;
        }
        bucket += 1;
    }
    bucket
}

impl HistogramCell {
    /// Counts one duration in nanoseconds.
    #[inline]
    pub fn observe_ns(&self, ns: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(ns)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Relaxed)).sum()
    }

    /// The count of one bucket; the last one is +Inf.
    pub(super) fn bucket(&self, place: usize) -> Option<u64> {
        Some(self.buckets.get(place)?.load(Relaxed))
    }

    /// Adds to a bucket, or to the sum of nanoseconds behind the last of them.
    pub(super) fn add(&self, place: usize, n: u64) {
        match self.buckets.get(place) {
            Some(bucket) => bucket.fetch_add(n, Relaxed),
            None if place == BUCKETS => self.sum_ns.fetch_add(n, Relaxed),
            None => 0,
        };
    }

    /// The sum of the durations in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Relaxed)
    }
}

impl GroupCell {
    /// The slot of the word at `index`, if there is one.
    #[inline]
    pub(super) fn slot(&self, index: usize) -> Option<&AtomicU64> {
        self.slots.get(index)
    }

    /// All slots.
    pub(super) fn slots(&self) -> &[AtomicU64] {
        &self.slots
    }

    /// Adds to the word at `index`, if there is one.
    pub(super) fn add(&self, index: usize, n: u64) {
        if let Some(slot) = self.slot(index) {
            slot.fetch_add(n, Relaxed);
        }
    }

    /// The value of the word at `index`; 0 if there is no such word.
    pub fn get(&self, index: usize) -> u64 {
        self.slots.get(index).map_or(0, |slot| slot.load(Relaxed))
    }
}

fn sample(labels: &[proto::LabelPair]) -> proto::Metric {
    proto::Metric::from_label(labels.to_vec())
}

/// A label pair of the exposition.
pub(super) fn label(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// One counter sample, also for values that are read elsewhere (process figures).
pub(super) fn counter_sample(labels: &[proto::LabelPair], value: f64) -> proto::Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    let mut metric = sample(labels);
    metric.set_counter(counter);
    metric
}

/// One gauge sample.
pub(super) fn gauge_sample(labels: &[proto::LabelPair], value: f64) -> proto::Metric {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    let mut metric = sample(labels);
    metric.set_gauge(gauge);
    metric
}

/// One family of samples under a descriptor.
pub(super) fn family(
    desc: &Desc,
    kind: proto::MetricType,
    samples: Vec<proto::Metric>,
) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(samples);
    family
}

impl Cell for CounterCell {
    const WEIGHT: usize = 1;
    const KIND: proto::MetricType = proto::MetricType::COUNTER;

    fn new(_: &'static [&'static str]) -> Self {
        CounterCell(AtomicU64::new(0))
    }

    fn collect(&self, labels: &[proto::LabelPair], _: &str, out: &mut Vec<proto::Metric>) {
        out.push(counter_sample(labels, self.get() as f64));
    }
}

impl Cell for GaugeCell {
    const WEIGHT: usize = 1;
    const KIND: proto::MetricType = proto::MetricType::GAUGE;

    fn new(_: &'static [&'static str]) -> Self {
        GaugeCell(AtomicI64::new(0))
    }

    fn collect(&self, labels: &[proto::LabelPair], _: &str, out: &mut Vec<proto::Metric>) {
        out.push(gauge_sample(labels, self.get() as f64));
    }
}

impl Cell for HistogramCell {
    /// The buckets, `_sum` and `_count`.
    const WEIGHT: usize = BUCKETS + 2;
    const KIND: proto::MetricType = proto::MetricType::HISTOGRAM;

    fn new(_: &'static [&'static str]) -> Self {
        HistogramCell {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_ns: AtomicU64::new(0),
        }
    }

    fn collect(&self, labels: &[proto::LabelPair], _: &str, out: &mut Vec<proto::Metric>) {
        let mut total = 0;
        let mut buckets = Vec::with_capacity(BOUNDS_NS.len());
        for (slot, bound) in self.buckets.iter().zip(BOUNDS_NS) {
            total += slot.load(Relaxed);
            let mut bucket = proto::Bucket::default();
            bucket.set_cumulative_count(total);
            bucket.set_upper_bound(bound as f64 / 1e9);
            buckets.push(bucket);
        }
        // The last slot is +Inf; the count is the sum of what was read here, so the two never disagree.
        total += self.buckets.last().map_or(0, |slot| slot.load(Relaxed));
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(self.sum_ns() as f64 / 1e9);
        let mut metric = sample(labels);
        metric.set_histogram(histogram);
        out.push(metric);
    }
}

impl Cell for GroupCell {
    /// Each word is charged when it is first counted, see `Series::inc`.
    const WEIGHT: usize = 0;
    const KIND: proto::MetricType = proto::MetricType::COUNTER;

    fn new(words: &'static [&'static str]) -> Self {
        GroupCell {
            words,
            slots: words.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn held(&self) -> usize {
        self.slots.iter().filter(|s| s.load(Relaxed) > 0).count()
    }

    fn collect(&self, labels: &[proto::LabelPair], closed: &str, out: &mut Vec<proto::Metric>) {
        for (slot, word) in self.slots.iter().zip(self.words) {
            let value = slot.load(Relaxed);
            if value > 0 {
                let mut all = labels.to_vec();
                all.push(label(closed, word));
                all.sort_by(|a, b| a.name().cmp(b.name()));
                out.push(counter_sample(&all, value as f64));
            }
        }
    }
}
