//! Counts of calls over a sliding window, without a lock.
//!
//! Ten buckets lie in a ring, as in Hystrix and Polly: the window holds what the running bucket counted and the nine
//! before it, so between nine and ten tenths of its length. Every counter carries, in the same word, the slot of time and
//! the phase that it counts for. A counter of another slot or phase is replaced by the one who comes to count: nothing
//! has to be cleared, nothing is lost, and a result of an earlier phase cannot slip into a later one.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Buckets of a window.
pub(super) const BUCKETS: u64 = 10;

/// A bucket is never shorter, so no window is shorter than ten of them.
const LEAST_BUCKET: Duration = Duration::from_millis(1);

/// Counters are kept this many times, and a thread counts in one of them: neighbours seldom write to the same line.
const STRIPES: usize = 8;

/// A counter is a mark of 40 bits (phase 10, length of the window 6, turn of the ring 24) and a count of 24. A full one
/// (16 million calls of an eighth of the threads in one bucket) counts no further. A bucket that nobody touched for exactly
/// 2^24 turns, five years of windows of 10 s, would be taken for one of now.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TURN_BITS: u32 = 24;
const TURN_MASK: u64 = (1 << TURN_BITS) - 1;
const LENGTH_BITS: u32 = 6;
const EPOCH_MASK: u64 = (1 << 10) - 1;

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: usize = NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

/// What a call is counted for: a phase, a length of the window and a slot of time.
///
/// The length belongs to it because a reload may change it: slots of another width mean other times, so the counting
/// begins anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Phase and length, as they stand in a mark above the turn.
    series: u64,
    /// Turns of the ring before this slot.
    turn: u64,
    /// The bucket of this slot: 0..10.
    index: u64,
}

impl Stamp {
    /// `epoch` numbers the phase, `since_ns` is the time since a fixed origin.
    pub(super) fn new(epoch: u64, window: Duration, since_ns: u64) -> Self {
        let bucket = (window / BUCKETS as u32).max(LEAST_BUCKET);
        let bucket_ns = u64::try_from(bucket.as_nanos()).unwrap_or(u64::MAX);
        let length = bucket_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - LENGTH_BITS);
        let slot = since_ns / bucket_ns;
        Self {
            series: ((epoch & EPOCH_MASK) << LENGTH_BITS) | length,
            turn: slot / BUCKETS,
            index: slot % BUCKETS,
        }
    }

    /// The mark of this slot, `turns` of the ring later.
    fn mark(self, turns: u64) -> u64 {
        (self.series << TURN_BITS) | (self.turn.wrapping_add(turns) & TURN_MASK)
    }

    /// The marks in bucket `index` that lie in the window which ends here: the one of the last time the ring passed
    /// there, and the next, for another thread may have read its clock a little later.
    fn window_marks(self, index: u64) -> [u64; 2] {
        let last = Self {
            turn: self.turn.wrapping_sub(u64::from(index > self.index)),
            ..self
        };
        [last.mark(0), last.mark(1)]
    }
}

