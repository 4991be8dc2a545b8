//! Outlier ejection: an endpoint that answers worse than it should, or worse than the others, is left out for a while.
//!
//! The model is Envoy's outlier detection. Four things are watched, each only where it is configured: answers of 5xx
//! in a row, failed connects in a row, and each interval the share of good answers and the response time, both
//! against the other endpoints. What differs from Envoy, and why:
//! - Ejection `n` lasts `base * 2^(n-1)`, not `base * n`: what flaps is soon tried at the longest distance only.
//!   Growth is forgotten by one step per ejection time of quiet use.
//! - `max_ejected` is never passed, not even by one, and the last endpoint that can be used is never ejected. When
//!   members, health or options change so that these two do not hold any more, the next tick gives endpoints back.
//! - Success rates are compared by median and median absolute deviation, not by mean and standard deviation: two bad
//!   endpoints of six pull the mean so far that neither stands out ("masking"; Iglewicz and Hoaglin, 1993). And a
//!   difference that chance makes is none.
//! - Response times are watched at all.
//!
//! An [`Outlier`] is part of an endpoint's state and counts with relaxed atomics. An [`Ejector`] is part of an
//! upstream's state and decides behind one lock, which is taken once per threshold that is passed and once per tick,
//! never by a usual request. There is no clock, no task and no chance inside: time and random numbers come in. What
//! changed is given back for the log and the counters.

mod deviation;
mod ejector;
mod flaps;
mod held;
mod moved;
mod times;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use ejector::{Back, Change, Ejector, Tally, Verdict, What};
pub use held::Status;
pub use moved::{MovedEjection, MovedOutlier};
pub use watch::Outlier;

/// What makes an endpoint an outlier, and how long it is left out. Every cause may be off.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierOptions {
    /// Answers of 5xx in a row, failures of every kind included; 1 or more.
    pub consecutive_5xx: Option<u32>,
    /// Failed connects in a row; 1 or more.
    pub consecutive_connect_failures: Option<u32>,
    /// The share of good answers, against the other endpoints.
    pub success_rate: Option<SuccessRate>,
    /// The response time, against the other endpoints.
    pub latency: Option<SlowEndpoint>,
    /// How often success rates and response times are compared.
    pub interval: Duration,
    /// How long a first ejection lasts; up to 10 % are added to every ejection.
    pub base_ejection: Duration,
    /// No ejection grows above this, before the 10 %.
    pub max_ejection: Duration,
    /// Largest share of the endpoints that is out at once, 0.0..=1.0, rounded down to whole endpoints.
    pub max_ejected: f32,
}

/// When an endpoint's share of good answers is too low.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRate {
    /// Endpoints with `min_requests` that must be there to compare.
    pub min_endpoints: u32,
    /// Requests of an endpoint in one interval, below which it is not looked at.
    pub min_requests: u32,
    /// Distance from the median, in standard deviations (estimated from the median absolute deviation).
    pub deviations: f32,
}

/// When an endpoint is too slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowEndpoint {
    /// Response time as a multiple of the median of the others.
    pub factor: f32,
    /// Good answers of an endpoint in one interval, below which it is not looked at.
    pub min_requests: u32,
    /// A response time below this is never too slow.
    pub at_least: Duration,
}

impl Default for OutlierOptions {
    fn default() -> Self {
        Self {
            consecutive_5xx: Some(5),
            consecutive_connect_failures: Some(2),
            success_rate: None,
            latency: None,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(10),
            max_ejection: Duration::from_secs(300),
            max_ejected: 0.5,
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            min_endpoints: 5,
            min_requests: 100,
            deviations: 1.9,
        }
    }
}

impl Default for SlowEndpoint {
    fn default() -> Self {
        Self {
            factor: 3.0,
            min_requests: 50,
            at_least: Duration::from_millis(50),
        }
    }
}

impl OutlierOptions {
    /// True if this cause ejects.
    fn watches(&self, cause: Cause) -> bool {
        match cause {
            Cause::Consecutive5xx(_) => self.consecutive_5xx.is_some(),
            Cause::ConnectFailures(_) => self.consecutive_connect_failures.is_some(),
            Cause::SuccessRate { .. } => self.success_rate.is_some(),
            Cause::Latency { .. } => self.latency.is_some(),
        }
    }

