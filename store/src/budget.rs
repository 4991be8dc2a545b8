//! The bytes of memory that are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One number for bodies, heads, keys and index, and its limit.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Another limit, from now on.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes above the limit.
    pub(crate) fn over(&self) -> usize {
        self.used().saturating_sub(self.limit())
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that are counted as long as this lives: an object that was evicted while a slow client reads it still
/// takes its memory.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Lease {
    pub(crate) fn take(budget: &Arc<Budget>, bytes: usize) -> Self {
        budget.add(bytes);
        Self {
            budget: Arc::clone(budget),
            bytes,
        }
    }

    /// Changes what is counted.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.add(bytes - self.bytes);
        } else {
            self.budget.sub(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether memory is over its limit.
    pub(crate) fn is_over(&self) -> bool {
        self.budget.over() > 0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.sub(self.bytes);
    }
}
