//! Who stands out among the endpoints of one interval.

use std::time::Duration;

use super::{Cause, SlowEndpoint, SuccessRate};

/// The median absolute deviation of a normal distribution, times this, is its standard deviation.
const NORMAL: f64 = 1.4826;

/// A share of good answers that is less than five points below the median is none of ours: retries hide it, and to
/// leave the endpoint out costs more than it.
const LEAST_GAP: f64 = 0.05;

/// Standard errors that a share must be below the median. A share of 100 requests varies by itself; with seven of
/// them a group of five endpoints with 100 requests in 10 s each loses one by chance about once a day at worst.
const CHANCE: f64 = 7.0;

/// Fewer endpoints cannot be compared by time: one against one has no majority.
const LEAST_TIMED: usize = 3;

/// What an endpoint did in one interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) index: usize,
    pub(super) good: u32,
    pub(super) bad: u32,
}

/// An endpoint that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Deviant {
    pub(super) index: usize,
    pub(super) cause: Cause,
    /// How far, in units of what is allowed: 1.0 and more. Who is furthest is ejected first.
    pub(super) excess: f64,
}

impl Share {
    fn requests(&self) -> f64 {
        f64::from(self.good) + f64::from(self.bad)
    }

    fn rate(&self) -> f64 {
        f64::from(self.good) / self.requests()
    }
}

/// The median of sorted numbers from which the one at `without` is left out; none of nothing.
fn median(sorted: &[f64], without: Option<usize>) -> Option<f64> {
    let count = sorted.len().checked_sub(usize::from(without.is_some()))?;
    let at = |place: usize| {
        let skipped = without.is_some_and(|without| place >= without);
        sorted.get(place + usize::from(skipped)).copied()
    };
    let (low, high) = (at(count.checked_sub(1)? / 2)?, at(count / 2)?);
    Some(low.midpoint(high))
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// Endpoints whose share of good answers is too far below the median.
///
/// Median and median absolute deviation stand until half of the endpoints are bad. When all are bad alike nobody
/// stands out: leaving one out would help nobody.
pub(super) fn low_shares(options: &SuccessRate, shares: &[Share]) -> Vec<Deviant> {
    let least = f64::from(options.min_requests.max(1));
    let counted = || shares.iter().filter(|share| share.requests() >= least);
    let rates = sorted(counted().map(Share::rate));
    if rates.len() < options.min_endpoints as usize {
        return Vec::new();
    }
    let Some(middle) = median(&rates, None) else {
        return Vec::new();
    };
    let distances = sorted(rates.iter().map(|rate| (rate - middle).abs()));
    let spread = median(&distances, None).unwrap_or_default() * NORMAL;
    let deviant = |share: &Share| {
        // One failure more than was seen, so that a median without any still has an error.
        let errors = (1.0 - middle + share.requests().recip()).min(1.0);
        let chance = (errors * (1.0 - errors) / share.requests()).sqrt();
        let allowed = LEAST_GAP
            .max(CHANCE * chance)
            .max(f64::from(options.deviations) * spread);
        let excess = (middle - share.rate()) / allowed;
        (excess > 1.0).then_some(Deviant {
            index: share.index,
            cause: Cause::SuccessRate {
                own: share.rate() as f32,
                median: middle as f32,
            },
            excess,
        })
    };
    counted().filter_map(deviant).collect()
}

/// Endpoints whose response time is too many times the median of the others. `timed` holds those with enough answers.
pub(super) fn slow(options: &SlowEndpoint, timed: &[(usize, Duration)]) -> Vec<Deviant> {
    if timed.len() < LEAST_TIMED {
        return Vec::new();
    }
    let all = sorted(timed.iter().map(|(_, took)| took.as_secs_f64()));
    let deviant = |(index, own): &(usize, Duration)| {
        let seconds = own.as_secs_f64();
        let place = all.partition_point(|other| *other < seconds);
        let others = median(&all, Some(place))?;
        let allowed = f64::from(options.factor) * others;
        let is_slow = seconds > allowed && *own >= options.at_least;
        is_slow.then(|| Deviant {
            index: *index,
            cause: Cause::Latency {
                own: *own,
                others: Duration::from_secs_f64(others),
            },
            // No time of the others is zero: the least bucket's middle is 16 us.
            excess: seconds / allowed.max(f64::MIN_POSITIVE),
        })
    };
    timed.iter().filter_map(deviant).collect()
}
