//! How much of something one connection may do.

use std::time::{Duration, Instant};

/// A bucket that leaks. The clock is asked only when the bucket seems full, so that charging costs an addition; the
/// price is that up to twice the rate may pass in one period.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    most: u64,
    per_ns: u64,
    spent: u64,
    drained_at: Instant,
}

impl Budget {
    /// `most` units in every `per`, beginning now.
    pub fn new(most: u64, per: Duration, now: Instant) -> Self {
        Self {
            most,
            per_ns: u64::try_from(per.as_nanos()).unwrap_or(u64::MAX).max(1),
            spent: 0,
            drained_at: now,
        }
    }

    /// Spends `cost` units: false if there are not so many. `now` is asked for only when it matters.
    #[inline]
    pub fn charge(&mut self, cost: u64, now: impl FnOnce() -> Instant) -> bool {
        self.spent = self.spent.saturating_add(cost);
        self.spent <= self.most || self.drain(now())
    }

    /// Gives `units` back.
    #[inline]
    pub fn credit(&mut self, units: u64) {
        self.spent = self.spent.saturating_sub(units);
    }

    #[cold]
    fn drain(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.drained_at).as_nanos();
        let drained = passed * u128::from(self.most) / u128::from(self.per_ns);
        // A remainder that is too short for one unit is not lost.
        if drained > 0 {
            self.drained_at = now;
            self.spent = self
                .spent
                .saturating_sub(u64::try_from(drained).unwrap_or(u64::MAX));
        }
        self.spent <= self.most
    }
}
