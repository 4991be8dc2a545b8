//! Whether faults are injected at all, told loudly, and how many requests they hold right now.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use farmgate_plugin_api::services::{Clock, Counter, Events, Gauge, Switch};

use super::moment::Moment;

/// How the plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It injects faults.
    Active,
    /// An operator switched it off.
    Off,
    /// `until` has passed.
    Past,
}

/// Tells how the plugin stands: in a gauge, and in the event log whenever that changes.
pub(super) struct Sign {
    pub(super) until: Moment,
    /// What it injects, for the event log.
    pub(super) words: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) switch: Arc<dyn Switch>,
    pub(super) events: Arc<dyn Events>,
    pub(super) gauge: Arc<dyn Gauge>,
    /// Number of this instance of the plugin, and of the one that wrote the gauge last: it outlives reloads, so that the
    /// end of an old instance does not overwrite what a new one says.
    pub(super) number: u64,
    pub(super) speaker: Arc<AtomicU64>,
    pub(super) told: Mutex<Option<Standing>>,
}

impl Sign {
    /// How it stands now.
    pub(super) fn standing(&self, now: SystemTime) -> Standing {
        match (now < self.until.at(), self.switch.is_on()) {
            (false, _) => Standing::Past,
            (true, false) => Standing::Off,
            (true, true) => Standing::Active,
        }
    }

    /// Writes it where people look. Called again and again by the host, never by requests.
    pub(super) fn show(&self) {
        let standing = self.standing(self.clock.wall());
        self.speaker.store(self.number, Ordering::Relaxed);
        self.gauge.set(i64::from(standing == Standing::Active));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == Some(standing) {
            return;
        }
        let (words, until) = (&self.words, self.until);
        match (standing, told.is_some()) {
            (Standing::Active, _) => {
                let text = format!("FAULTS ARE INJECTED until {until}: {words}");
                self.events.warn(&text);
            }
            (Standing::Off, _) => self
                .events
                .warn("no faults are injected: it is switched off"),
            (Standing::Past, true) => {
                let text = format!("no faults are injected any more: {until} has passed");
                self.events.warn(&text);
            }
            // `check` says so.
            (Standing::Past, false) => {}
        }
        *told = Some(standing);
    }

    /// The instance ends.
    pub(super) fn take_down(&self) {
        if self.speaker.load(Ordering::Relaxed) == self.number {
            self.gauge.set(0);
        }
    }
}

/// The places of requests that faults hold.
pub(super) struct Places {
    pub(super) most: usize,
    pub(super) held: AtomicUsize,
    pub(super) gauge: Arc<dyn Gauge>,
    pub(super) skipped: Arc<dyn Counter>,
}

impl Places {
    /// A place, until it is dropped; none when all are taken, which is counted.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let free = |held: usize| (held < self.most).then_some(held + 1);
        let relaxed = Ordering::Relaxed;
        match self.held.fetch_update(relaxed, relaxed, free) {
            Ok(_) => {
                self.gauge.add(1);
                Some(Place(Arc::clone(self)))
            }
            Err(_) => {
                self.skipped.add(1);
                None
            }
        }
    }
}

/// A request that a fault holds.
pub(super) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.add(-1);
    }
}
