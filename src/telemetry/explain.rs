//! The last requests by their id, for `farmgate explain ID`.
//!
//! It keeps the very line that the access log writes, secrets hidden, and behind it what only `explain` tells, as it
//! is: that is hidden when it is shown. A push takes the next
//! of `keep` slots and copies the line into the memory of the one that it replaces, so that a ring that has been
//! round once allocates nothing; it skips its turn rather than wait for a reader.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::access_log::tells_of;

/// Most requests that can be kept; `keep` above it is cut to it.
pub const MAX_KEEP: usize = 1 << 20;
/// What a slot holds on to for the next line; a longer line gives its memory back when it is replaced.
const SLOT_BYTES: usize = 1024;

/// A ring of the last `keep` lines.
#[derive(Debug)]
pub struct ExplainRing {
    slots: Box<[Mutex<Vec<u8>>]>,
    next: AtomicUsize,
}

impl ExplainRing {
    /// A ring of `keep` lines; 0 keeps nothing and costs nothing.
    pub fn new(keep: usize) -> Self {
        ExplainRing {
            slots: (0..keep.min(MAX_KEEP)).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// How many lines it can hold.
    pub fn keep(&self) -> usize {
        self.slots.len()
    }

    /// Keeps the line in place of the oldest, and `behind` it what only `explain` tells: bytes that cost no more than
    /// to be copied, made readable when somebody asks. The access log does not get them.
    #[inline]
    pub fn push(&self, line: &[u8], behind: &[&[u8]]) {
        if self.slots.is_empty() {
            return;
        }
        let index = self.next.fetch_add(1, Relaxed) % self.slots.len();
        if let Some(mut slot) = self.slots.get(index).and_then(Mutex::try_lock) {
            slot.clear();
            slot.shrink_to(SLOT_BYTES);
            slot.extend_from_slice(line);
            // A line has no line feed in it.
            slot.push(b'\n');
            behind
                .iter()
                .for_each(|bytes| slot.extend_from_slice(bytes));
        }
    }

    /// The newest line of the request with this id, and what is behind it. Looks at all of them: for people, not for
    /// requests.
    pub fn get(&self, request_id: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let newest = self.next.load(Relaxed);
        let keep = self.slots.len();
        (1..=keep).find_map(|back| {
            let index = newest.wrapping_add(keep).wrapping_sub(back) % keep;
            let slot = self.slots.get(index)?.lock();
            tells_of(&slot, request_id).then(|| split(&slot))?
        })
    }

    /// A ring of another size with the newest lines of this one (a reload changed `keep`).
    pub fn resized(&self, keep: usize) -> ExplainRing {
        let ring = ExplainRing::new(keep);
        let (newest, old) = (self.next.load(Relaxed), self.slots.len());
        for back in (1..=old.min(ring.keep())).rev() {
            let index = newest.wrapping_add(old).wrapping_sub(back) % old;
            let kept = self.slots.get(index).and_then(|slot| split(&slot.lock()));
            if let Some((line, behind)) = kept {
                ring.push(&line, &[&behind]);
            }
        }
        ring
    }
}

/// The line of a slot, and what is behind it.
fn split(slot: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = slot.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().filter(|line| !line.is_empty())?;
    Some((line.to_vec(), parts.next().unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::access_log::{AccessRecord, Text, with_line};
    use crate::telemetry::reason::Reason;

    fn push(ring: &ExplainRing, id: &str, status: u16) {
        let mut record = AccessRecord::new(0, Reason::Ok, status);
        record.set(Text::RequestId, id);
        with_line(&record, |line| ring.push(line, &[id.as_bytes(), b"\n\0"]));
    }

    fn status(ring: &ExplainRing, id: &str) -> Option<u64> {
        let line: serde_json::Value = serde_json::from_slice(&ring.get(id)?.0).unwrap();
        line["status"].as_u64()
    }

    #[test]
    fn keeps_exactly_the_last() {
        let ring = ExplainRing::new(3);
        for n in 0..10 {
            push(&ring, &format!("id-{n}"), 200);
        }
        for n in 0..10 {
            assert_eq!(ring.get(&format!("id-{n}")).is_some(), n >= 7, "{n}");
        }
    }

    #[test]
    fn what_is_behind_a_line_stays_with_it() {
        let ring = ExplainRing::new(2);
        push(&ring, "id-1", 200);
        let ring = ring.resized(3);
        let (line, behind) = ring.get("id-1").unwrap();
        assert!(line.ends_with(b"}"));
        assert_eq!(behind, b"id-1\n\0");
    }

    #[test]
    fn the_newest_of_an_id_wins() {
        let ring = ExplainRing::new(4);
        for s in [200, 404, 500] {
            push(&ring, "same", s);
        }
        assert_eq!(status(&ring, "same"), Some(500));
    }

    #[test]
    fn an_id_is_found_whole_and_nothing_like_it() {
        let ring = ExplainRing::new(4);
        push(&ring, "id-1", 200);
        push(&ring, "a\"b\\", 204);
        assert_eq!(status(&ring, "a\"b\\"), Some(204));
        for unlike in ["id-", "id-11", "", "d-1", "\"id-1"] {
            assert!(ring.get(unlike).is_none(), "{unlike}");
        }
    }

    #[test]
    fn a_long_line_leaves_no_memory_behind() {
        let ring = ExplainRing::new(1);
        ring.push(&[b'x'; 50_000], &[]);
        ring.push(b"short", &[]);
        assert!(ring.slots[0].lock().capacity() <= SLOT_BYTES);
    }

    #[test]
    fn keep_zero_is_off() {
        let ring = ExplainRing::new(0);
        push(&ring, "a", 200);
        assert!(ring.get("a").is_none());
        assert_eq!(ring.resized(0).keep(), 0);
    }

    #[test]
    fn resizing_keeps_the_newest() {
        let ring = ExplainRing::new(4);
        for n in 0..6 {
            push(&ring, &format!("id-{n}"), 200);
        }
        let smaller = ring.resized(2);
        assert!(smaller.get("id-3").is_none());
        assert!(smaller.get("id-4").is_some() && smaller.get("id-5").is_some());
        let larger = smaller.resized(8);
        push(&larger, "id-6", 200);
        for n in 4..=6 {
            assert!(larger.get(&format!("id-{n}")).is_some(), "{n}");
        }
    }

    #[test]
    fn a_reader_never_blocks_a_push() {
        let ring = ExplainRing::new(2);
        push(&ring, "a", 200);
        let held = ring.slots[1].lock();
        push(&ring, "b", 200);
        drop(held);
        assert!(ring.get("b").is_none());
        push(&ring, "c", 200);
        assert!(ring.get("c").is_some() && ring.get("a").is_none());
    }
}
