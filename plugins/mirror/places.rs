//! What copies may take: memory while bodies are gathered, and places while they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farmgate_plugin_api::services::Gauge;

/// Bytes of bodies that are copied, of all requests together.
pub(super) struct Memory {
    pub(super) most: usize,
    pub(super) held: AtomicUsize,
}

/// The bytes of one copy; given back when it is dropped.
pub(super) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Held {
    pub(super) fn new(memory: &Arc<Memory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            bytes: 0,
        }
    }

    /// Takes so many bytes more; false when there are none left.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let room = |held: usize| {
            let sum = held.saturating_add(bytes);
            (sum <= self.memory.most).then_some(sum)
        };
        let relaxed = Ordering::Relaxed;
        let taken = self.memory.held.fetch_update(relaxed, relaxed, room);
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }

    /// Gives all of them back.
    pub(super) fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.memory.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

/// Copies that are on their way.
pub(super) struct Flights {
    pub(super) most: usize,
    pub(super) count: AtomicUsize,
    pub(super) gauge: Arc<dyn Gauge>,
}

/// One of them, until it is dropped.
pub(super) struct Flight(Arc<Flights>);

impl Flights {
    /// A place; none when all are taken.
    pub(super) fn take(self: &Arc<Self>) -> Option<Flight> {
        let free = |count: usize| (count < self.most).then_some(count + 1);
        let relaxed = Ordering::Relaxed;
        self.count.fetch_update(relaxed, relaxed, free).ok()?;
        self.gauge.add(1);
        Some(Flight(Arc::clone(self)))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.add(-1);
    }
}
