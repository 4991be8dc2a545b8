//! The bounded buffer between the threads that serve and the one that writes.
//!
//! A few shards, each a vector behind a lock that is held for a push or a swap: some nanoseconds. A thread has
//! a home shard and goes on to the next one when its home is locked or full; nobody waits. Records of one
//! thread keep their order, those of different threads may be written up to one interval apart.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::record::AccessRecord;

/// A batch of records as they were submitted.
pub(super) type Batch = Vec<Arc<AccessRecord>>;

#[derive(Default)]
struct Shard {
    records: Batch,
    bytes: usize,
    sealed: bool,
}

/// Apart by a cache line pair, so that two threads do not share one.
#[repr(align(128))]
#[derive(Default)]
struct Padded(Mutex<Shard>);

/// The buffer. Its bound is `records` records or `bytes` bytes, whichever is met first, parted over the shards.
pub(super) struct Buffer {
    shards: Box<[Padded]>,
    records_per_shard: usize,
    bytes_per_shard: usize,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Kept.
    Kept,
    /// Kept, and the shard is half full: the writer should not wait for its interval.
    HalfFull,
    /// No shard had room.
    Refused,
}

/// A number per thread, given out in order.
fn home() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HOME: Cell<Option<usize>> = const { Cell::new(None) };
    }
    HOME.with(|home| match home.get() {
        Some(number) => number,
        None => {
            let number = NEXT.fetch_add(1, Relaxed);
            home.set(Some(number));
            number
        }
    })
}

impl Buffer {
    /// For `threads` serving threads. Two shards more than threads: every other thread and the writer may be
    /// stopped with a lock in hand, and a push still finds a free one.
    pub(super) fn new(threads: usize, records: usize, bytes: usize) -> Self {
        let shards = threads.clamp(1, 254) + 2;
        Buffer {
            shards: (0..shards).map(|_| Padded::default()).collect(),
            records_per_shard: records.div_ceil(shards).max(1),
            bytes_per_shard: bytes.div_ceil(shards),
        }
    }

    /// Keeps the record, or says that there is no room.
    pub(super) fn push(&self, record: Arc<AccessRecord>) -> Pushed {
        let weight = record.weight();
        let first = home() % self.shards.len();
        // A second round for the case that the only shard with room was being swapped just then.
        let all = self.shards.iter().cycle().skip(first);
        for padded in all.take(self.shards.len() * 2) {
            let Some(mut shard) = padded.0.try_lock() else {
                std::hint::spin_loop();
                continue;
            };
            if shard.sealed
                || shard.records.len() >= self.records_per_shard
                || shard.bytes + weight > self.bytes_per_shard
            {
                continue;
            }
            shard.bytes += weight;
            shard.records.push(record);
            let half = shard.records.len() * 2 >= self.records_per_shard
                || shard.bytes * 2 >= self.bytes_per_shard;
            return if half { Pushed::HalfFull } else { Pushed::Kept };
        }
        Pushed::Refused
    }

    /// Swaps the records of shard `index` with `empty`; false when there is no such shard.
    pub(super) fn swap(&self, index: usize, empty: &mut Batch) -> bool {
        let Some(padded) = self.shards.get(index) else {
            return false;
        };
        let mut shard = padded.0.lock();
        std::mem::swap(&mut shard.records, empty);
        shard.bytes = 0;
        true
    }

    /// Lets nothing more in. A record is either in a shard before this or refused: none is lost unseen.
    pub(super) fn seal(&self) {
        for padded in &self.shards {
            padded.0.lock().sealed = true;
        }
    }

    /// True if no shard holds a record.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|s| s.0.lock().records.is_empty())
    }
}
