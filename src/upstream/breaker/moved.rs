//! What is known of a breaker, in the form that another process takes over at an upgrade.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::phase::{Manual, Phase, Word};
use super::{Breaker, MOST_DOUBLINGS, nanoseconds};

/// More time to be open than this is nonsense.
const MOST_LEFT: Duration = Duration::from_secs(86_400);

/// A breaker. Every field has a default, and words that are not known count as none: the two processes may be of
/// different versions.
///
/// The counts of the window do not move, nor do probes in flight: the new process counts from nothing, and sends
/// probes of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moved {
    /// The word of its [`Phase`].
    pub phase: String,
    /// The word of its [`Manual`].
    pub manual: String,
    /// Time in this phase, in milliseconds; `None` if it never changed.
    pub since_ms: Option<u64>,
    /// Time until it lets a probe through, in milliseconds; `None` unless it is open by itself.
    pub open_left_ms: Option<u64>,
    /// How often `open_for` is doubled at the next opening.
    pub doublings: u32,
    /// Changes to open.
    pub opened_total: u64,
}

impl Moved {
    /// The same, `age` later: for what was on its way for a while.
    #[must_use]
    pub fn aged(mut self, age: Duration) -> Self {
        let age_ms = milliseconds(age);
        self.since_ms = self.since_ms.map(|since| since.saturating_add(age_ms));
        self.open_left_ms = self.open_left_ms.map(|left| left.saturating_sub(age_ms));
        self
    }
}

impl Breaker {
    /// What is to be moved.
    pub fn moved(&self, now: Instant) -> Moved {
        let turn = self.turn.lock();
        let word = self.word();
        let since = turn.since.map(|since| now.saturating_duration_since(since));
        Moved {
            phase: word.phase().word().to_owned(),
            manual: word.manual().word().to_owned(),
            since_ms: since.map(milliseconds),
            open_left_ms: self.open_left(word, now).map(milliseconds),
            doublings: turn.doublings,
            opened_total: turn.opened_total,
        }
    }

    /// Goes on where another process was. If the phase has changed here, or an operator has said something, only the
    /// total is taken over.
    pub fn restore(&self, moved: &Moved, now: Instant) {
        let mut turn = self.turn.lock();
        turn.opened_total = turn.opened_total.saturating_add(moved.opened_total);
        let word = self.word();
        if word != Word::default() {
            return;
        }
        let since_origin_ns = self.since_origin_ns(now);
        let manual = Manual::parse(&moved.manual).unwrap_or_default();
        let phase = match manual {
            Manual::Auto => Phase::parse(&moved.phase).unwrap_or(Phase::Closed),
            Manual::Open => Phase::Open,
            Manual::Close => Phase::Closed,
        };
        let left = Duration::from_millis(moved.open_left_ms.unwrap_or(0)).min(MOST_LEFT);
        let until_ns = since_origin_ns.saturating_add(nanoseconds(left));
        self.open_until_ns.store(until_ns, Ordering::Relaxed);
        let since = moved.since_ms.map(Duration::from_millis);
        turn.since = since.map(|since| now.checked_sub(since).unwrap_or(now));
        turn.doublings = moved.doublings.min(MOST_DOUBLINGS);
        let next = if phase == Phase::Closed {
            word.with_manual(manual)
        } else {
            word.with_manual(manual).changed_to(phase)
        };
        self.word.store(next.0, Ordering::Release);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
