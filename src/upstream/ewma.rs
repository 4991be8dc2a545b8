//! A peak-sensitive moving average of response times, one atomic word.
//!
//! The rule is Finagle's `p2c PeakEwma`: a sample above the average replaces it at once, a
//! sample below pulls it down with a weight that depends on the time passed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time constant of the decay: after 10 s without samples the average is at 37%.
pub const DECAY: Duration = Duration::from_secs(10);

/// What the 32-bit millisecond stamps count from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Average in seconds as `f32` bits in the high half, stamp in milliseconds in the low half.
///
/// Both in one word so that no reader sees the value of one sample with the time of another.
/// The stamp wraps after 49 days; an endpoint idle that long decays a little late.
#[derive(Debug, Default)]
pub struct LatencyAverage(AtomicU64);

fn stamp_ms(now: Instant) -> u32 {
    now.saturating_duration_since(*EPOCH).as_millis() as u32
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
    fn a_late_stamp_changes_nothing_but_a_peak() {
        let average = LatencyAverage::default();
        let start = Instant::now();
        average.observe(start + ms(50), ms(100));
        average.observe(start, ms(1));
        assert_eq!(average.seconds(start), 0.1);
    }
}
