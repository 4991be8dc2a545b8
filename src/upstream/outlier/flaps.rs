//! How often something left and came back within the last ten minutes.

use std::time::{Duration, Instant};

/// One count per minute.
pub(super) const MINUTES: usize = 10;

const MINUTE: Duration = Duration::from_secs(60);

/// Ten counts of a minute each, so that memory does not depend on how often it flaps. What is older than nine to ten
/// minutes is forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flaps {
    /// The newest minute first.
    counts: [u32; MINUTES],
    /// When the newest minute began; none before the first flap.
    newest: Option<Instant>,
}

impl Flaps {
    /// What was counted `age` ago or later, in the order of [`Flaps::parts`].
    pub(super) fn restore(counts: [u32; MINUTES], age: Duration, now: Instant) -> Self {
        Self {
            counts,
            newest: now.checked_sub(age),
        }
    }

    /// The counts and the age of the newest minute's begin, for [`Flaps::restore`].
    pub(super) fn parts(&self, now: Instant) -> ([u32; MINUTES], Duration) {
        let age = self
            .newest
            .map(|newest| now.saturating_duration_since(newest));
        (self.counts, age.unwrap_or_default())
    }

    fn minutes_since(&self, now: Instant) -> usize {
        let age = self
            .newest
            .map(|newest| now.saturating_duration_since(newest));
        age.map_or(0, |age| {
            usize::try_from(age.as_secs() / 60).unwrap_or(usize::MAX)
        })
    }

    /// Counts one.
    pub(super) fn add(&mut self, now: Instant) {
        let minutes = self.minutes_since(now);
        if minutes >= MINUTES {
            *self = Self::default();
        } else if minutes > 0 {
            self.counts.rotate_right(minutes);
            self.counts.iter_mut().take(minutes).for_each(|n| *n = 0);
            self.newest = self
                .newest
                .map(|newest| newest + MINUTE.saturating_mul(minutes as u32));
        }
        self.newest.get_or_insert(now);
        if let Some(count) = self.counts.first_mut() {
            *count = count.saturating_add(1);
        }
    }

    /// How many there were.
    pub(super) fn count(&self, now: Instant) -> u32 {
        let kept = MINUTES.saturating_sub(self.minutes_since(now));
        let counts = self.counts.iter().take(kept);
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ten_minutes_and_no_more() {
        let (mut flaps, start) = (Flaps::default(), Instant::now());
        assert_eq!(flaps.count(start), 0);
        // One each 20 s: three a minute.
        for step in 0..120 {
            let now = start + Duration::from_secs(step * 20);
            flaps.add(now);
            let due = (step + 1).min(30);
            let count = u64::from(flaps.count(now));
            assert!(count <= due && count + 3 > due, "{step}: {count}");
        }
        let end = start + Duration::from_secs(119 * 20);
        assert!(flaps.count(end + 5 * MINUTE) < 18);
        assert_eq!(flaps.count(end + 10 * MINUTE), 0);
        flaps.add(end + 60 * MINUTE);
        assert_eq!(flaps.count(end + 60 * MINUTE), 1);
    }

    #[test]
    fn goes_on_in_another_process() {
        let (mut flaps, start) = (Flaps::default(), Instant::now());
        flaps.add(start);
        flaps.add(start + 3 * MINUTE);
        let now = start + 4 * MINUTE;
        let (counts, age) = flaps.parts(now);
        let other = Flaps::restore(counts, age, now);
        for later in [0, 5, 6, 8, 9, 20] {
            let then = now + later * MINUTE;
            assert_eq!(other.count(then), flaps.count(then), "{later}");
        }
    }
}