/// One counter: a mark and a count.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    /// Counts one. `is_current` is asked after every look at the counter.
    ///
    /// If it says yes, the counter that was seen belongs to this phase or an earlier one: who counts for a later one has
    /// seen the change of phase, and whoever sees that count sees the change too. If the phase ends before the exchange,
    /// the exchange either fails, or leaves a mark that no later phase reads.
    fn add(&self, at: Stamp, is_current: &impl Fn() -> bool) {
        let (mark, turn_later) = (at.mark(0), at.mark(1));
        let mut seen = self.0.load(Ordering::Acquire);
        while is_current() {
            let next = if seen >> COUNT_BITS == mark {
                if seen & COUNT_MASK == COUNT_MASK {
                    return;
                }
                seen + 1
            } else if seen >> COUNT_BITS == turn_later {
                // This thread slept for a whole window; its call is out of it.
                return;
            } else {
                (mark << COUNT_BITS) | 1
            };
            // SeqCst: of two threads that count in different stripes and then add up, one sees both.
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::SeqCst, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// The count if the mark is one of `marks`.
    fn count(&self, marks: [u64; 2]) -> u64 {
        let word = self.0.load(Ordering::SeqCst);
        if marks.contains(&(word >> COUNT_BITS)) {
            word & COUNT_MASK
        } else {
            0
        }
    }
}

#[derive(Debug, Default)]
struct Bucket {
    calls: Counter,
    failed: Counter,
    slow: Counter,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe([Bucket; BUCKETS as usize]);

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    /// Of them: failed. Never more than `calls`.
    pub(super) failed: u64,
    /// Of them: slow, failed ones too. Never more than `calls`.
    pub(super) slow: u64,
}

impl Counts {
    /// Failed calls of all: 0.0..=1.0, 0.0 without calls.
    pub(super) fn error_share(self) -> f32 {
        share(self.failed, self.calls)
    }

    /// Slow calls of all: 0.0..=1.0, 0.0 without calls.
    pub(super) fn slow_share(self) -> f32 {
        share(self.slow, self.calls)
    }
}

/// In single precision, as the thresholds are: 3 of 10 is then what "30%" was read as.
fn share(part: u64, of: u64) -> f32 {
    if of == 0 {
        0.0
    } else {
        part as f32 / of as f32
    }
}

/// The counters of one breaker: 2 KiB.
#[derive(Debug, Default)]
pub(super) struct Window([Stripe; STRIPES]);

impl Window {
    /// Counts a call that ended. See [`Counter::add`] for `is_current`.
    pub(super) fn add(&self, at: Stamp, failed: bool, slow: bool, is_current: impl Fn() -> bool) {
        let stripe = STRIPE.with(|stripe| self.0.get(*stripe));
        let bucket = stripe.and_then(|Stripe(buckets)| buckets.get(at.index as usize));
        let Some(bucket) = bucket else {
            return;
        };
        // The call first: who reads the parts before the whole never sees more parts than there are calls.
        bucket.calls.add(at, &is_current);
        if failed {
            bucket.failed.add(at, &is_current);
        }
        if slow {
            bucket.slow.add(at, &is_current);
        }
    }

    /// Adds up what is in the window that ends at `at`.
    pub(super) fn counts(&self, at: Stamp) -> Counts {
        let marks: [_; BUCKETS as usize] =
            std::array::from_fn(|index| at.window_marks(index as u64));
        let sum = |of: fn(&Bucket) -> &Counter| -> u64 {
            let column = |(index, marks)| {
                let buckets = self.0.iter().filter_map(move |stripe| stripe.0.get(index));
                buckets.map(move |bucket| of(bucket).count(marks))
            };
            (0..).zip(marks).flat_map(column).sum()
        };
        let failed = sum(|bucket| &bucket.failed);
        let slow = sum(|bucket| &bucket.slow);
        let calls = sum(|bucket| &bucket.calls);
        Counts {
            calls,
            failed: failed.min(calls),
            slow: slow.min(calls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(epoch: u64, ms: u64) -> Stamp {
        Stamp::new(epoch, WINDOW, ms * 1_000_000)
    }

    fn calls(window: &Window, at: Stamp) -> u64 {
        window.counts(at).calls
    }

    #[test]
    fn a_call_is_in_the_window_for_nine_to_ten_tenths_of_it() {
        let window = Window::default();
        window.add(at(0, 0), true, false, || true);
        window.add(at(0, 999), false, true, || true);
        window.add(at(0, 1000), false, false, || true);
        let expected = Counts {
            calls: 3,
            failed: 1,
            slow: 1,
        };
        assert_eq!(window.counts(at(0, 9999)), expected);
        assert_eq!(calls(&window, at(0, 10_000)), 1);
        assert_eq!(calls(&window, at(0, 11_000)), 0);
        // The ring has come round: the old bucket is replaced.
        window.add(at(0, 10_500), false, false, || true);
        assert_eq!(calls(&window, at(0, 10_500)), 2);
    }

    #[test]
    fn another_phase_and_another_length_begin_anew() {
        let window = Window::default();
        window.add(at(1, 0), true, true, || true);
        assert_eq!(calls(&window, at(1, 0)), 1);
        assert_eq!(calls(&window, at(2, 0)), 0);
        let longer = Stamp::new(1, WINDOW * 3, 0);
        assert_eq!(calls(&window, longer), 0);
        window.add(longer, false, false, || true);
        assert_eq!(calls(&window, longer), 1);
    }

    #[test]
    fn a_phase_that_ended_is_not_counted() {
        let window = Window::default();
        window.add(at(2, 0), true, true, || false);
        assert_eq!(calls(&window, at(2, 0)), 0);
        window.add(at(3, 0), false, false, || true);
        // Between the look at the phase and the exchange the phase ended, and the next one has counted already.
        let looks = std::cell::Cell::new(0);
        window.add(at(2, 0), true, true, || {
            looks.set(looks.get() + 1);
            if looks.get() == 1 {
                window.add(at(3, 0), false, false, || true);
            }
            looks.get() == 1
        });
        let here = window.counts(at(3, 0));
        assert_eq!((here.calls, here.failed, here.slow), (2, 0, 0));
    }

    #[test]
    fn a_thread_that_slept_for_a_window_counts_nothing() {
        let window = Window::default();
        window.add(at(0, 12_000), false, false, || true);
        window.add(at(0, 2_000), true, true, || true);
        let expected = Counts {
            calls: 1,
            ..Counts::default()
        };
        assert_eq!(window.counts(at(0, 12_000)), expected);
    }

    #[test]
    fn a_clock_that_is_a_little_behind_sees_what_others_counted() {
        let window = Window::default();
        window.add(at(0, 3_001), true, false, || true);
        assert_eq!(calls(&window, at(0, 2_999)), 1);
    }

    #[test]
    fn years_of_silence_do_not_stop_the_counting() {
        for bits in 4..31 {
            for silent_s in (1_u64 << bits) - 11..(1 << bits) + 11 {
                let window = Window::default();
                window.add(at(0, 0), false, false, || true);
                let later = at(0, silent_s * 1000);
                let before = u64::from(silent_s < 10);
                assert_eq!(calls(&window, later), before, "after {silent_s} s");
                window.add(later, true, false, || true);
                assert_eq!(calls(&window, later), 1 + before, "after {silent_s} s");
            }
        }
    }

    #[test]
    fn a_full_counter_stays_full() {
        let window = Window::default();
        let here = at(5, 0);
        window.add(here, false, false, || true);
        let stripe = STRIPE.with(|stripe| *stripe);
        let counter = &window.0[stripe].0[0].calls;
        counter.0.fetch_or(COUNT_MASK, Ordering::Relaxed);
        window.add(here, false, false, || true);
        assert_eq!(calls(&window, here), COUNT_MASK);
    }

    #[test]
    fn lengths_out_of_all_measure_are_borne() {
        for window in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let counts = Window::default();
            let here = Stamp::new(0, window, 5);
            counts.add(here, true, false, || true);
            assert_eq!(counts.counts(here).failed, 1);
        }
    }
}
