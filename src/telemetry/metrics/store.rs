//! The figures of the cache's store, read when somebody scrapes. Who has the store gives them: telemetry knows none.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, MetricFamily, MetricType};

use super::cell::{counter_sample, family, gauge_sample, label};
use super::declare::{self, Declared, Kind};

/// Buckets of [`Sizes`]: the first holds zero, number `i` what is below `2^i` and not in the one before.
pub const SIZES: usize = 41;

/// Counts of numbers by powers of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The counts.
    pub buckets: [u64; SIZES],
    /// The sum of the numbers.
    pub sum: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            buckets: [0; SIZES],
            sum: 0,
        }
    }
}

/// What the store of a cache counts; `now` and gauges apart, since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Bytes of memory in use, and the bound of them.
    pub memory_bytes: u64,
    /// See there.
    pub memory_limit_bytes: u64,
    /// Bytes of the index, a part of the memory in use.
    pub index_bytes: u64,
    /// Objects known.
    pub objects: u64,
    /// Objects with a place on disk.
    pub disk_objects: u64,
    /// Bytes on disks, and the bound of them.
    pub disk_bytes: u64,
    /// See there.
    pub disk_limit_bytes: u64,
    /// Lookups answered, by [`TIERS`].
    pub hits: [u64; TIERS.len()],
    /// Lookups that found nothing.
    pub misses: u64,
    /// Objects that went, by [`EVICTIONS`].
    pub evictions: [u64; EVICTIONS.len()],
    /// Fills begun.
    pub fills: u64,
    /// Fills ended, by [`FILL_ENDS`].
    pub fills_ended: [u64; FILL_ENDS.len()],
    /// Fills that run now.
    pub fills_now: u64,
    /// Readers that were given up, by [`READER_ENDS`].
    pub readers_cut: [u64; READER_ENDS.len()],
    /// Fetches under way.
    pub flights: u64,
    /// Requests that wait for one of them.
    pub waiting: u64,
    /// Keys known for answers that cannot be stored.
    pub unstored_keys: u64,
    /// Objects that wait for a disk.
    pub disk_queue: u64,
    /// Objects that stayed off the disk, by [`OFF_DISK`].
    pub disk_refused: [u64; OFF_DISK.len()],
    /// Objects written again because they were in use.
    pub disk_reinserted: u64,
    /// Bytes read from disks.
    pub disk_read_bytes: u64,
    /// Bytes written to disks.
    pub disk_written_bytes: u64,
    /// Records that did not verify.
    pub corrupt_records: u64,
    /// Reads and writes that failed.
    pub disk_errors: u64,
    /// Disks given up.
    pub failed_disks: u64,
    /// Objects found by recovery.
    pub recovered: u64,
    /// Purges in force.
    pub purges_now: u64,
    /// Purges applied.
    pub purges: u64,
    /// Times the oldest purges were folded into one for everything.
    pub purges_folded: u64,
    /// Purges that were not written down.
    pub purge_errors: u64,
    /// Seconds in the cache, of each object evicted for want of room.
    pub age_at_eviction: Sizes,
    /// Bytes of body of the same.
    pub size_at_eviction: Sizes,
}

/// Words of `tier`.
pub const TIERS: &[&str] = &["memory", "fill", "disk"];
/// Words of `cause` of evictions.
pub const EVICTIONS: &[&str] = &[
    "memory_once",
    "memory_used",
    "disk",
    "replaced",
    "purged",
    "removed",
];
/// Words of `outcome` of fills.
pub const FILL_ENDS: &[&str] = &["stored", "passed", "aborted"];
/// Words of `cause` of readers.
pub const READER_ENDS: &[&str] = &["slow_reader", "stalled_fill"];
/// Words of `cause` of what stays off the disk.
pub const OFF_DISK: &[&str] = &["queue_full", "seen_once"];

/// Whoever has the store.
pub trait CacheSource: Send + Sync {
    /// The figures now.
    fn figures(&self) -> CacheFigures;
}

/// The cache of the process, as the metrics know it.
#[derive(Clone, Default)]
struct Known {
    source: Option<Weak<dyn CacheSource>>,
    /// Folders that are configured and not in use; none where there is no cache.
    unopened: Option<u64>,
}

/// Where the cache of the process is hung up.
#[derive(Clone, Default)]
pub(super) struct CacheSlot(Arc<Mutex<Known>>);

impl CacheSlot {
    /// From now on this one. It is not kept alive by being counted.
    pub(super) fn set(&self, source: Option<Weak<dyn CacheSource>>, unopened: Option<u64>) {
        *self.0.lock() = Known { source, unopened };
    }

