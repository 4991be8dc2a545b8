//! How many responses may be compressed at once: each takes memory until it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farmgate_plugin_api::services::Gauge;

/// The places that are taken. Kept over reloads: responses of the old configuration still hold theirs.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
}

/// One place; given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    gauge: Arc<dyn Gauge>,
}

impl Places {
    /// Takes one; none where `most` are taken.
    pub(super) fn take(self: &Arc<Self>, most: usize, gauge: &Arc<dyn Gauge>) -> Option<Place> {
        // Relaxed is enough: the number guards nothing but itself.
        let grow = |taken: usize| (taken < most).then_some(taken + 1);
        let order = Ordering::Relaxed;
        let before = self.taken.fetch_update(order, order, grow).ok()?;
        gauge.set(i64::try_from(before + 1).unwrap_or(i64::MAX));
        Some(Place {
            places: Arc::clone(self),
            gauge: Arc::clone(gauge),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let before = self.places.taken.fetch_sub(1, Ordering::Relaxed);
        let left = before.saturating_sub(1);
        self.gauge.set(i64::try_from(left).unwrap_or(i64::MAX));
    }
}