    /// True if something is compared each interval.
    fn compares(&self) -> bool {
        self.success_rate.is_some() || self.latency.is_some()
    }

    /// How long ejection number `times` lasts (1 is the first), before the jitter.
    fn length(&self, times: u32) -> Duration {
        // 2^31 times a millisecond is 24 days.
        let factor = 1_u32 << times.saturating_sub(1).min(31);
        self.base_ejection
            .saturating_mul(factor)
            .min(self.max_ejection)
    }

    /// No ejection lasts longer, whatever was in force when it began.
    fn longest(&self) -> Duration {
        self.max_ejection.saturating_add(self.max_ejection / 10)
    }

    /// How many of `members` endpoints may be out at once.
    fn most(&self, members: usize) -> usize {
        // 0.7 as a float is a little less than seven tenths: a thousandth of an endpoint is forgiven.
        let share = f64::from(self.max_ejected).clamp(0.0, 1.0);
        (members as f64 * share + 1e-3) as usize
    }
}

/// How an attempt ended, as far as the endpoint answers for it. What the client broke off is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The head of an answer came.
    Answer {
        /// Its status is 500..=599.
        server_error: bool,
    },
    /// No connection: refused, unreachable, timed out, TLS failed.
    ConnectFailure,
    /// Reset, timeout or garbage on a connection: counts like a 5xx.
    Failure,
}

/// Why an endpoint is ejected, with what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// So many 5xx or failures in a row.
    Consecutive5xx(u32),
    /// So many failed connects in a row.
    ConnectFailures(u32),
    /// Shares of good answers, 0.0..=1.0, in the last interval.
    SuccessRate {
        /// The endpoint's.
        own: f32,
        /// The median of all.
        median: f32,
    },
    /// Response times in the last interval: means of the fastest nine tenths.
    Latency {
        /// The endpoint's.
        own: Duration,
        /// The median of the others.
        others: Duration,
    },
}

impl Cause {
    /// The option that watches this: for labels and operators.
    pub fn word(self) -> &'static str {
        match self {
            Self::Consecutive5xx(_) => "consecutive_5xx",
            Self::ConnectFailures(_) => "consecutive_connect_failures",
            Self::SuccessRate { .. } => "success_rate",
            Self::Latency { .. } => "latency",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive5xx(times) => write!(f, "{times} answers of 5xx or failures in a row"),
            Self::ConnectFailures(times) => write!(f, "{times} failed connects in a row"),
            Self::SuccessRate { own, median } => {
                let (own, median) = (own * 100.0, median * 100.0);
                write!(
                    f,
                    "{own:.1} % good answers, the median endpoint has {median:.1} %"
                )
            }
            Self::Latency { own, others } => {
                let (own, others) = (own.as_millis(), others.as_millis());
                write!(
                    f,
                    "answers take {own} ms, those of the other endpoints {others} ms"
                )
            }
        }
    }
}

/// What else is known of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It gets requests unless this module holds it back.
    Usable,
    /// Something else holds it back: active health checks.
    Down,
    /// It gets nothing by the operator's will: drained, or weight 0. It counts for no share.
    Idle,
}

/// An endpoint of the upstream, as the ejector sees it.
pub trait Member {
    /// Its counters and its ejection.
    fn outlier(&self) -> &Outlier;
    /// Its standing, apart from this module's mark.
    fn standing(&self) -> Standing;
    /// Sets or clears this module's mark. Called behind the ejector's lock, so that marks are in the order of the
    /// decisions; a mark may be set again.
    fn hold(&self, out: bool);
}

impl<M: Member + ?Sized> Member for Arc<M> {
    fn outlier(&self) -> &Outlier {
        (**self).outlier()
    }

    fn standing(&self) -> Standing {
        (**self).standing()
    }

    fn hold(&self, out: bool) {
        (**self).hold(out);
    }
}

#[cfg(test)]
mod tests;
