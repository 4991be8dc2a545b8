//! What is counted of one endpoint while requests pass.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::held::{Held, Status};
use super::times::{Taken, Times};
use super::{Cause, OutlierOptions, Seen};

/// Counters and ejection of one endpoint. Part of its state, so that a reload keeps them.
#[derive(Debug, Default)]
pub struct Outlier {
    /// 5xx and failures since the last good answer.
    bad_in_row: AtomicU32,
    /// Failed connects since the last answer.
    unconnected_in_row: AtomicU32,
    /// Of this interval, counted only where success rates are compared.
    good: AtomicU32,
    bad: AtomicU32,
    /// Written behind the ejector's lock, so that it can be read for every member without one.
    out: AtomicBool,
    /// Times of good answers of this interval, counted only where they are compared.
    times: Times,
    held: Mutex<Held>,
}

/// What was counted of one endpoint in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Interval {
    pub(super) good: u32,
    pub(super) bad: u32,
    pub(super) taken: Option<Taken>,
}

/// Adds one to a row. True for exactly one caller each time the row is `threshold` long; then it begins anew.
fn lengthen(row: &AtomicU32, threshold: u32) -> bool {
    let next = |length: u32| {
        let longer = length.saturating_add(1);
        Some(if longer >= threshold { 0 } else { longer })
    };
    let relaxed = Ordering::Relaxed;
    row.fetch_update(relaxed, relaxed, next)
        .is_ok_and(|length| length.saturating_add(1) >= threshold)
}

/// A row of good answers leaves the cache line as it is.
fn end(row: &AtomicU32) {
    if row.load(Ordering::Relaxed) != 0 {
        row.store(0, Ordering::Relaxed);
    }
}

impl Outlier {
    /// Counts how an attempt ended; `took` is the time to the answer's head. A cause is given back by the attempt
    /// that passes its threshold, and again after as many more: then [`super::Ejector::eject`] decides.
    ///
    /// A failed connect counts in both rows, so that an endpoint that refuses and fails by turns is found. An answer
    /// ends the row of failed connects, also one of 5xx; a failure on a connection says nothing about connecting.
    pub fn record(
        &self,
        options: &OutlierOptions,
        seen: Seen,
        took: Option<Duration>,
    ) -> Option<Cause> {
        let is_bad = seen
            != Seen::Answer {
                server_error: false,
            };
        if options.success_rate.is_some() {
            let count = if is_bad { &self.bad } else { &self.good };
            count.fetch_add(1, Ordering::Relaxed);
        }
        if !is_bad {
            end(&self.bad_in_row);
            end(&self.unconnected_in_row);
            // Errors come at once: with their times an endpoint that fails would make the others look slow.
            if let (Some(_), Some(took)) = (options.latency, took) {
                self.times.add(took);
            }
            return None;
        }
        let passes = |row, threshold: Option<u32>| {
            threshold.filter(|threshold| lengthen(row, (*threshold).max(1)))
        };
        let unconnected = match seen {
            Seen::ConnectFailure => passes(
                &self.unconnected_in_row,
                options.consecutive_connect_failures,
            ),
            Seen::Answer { .. } => {
                end(&self.unconnected_in_row);
                None
            }
            Seen::Failure => None,
        };
        let bad = passes(&self.bad_in_row, options.consecutive_5xx);
        unconnected
            .map(Cause::ConnectFailures)
            .or(bad.map(Cause::Consecutive5xx))
    }

    /// True while it is ejected.
    pub fn is_out(&self) -> bool {
        self.out.load(Ordering::Relaxed)
    }

    /// How often it was ejected and came back within the last ten minutes; the oldest minute is forgotten as a whole.
    pub fn flaps(&self, now: Instant) -> u32 {
        self.held.lock().flaps(now)
    }

    /// For operators.
    pub fn status(&self, now: Instant) -> Status {
        let row = |row: &AtomicU32| row.load(Ordering::Relaxed);
        let rows = (row(&self.bad_in_row), row(&self.unconnected_in_row));
        self.held.lock().status(rows, now)
    }

    /// What lasts longer than a request. Only the ejector, which has a lock of its own, and a restore write it.
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    pub(super) fn set_out(&self, out: bool) {
        self.out.store(out, Ordering::Relaxed);
    }

    /// Begins a new interval and gives back what was counted in the one before.
    pub(super) fn take_interval(&self) -> Interval {
        let take = |count: &AtomicU32| match count.load(Ordering::Relaxed) {
            0 => 0,
            _ => count.swap(0, Ordering::Relaxed),
        };
        Interval {
            good: take(&self.good),
            bad: take(&self.bad),
            taken: self.times.take(),
        }
    }

    /// Forgets what was counted: an endpoint that comes back begins anew.
    pub(super) fn forget_counts(&self) {
        end(&self.bad_in_row);
        end(&self.unconnected_in_row);
        let _ = self.take_interval();
    }
}
