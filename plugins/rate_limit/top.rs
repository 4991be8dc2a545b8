//! Which keys are limited most: the space-saving sketch (Metwally, Agrawal, El Abbadi, 2005).
//!
//! It holds a fixed number of keys. A key that is not among them takes the place of the one with the
//! lowest count, and inherits that count as its possible error. So whoever makes more than one part in
//! that number of all refusals is always among them, and no count is too low.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::store::Key;

/// Counts are halved this often, so that they tell of now.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// The keys that were refused most of late.
pub(super) struct Top {
    entries: Mutex<Entries>,
    /// Refusals that were not looked at, because another thread was looking at one.
    missed: AtomicU64,
}

struct Entries {
    halved: Instant,
    all: Vec<Entry>,
}

struct Entry {
    limit: Arc<str>,
    key: Key,
    shown: Box<str>,
    count: u64,
    error: u64,
}

/// One of the keys, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    /// The limit's name.
    pub(super) limit: Arc<str>,
    /// The key, or what stands for it.
    pub(super) shown: Box<str>,
    /// Refusals, at most.
    pub(super) count: u64,
    /// By how much `count` may be too high.
    pub(super) error: u64,
}

impl Top {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            entries: Mutex::new(Entries {
                halved: now,
                all: Vec::new(),
            }),
            missed: AtomicU64::new(0),
        }
    }

    /// Counts a refusal of a key that is `shown` like this; at most `most` keys are kept. A
    /// refusal never waits for another one: two at the same moment count as one.
    pub(super) fn add(
        &self,
        limit: &Arc<str>,
        key: Key,
        most: usize,
        now: Instant,
        shown: Box<str>,
    ) {
        let Some(mut entries) = self.entries.try_lock() else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        entries.age(now);
        entries.all.truncate(most);
        let known = entries
            .all
            .iter_mut()
            .find(|one| one.key == key && one.limit == *limit);
        if let Some(entry) = known {
            entry.count += 1;
            return;
        }
        let entry = |error| Entry {
            limit: Arc::clone(limit),
            key,
            shown,
            count: error + 1,
            error,
        };
        if entries.all.len() < most {
            entries.all.push(entry(0));
            return;
        }
        if let Some(least) = entries.all.iter_mut().min_by_key(|one| one.count) {
            *least = entry(least.count);
        }
    }

    /// The first `most` of them, the most limited first.
    pub(super) fn list(&self, most: usize, now: Instant) -> Vec<Limited> {
        let mut entries = self.entries.lock();
        entries.age(now);
        let limited = entries.all.iter().map(|one| Limited {
            limit: Arc::clone(&one.limit),
            shown: one.shown.clone(),
            count: one.count,
            error: one.error,
        });
        let mut all: Vec<Limited> = limited.collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.shown.cmp(&b.shown)));
        all.truncate(most);
        all
    }

    /// Refusals that were not looked at.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl Entries {
    fn age(&mut self, now: Instant) {
        let halves = now.saturating_duration_since(self.halved).as_secs() / HALF_LIFE.as_secs();
        let Some(halves) = u32::try_from(halves).ok().filter(|halves| *halves > 0) else {
            return;
        };
        self.halved += HALF_LIFE * halves;
        for entry in &mut self.all {
            entry.count = entry.count.checked_shr(halves).unwrap_or(0);
            entry.error = entry.error.checked_shr(halves).unwrap_or(0);
        }
        self.all.retain(|entry| entry.count > 0);
    }
}
