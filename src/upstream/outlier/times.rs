//! Response times of one interval: a histogram of atomics.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Four per doubling, from 32 us to a minute; what is longer counts in the last.
const BUCKETS: usize = 80;

/// The unit of the buckets: 2^5 us.
const UNIT_BITS: u32 = 5;

/// Part of the answers whose times count: the fastest. A few answers that are slow by their nature, or that waited
/// for a timeout, must not make a slow endpoint; one answer in five that is slow must.
const COUNTED: f64 = 0.9;

/// Counts of response times. One relaxed addition a time.
#[derive(Debug)]
pub(super) struct Times([AtomicU32; BUCKETS]);

/// What was counted in one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) requests: u32,
    /// Mean of the fastest nine tenths; within 13 % from 100 us on.
    pub(super) mean: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

/// The bucket of a time: the two bits after the leading one, and the place of the leading one.
fn bucket(took: Duration) -> usize {
    let units = took.as_micros() >> UNIT_BITS;
    let Some(doubling) = units.checked_ilog2().filter(|doubling| *doubling >= 2) else {
        return units as usize;
    };
    let quarter = (units >> (doubling - 2)) & 3;
    ((doubling as usize - 1) * 4 + quarter as usize).min(BUCKETS - 1)
}

/// The middle of a bucket in seconds.
fn middle(bucket: usize) -> f64 {
    let (low, width) = if bucket < 4 {
        (bucket as f64, 1.0)
    } else {
        let width = f64::from(1_u32 << (bucket / 4 - 1));
        ((4 + bucket % 4) as f64 * width, width)
    };
    (low + width / 2.0) * f64::from(1_u32 << UNIT_BITS) / 1e6
}

impl Times {
    pub(super) fn add(&self, took: Duration) {
        if let Some(count) = self.0.get(bucket(took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Empties the histogram and gives back what was in it; none if that was nothing.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut counts = [0; BUCKETS];
        for (count, cell) in counts.iter_mut().zip(&self.0) {
            // Most are empty: looked at, not written.
            if cell.load(Ordering::Relaxed) > 0 {
                *count = cell.swap(0, Ordering::Relaxed);
            }
        }
        let requests = counts
            .iter()
            .fold(0_u32, |sum, count| sum.saturating_add(*count));
        let counted = (f64::from(requests) * COUNTED).ceil();
        let (mut left, mut sum) = (counted, 0.0);
        for (bucket, count) in counts.iter().enumerate() {
            let part = f64::from(*count).min(left);
            sum += part * middle(bucket);
            left -= part;
        }
        (requests > 0).then(|| Taken {
            requests,
            mean: Duration::from_secs_f64(sum / counted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_without_a_gap_and_hold_their_middle() {
        let mut last = 0;
        for us in 0..2_000_000_u64 {
            let now = bucket(Duration::from_micros(us));
            assert!(now == last || now == last + 1, "{us}");
            last = now;
        }
        for number in 0..BUCKETS {
            assert_eq!(bucket(Duration::from_secs_f64(middle(number))), number);
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_mean_is_near_and_forgets_the_slowest_tenth() {
        let times = Times::default();
        assert_eq!(times.take(), None);
        for us in [100, 900, 7_000, 30_000, 300_000, 5_000_000] {
            for _ in 0..90 {
                times.add(Duration::from_micros(us));
            }
            (0..10).for_each(|_| times.add(Duration::from_secs(60)));
            let taken = times.take().unwrap();
            assert_eq!(taken.requests, 100);
            let ratio = taken.mean.as_secs_f64() * 1e6 / us as f64;
            assert!((0.87..1.13).contains(&ratio), "{us}: {ratio}");
        }
        times.add(Duration::from_millis(20));
        assert_eq!(times.take().map(|taken| taken.requests), Some(1));
        assert_eq!(times.take(), None, "what was taken is gone");
    }

    #[test]
    fn a_third_that_is_slow_is_seen() {
        let times = Times::default();
        (0..300).for_each(|n| times.add(Duration::from_millis(if n % 3 == 0 { 300 } else { 10 })));
        assert!(times.take().unwrap().mean > Duration::from_millis(70));
    }
}
