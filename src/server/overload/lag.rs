//! How late a task on a serving runtime runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

/// Between two ticks: four in each sample of the guard. An idle node pays for the wake-ups, 2 ms of CPU a second.
const TICK: Duration = Duration::from_millis(50);
/// Runtimes that are measured; what comes above it is not.
const RUNTIMES: usize = 1024;
/// The longest lateness of one tick that is told apart.
const LONGEST: Duration = Duration::from_secs(600);
/// Bits of the count in a slot's sum.
const COUNT_BITS: u32 = 16;

/// Lateness since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Of all ticks, the one that is still due with them: a single long task is no overload, a queue is.
    pub mean: Duration,
    /// Of the latest.
    pub worst: Duration,
}

/// Where the ticks of all serving runtimes come together.
#[derive(Debug)]
pub struct LagProbe {
    started: Instant,
    slots: Mutex<Vec<Arc<Slot>>>,
}

/// One ticking task.
#[derive(Debug)]
struct Slot {
    runtime: Handle,
    /// When the task that was sent from outside left, if it has not run yet; 0 for none.
    sent_us: AtomicU64,
    /// How late the last one ran.
    arrived_us: AtomicU64,
    /// When the tick that is awaited is due: microseconds since the probe was made.
    due_us: AtomicU64,
    /// Sum of the latenesses in microseconds, and below it how many they are: one word, so that both are of the same
    /// ticks.
    late_us: AtomicU64,
    worst_us: AtomicU64,
}

impl Default for LagProbe {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            slots: Mutex::default(),
        }
    }
}

impl LagProbe {
    /// Ticks for ever; to be spawned once on each serving runtime.
    ///
    /// A timer is not enough: tokio runs a task that its driver wakes before those that wait, and one that has yielded
    /// too. So each tick spawns a task which another one displaces from that place of honour to the end of the
    /// worker's queue, where a request's task stands, and takes the time when that runs. What that queue (256 tasks) does
    /// not hold waits in another one, of the whole runtime: there each look at the lag sends a task of its own.
    pub async fn tick(self: Arc<Self>) {
        let Some(entry) = self.enter() else {
            return log::warn!("the lag of more than {RUNTIMES} runtimes is not measured");
        };
        loop {
            let due = Instant::now() + TICK;
            entry.slot.due_us.store(self.micros(due), Ordering::Relaxed);
            tokio::time::sleep_until(due.into()).await;
            let queued = tokio::spawn(async { Instant::now() });
            drop(tokio::spawn(std::future::ready(())));
            if let Ok(ran) = queued.await {
                entry.slot.record(ran.saturating_duration_since(due));
            }
        }
    }

    /// What came since the last call: of the runtimes the worst by mean. None when none ticks.
    pub(super) fn take(&self, now: Instant) -> Option<Lag> {
        let now_us = self.micros(now);
        let slots = self.slots.lock();
        let lags = slots.iter().map(|slot| {
            let local = slot.take(now_us);
            let shared = slot.send(self.started, now_us);
            Lag {
                mean: local.mean.max(shared),
                worst: local.worst.max(shared),
            }
        });
        lags.max_by_key(|lag| lag.mean)
    }

    fn enter(self: &Arc<Self>) -> Option<Entry> {
        let mut slots = self.slots.lock();
        if slots.len() >= RUNTIMES {
            return None;
        }
        let due_us = self.micros(Instant::now() + TICK);
        let slot = Arc::new(Slot::new(Handle::current(), due_us));
        slots.push(Arc::clone(&slot));
        Some(Entry {
            probe: Arc::clone(self),
            slot,
        })
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl Slot {
    fn new(runtime: Handle, due_us: u64) -> Self {
        Self {
            runtime,
            sent_us: AtomicU64::new(0),
            arrived_us: AtomicU64::new(0),
            due_us: AtomicU64::new(due_us),
            late_us: AtomicU64::new(0),
            worst_us: AtomicU64::new(0),
        }
    }

    /// Sends a task from outside, one at a time. How late the last one ran, or how long it is on its way.
    fn send(self: &Arc<Self>, started: Instant, now_us: u64) -> Duration {
        let sent_us = self.sent_us.load(Ordering::Acquire);
        if sent_us != 0 {
            return Duration::from_micros(now_us.saturating_sub(sent_us));
        }
        let late_us = self.arrived_us.swap(0, Ordering::Relaxed);
        let sent_us = now_us.max(1);
        self.sent_us.store(sent_us, Ordering::Relaxed);
        let slot = Arc::clone(self);
        self.runtime.spawn(async move {
            let now_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            slot.arrived_us
                .store(now_us.saturating_sub(sent_us), Ordering::Relaxed);
            slot.sent_us.store(0, Ordering::Release);
        });
        Duration::from_micros(late_us)
    }

    fn record(&self, late: Duration) {
        let late_us = u64::try_from(late.min(LONGEST).as_micros()).unwrap_or_default();
        // Relaxed: a tick that is counted in the next sample is counted once all the same.
        self.late_us
            .fetch_add((late_us << COUNT_BITS) + 1, Ordering::Relaxed);
        self.worst_us.fetch_max(late_us, Ordering::Relaxed);
    }

    fn take(&self, now_us: u64) -> Lag {
        let taken = self.late_us.swap(0, Ordering::Relaxed);
        let mut worst_us = self.worst_us.swap(0, Ordering::Relaxed);
        let mut sum_us = taken >> COUNT_BITS;
        let mut count = taken & ((1 << COUNT_BITS) - 1);
        // A thread that hangs says nothing by itself: its tick is overdue. A little late is not yet known to be late.
        let overdue_us = now_us.saturating_sub(self.due_us.load(Ordering::Relaxed));
        if count == 0 || Duration::from_micros(overdue_us) > TICK {
            sum_us += overdue_us;
            count += 1;
            worst_us = worst_us.max(overdue_us);
        }
        Lag {
            mean: Duration::from_micros(sum_us.checked_div(count).unwrap_or_default()),
            worst: Duration::from_micros(worst_us),
        }
    }
}

/// A place among the slots, given back when the ticking task is dropped: with its runtime.
struct Entry {
    probe: Arc<LagProbe>,
    slot: Arc<Slot>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut slots = self.probe.slots.lock();
        slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
    }
}
