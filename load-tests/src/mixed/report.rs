//! What a run of mixed clients prints.

use std::fmt::Write as _;

use serde::Serialize;

use super::kind::Kind;
use super::tally::Counts;

/// The result of a run.
#[derive(Debug, Serialize)]
pub(super) struct MixedReport {
    /// How long it loaded, the end of the last exchanges included.
    pub(super) seconds: f64,
    /// Right exchanges of all kinds.
    pub(super) ok: u64,
    /// Failures of all kinds.
    pub(super) failed: u64,
    /// Failures of all kinds for which there was no connection.
    pub(super) not_connected: u64,
    /// One line for each kind that had clients.
    pub(super) kinds: Vec<KindReport>,
}

/// The line of a kind.
#[derive(Debug, Serialize)]
pub(super) struct KindReport {
    kind: &'static str,
    clients: usize,
    /// What was counted.
    #[serde(flatten)]
    counts: Counts,
}

impl MixedReport {
    /// From the counts of the kinds that had clients.
    pub(super) fn new(seconds: f64, kinds: Vec<(Kind, usize, Counts)>) -> Self {
        let sum =
            |count: fn(&Counts) -> u64| kinds.iter().map(|(_, _, counts)| count(counts)).sum();
        Self {
            seconds,
            ok: sum(|counts| counts.ok),
            failed: sum(|counts| counts.failed),
            not_connected: sum(|counts| counts.not_connected),
            kinds: kinds
                .into_iter()
                .map(|(kind, clients, counts)| KindReport {
                    kind: kind.name(),
                    clients,
                    counts,
                })
                .collect(),
        }
    }

    /// The counts of the only kind there was.
    #[cfg(test)]
    pub(super) fn into_counts(mut self) -> Counts {
        assert_eq!(self.kinds.len(), 1);
        self.kinds.remove(0).counts
    }

    /// Whether nothing failed and every kind did something: a load that loaded nothing proves nothing.
    pub(super) fn is_good(&self) -> bool {
        self.failed == 0 && self.kinds.iter().all(|line| line.counts.ok > 0)
    }

    /// The table, and below it the reasons.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{:<11} {:>7} {:>8} {:>7} {:>9} {:>8} {:>6} {:>8} {:>6} {:>10}\n",
            "kind",
            "clients",
            "ok",
            "failed",
            "unreached",
            "refused",
            "told",
            "closed",
            "conns",
            "longest ms"
        );
        for line in &self.kinds {
            let counts = &line.counts;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<11} {:>7} {:>8} {:>7} {:>9} {:>8} {:>6} {:>8} {:>6} {:>10}",
                line.kind,
                line.clients,
                counts.ok,
                counts.failed,
                counts.not_connected,
                counts.refused,
                counts.told,
                counts.closed_idle,
                counts.connections,
                counts.longest_ms
            );
        }
        for line in &self.kinds {
            for reason in &line.counts.reasons {
                let _ = writeln!(
                    text,
                    "{} at {} ms ({} UTC), {} times: {}",
                    line.kind, reason.at_ms, reason.clock, reason.count, reason.reason
                );
            }
            if line.counts.ok == 0 {
                let _ = writeln!(text, "{}: nothing was right", line.kind);
            }
        }
        let _ = writeln!(
            text,
            "{:.1} s: {} failed, {} ok",
            self.seconds, self.failed, self.ok
        );
        text
    }
}
