//! Segments that somebody reads a body from, chunk by chunk: their files stay open, so that reclaiming takes the name
//! and not the bytes.
//!
//! The bytes of such a segment count as the disk's until the last reader has gone. Together they may be an eighth of the
//! disk; beyond, the readers of the segment that goes get an error, and so slow clients cannot keep the disk from
//! turning over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::log::DiskLog;
use super::{FileName, HeldFile};

/// Segments that are held at once. The readers of more of them get an error when theirs is reclaimed.
const HELD: usize = 512;
/// The share of a disk that removed segments may go on taking: one in eight.
const GONE_SHARE: u64 = 8;

#[derive(Debug)]
struct Hold {
    holders: usize,
    /// None when it was taken away.
    file: Option<Arc<dyn HeldFile>>,
    /// Bytes that it takes although it was removed.
    gone_bytes: u64,
}

/// The segments of one disk that are held.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    held: Mutex<HashMap<u64, Hold>>,
}

impl Holds {
    /// Bytes of segments that are removed and still held.
    pub(super) fn gone_bytes(&self) -> u64 {
        self.held.lock().values().map(|hold| hold.gone_bytes).sum()
    }

    /// A segment of `len` bytes was removed from a disk of `size`; whether its bytes go on being taken.
    pub(super) fn removed(&self, segment: u64, len: u64, size: u64) -> bool {
        let mut held = self.held.lock();
        let gone: u64 = held.values().map(|hold| hold.gone_bytes).sum();
        let Some(hold) = held.get_mut(&segment).filter(|hold| hold.file.is_some()) else {
            return false;
        };
        if gone + len <= size / GONE_SHARE {
            hold.gone_bytes = len;
            return true;
        }
        let file = hold.file.take();
        drop(held);
        drop(file);
        false
    }

    pub(super) fn file(&self, segment: u64) -> Option<Arc<dyn HeldFile>> {
        self.held.lock().get(&segment)?.file.clone()
    }

    fn join(&self, segment: u64) -> bool {
        let mut held = self.held.lock();
        let hold = held.get_mut(&segment);
        hold.map(|hold| hold.holders += 1).is_some()
    }

    fn end(&self, segment: u64) -> Option<Hold> {
        let mut held = self.held.lock();
        let hold = held.get_mut(&segment)?;
        hold.holders -= 1;
        if hold.holders > 0 {
            return None;
        }
        held.remove(&segment)
    }
}

/// A segment is held as long as this lives.
#[derive(Debug)]
pub(crate) struct Holding {
    log: Arc<DiskLog>,
    segment: u64,
}

impl Holding {
    /// Holds a segment. Opens its file, so no request may call it; `None` when it is gone, or too many are held.
    pub(super) fn of(log: &Arc<DiskLog>, segment: u64) -> Option<Self> {
        let holding = || Self {
            log: Arc::clone(log),
            segment,
        };
        if log.holds.join(segment) {
            return Some(holding());
        }
        let file = log.disk.hold(FileName::Segment(segment)).ok()?;
        // Under this lock segments are removed from the list: it is there now, and its removal will find this.
        let segments = log.segments.lock();
        let mut held = log.holds.held.lock();
        if !segments.contains_key(&segment) || held.len() >= HELD {
            return None;
        }
        let fresh = Hold {
            holders: 0,
            file: Some(file),
            gone_bytes: 0,
        };
        held.entry(segment).or_insert(fresh).holders += 1;
        Some(holding())
    }

    /// Whether the last to let go also frees the bytes: that may take the device a while.
    pub(super) fn is_of_removed(&self) -> bool {
        let held = self.log.holds.held.lock();
        held.get(&self.segment)
            .is_some_and(|hold| hold.gone_bytes > 0)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(Hold {
            file, gone_bytes, ..
        }) = self.log.holds.end(self.segment)
        {
            drop(file);
            let now = &self.log.counters.disk_bytes_now;
            now.fetch_sub(gone_bytes, Ordering::Relaxed);
        }
    }
}
