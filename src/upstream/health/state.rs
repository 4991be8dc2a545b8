//! What active checks know about one endpoint: a state machine of three phases.
//!
//! ```text
//!              first good probe
//!   unknown ────────────────────► up ◄──────────────┐
//!      │                          │ `fall` failed   │ `rise` good
//!      │ `fall` failed in a row   ▼ in a row        │ in a row
//!      └───────────────────────► down ──────────────┘
//! ```
//!
//! `unknown` counts as up, as in nginx, HAProxy and Pingora: a node that has just started must serve, and a wrong
//! check must not take a whole farm away before it failed `fall` times. As in Envoy one good probe is enough to leave
//! `unknown`. A streak is broken by one probe of the other kind.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::failure::ProbeError;
use super::moved::MovedHealth;
use super::options::HealthOptions;

/// Changes older than this are no longer counted as flapping.
pub const FLAP_WINDOW: Duration = Duration::from_secs(600);

/// Most changes that are remembered; more within the window are not counted.
pub(super) const MAX_FLAPS: usize = 64;

/// What is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// No verdict yet. It counts as up.
    #[default]
    Unknown,
    /// It answers as it should.
    Up,
    /// It does not, and gets no requests.
    Down,
}

impl Phase {
    /// For operators and labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What made a phase change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Enough good probes.
    Passed,
    /// Enough failed probes; the last one's failure.
    Failed(ProbeError),
    /// The endpoint or its checks are no longer configured, or another question is asked from now on.
    Forgotten,
    /// Another process knew it.
    Restored,
}

impl Why {
    /// For operators and labels.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Forgotten => "forgotten",
            Self::Restored => "restored",
        }
    }
}

/// A change of phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The phase before.
    pub from: Phase,
    /// The phase now.
    pub to: Phase,
    /// What made it change.
    pub why: Why,
    /// How long the phase before lasted; none if it began in another process or before the first probe.
    pub lasted: Option<Duration>,
}

impl Change {
    /// True if the endpoint is to be held back from now on, false if it may be used.
    pub fn holds_back(&self) -> bool {
        self.to == Phase::Down
    }

    /// False between unknown and up: requests notice nothing.
    pub fn is_noticed(&self) -> bool {
        (self.from == Phase::Down) != (self.to == Phase::Down)
    }
}

/// The health of one endpoint, kept over reloads. Requests do not read it: whoever is told of a [`Change`] sets the
/// endpoint's mark.
#[derive(Debug, Default)]
pub struct Health(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    phase: Phase,
    since: Option<Instant>,
    /// Good or failed probes in a row; one of the two is 0.
    good: u32,
    bad: u32,
    probes_total: u64,
    failures_total: u64,
    /// Probes of this process; the totals may hold those of another one.
    own_probes: u64,
    restored: bool,
    last: Option<(Instant, Duration)>,
    error: Option<(Instant, ProbeError)>,
    /// When the endpoint left and returned, oldest first.
    flaps: VecDeque<Instant>,
}

/// What operators see.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The phase.
    pub phase: Phase,
    /// How long it has lasted; none before the first probe.
    pub since: Option<Duration>,
    /// Good probes in a row.
    pub good: u32,
    /// Failed probes in a row.
    pub bad: u32,
    /// Probes that ended.
    pub probes_total: u64,
    /// Of these, failed.
    pub failures_total: u64,
    /// Time since the last probe ended.
    pub last_age: Option<Duration>,
    /// How long the last probe took.
    pub last_took: Option<Duration>,
    /// The last failure and its age; it stays when the endpoint is well again.
    pub error: Option<(ProbeError, Duration)>,
    /// How often the endpoint left or returned within the last 10 minutes; 64 stands for more too.
    pub flaps: u32,
}

impl Health {
    /// Writes a probe's end down.
    pub fn record(
        &self,
        options: &HealthOptions,
        outcome: Result<(), ProbeError>,
        took: Duration,
        now: Instant,
    ) -> Option<Change> {
        let mut record = self.0.lock();
        record.probes_total += 1;
        record.own_probes += 1;
        record.last = Some((now, took));
        match outcome {
            Ok(()) => {
                record.good = record.good.saturating_add(1);
                record.bad = 0;
                let returns = match record.phase {
                    Phase::Up => false,
                    Phase::Unknown => true,
                    Phase::Down => record.good >= options.rise.max(1),
                };
                returns.then(|| record.turn(Phase::Up, Why::Passed, now))
            }
            Err(error) => {
                record.failures_total += 1;
                record.bad = record.bad.saturating_add(1);
                record.good = 0;
                record.error = Some((now, error.clone()));
                let leaves = record.phase != Phase::Down && record.bad >= options.fall.max(1);
                leaves.then(|| record.turn(Phase::Down, Why::Failed(error), now))
            }
        }
    }

