//! Slow start: an endpoint that comes into service gets its share of requests little by little.
//!
//! The model is Envoy's `slow_start_config` with `aggression` 1: the weight grows in a straight
//! line from 10 % to 100 % over the configured time. Nothing is rebuilt while it grows; a choice
//! that meets the endpoint accepts it with that probability (for a consistent hash: for that part
//! of its keys, so keys come one after another and none comes twice).
//!
//! An endpoint comes when discovery or a reload adds it to endpoints that serve already, when
//! health checks or outlier detection return it, when an operator ends its drain or raises its
//! weight from 0. At the start of the process, or when all endpoints are new, nobody is warm and
//! nothing is gained by waiting. The time begins with the first choice among its set after it came:
//! an endpoint does not get warm while nobody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A whole weight, in units of the ramp.
pub(super) const WHOLE: u32 = 1024;

/// What an endpoint begins with: 10 %.
const LEAST: u32 = WHOLE / 10;

const WARM: u64 = 0;
const ASKED: u64 = 1;
/// Stamps begin here.
const FIRST: u64 = 2;

/// Whether an endpoint warms up, and since when.
#[derive(Debug, Default)]
pub(super) struct WarmUp(AtomicU64);

impl WarmUp {
    /// The endpoint came; its time begins with the next count of its set.
    pub(super) fn ask(&self) {
        self.0.store(ASKED, Ordering::Relaxed);
    }

    /// Called when its set is counted at `now_ms`: begins or ends the time. Returns when it began,
    /// in the same clock, if the endpoint still warms up.
    pub(super) fn settle(&self, slow_start_ms: Option<u64>, now_ms: u64) -> Option<u64> {
        let seen = self.0.load(Ordering::Relaxed);
        let began = match (seen, slow_start_ms) {
            (WARM, _) => return None,
            (ASKED, Some(_)) => now_ms.max(FIRST),
            (began, Some(length)) if now_ms < began.saturating_add(length) => return Some(began),
            (_, _) => WARM,
        };
        // One that came in this moment is seen at the next count, which its coming asks for.
        let relaxed = Ordering::Relaxed;
        let _ = self.0.compare_exchange(seen, began, relaxed, relaxed);
        (began != WARM).then_some(began)
    }

    /// How long it warms up at `now_ms`, for another process; `None` when it is warm.
    pub(super) fn age_ms(&self, now_ms: u64) -> Option<u64> {
        match self.began()? {
            ASKED => Some(0),
            began => Some(now_ms.saturating_sub(began)),
        }
    }

    /// Goes on as in another process, where it had warmed up for `age_ms`. What began here wins.
    pub(super) fn restore(&self, now_ms: u64, age_ms: u64) {
        let began = now_ms.saturating_sub(age_ms).max(FIRST);
        let relaxed = Ordering::Relaxed;
        let _ = self.0.compare_exchange(WARM, began, relaxed, relaxed);
    }

    fn began(&self) -> Option<u64> {
        let began = self.0.load(Ordering::Relaxed);
        (began != WARM).then_some(began)
    }
}

/// A slow start at one moment, for members of which at least one warms up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    now_ms: u64,
    length_ms: u64,
    /// The largest share of any member: when all warm up, they share out the whole.
    top: u32,
}

impl Ramp {
    /// `oldest_ms` is when the first of the members began if all of them warm up.
    pub(super) fn new(now_ms: u64, length_ms: u64, oldest_ms: Option<u64>) -> Self {
        let length_ms = length_ms.max(1);
        Self {
            now_ms,
            length_ms,
            top: oldest_ms.map_or(WHOLE, |began| grown(began, length_ms, now_ms)),
        }
    }

    /// The part of its weight an endpoint has now, relative to the warmest: 1..=[`WHOLE`].
    pub(super) fn share(&self, warm_up: &WarmUp) -> u32 {
        let Some(began) = warm_up.began() else {
            return WHOLE;
        };
        let share = grown(began, self.length_ms, self.now_ms);
        if self.top == WHOLE {
            return share;
        }
        (share * WHOLE / self.top).clamp(1, WHOLE)
    }
}

/// The part of its weight an endpoint has `now_ms` that began to warm up at `began_ms`.
fn grown(began_ms: u64, length_ms: u64, now_ms: u64) -> u32 {
    // One that was asked and not begun is at its least: the stamp is as if it began now.
    let age = if began_ms == ASKED {
        0
    } else {
        now_ms.saturating_sub(began_ms)
    };
    if age >= length_ms {
        return WHOLE;
    }
    let gained = u128::from(WHOLE - LEAST) * u128::from(age) / u128::from(length_ms.max(1));
    LEAST + gained as u32
}

/// A duration in whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_grows_in_a_line() {
        let shares = [0, 2_500, 5_000, 7_500, 9_999, 10_000, 99_999]
            .map(|age| grown(1_000, 10_000, 1_000 + age));
        assert_eq!(shares, [102, 332, 563, 793, 1023, 1024, 1024]);
        assert_eq!(grown(5_000, 10_000, 4_000), LEAST, "a clock read earlier");
        assert_eq!(grown(ASKED, 10_000, 1 << 40), LEAST);
    }

    #[test]
    fn the_time_begins_when_the_set_is_counted() {
        let warm_up = WarmUp::default();
        assert_eq!(warm_up.settle(Some(100), 50), None);
        warm_up.ask();
        assert_eq!(warm_up.settle(Some(100), 1_000), Some(1_000));
        assert_eq!(warm_up.settle(Some(100), 1_099), Some(1_000));
        assert_eq!(Ramp::new(1_050, 100, None).share(&warm_up), 563);
        // A longer time by a reload holds from the same beginning.
        assert_eq!(warm_up.settle(Some(200), 1_100), Some(1_000));
        assert_eq!(warm_up.settle(Some(100), 1_100), None);
        assert_eq!(Ramp::new(1_100, 1_000, None).share(&warm_up), WHOLE);
        warm_up.ask();
        assert_eq!(warm_up.settle(None, 2_000), None, "no slow start");
        assert_eq!(warm_up.settle(Some(100), 2_001), None, "it is warm by now");
    }

    #[test]
    fn it_goes_on_in_another_process() {
        let (old, new) = (WarmUp::default(), WarmUp::default());
        assert_eq!(old.age_ms(900), None);
        old.ask();
        assert_eq!(old.age_ms(900), Some(0));
        old.settle(Some(1_000), 1_000);
        let age = old.age_ms(1_400).unwrap();
        new.restore(70_000, age + 100);
        assert_eq!(new.settle(Some(1_000), 70_000), Some(69_500));
        new.restore(70_000, 0);
        assert_eq!(new.age_ms(70_000), Some(500), "it began already");
    }

    #[test]
    fn when_all_warm_up_the_first_counts_as_whole() {
        let (first, second) = (WarmUp::default(), WarmUp::default());
        first.ask();
        second.ask();
        assert_eq!(first.settle(Some(1_000), 500), Some(500));
        assert_eq!(second.settle(Some(1_000), 1_000), Some(1_000));
        let ramp = Ramp::new(1_000, 1_000, Some(500));
        assert_eq!(ramp.share(&first), WHOLE);
        // 102 of 563.
        assert_eq!(ramp.share(&second), 185);
    }
}
