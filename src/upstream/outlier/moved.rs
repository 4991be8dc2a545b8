//! An endpoint's ejection in the form that another process takes over at an upgrade.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Cause;
use super::flaps::{Flaps, MINUTES};
use super::held::Out;
use super::watch::Outlier;

/// Most of any time that is taken over: what a later tick does not cut by its options is a day at most.
const MOST_MS: u64 = 86_400_000;

/// Ages and not instants: clocks of one process mean nothing in another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedOutlier {
    /// The ejection that goes on.
    pub out: Option<MovedEjection>,
    /// Place in the growth.
    pub times: u32,
    /// Quiet use since the last step of growth, in milliseconds.
    pub quiet_ms: Option<u64>,
    /// Flaps by minute, the newest first.
    pub flaps: Vec<u32>,
    /// When the newest of these minutes began, in milliseconds before now.
    pub flaps_age_ms: u64,
    /// Ejections since the endpoint is known.
    pub ejections_total: u64,
}

/// An ejection that goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedEjection {
    /// [`Cause::word`]. A word that this version does not know ends the ejection.
    pub cause: String,
    /// What the cause says of the endpoint: a number in a row, a share, or seconds.
    pub own: f64,
    /// What it says of the others: a share, or seconds.
    pub others: f64,
    /// How long it has been out, in milliseconds.
    pub since_ms: u64,
    /// How long it will be, in milliseconds.
    pub left_ms: u64,
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(MOST_MS, |ms| ms.min(MOST_MS))
}

fn from_ms(ms: u64) -> Duration {
    Duration::from_millis(ms.min(MOST_MS))
}

/// A time as it was, or nothing where a number is none.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}

fn numbers(cause: Cause) -> (f64, f64) {
    match cause {
        Cause::Consecutive5xx(times) | Cause::ConnectFailures(times) => (f64::from(times), 0.0),
        Cause::SuccessRate { own, median } => (f64::from(own), f64::from(median)),
        Cause::Latency { own, others } => (own.as_secs_f64(), others.as_secs_f64()),
    }
}

impl MovedEjection {
    fn cause(&self) -> Option<Cause> {
        // A cast of a float saturates, and takes what is no number for 0.
        let causes = [
            Cause::Consecutive5xx(self.own as u32),
            Cause::ConnectFailures(self.own as u32),
            Cause::SuccessRate {
                own: self.own as f32,
                median: self.others as f32,
            },
            Cause::Latency {
                own: seconds(self.own),
                others: seconds(self.others),
            },
        ];
        causes
            .into_iter()
            .find(|cause| cause.word() == self.cause.as_str())
    }
}

impl Outlier {
    /// What is to be moved; none if it was never ejected. Counts of the running interval do not move.
    pub fn moved(&self, now: Instant) -> Option<MovedOutlier> {
        let held = self.held();
        let age = |then: Instant| as_ms(now.saturating_duration_since(then));
        let (flaps, flaps_age) = held.flaps.parts(now);
        let out = held.out.map(|out| {
            let (own, others) = numbers(out.cause);
            MovedEjection {
                cause: out.cause.word().to_owned(),
                own,
                others,
                since_ms: age(out.since),
                left_ms: as_ms(out.until.saturating_duration_since(now)),
            }
        });
        (held.ejections_total > 0).then(|| MovedOutlier {
            out,
            times: held.times,
            quiet_ms: held.quiet_since.map(age),
            flaps: flaps.to_vec(),
            flaps_age_ms: as_ms(flaps_age),
            ejections_total: held.ejections_total,
        })
    }

    /// Takes over what was moved `age` ago, unless it was ejected here already. The next tick sets the mark, and gives
    /// back what is due.
    pub fn restore(&self, moved: &MovedOutlier, now: Instant, age: Duration) {
        let mut held = self.held();
        let total = held.ejections_total.saturating_add(moved.ejections_total);
        if held.ejections_total > 0 {
            held.ejections_total = total;
            return;
        }
        let before = |ms: u64| {
            let then = now.checked_sub(from_ms(ms).saturating_add(age));
            // A machine that was started after it: then it cannot be told better.
            then.unwrap_or(now)
        };
        held.ejections_total = total;
        // 2^31 is the largest growth.
        held.times = moved.times.min(32);
        held.quiet_since = moved.quiet_ms.map(before);
        let mut counts = [0; MINUTES];
        for (count, moved) in counts.iter_mut().zip(&moved.flaps) {
            *count = *moved;
        }
        held.flaps = Flaps::restore(counts, from_ms(moved.flaps_age_ms).saturating_add(age), now);
        held.out = moved.out.as_ref().and_then(|out| {
            let left = from_ms(out.left_ms).saturating_sub(age);
            Some(Out {
                cause: out.cause()?,
                since: before(out.since_ms),
                until: now.checked_add(left).unwrap_or(now),
            })
        });
        if held.out.is_some() {
            held.quiet_since = None;
        } else if held.times > 0 {
            held.quiet_since.get_or_insert(now);
        }
        self.set_out(held.out.is_some());
    }
}
