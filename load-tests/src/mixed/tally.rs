//! What each kind of client counts. Nothing here grows with the length of a run.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Different reasons kept for each kind; of the others only the number is known.
const REASONS: usize = 5;
/// Bytes of a reason that are kept.
const REASON_BYTES: usize = 200;

/// How an exchange went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection came about: refused, or not there in time.
    NotConnected(String),
    /// A connection was there, and the exchange on it did not end as it must.
    Broken(String),
}

impl Failure {
    /// A failure on a connection.
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self::Broken(reason.into())
    }
}

/// A reason with its time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reason {
    /// Milliseconds since the run began.
    pub(super) at_ms: u64,
    /// Time of day, UTC, to be found again in the logs of the server.
    pub(super) clock: String,
    /// What was seen.
    pub(super) reason: String,
    /// How often; the times are those of the first.
    pub(super) count: u64,
}

/// Counts of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Exchanges that were right in every byte.
    pub(super) ok: u64,
    /// All that were not.
    pub(super) failed: u64,
    /// Of these, the ones for which there was no connection.
    pub(super) not_connected: u64,
    /// HTTP/2 streams that the server said it had not begun (RFC 9113, 6.8 and 8.7): no failures.
    pub(super) refused: u64,
    /// WebSockets that were closed with 1001: no failures.
    pub(super) told: u64,
    /// Connections that ended while nothing was asked on them: no failures.
    pub(super) closed_idle: u64,
    /// Connections that were made.
    pub(super) connections: u64,
    /// The longest right exchange, from its first byte sent to its last byte read.
    pub(super) longest_ms: u64,
    /// The first failures.
    pub(super) reasons: Vec<Reason>,
}

/// Where the clients of one kind count.
pub(super) struct Tally {
    begin: Instant,
    counts: Mutex<Counts>,
}

impl Tally {
    /// Nothing counted yet; `begin` is when the run began.
    pub(super) fn new(begin: Instant) -> Self {
        Self {
            begin,
            counts: Mutex::new(Counts::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A right exchange that took `length`.
    pub(super) fn ok(&self, length: Duration) {
        let mut counts = self.lock();
        counts.ok += 1;
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        counts.longest_ms = counts.longest_ms.max(length_ms);
    }

    /// A failed one.
    pub(super) fn fail(&self, failure: &Failure) {
        let (reason, is_connection) = match failure {
            Failure::NotConnected(reason) => (reason, true),
            Failure::Broken(reason) => (reason, false),
        };
        let mut counts = self.lock();
        counts.failed += 1;
        counts.not_connected += u64::from(is_connection);
        let reason = shortened(reason);
        if let Some(known) = counts.reasons.iter_mut().find(|r| r.reason == reason) {
            known.count += 1;
        } else if counts.reasons.len() < REASONS {
            let at_ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            counts.reasons.push(Reason {
                at_ms,
                clock: clock(SystemTime::now()),
                reason,
                count: 1,
            });
        }
    }

    /// A stream that the server had not begun.
    pub(super) fn refused(&self) {
        self.lock().refused += 1;
    }

    /// A WebSocket that was closed with 1001.
    pub(super) fn told(&self) {
        self.lock().told += 1;
    }

    /// A connection that ended while it was idle.
    pub(super) fn closed_idle(&self) {
        self.lock().closed_idle += 1;
    }

    /// A connection was made.
    pub(super) fn connected(&self) {
        self.lock().connections += 1;
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }
}

fn shortened(reason: &str) -> String {
    let mut end = reason.len().min(REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default().to_owned()
}

/// Hours, minutes, seconds and milliseconds of the day, UTC.
fn clock(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first_reasons_and_counts_all() {
        let tally = Tally::new(Instant::now());
        tally.fail(&Failure::NotConnected("connect: refused".into()));
        for number in 0..9 {
            tally.fail(&Failure::broken(format!("reason {number}")));
        }
        tally.fail(&Failure::broken("reason 0"));
        tally.ok(Duration::from_millis(7));
        tally.ok(Duration::from_millis(3));
        let counts = tally.counts();
        assert_eq!((counts.ok, counts.failed, counts.not_connected), (2, 11, 1));
        assert_eq!(counts.longest_ms, 7);
        assert_eq!(counts.reasons.len(), REASONS);
        assert_eq!(counts.reasons[4].reason, "reason 3");
        assert_eq!((counts.reasons[1].count, counts.reasons[4].count), (2, 1));
    }

    #[test]
    fn reasons_are_short_and_times_readable() {
        assert_eq!(shortened(&"é".repeat(150)).len(), REASON_BYTES);
        assert_eq!(shortened("a"), "a");
        let time = UNIX_EPOCH + Duration::from_millis(86_400_000 + 3_661_007);
        assert_eq!(clock(time), "01:01:01.007");
    }
}
