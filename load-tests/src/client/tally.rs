//! What a run counts.

use std::time::Duration;

use super::ANSWER_LIMIT;
use crate::generator::Run;

/// Counts of one run. Its size is fixed: one count per microsecond up to [`ANSWER_LIMIT`].
pub(crate) struct Tally {
    latencies_us: Vec<u32>,
    answers: u64,
    bytes: u64,
    /// Connections that could not be made, or whose cryptography was not the case's.
    pub(crate) connect_errors: u64,
    /// Connections that broke.
    pub(crate) read_errors: u64,
    /// Answers that took longer than [`ANSWER_LIMIT`].
    pub(crate) timeouts: u64,
    /// Answers with another status or body than the case's.
    pub(crate) bad_answers: u64,
}

impl Tally {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        let slots = usize::try_from(ANSWER_LIMIT.as_micros()).unwrap_or(0) + 1;
        Self {
            latencies_us: vec![0; slots],
            answers: 0,
            bytes: 0,
            connect_errors: 0,
            read_errors: 0,
            timeouts: 0,
            bad_answers: 0,
        }
    }

    /// Counts an answer, or a finished handshake, that took `latency`.
    pub(crate) fn add(&mut self, latency: Duration, bytes: usize) {
        let last = self.latencies_us.len() - 1;
        let slot = usize::try_from(latency.as_micros()).map_or(last, |us| us.min(last));
        if let Some(count) = self.latencies_us.get_mut(slot) {
            *count = count.saturating_add(1);
        }
        self.answers += 1;
        self.bytes += bytes as u64;
    }

    /// The smallest latency that `thousandths` of 1000 answers do not exceed, in microseconds.
    fn latency_us(&self, thousandths: u64) -> u64 {
        let wanted = (self.answers * thousandths).div_ceil(1000);
        let mut seen = 0;
        for (slot, count) in self.latencies_us.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return slot as u64;
            }
        }
        0
    }

    /// The result of a run of this length.
    pub(crate) fn result(&self, duration: Duration) -> Run {
        Run {
            requests: self.answers,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            bytes: self.bytes,
            p50_us: self.latency_us(500),
            p99_us: self.latency_us(990),
            p999_us: self.latency_us(999),
            connect_errors: self.connect_errors,
            read_errors: self.read_errors,
            write_errors: 0,
            timeouts: self.timeouts,
            bad_statuses: self.bad_answers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_finds_percentiles() {
        let mut tally = Tally::new();
        for us in 1..=1000 {
            tally.add(Duration::from_micros(us), 10);
        }
        tally.timeouts = 2;
        let run = tally.result(Duration::from_secs(2));
        assert_eq!((run.requests, run.bytes, run.losses()), (1000, 10_000, 2));
        assert_eq!((run.p50_us, run.p99_us, run.p999_us), (500, 990, 999));
        assert_eq!(run.rate(), 500.0);
    }

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        let mut tally = Tally::new();
        assert_eq!(tally.result(Duration::ZERO).p50_us, 0);
        tally.add(Duration::from_secs(3600), 0);
        assert_eq!(tally.result(Duration::ZERO).p50_us, 2_000_000);
    }
}
