//! The keys of one provider as they were read last, who waits for them, and when they are fetched
//! again. Outlives reloads and upgrades; settings are passed in with every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use farmgate_plugin_api::services::{Clock, Kept, Saved};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::jwks::KeySet;

/// Most requests that wait for one provider's keys.
pub(super) const MAX_WAITERS: usize = 1024;
/// The version of what [`Kept::save`] gives.
const VERSION: u8 = 1;
/// Pauses after failed fetches: the first, and the longest with and without keys in use.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE_WITHOUT: Duration = Duration::from_secs(4);

/// Keys in use.
pub(super) struct Held {
    /// The keys.
    pub(super) set: Arc<KeySet>,
    /// Changes whenever the keys do.
    pub(super) generation: u64,
    /// What they were read from.
    pub(super) document: Bytes,
    /// When they were taken, and how old they were then.
    at: Instant,
    age_at: Duration,
}

impl Held {
    /// Since the provider confirmed them.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at);
        self.age_at.saturating_add(since)
    }
}

/// The keys of one provider.
pub(super) struct Store {
    clock: Arc<dyn Clock>,
    current: ArcSwapOption<Held>,
    generations: AtomicU64,
    flights: Mutex<Flights>,
    /// Wakes the task that fetches.
    asked: Notify,
    /// Counts fetches that are over, and documents that came otherwise.
    rounds: watch::Sender<u64>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Flights {
    running: bool,
    /// Somebody asked for one.
    wanted: bool,
    /// When the last one was over.
    last: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
    /// When an unknown key asked last.
    refetched: Option<Instant>,
}

/// A place among those who wait.
pub(super) struct Waiter<'s>(&'s AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A fetch; over when it is dropped.
pub(super) struct Flight<'s> {
    store: &'s Store,
    result: Option<bool>,
}

impl Flight<'_> {
    /// Notes how it went.
    pub(super) fn ends(mut self, well: bool) {
        self.result = Some(well);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.store.flights.lock();
        flights.running = false;
        // One that was given up tells nothing about the provider.
        if let Some(well) = self.result {
            flights.last = Some(self.store.clock.now());
            flights.failures = match well {
                true => 0,
                false => flights.failures.saturating_add(1),
            };
        }
        drop(flights);
        self.store.turn_round();
    }
}

impl Store {
    /// Without keys.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            current: ArcSwapOption::empty(),
            generations: AtomicU64::new(0),
            flights: Mutex::default(),
            asked: Notify::new(),
            rounds: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The keys; they may be too old to be used.
    pub(super) fn keys(&self) -> Guard<Option<Arc<Held>>> {
        self.current.load()
    }

    /// Takes over a document that the provider confirmed `age` ago.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then.
    pub(super) fn take(&self, document: &[u8], age: Duration) -> Result<(), String> {
        let now = self.clock.now();
        let same = self
            .current
            .load_full()
            .filter(|held| *held.document == *document);
        let held = match same {
            Some(held) => Held {
                set: Arc::clone(&held.set),
                generation: held.generation,
                document: held.document.clone(),
                at: now,
                age_at: age.min(held.age(now)),
            },
            None => Held {
                set: Arc::new(KeySet::parse(document)?),
                generation: self.generations.fetch_add(1, Ordering::Relaxed) + 1,
                document: Bytes::copy_from_slice(document),
                at: now,
                age_at: age,
            },
        };
        self.current.store(Some(Arc::new(held)));
        self.turn_round();
        Ok(())
    }

    fn turn_round(&self) {
        self.rounds
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells of rounds that end from now on.
    pub(super) fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// A place to wait; none if all are taken.
    pub(super) fn waiter(&self) -> Option<Waiter<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiter = Waiter(&self.waiting);
        (before < MAX_WAITERS).then_some(waiter)
    }

    /// True if the first fetch is still to end, or one is running: a wait may help.
    pub(super) fn is_expecting(&self) -> bool {
        let flights = self.flights.lock();
        flights.running || flights.wanted || flights.last.is_none()
    }

    /// Asks for a fetch because of an unknown key. False if one was asked for less than `least` ago;
    /// true also if one is running.
    pub(super) fn ask(&self, least: Duration) -> bool {
        let now = self.clock.now();
        let mut flights = self.flights.lock();
        if flights.running || flights.wanted {
            return true;
        }
        let since = flights
            .refetched
            .map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < least) {
            return false;
        }
        flights.refetched = Some(now);
        flights.wanted = true;
        drop(flights);
        self.asked.notify_one();
        true
    }

    /// Comes back when somebody asks.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// How long until the next fetch is due.
    pub(super) fn pause(&self, refresh: Duration, has_keys: bool) -> Duration {
        let now = self.clock.now();
        let flights = self.flights.lock();
        let Some(last) = flights.last.filter(|_| !flights.wanted) else {
            return Duration::ZERO;
        };
        let most = match has_keys {
            true => LONGEST_PAUSE,
            false => LONGEST_PAUSE_WITHOUT,
        };
        let pause = match flights.failures {
            0 => refresh,
            failures => FIRST_PAUSE
                .saturating_mul(1 << (failures - 1).min(10))
                .min(most)
                .min(refresh),
        };
        (last + pause).saturating_duration_since(now)
    }

    /// Begins a fetch; none if one is running.
    pub(super) fn begin(&self) -> Option<Flight<'_>> {
        let mut flights = self.flights.lock();
        if flights.running {
            return None;
        }
        flights.running = true;
        flights.wanted = false;
        Some(Flight {
            store: self,
            result: None,
        })
    }

    /// True if the last fetch failed.
    pub(super) fn is_down(&self) -> bool {
        self.flights.lock().failures > 0
    }
}

impl Kept for Store {
    /// The version, the age in milliseconds, the document.
    fn save(&self, most_bytes: usize) -> Saved {
        let mut saved = Saved::default();
        if most_bytes == 0 {
            return saved;
        }
        saved.bytes.push(VERSION);
        let held = self.keys();
        let Some(held) = held.as_ref() else {
            return saved;
        };
        if held.document.len() + 9 > most_bytes {
            saved.left_out = 1;
            return saved;
        }
        let age = held.age(self.clock.now()).as_millis();
        let age = u64::try_from(age).unwrap_or(u64::MAX);
        saved.bytes.extend_from_slice(&age.to_le_bytes());
        saved.bytes.extend_from_slice(&held.document);
        saved.entries = 1;
        saved
    }

    fn restore(&self, saved: &[u8], age: Duration) -> Result<usize, String> {
        let rest = match saved.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((version, _)) => return Err(format!("version {version} is not known")),
            None => return Err("there is no version".to_owned()),
        };
        if rest.is_empty() {
            return Ok(0);
        }
        let (before, document) = rest.split_first_chunk().ok_or("the age is cut")?;
        let age = age.saturating_add(Duration::from_millis(u64::from_le_bytes(*before)));
        self.take(document, age)?;
        Ok(1)
    }
}