    /// The figures, and the folders that are not in use.
    pub(super) fn read(&self) -> (Option<CacheFigures>, Option<u64>) {
        let known = self.0.lock().clone();
        let source = known.source.and_then(|source| source.upgrade());
        (source.map(|source| source.figures()), known.unopened)
    }
}

/// One metric: its values in the order of its closed words, or the only one.
type Values = fn(&CacheFigures) -> &[u64];

macro_rules! one {
    ($field:ident) => {
        |figures| std::slice::from_ref(&figures.$field)
    };
}

const VALUES: &[(Declared, Values)] = &[
    (declare::CACHE_MEMORY, one!(memory_bytes)),
    (declare::CACHE_MEMORY_LIMIT, one!(memory_limit_bytes)),
    (declare::CACHE_INDEX, one!(index_bytes)),
    (declare::CACHE_OBJECTS, one!(objects)),
    (declare::CACHE_DISK_OBJECTS, one!(disk_objects)),
    (declare::CACHE_DISK, one!(disk_bytes)),
    (declare::CACHE_DISK_LIMIT, one!(disk_limit_bytes)),
    (declare::CACHE_HITS, |figures| &figures.hits),
    (declare::CACHE_MISSES, one!(misses)),
    (declare::CACHE_EVICTIONS, |figures| &figures.evictions),
    (declare::CACHE_FILLS, one!(fills)),
    (declare::CACHE_FILLS_ENDED, |figures| &figures.fills_ended),
    (declare::CACHE_FILLS_NOW, one!(fills_now)),
    (declare::CACHE_READERS_CUT, |figures| &figures.readers_cut),
    (declare::CACHE_FLIGHTS, one!(flights)),
    (declare::CACHE_WAITING, one!(waiting)),
    (declare::CACHE_UNSTORED, one!(unstored_keys)),
    (declare::CACHE_DISK_QUEUE, one!(disk_queue)),
    (declare::CACHE_OFF_DISK, |figures| &figures.disk_refused),
    (declare::CACHE_REINSERTED, one!(disk_reinserted)),
    (declare::CACHE_DISK_READ, one!(disk_read_bytes)),
    (declare::CACHE_DISK_WRITTEN, one!(disk_written_bytes)),
    (declare::CACHE_CORRUPT, one!(corrupt_records)),
    (declare::CACHE_DISK_ERRORS, one!(disk_errors)),
    (declare::CACHE_FAILED_DISKS, one!(failed_disks)),
    (declare::CACHE_RECOVERED, one!(recovered)),
    (declare::CACHE_PURGES_NOW, one!(purges_now)),
    (declare::CACHE_PURGES, one!(purges)),
    (declare::CACHE_PURGES_FOLDED, one!(purges_folded)),
    (declare::CACHE_PURGE_ERRORS, one!(purge_errors)),
];

/// Which numbers have a bucket in the exposition: `2^i - 1` for each `i`. All are whole numbers, so that is the
/// greatest one of its bucket.
type Exponents = std::ops::RangeInclusive<usize>;

type Histogram = (Declared, fn(&CacheFigures) -> &Sizes, Exponents);

const HISTOGRAMS: &[Histogram] = &[
    // To 194 days.
    (
        declare::CACHE_EVICTED_AGE,
        |figures| &figures.age_at_eviction,
        0..=24,
    ),
    // 63 bytes to 16 GiB.
    (
        declare::CACHE_EVICTED_SIZE,
        |figures| &figures.size_at_eviction,
        6..=34,
    ),
];

