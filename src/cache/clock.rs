//! The cache's own time: it never runs backwards, and a step of the machine's clock makes objects older at most.
//!
//! Ages are differences, so they must not depend on a clock that an administrator or NTP may set. The monotonic
//! clock alone does not do: it starts anew with the machine and stands still while a virtual machine is paused.
//! [`Timeline`] joins the two: `monotonic + the largest (wall - monotonic) ever seen`.
//!
//! - The wall clock steps forward (or the machine slept): the timeline follows, objects age by the step. Too old is
//!   safe, too young is not.
//! - The wall clock steps back: the timeline goes on as if nothing had happened.
//! - The process ends: times on disk are of this timeline. If the wall clock was set back meanwhile they lie in the
//!   future of the new timeline; [`super::meta::Meta`] counts such an object as stale.

use std::sync::atomic::{AtomicI64, Ordering};

/// One reading of both clocks, taken once per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on the cache's timeline: for ages and for purges.
    pub cache_ms: u64,
    /// Seconds since 1970 by the wall clock: to compare with dates that an origin wrote.
    pub wall_s: u64,
}

impl Now {
    /// A reading on which both clocks agree; what tests and one-shot tools use.
    pub fn at_ms(ms: u64) -> Self {
        Self {
            cache_ms: ms,
            wall_s: ms / 1000,
        }
    }
}

/// The join of both clocks, one per process, shared by all threads.
#[derive(Debug)]
pub struct Timeline {
    /// The largest wall clock minus monotonic clock, ms.
    ahead_ms: AtomicI64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Timeline {
    /// A timeline that has seen no clock yet.
    pub const fn new() -> Self {
        Self {
            ahead_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// The time now, from a wall clock (ms since 1970) and a monotonic one (ms since any start).
    pub fn now(&self, wall_ms: u64, monotonic_ms: u64) -> Now {
        let wall = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        let monotonic = i64::try_from(monotonic_ms).unwrap_or(i64::MAX);
        let seen = wall.saturating_sub(monotonic);
        // Relaxed is enough: the value only grows, and each thread sees at least its own reading. The plain load
        // first keeps the line shared between cores: nearly always there is nothing to write.
        let mut ahead = self.ahead_ms.load(Ordering::Relaxed);
        if seen > ahead {
            ahead = self.ahead_ms.fetch_max(seen, Ordering::Relaxed).max(seen);
        }
        Now {
            cache_ms: u64::try_from(monotonic.saturating_add(ahead)).unwrap_or(0),
            wall_s: wall_ms / 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_forward_is_followed_and_a_step_back_is_not() {
        let timeline = Timeline::new();
        assert_eq!(timeline.now(1_000_000, 500).cache_ms, 1_000_000);
        assert_eq!(timeline.now(1_001_000, 1_500).cache_ms, 1_001_000);
        // An hour forward: everything is an hour older.
        assert_eq!(timeline.now(4_602_000, 2_500).cache_ms, 4_602_000);
        // And back again: time goes on from where it was, and never returns.
        let back = timeline.now(1_003_000, 3_500);
        assert_eq!(back.cache_ms, 4_603_000);
        assert_eq!(back.wall_s, 1_003);
    }

    #[test]
    fn clocks_at_their_ends_do_not_overflow() {
        let timeline = Timeline::new();
        assert_eq!(timeline.now(0, u64::MAX).cache_ms, 0);
        assert_eq!(timeline.now(u64::MAX, 0).cache_ms, i64::MAX.unsigned_abs());
        assert_eq!(
            timeline.now(u64::MAX, u64::MAX).cache_ms,
            i64::MAX.unsigned_abs()
        );
    }
}
