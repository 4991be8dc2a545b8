//! The bounded buffer between the threads that serve and the one that writes.
//!
//! A few shards, each a run of lines behind a lock that is held to append one or to swap all: some ten
//! nanoseconds. A thread has a home shard and goes on to the next one when its home is locked or full; nobody
//! waits. Lines of one thread keep their order, those of different threads may be written up to one interval
//! apart.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

/// Bytes of a shard that are worth a write: waiting longer would only push them out of the processor's cache.
pub(super) const WRITE_BYTES: usize = 128 * 1024;

#[derive(Default)]
struct Shard {
    /// Each ends in a line feed.
    lines: Vec<u8>,
    sealed: bool,
}

/// Apart by a cache line pair, so that two threads do not share one.
#[repr(align(128))]
#[derive(Default)]
struct Padded(Mutex<Shard>);

/// The buffer. Its bound is parted over the shards.
pub(super) struct Buffer {
    shards: Box<[Padded]>,
    bytes_per_shard: usize,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Kept.
    Kept,
    /// Kept, and the shard holds enough: the writer should not wait for its interval.
    Enough,
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
    pub(super) fn new(threads: usize, bytes: usize) -> Self {
        let shards = threads.clamp(1, 254) + 2;
        Buffer {
            shards: (0..shards).map(|_| Padded::default()).collect(),
            bytes_per_shard: bytes.div_ceil(shards),
        }
    }

    /// Keeps the line, or says that there is no room.
    pub(super) fn push(&self, line: &[u8]) -> Pushed {
        let first = home() % self.shards.len();
        // A second round for the case that the only shard with room was being swapped just then.
        let all = self.shards.iter().cycle().skip(first);
        for padded in all.take(self.shards.len() * 2) {
            let Some(mut shard) = padded.0.try_lock() else {
                std::hint::spin_loop();
                continue;
            };
            if shard.sealed || shard.lines.len() + line.len() >= self.bytes_per_shard {
                continue;
            }
            shard.lines.extend_from_slice(line);
            shard.lines.push(b'\n');
            let enough = shard.lines.len() >= WRITE_BYTES.min(self.bytes_per_shard / 2);
            return if enough { Pushed::Enough } else { Pushed::Kept };
        }
        Pushed::Refused
    }

    /// Swaps the lines of shard `index` with `empty`; false when there is no such shard.
    pub(super) fn swap(&self, index: usize, empty: &mut Vec<u8>) -> bool {
        let Some(padded) = self.shards.get(index) else {
            return false;
        };
        std::mem::swap(&mut padded.0.lock().lines, empty);
        true
    }

    /// Lets nothing more in. A line is either in a shard before this or refused: none is lost unseen.
    pub(super) fn seal(&self) {
        for padded in &self.shards {
            padded.0.lock().sealed = true;
        }
    }

    /// True if no shard holds a line.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|s| s.0.lock().lines.is_empty())
    }
}
