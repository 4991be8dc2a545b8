//! What the cache counts, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

use farmgate_store::Histogram;

use super::SharedCache;
use crate::telemetry::metrics::store::{SIZES, Sizes};
use crate::telemetry::metrics::{CacheFigures, CacheSource};

fn sizes(of: &Histogram) -> Sizes {
    let mut sizes = Sizes {
        buckets: [0; SIZES],
        sum: of.sum(),
    };
    for (to, from) in sizes.buckets.iter_mut().zip(of.read()) {
        *to = from;
    }
    sizes
}

impl CacheSource for SharedCache {
    fn figures(&self) -> CacheFigures {
        const _: () = assert!(SIZES == Histogram::BUCKETS);
        let store = self.store();
        let counters = store.counters();
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        CacheFigures {
            memory_bytes: whole(store.memory_bytes()),
            memory_limit_bytes: now(&self.memory_limit),
            index_bytes: whole(store.index_bytes()),
            objects: whole(store.objects()),
            disk_objects: now(&counters.disk_objects_now),
            disk_bytes: now(&counters.disk_bytes_now),
            disk_limit_bytes: match self.is_on_disk() {
                true => self.disk_limit,
                false => 0,
            },
            hits: [
                now(&counters.hits_memory),
                now(&counters.hits_fill),
                now(&counters.hits_disk),
            ],
            misses: now(&counters.misses),
            evictions: [
                now(&counters.evicted_small),
                now(&counters.evicted_main),
                now(&counters.evicted_disk),
                now(&counters.evicted_replaced),
                now(&counters.evicted_purged),
                now(&counters.evicted_removed),
            ],
            fills: now(&counters.fills),
            fills_ended: [
                now(&counters.fills_stored),
                now(&counters.fills_passed),
                now(&counters.fills_aborted),
            ],
            fills_now: now(&counters.fills_now),
            readers_cut: [now(&counters.readers_cut), now(&counters.readers_stalled)],
            flights: whole(self.flights.len()),
            waiting: whole(self.flights.waiting()),
            unstored_keys: whole(self.unstored.len()),
            disk_queue: now(&counters.disk_queue_now),
            disk_refused: [
                now(&counters.disk_queue_full),
                now(&counters.disk_not_admitted),
            ],
            disk_reinserted: now(&counters.disk_reinserted),
            disk_read_bytes: now(&counters.disk_bytes_read),
            disk_written_bytes: now(&counters.disk_bytes_written),
            corrupt_records: now(&counters.disk_corrupt),
            disk_errors: now(&counters.disk_errors),
            failed_disks: now(&counters.disks_failed),
            recovered: now(&counters.recovered),
            purges_now: now(&counters.purges_now),
            purges: now(&counters.purges),
            purges_folded: now(&counters.purges_folded),
            purge_errors: now(&counters.purge_errors),
            age_at_eviction: sizes(&counters.age_at_eviction_s),
            size_at_eviction: sizes(&counters.size_at_eviction_bytes),
        }
    }
}
