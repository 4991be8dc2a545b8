//! Requests that wait for room instead of being refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState as FastState;
use parking_lot::Mutex;

use super::store::Key;

/// Which requests wait: for which store, and which of its keys.
type Line = (u64, Key);

/// All waiting requests of a plugin, counted by what they wait for. It outlives reloads, so that the
/// bound holds over them.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    all: usize,
    by_line: HashMap<Line, u32, FastState>,
}

/// How long requests may wait, and how many.
pub(super) struct Delay {
    pub(super) longest: Duration,
    pub(super) most: usize,
    pub(super) waiting: Arc<Waiting>,
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Its turn would come too late: after this many nanoseconds.
    TooLong(u64),
    /// As many wait as may.
    Full,
}

/// A place in a line. It is given back when it is dropped: when the wait is over, or the client left.
pub(super) struct Ticket {
    waiting: Arc<Waiting>,
    line: Line,
}

impl Delay {
    /// Lines a request up for a key that has room for one request in `retry_ns` and for one more every
    /// `step_ns`. Returns how long to wait, at least a nanosecond.
    pub(super) fn enter(
        &self,
        line: Line,
        retry_ns: u64,
        step_ns: u64,
    ) -> Result<(Ticket, Duration), NoPlace> {
        let mut lines = self.waiting.0.lock();
        let ahead = lines.by_line.get(&line).copied().unwrap_or(0);
        let wait_ns = retry_ns.saturating_add(step_ns.saturating_mul(u64::from(ahead)));
        let wait = Duration::from_nanos(wait_ns.max(1));
        if wait > self.longest {
            return Err(NoPlace::TooLong(wait_ns));
        }
        if lines.all >= self.most {
            return Err(NoPlace::Full);
        }
        lines.all += 1;
        *lines.by_line.entry(line).or_insert(0) += 1;
        let waiting = Arc::clone(&self.waiting);
        Ok((Ticket { waiting, line }, wait))
    }
}

impl Waiting {
    /// Requests that wait now.
    pub(super) fn len(&self) -> usize {
        self.0.lock().all
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut lines = self.waiting.0.lock();
        lines.all = lines.all.saturating_sub(1);
        if let Some(count) = lines.by_line.get_mut(&self.line) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                lines.by_line.remove(&self.line);
            }
        }
    }
}