/// Reads the store at a scrape.
pub(super) struct CacheCollector {
    slot: CacheSlot,
    values: Vec<(Desc, &'static Declared, Values)>,
    histograms: Vec<(Desc, &'static Histogram)>,
    unopened: Desc,
}

fn desc(declared: &Declared) -> prometheus::Result<Desc> {
    let closed = match declared.closed_label {
        "" => Vec::new(),
        label => vec![label.to_owned()],
    };
    let (name, help) = (declared.name.to_string(), declared.help.to_string());
    Desc::new(name, help, closed, HashMap::new())
}

impl CacheCollector {
    pub(super) fn new(slot: CacheSlot) -> prometheus::Result<Self> {
        let values = VALUES.iter();
        let values = values.map(|(declared, read)| Ok((desc(declared)?, declared, *read)));
        let histograms = HISTOGRAMS.iter();
        let histograms = histograms.map(|one| Ok((desc(&one.0)?, one)));
        Ok(Self {
            slot,
            values: values.collect::<prometheus::Result<_>>()?,
            histograms: histograms.collect::<prometheus::Result<_>>()?,
            unopened: desc(&declare::CACHE_UNOPENED)?,
        })
    }
}

impl Collector for CacheCollector {
    fn desc(&self) -> Vec<&Desc> {
        let values = self.values.iter().map(|(desc, ..)| desc);
        let histograms = self.histograms.iter().map(|(desc, _)| desc);
        values.chain(histograms).chain([&self.unopened]).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (figures, unopened) = self.slot.read();
        let mut out = Vec::with_capacity(self.values.len() + self.histograms.len() + 1);
        if let Some(unopened) = unopened {
            let sample = gauge_sample(&[], unopened as f64);
            out.push(family(&self.unopened, MetricType::GAUGE, vec![sample]));
        }
        let Some(figures) = figures else {
            return out;
        };
        for (desc, declared, read) in &self.values {
            let (kind, sample): (_, fn(&[proto::LabelPair], f64) -> proto::Metric) =
                match declared.kind {
                    Kind::Gauge => (MetricType::GAUGE, gauge_sample),
                    Kind::Counter | Kind::Histogram => (MetricType::COUNTER, counter_sample),
                };
            let values = read(&figures);
            let samples = match declared.closed_words {
                [] => values.iter().map(|one| sample(&[], *one as f64)).collect(),
                words => words
                    .iter()
                    .zip(values)
                    .map(|(word, one)| sample(&[label(declared.closed_label, word)], *one as f64))
                    .collect(),
            };
            out.push(family(desc, kind, samples));
        }
        for (desc, (_, read, exponents)) in &self.histograms {
            let sample = histogram(read(&figures), exponents.clone());
            out.push(family(desc, MetricType::HISTOGRAM, vec![sample]));
        }
        out
    }
}

fn histogram(sizes: &Sizes, exponents: Exponents) -> proto::Metric {
    let mut total = 0;
    let mut buckets = Vec::new();
    for (exponent, count) in sizes.buckets.iter().enumerate() {
        total += count;
        // Every second power: four times the one before.
        if exponents.contains(&exponent) && exponent.is_multiple_of(2) {
            let mut bucket = proto::Bucket::default();
            bucket.set_cumulative_count(total);
            bucket.set_upper_bound(((1_u64 << exponent) - 1) as f64);
            buckets.push(bucket);
        }
    }
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(total);
    histogram.set_sample_sum(sizes.sum as f64);
    let mut metric = proto::Metric::default();
    metric.set_histogram(histogram);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    struct Fixed;

    impl CacheSource for Fixed {
        fn figures(&self) -> CacheFigures {
            let mut figures = CacheFigures {
                memory_bytes: 7,
                hits: [1, 2, 3],
                ..CacheFigures::default()
            };
            // 0, then 1, then 8 to 15.
            for (bucket, count) in [(0, 2), (1, 1), (4, 5)] {
                figures.age_at_eviction.buckets[bucket] = count;
            }
            figures.age_at_eviction.sum = 61;
            figures
        }
    }

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).expect("text")
    }

    #[test]
    fn a_store_is_read_as_long_as_it_is_there() {
        let metrics = Metrics::new(1_000, "0").expect("metrics");
        assert!(!text(&metrics).contains("farmgate_cache_memory_bytes"));
        let source: Arc<dyn CacheSource> = Arc::new(Fixed);
        metrics.set_cache(Some(Arc::downgrade(&source)), Some(2));
        let shown = text(&metrics);
        for line in [
            "farmgate_cache_memory_bytes 7",
            "farmgate_cache_unopened_disks 2",
            "farmgate_cache_hits_total{tier=\"fill\"} 2",
            "farmgate_cache_evictions_total{cause=\"purged\"} 0",
            "farmgate_cache_age_at_eviction_seconds_bucket{le=\"0\"} 2",
            "farmgate_cache_age_at_eviction_seconds_bucket{le=\"3\"} 3",
            "farmgate_cache_age_at_eviction_seconds_bucket{le=\"15\"} 8",
            "farmgate_cache_age_at_eviction_seconds_bucket{le=\"+Inf\"} 8",
            "farmgate_cache_age_at_eviction_seconds_sum 61",
        ] {
            assert!(shown.lines().any(|one| one == line), "{line}\n{shown}");
        }
        drop(source);
        let after = text(&metrics);
        assert!(!after.contains("farmgate_cache_memory_bytes"));
        assert!(after.contains("farmgate_cache_unopened_disks 2"));
    }
}