    /// Forgets the verdict, because nobody asks any longer or something else is asked. Totals and flaps stay.
    pub fn forget(&self, now: Instant) -> Option<Change> {
        let mut record = self.0.lock();
        (record.good, record.bad, record.restored) = (0, 0, false);
        let known = record.phase != Phase::Unknown;
        known.then(|| record.turn(Phase::Unknown, Why::Forgotten, now))
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        self.0.lock().phase
    }

    /// True while the next verdict is wanted soon: there is none yet, or it is another process's, whose question may
    /// have been another.
    pub fn is_hurried(&self, options: &HealthOptions) -> bool {
        let record = self.0.lock();
        let enough = u64::from(options.rise.max(options.fall));
        record.phase == Phase::Unknown || (record.restored && record.own_probes < enough)
    }

    /// What operators see.
    pub fn status(&self, now: Instant) -> Status {
        let record = self.0.lock();
        let age = |then: Instant| now.saturating_duration_since(then);
        Status {
            phase: record.phase,
            since: record.since.map(age),
            good: record.good,
            bad: record.bad,
            probes_total: record.probes_total,
            failures_total: record.failures_total,
            last_age: record.last.map(|(then, _)| age(then)),
            last_took: record.last.map(|(_, took)| took),
            error: record
                .error
                .as_ref()
                .map(|(then, error)| (error.clone(), age(*then))),
            flaps: record.flaps(now),
        }
    }

    /// What another process takes over; none while nothing is known.
    pub fn moved(&self, now: Instant) -> Option<MovedHealth> {
        let record = self.0.lock();
        let age_ms = |then: &Instant| {
            let age = now.saturating_duration_since(*then);
            u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
        };
        (record.phase != Phase::Unknown).then(|| MovedHealth {
            down: record.phase == Phase::Down,
            since_ms: record.since.as_ref().map(age_ms),
            good: record.good,
            bad: record.bad,
            probes_total: record.probes_total,
            failures_total: record.failures_total,
            flaps_ms: record.flaps.iter().map(age_ms).collect(),
        })
    }

    /// Takes over what another process knew `age` ago, unless something is known here already. The mark follows when
    /// the checker first sees the endpoint: what nobody checks any longer is not held back.
    pub fn restore(&self, moved: &MovedHealth, age: Duration, now: Instant) {
        let mut record = self.0.lock();
        if record.own_probes > 0 || record.phase != Phase::Unknown {
            return;
        }
        let then = |ms: u64| now.checked_sub(age.saturating_add(Duration::from_millis(ms)));
        record.phase = if moved.down { Phase::Down } else { Phase::Up };
        record.since = moved.since_ms.and_then(then);
        (record.good, record.bad) = (moved.good, moved.bad);
        record.probes_total += moved.probes_total;
        record.failures_total += moved.failures_total;
        let from = moved.flaps_ms.len().saturating_sub(MAX_FLAPS);
        let kept = moved.flaps_ms.iter().skip(from);
        record.flaps = kept.filter_map(|ms| then(*ms)).collect();
        record.restored = true;
    }

    /// For the checker when it first sees the endpoint: the change to be told, if another process held it back.
    pub(super) fn restored_change(&self) -> Option<Change> {
        let record = self.0.lock();
        (record.phase == Phase::Down).then_some(Change {
            from: Phase::Unknown,
            to: Phase::Down,
            why: Why::Restored,
            lasted: None,
        })
    }
}

impl Record {
    fn turn(&mut self, to: Phase, why: Why, now: Instant) -> Change {
        let change = Change {
            from: self.phase,
            to,
            lasted: self.since.map(|then| now.saturating_duration_since(then)),
            why,
        };
        // Forgetting is not the endpoint's doing.
        if change.is_noticed() && change.why != Why::Forgotten {
            if self.flaps.len() >= MAX_FLAPS {
                self.flaps.pop_front();
            }
            self.flaps.push_back(now);
        }
        self.phase = to;
        self.since = Some(now);
        change
    }

    fn flaps(&self, now: Instant) -> u32 {
        let recent = |then: &&Instant| now.saturating_duration_since(**then) < FLAP_WINDOW;
        // At most `MAX_FLAPS`.
        self.flaps.iter().filter(recent).count() as u32
    }
}

#[cfg(test)]
mod tests;
