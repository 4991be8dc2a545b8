//! What a breaker is told, and what it answers.

use std::time::Duration;

use super::phase::{Manual, Phase, phase_of};

/// Why the phase changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// So large a share of calls failed.
    ErrorRate(f32),
    /// So large a share of calls was slow.
    SlowRate(f32),
    /// A probe failed, was slow, or was not heard of for `max_open_for`.
    ProbeFailed,
    /// As many probes passed as are wanted.
    ProbesPassed,
    /// It was open for its time.
    TimeUp,
    /// An operator said so.
    Manual,
}

impl Why {
    /// The word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::ErrorRate(_) => "error_rate",
            Self::SlowRate(_) => "slow_rate",
            Self::ProbeFailed => "probe_failed",
            Self::ProbesPassed => "probes_passed",
            Self::TimeUp => "time_up",
            Self::Manual => "manual",
        }
    }
}

/// A change of phase. Every change is given to exactly one caller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The phase before.
    pub from: Phase,
    /// The phase from now on.
    pub to: Phase,
    /// The cause.
    pub why: Why,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The upstream answered as it should. Answers of status 4xx are among these: the client is to blame.
    Success,
    /// It did not.
    Failure,
    /// Nothing can be said: the client left, or the call was never made. A probe is free again.
    Neither,
}

impl Outcome {
    /// The word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neither => "neither",
        }
    }
}

/// Leave to make one call. To be given back by one [`record`](super::Breaker::record), whatever comes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a probe that is not recorded holds its place for `max_open_for`"]
pub struct Admitted {
    /// Number and kind of the phase it belongs to; its result counts in no other one.
    pub(super) key: u64,
}

impl Admitted {
    /// True if the call is a probe of a half open breaker.
    pub fn is_probe(self) -> bool {
        phase_of(self.key) == Phase::HalfOpen
    }
}

/// The call may not be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refused {
    /// Time after which asking again makes sense. Up to `max_open_for`, and 0 s is possible.
    pub retry_after: Duration,
    /// A change that was found due: a probe was not heard of for too long.
    pub change: Option<Change>,
}

/// What operators see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// The phase. An open breaker whose time is up is open until the next request comes.
    pub phase: Phase,
    /// What an operator wants.
    pub manual: Manual,
    /// Time in this phase; if it never changed, since the first call was recorded.
    pub since: Duration,
    /// Calls in the window that ended in this phase. Only a closed breaker counts.
    pub requests: u64,
    /// Share of them that failed: 0.0..=1.0.
    pub error_share: f32,
    /// Share of them that was slow: 0.0..=1.0.
    pub slow_share: f32,
    /// Time until it lets a probe through. `None` unless it is open and not held open by an operator.
    pub open_left: Option<Duration>,
    /// Probes that were let through and not heard of yet.
    pub probes_in_flight: u32,
    /// Changes to open, by operators too.
    pub opened_total: u64,
}
