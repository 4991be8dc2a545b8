//! The last requests by their id, for `farmgate explain ID`.
//!
//! It keeps the very record that the access log writes (one shared allocation). A push takes the next of
//! `keep` slots; it allocates nothing, and skips its turn rather than wait for a reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::access_log::{AccessRecord, Text};

/// Most requests that can be kept; `keep` above it is cut to it.
pub const MAX_KEEP: usize = 1 << 20;

/// A ring of the last `keep` records.
#[derive(Debug)]
pub struct ExplainRing {
    slots: Box<[Mutex<Option<Arc<AccessRecord>>>]>,
    next: AtomicUsize,
}

impl ExplainRing {
    /// A ring of `keep` records; 0 keeps nothing and costs nothing.
    pub fn new(keep: usize) -> Self {
        ExplainRing {
            slots: (0..keep.min(MAX_KEEP)).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// How many records it can hold.
    pub fn keep(&self) -> usize {
        self.slots.len()
    }

    /// Keeps the record in place of the oldest.
    #[inline]
    pub fn push(&self, record: &Arc<AccessRecord>) {
        if self.slots.is_empty() {
            return;
        }
        let index = self.next.fetch_add(1, Relaxed) % self.slots.len();
        if let Some(mut slot) = self.slots.get(index).and_then(Mutex::try_lock) {
            let oldest = slot.replace(record.clone());
            // Freed after the lock.
            drop(slot);
            drop(oldest);
        }
    }

    /// The newest record with this request id. Looks at all of them: for people, not for requests.
    pub fn get(&self, request_id: &str) -> Option<Arc<AccessRecord>> {
        let newest = self.next.load(Relaxed);
        let keep = self.slots.len();
        (1..=keep).find_map(|back| {
            let index = newest.wrapping_add(keep).wrapping_sub(back) % keep;
            let slot = self.slots.get(index)?.lock();
            slot.as_ref()
                .filter(|record| record.get(Text::RequestId) == request_id.as_bytes())
                .cloned()
        })
    }

    /// A ring of another size with the newest records of this one (a reload changed `keep`).
    pub fn resized(&self, keep: usize) -> ExplainRing {
        let ring = ExplainRing::new(keep);
        let (newest, old) = (self.next.load(Relaxed), self.slots.len());
        for back in (1..=old.min(ring.keep())).rev() {
            let index = newest.wrapping_add(old).wrapping_sub(back) % old;
            if let Some(record) = self.slots.get(index).and_then(|s| s.lock().clone()) {
                ring.push(&record);
            }
        }
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::reason::Reason;

    fn record(id: &str, status: u16) -> Arc<AccessRecord> {
        let mut record = AccessRecord::new(0, Reason::Ok, status);
        record.set(Text::RequestId, id);
        Arc::new(record)
    }

    fn status(ring: &ExplainRing, id: &str) -> Option<u16> {
        ring.get(id).map(|r| r.status)
    }

    #[test]
    fn keeps_exactly_the_last() {
        let ring = ExplainRing::new(3);
        for n in 0..10 {
            ring.push(&record(&format!("id-{n}"), 200));
        }
        for n in 0..10 {
            assert_eq!(ring.get(&format!("id-{n}")).is_some(), n >= 7, "{n}");
        }
    }

    #[test]
    fn the_newest_of_an_id_wins() {
        let ring = ExplainRing::new(4);
        for s in [200, 404, 500] {
            ring.push(&record("same", s));
        }
        assert_eq!(status(&ring, "same"), Some(500));
    }

    #[test]
    fn keep_zero_is_off() {
        let ring = ExplainRing::new(0);
        ring.push(&record("a", 200));
        assert!(ring.get("a").is_none());
        assert_eq!(ring.resized(0).keep(), 0);
    }

    #[test]
    fn resizing_keeps_the_newest() {
        let ring = ExplainRing::new(4);
        for n in 0..6 {
            ring.push(&record(&format!("id-{n}"), 200));
        }
        let smaller = ring.resized(2);
        assert!(smaller.get("id-3").is_none());
        assert!(smaller.get("id-4").is_some() && smaller.get("id-5").is_some());
        let larger = smaller.resized(8);
        larger.push(&record("id-6", 200));
        for n in 4..=6 {
            assert!(larger.get(&format!("id-{n}")).is_some(), "{n}");
        }
    }

    #[test]
    fn a_reader_never_blocks_a_push() {
        let ring = ExplainRing::new(2);
        ring.push(&record("a", 200));
        let held = ring.slots[1].lock();
        ring.push(&record("b", 200));
        drop(held);
        assert!(ring.get("b").is_none());
        ring.push(&record("c", 200));
        assert!(ring.get("c").is_some() && ring.get("a").is_none());
    }
}
