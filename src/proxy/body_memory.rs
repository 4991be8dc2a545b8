//! The memory of bodies that are held back: bounded over all requests together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::telemetry::metrics::Gauge;

/// What bodies may take, and what they take: one per process.
pub struct BodyMemory {
    most: AtomicU64,
    used: AtomicU64,
    gauge: Gauge,
}

impl BodyMemory {
    /// Without a bound until one is set.
    pub fn new(gauge: Gauge) -> Arc<Self> {
        // Exported before it is first used: an alert needs a zero to compare with.
        gauge.set(0);
        Arc::new(Self {
            most: AtomicU64::new(u64::MAX),
            used: AtomicU64::new(0),
            gauge,
        })
    }

    /// `server.body_memory` in force. What is held already stays.
    pub fn set_most(&self, bytes: u64) {
        self.most.store(bytes, Relaxed);
    }

    /// Bytes held now.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// A holder of nothing yet.
    pub fn holder(self: &Arc<Self>) -> HeldBytes {
        HeldBytes {
            memory: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// What one body holds; given back when it is dropped.
pub struct HeldBytes {
    memory: Arc<BodyMemory>,
    bytes: u64,
}

impl HeldBytes {
    /// Takes so many bytes more; false if there is no room for them.
    #[must_use]
    pub fn take(&mut self, bytes: u64) -> bool {
        let most = self.memory.most.load(Relaxed);
        let room = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= most);
        let taken = self
            .memory
            .used
            .fetch_update(Relaxed, Relaxed, room)
            .is_ok();
        if taken {
            self.bytes += bytes;
            self.count(bytes, true);
        }
        taken
    }

    fn count(&self, bytes: u64, more: bool) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.memory
            .gauge
            .cell()
            .add(if more { bytes } else { -bytes });
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.used.fetch_sub(self.bytes, Relaxed);
            self.count(self.bytes, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn holders_share_one_bound_and_give_back() {
        let metrics = Metrics::new(100, "test").unwrap();
        let memory = BodyMemory::new(metrics.body_memory());
        memory.set_most(10);
        let mut one = memory.holder();
        let mut two = memory.holder();
        assert!(one.take(6) && two.take(4) && !two.take(1));
        assert_eq!(metrics.body_memory().get(), 10);
        drop(one);
        assert_eq!(memory.used(), 4);
        assert!(two.take(6) && !two.take(u64::MAX));
        // A smaller bound takes nothing away from those who hold.
        memory.set_most(3);
        assert!(!memory.holder().take(1));
        drop(two);
        assert_eq!((memory.used(), metrics.body_memory().get()), (0, 0));
    }
}
