//! The evidence: plain atomics, read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the store, and gauges where the name says `now`.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Lookups answered from memory.
    pub hits_memory: AtomicU64,
    /// Lookups that joined a running fill.
    pub hits_fill: AtomicU64,
    /// Lookups answered from disk.
    pub hits_disk: AtomicU64,
    /// Lookups that found nothing.
    pub misses: AtomicU64,
    /// Lookups that found another key with the same hash; they count as misses too.
    pub collisions: AtomicU64,
    /// Lookups that found an object which a purge had hit; they count as misses too.
    pub purged_hits: AtomicU64,
    /// Fills that were begun.
    pub fills: AtomicU64,
    /// Fills that ended whole and were stored.
    pub fills_stored: AtomicU64,
    /// Fills that ended whole and were not stored: too large, purged meanwhile, or overtaken by a later one.
    pub fills_passed: AtomicU64,
    /// Fills that were dropped before their end, or ended with another length than was promised.
    pub fills_aborted: AtomicU64,
    /// Fills that are running now.
    pub fills_now: AtomicU64,
    /// Readers that were cut because they held up a fill too large to keep.
    pub readers_cut: AtomicU64,
    /// Readers that gave up because a fill stood still.
    pub readers_stalled: AtomicU64,
    /// Heads that were replaced without their body.
    pub heads_updated: AtomicU64,
    /// Objects that lost their place in memory for want of room before a second use.
    pub evicted_small: AtomicU64,
    /// Objects that lost their place in memory for want of room after they had been used again.
    pub evicted_main: AtomicU64,
    /// Objects removed because a purge had hit them, when a lookup found them.
    pub evicted_purged: AtomicU64,
    /// Objects replaced by a later fill of their key.
    pub evicted_replaced: AtomicU64,
    /// Objects removed by name.
    pub evicted_removed: AtomicU64,
    /// Objects whose place on disk was given to new ones.
    pub evicted_disk: AtomicU64,
    /// Purges in force now, over all scopes.
    pub purges_now: AtomicU64,
    /// Purges applied.
    pub purges: AtomicU64,
    /// Times the table of purges was full and its oldest were folded into one for everything.
    pub purges_folded: AtomicU64,
    /// Purges that could not be written to the journal.
    pub purge_errors: AtomicU64,
    /// Body bytes taken in by fills.
    pub bytes_filled: AtomicU64,
    /// Body bytes given to readers.
    pub bytes_read: AtomicU64,
    /// Bytes written to disks.
    pub disk_bytes_written: AtomicU64,
    /// Bytes read from disks.
    pub disk_bytes_read: AtomicU64,
    /// Bytes of segments on disks now.
    pub disk_bytes_now: AtomicU64,
    /// Objects with a place on disk now.
    pub disk_objects_now: AtomicU64,
    /// Objects waiting for a disk writer now.
    pub disk_queue_now: AtomicU64,
    /// Objects that stayed off the disk because its queue was full.
    pub disk_queue_full: AtomicU64,
    /// Objects that stayed off the disk because they were not seen twice.
    pub disk_not_admitted: AtomicU64,
    /// Objects written again because they were in use when their segment was reclaimed.
    pub disk_reinserted: AtomicU64,
    /// Records that did not verify: a miss each.
    pub disk_corrupt: AtomicU64,
    /// Hits on disk whose body was read as it was wanted, and not whole before its first byte.
    pub disk_streams: AtomicU64,
    /// Bodies that could not be read on after their head had been given: an error to each reader.
    pub disk_bodies_lost: AtomicU64,
    /// Readers of such bodies that gave up because a chunk did not come in time.
    pub disk_waits_cut: AtomicU64,
    /// Reads and writes that failed.
    pub disk_errors: AtomicU64,
    /// Disks that were given up.
    pub disks_failed: AtomicU64,
    /// Objects found by recovery.
    pub recovered: AtomicU64,
    /// Seconds since it was stored, of each object that was evicted for want of room.
    pub age_at_eviction_s: Histogram,
    /// Body bytes of each object that was evicted for want of room.
    pub size_at_eviction_bytes: Histogram,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds `n`.
pub(crate) fn count_by(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

/// Counts by powers of two: bucket 0 holds zero, bucket `i` holds `2^(i-1)` up to but not including `2^i`; the last
/// one holds all above.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; Self::BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; Self::BUCKETS],
            sum: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Buckets: up to 2^39.
    pub const BUCKETS: usize = 41;

    pub(crate) fn record(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        if let Some(bucket) = self.buckets.get(bucket.min(Self::BUCKETS - 1)) {
            count(bucket);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The sum of what was counted.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// All buckets, read one after the other.
    #[must_use]
    pub fn read(&self) -> [u64; Self::BUCKETS] {
        let mut out = [0; Self::BUCKETS];
        for (out, bucket) in out.iter_mut().zip(&self.buckets) {
            *out = bucket.load(Ordering::Relaxed);
        }
        out
    }
}
