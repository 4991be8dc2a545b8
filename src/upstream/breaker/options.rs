//! What a breaker is configured with.

use std::time::Duration;

/// What an upstream's breaker was configured with.
///
/// Values out of range do no harm: `min_requests` and `probes` count as 1 when they are 0, a rate above 1 is never
/// reached, and `max_open_for` holds even if it is below `open_for`.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerOptions {
    /// Length of the sliding window, 10 ms or more.
    pub window: Duration,
    /// Calls in the window below which no share is looked at: one failure of one call says nothing.
    pub min_requests: u32,
    /// Share of failed calls that opens it, 0.0..=1.0. `None`: failures do not.
    pub error_rate: Option<f32>,
    /// A call that took as long or longer is a slow one.
    pub slow_call: Option<Duration>,
    /// Share of slow calls that opens it, 0.0..=1.0. `None`: slow calls do not.
    pub slow_rate: Option<f32>,
    /// Time it stays open at first.
    pub open_for: Duration,
    /// Longest time it stays open, however often it has opened.
    pub max_open_for: Duration,
    /// Requests let through when half open; as many successes close it.
    pub probes: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_requests: 20,
            error_rate: Some(0.5),
            slow_call: None,
            slow_rate: None,
            open_for: Duration::from_secs(5),
            max_open_for: Duration::from_secs(60),
            probes: 1,
        }
    }
}

impl BreakerOptions {
    pub(super) fn probes_wanted(&self) -> u32 {
        self.probes.max(1)
    }

    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.slow_call.is_some_and(|limit| took >= limit)
    }
}
