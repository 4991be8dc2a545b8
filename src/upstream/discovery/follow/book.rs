//! What is known of all upstreams. It has no clock and asks nobody: time and answers come in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Entry, OnDisk};
use super::{Judge, Provenance, Status, Wanted};
use crate::upstream::balance::random::below;
use crate::upstream::discovery::ask::Said;
use crate::upstream::discovery::kept::KeptSet;
use crate::upstream::discovery::source::{DiscoveryOptions, Found};

/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// No source is asked more often than this.
const LEAST_PAUSE: Duration = Duration::from_millis(20);

/// A source's answer, and what is needed to take it.
pub(super) struct Answer {
    pub(super) upstream: Arc<str>,
    /// Of which opening.
    pub(super) opened: u64,
    pub(super) said: Said,
    pub(super) left_out: Option<String>,
    /// The longest pause after failures.
    pub(super) longest_pause: Duration,
}

/// A source that is to run.
pub(super) struct Running {
    pub(super) upstream: Arc<str>,
    pub(super) opened: u64,
    pub(super) options: Arc<DiscoveryOptions>,
}

#[derive(Debug)]
pub(super) struct Book {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Of the opening that comes next.
    next: u64,
    /// True if sets are kept on disk.
    keeps: bool,
}

impl Book {
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
            keeps,
        }
    }

    /// Replaces who is followed.
    pub(super) fn set(&mut self, wanted: Vec<Wanted>, judge: Judge, now: Instant) {
        let names: BTreeSet<Arc<str>> = wanted.iter().map(|w| w.upstream.clone()).collect();
        self.entries.retain(|upstream, _| names.contains(upstream));
        for Wanted { upstream, options } in wanted {
            self.next += 1;
            let opened = self.next;
            match self.entries.get_mut(&upstream) {
                Some(entry) if entry.options == options => {}
                Some(entry) => entry.change(options, opened, judge, now),
                None => {
                    let entry = Entry::new(options, opened, self.keeps, now);
                    self.entries.insert(upstream, entry);
                }
            }
        }
    }

    /// The sources that are to run.
    pub(super) fn running(&self) -> Vec<Running> {
        let running = |(upstream, entry): (&Arc<str>, &Entry)| Running {
            upstream: upstream.clone(),
            opened: entry.opened,
            options: entry.options.clone(),
        };
        self.entries.iter().map(running).collect()
    }

    pub(super) fn options(&self, upstream: &str) -> Option<Arc<DiscoveryOptions>> {
        self.entries
            .get(upstream)
            .map(|entry| entry.options.clone())
    }

    pub(super) fn names(&self) -> BTreeSet<Arc<str>> {
        self.entries.keys().cloned().collect()
    }

    /// The upstreams whose kept set is to be read.
    pub(super) fn take_unread(&mut self) -> Vec<Arc<str>> {
        let unread = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| matches!(entry.on_disk, OnDisk::Unread));
        unread
            .map(|(upstream, entry)| {
                entry.on_disk = OnDisk::Reading;
                upstream.clone()
            })
            .collect()
    }

    pub(super) fn read(
        &mut self,
        upstream: &str,
        read: Result<Option<KeptSet>, String>,
        now: Instant,
    ) {
        if let Some(entry) = self.entries.get_mut(upstream) {
            entry.read(read, now);
        }
    }

    /// Writes an answer down. The pause until the source is asked again; none if it is not wanted any more.
    pub(super) fn record(
        &mut self,
        answer: Answer,
        judge: Judge,
        now: Instant,
        random: u64,
    ) -> Option<Duration> {
        let entry = self.entries.get_mut(&answer.upstream)?;
        if entry.opened != answer.opened {
            return None;
        }
        let (error, pause) = match answer.said {
            Ok((said, pause)) => {
                let taken = entry.answered(said.endpoints, answer.left_out, judge, now);
                (taken.err(), Some(pause))
            }
            Err(error) => (Some(error), None),
        };
        if let Some(error) = error {
            entry.failed(&answer.upstream, error, now);
        }
        // An answer that cannot be used says all the same when the next one is due.
        let pause =
            pause.unwrap_or_else(|| backoff(entry.failures(), answer.longest_pause, random));
        Some(pause.max(LEAST_PAUSE))
    }

    pub(super) fn remember(
        &mut self,
        upstream: &str,
        endpoints: Vec<Found>,
        age: Duration,
        judge: Judge,
        now: Instant,
    ) -> bool {
        let entry = self.entries.get_mut(upstream);
        entry.is_some_and(|entry| entry.remember(endpoints, Provenance::Moved, age, judge, now))
    }

    /// The sets that are to be told now.
    pub(super) fn pass(&mut self, judge: Judge, now: Instant) -> Vec<(Arc<str>, Arc<[Found]>)> {
        let mut told = Vec::new();
        for (upstream, entry) in &mut self.entries {
            entry.pass(upstream, judge, now);
            if let Some(set) = entry.take_pending(now) {
                told.push((upstream.clone(), set));
            }
        }
        told
    }

    /// A set that is to be written now.
    pub(super) fn take_unsaved(&mut self, now: Instant) -> Option<KeptSet> {
        let mut entries = self.entries.iter_mut();
        entries.find_map(|(upstream, entry)| entry.take_unsaved(upstream, now))
    }

    /// A set could not be written.
    pub(super) fn not_saved(&mut self, upstream: &str) {
        if let Some(entry) = self.entries.get_mut(upstream) {
            entry.counts.unsaved += 1;
        }
    }

    /// When something is to be done next without anybody's answer. While a set is written, no other one is.
    pub(super) fn due(&self, is_saving: bool) -> Option<Instant> {
        let keeps = self.keeps && !is_saving;
        self.entries
            .values()
            .filter_map(|entry| entry.due(keeps))
            .min()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.entries.values().all(Entry::is_settled)
    }

    pub(super) fn missing(&self) -> Vec<Arc<str>> {
        let missing = self.entries.iter().filter(|(_, entry)| entry.is_empty());
        missing.map(|(upstream, _)| upstream.clone()).collect()
    }

    pub(super) fn status(&self, now: Instant) -> Vec<Status> {
        let status = |(upstream, entry): (&Arc<str>, &Entry)| entry.status(upstream, now);
        self.entries.iter().map(status).collect()
    }
}

/// Doubles from 1 s up to `longest`; of that, a random half is taken off, so that nodes do not come back in step.
fn backoff(failures: u32, longest: Duration, random: u64) -> Duration {
    let doubled = FIRST_PAUSE * (1 << failures.saturating_sub(1).min(12));
    let pause = doubled.min(longest);
    let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
    pause.saturating_sub(Duration::from_micros(below(random, half)))
}
