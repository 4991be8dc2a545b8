//! A peak-sensitive moving average of response times, one atomic word.
//!
//! The rule is Finagle's `p2c PeakEwma`: a sample above the average replaces it at once, a
//! sample below pulls it down with a weight that depends on the time passed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time constant of the decay: after 10 s without samples the average is at 37%.
pub const DECAY: Duration = Duration::from_secs(10);

/// Most seconds of an average that another process may bring: a day.
const MOST_SECONDS: f32 = 86_400.0;

/// What the 32-bit millisecond stamps count from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Average in seconds as `f32` bits in the high half, stamp in milliseconds in the low half.
///
/// Both in one word so that no reader sees the value of one sample with the time of another.
/// The stamp wraps after 49 days; an endpoint idle that long decays a little late.
#[derive(Debug, Default)]
pub struct LatencyAverage(AtomicU64);

/// What the clock of milliseconds shows at the first look at it: 49 days, so that there are stamps
/// of what began in an earlier process, and the low half begins at 0.
const CLOCK_BEGINS_MS: u64 = 1 << 32;

/// Milliseconds of a clock that never goes back; the same before the first look at it.
pub(super) fn clock_ms(now: Instant) -> u64 {
    let passed = now.saturating_duration_since(*EPOCH);
    // 64 bits of milliseconds are 500 million years; `as_millis` would divide 128 bits.
    CLOCK_BEGINS_MS
        .wrapping_add(passed.as_secs().wrapping_mul(1000))
        .wrapping_add(u64::from(passed.subsec_millis()))
}

fn stamp_ms(now: Instant) -> u32 {
    clock_ms(now) as u32
}

fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

/// Share of the old average that is left after the time between two stamps.
fn remaining(now_ms: u32, then_ms: u32) -> f32 {
    // A stamp from the future comes from a thread that read its clock a little later.
    let passed_ms = (now_ms.wrapping_sub(then_ms) as i32).max(0);
    if passed_ms == 0 {
        return 1.0;
    }
    (-(passed_ms as f32) / DECAY.as_millis() as f32).exp()
}

impl LatencyAverage {
    /// Adds one response time, measured at `now`.
    pub fn observe(&self, now: Instant, sample: Duration) {
        let now_ms = stamp_ms(now);
        let sample = sample.as_secs_f32();
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (average, then_ms) = unpack(word);
            let next = if sample > average {
                sample
            } else {
                let kept = remaining(now_ms, then_ms);
                average * kept + sample * (1.0 - kept)
            };
            let packed = (u64::from(next.to_bits()) << 32) | u64::from(now_ms);
            match self
                .0
                .compare_exchange_weak(word, packed, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }

    /// The average as of its last sample, and the time since; none before the first sample.
    pub fn average_and_age(&self, now: Instant) -> Option<(f32, Duration)> {
        let word = self.0.load(Ordering::Relaxed);
        let (average, then_ms) = unpack(word);
        let passed_ms = (stamp_ms(now).wrapping_sub(then_ms) as i32).max(0);
        let age = Duration::from_millis(u64::from(passed_ms.unsigned_abs()));
        (word != 0).then_some((average, age))
    }

    /// Takes over an average of another process whose last sample is `age` old. What was measured here wins.
    pub fn restore(&self, now: Instant, average: f32, age: Duration) {
        // After as many time constants nothing is left of it. A stamp may lie before this process began.
        const MOST_AGE: Duration = DECAY.saturating_mul(20);
        let is_sound = average.is_finite() && average > 0.0 && average <= MOST_SECONDS;
        if !is_sound || age > MOST_AGE {
            return;
        }
        let then_ms = stamp_ms(now).wrapping_sub(age.as_millis() as u32);
        let packed = (u64::from(average.to_bits()) << 32) | u64::from(then_ms);
        let relaxed = Ordering::Relaxed;
        let _ = self.0.compare_exchange(0, packed, relaxed, relaxed);
    }

    /// The average in seconds, decayed to `now`. 0.0 before the first sample.
    pub fn seconds(&self, now: Instant) -> f32 {
        let word = self.0.load(Ordering::Relaxed);
        if word == 0 {
            return 0.0;
        }
        let (average, then_ms) = unpack(word);
        average * remaining(stamp_ms(now), then_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn a_peak_counts_at_once_and_decays_slowly() {
        let average = LatencyAverage::default();
        let start = Instant::now();
        assert_eq!(average.seconds(start), 0.0);
        average.observe(start, ms(10));
        average.observe(start, ms(500));
        assert_eq!(average.seconds(start), 0.5);
        average.observe(start + ms(1000), ms(10));
        let after = average.seconds(start + ms(1000));
        assert!(after > 0.44 && after < 0.47, "{after}");
        let tau_later = average.seconds(start + ms(11_000));
        assert!((tau_later - after / std::f32::consts::E).abs() < 0.01);
    }

    #[test]
    fn converges_to_a_steady_sample() {
        let average = LatencyAverage::default();
        let start = Instant::now();
        average.observe(start, ms(1000));
        for step in 1..=1200 {
            average.observe(start + ms(step * 100), ms(20));
        }
        let end = average.seconds(start + ms(120_000));
        assert!((end - 0.02).abs() < 0.001, "{end}");
    }

    #[test]
    fn an_average_goes_on_in_another_process() {
        let (old, new) = (LatencyAverage::default(), LatencyAverage::default());
        let start = Instant::now();
        assert_eq!(old.average_and_age(start), None);
        old.observe(start, ms(500));
        let (average, age) = old.average_and_age(start + ms(2000)).unwrap();
        // Stamps are whole milliseconds since the first look at the clock.
        assert!(average == 0.5 && age.abs_diff(ms(2000)) <= ms(1), "{age:?}");
        // The clock of the other one may have begun a moment ago.
        new.restore(start + ms(50), average, age + ms(50));
        for later in [50, 500, 5000] {
            let here = new.seconds(start + ms(later));
            let there = old.seconds(start + ms(later + 2000));
            assert!((here - there).abs() < 0.005, "{here} {there}");
        }
        let before = new.seconds(start + ms(50));
        new.restore(start + ms(50), 7.0, ms(0));
        assert_eq!(new.seconds(start + ms(50)), before, "measured here");
    }

    #[test]
    fn nonsense_is_no_average() {
        let average = LatencyAverage::default();
        let now = Instant::now();
        for seconds in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e9] {
            average.restore(now, seconds, ms(0));
        }
        average.restore(now, 1.0, Duration::MAX);
        assert_eq!(average.average_and_age(now), None);
    }

    #[test]
    fn a_late_stamp_changes_nothing_but_a_peak() {
        let average = LatencyAverage::default();
        let start = Instant::now();
        average.observe(start + ms(50), ms(100));
        average.observe(start, ms(1));
        assert_eq!(average.seconds(start), 0.1);
    }
}
