//! How long a retry waits.
//!
//! Exponential with full jitter: uniform in `0..=min(max, base * 2^n)` before retry n, counted from
//! 0 (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Of the jitters
//! compared there it costs the least work: clients that failed together do not come back together.
//!
//! A Retry-After (RFC 9110 section 10.2.3) is the least pause, and the jitter comes on top: whoever
//! was told the same second would else return in it.

use std::time::{Duration, SystemTime};

use super::policy::FailureClass;
use crate::upstream::balance::random::below;

/// Longest pause that a Retry-After can ask for; a longer one is taken as this. 68 years, the
/// bound of RFC 9111 section 1.2.2 for seconds in a field.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(1 << 31);

/// Pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest pause before the first retry; each further one doubles it. 0: no pause, unless the
    /// endpoint asks for one.
    pub base: Duration,
    /// Longest pause before any retry. Below `base` it counts for the first one too.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Backoff {
    /// Where nothing is written: 25 ms, up to 250 ms, as in Envoy.
    pub const USUAL: Self = Self {
        base: Duration::from_millis(25),
        max: Duration::from_millis(250),
    };

    /// The longest pause before an attempt, without Retry-After, in nanoseconds. Attempt 2 is the
    /// first retry.
    fn longest_ns(self, attempt: u8) -> u64 {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // 64 bits and 63 doublings fit into 127; more of them would change nothing.
        let doublings = attempt.saturating_sub(2).min(63);
        let doubled = u128::from(ns(self.base)) << doublings;
        u64::try_from(doubled).unwrap_or(u64::MAX).min(ns(self.max))
    }

    /// The pause before attempt number `attempt`, which is `Attempts::number` after `Retry::Again`.
    /// `left` is the time until the request's deadline. `None`: the pause would use it up, so there
    /// is no further attempt. `random`: 64 random bits, new for each pause.
    pub fn pause(
        self,
        attempt: u8,
        retry_after: Option<Duration>,
        left: Duration,
        random: u64,
    ) -> Option<Duration> {
        let ends = self.longest_ns(attempt).saturating_add(1);
        let jitter = Duration::from_nanos(below(random, ends));
        let pause = retry_after.unwrap_or_default().saturating_add(jitter);
        (pause < left).then_some(pause)
    }
}

/// True if the attempt after this failure waits first. `untried_left`: an endpoint that this
/// request has not tried can be chosen.
///
/// Where nothing was done and another endpoint is left, waiting helps nobody. In all other cases the
/// trouble may be the load itself. A `Retry::AgainFree` never waits, and this is not asked for it.
pub const fn needs_pause(failure: FailureClass, untried_left: bool) -> bool {
    match failure {
        FailureClass::Connect | FailureClass::RefusedStream => !untried_left,
        FailureClass::ResetBeforeResponse
        | FailureClass::ReusedReset
        | FailureClass::PerTry
        | FailureClass::Status(_)
        | FailureClass::Final => true,
    }
}

/// The time a Retry-After asks for, at most [`MAX_RETRY_AFTER`]: whole seconds, or an HTTP-date in
/// one of its three forms, of which a past one is 0. `None` if it is neither; a date whose day of
/// the week is wrong is none either.
pub fn parse_retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    if text.is_empty() {
        return None;
    }
    let asked = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits alone fail only by being too many.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(MAX_RETRY_AFTER))
}
