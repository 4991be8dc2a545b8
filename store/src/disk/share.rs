//! What all bodies that are read from disks may take of the memory together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::budget::Budget;
use crate::object::CHUNK;

/// The share of the memory for bodies that are gathered whole, to stay: one in four, so that the largest object fits.
const WHOLE_SHARE: usize = 4;
/// The share of the memory for chunks that are read before somebody waits for them: one in eight.
const AHEAD_SHARE: usize = 8;

/// Two counts with their limits. What they count is also part of the budget, as soon as it is read.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) budget: Arc<Budget>,
    whole: AtomicUsize,
    ahead: AtomicUsize,
}

impl Share {
    pub(crate) fn new(budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(budget),
            whole: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
        })
    }

    /// Sets `bytes` aside for a body that is to be gathered; false when others have taken the share.
    pub(super) fn begin_whole(&self, bytes: usize) -> bool {
        let most = self.budget.limit() / WHOLE_SHARE;
        let taken = self
            .whole
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |whole| {
                whole.checked_add(bytes).filter(|sum| *sum <= most)
            });
        taken.is_ok()
    }

    pub(super) fn end_whole(&self, bytes: usize) {
        self.whole.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether one more chunk may be read that nobody waits for yet.
    pub(super) fn may_read_ahead(&self) -> bool {
        let ahead = self.ahead.load(Ordering::Relaxed) + CHUNK;
        self.budget.over() == 0 && ahead <= self.budget.limit() / AHEAD_SHARE
    }

    /// Whether more such chunks are here than should be.
    pub(super) fn is_over(&self) -> bool {
        self.ahead.load(Ordering::Relaxed) > self.budget.limit() / AHEAD_SHARE
    }

    /// A body held `before` bytes of such chunks, and now holds `now`.
    pub(super) fn count_ahead(&self, before: usize, now: usize) {
        self.ahead
            .fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        self.ahead
            .fetch_sub(before.saturating_sub(now), Ordering::Relaxed);
    }

    /// What is set aside and counted now: nothing, when nobody reads.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> (usize, usize) {
        (
            self.whole.load(Ordering::Relaxed),
            self.ahead.load(Ordering::Relaxed),
        )
    }
}
