//! The retry budget of one upstream: what all its retries together may come to.
//!
//! The model is the RetryBudget of Finagle and linkerd (deposits of first attempts, withdrawals of
//! retries, a reserve for quiet times, over 10 s), with the bound on retries in flight that Envoy's
//! `retry_budget` has. A retry is granted only if both hold with it:
//!
//! 1. retries of the last 10 s <= `share` * first attempts of the last 10 s + 10 * `min_per_second`;
//! 2. the retries in flight before it < max(`share` * requests in flight, `min_per_second`).
//!
//! Whoever counts from the last grant backwards meets disjoint windows in which (1) holds. So in any
//! time T, however long, there are at most `share` * (first attempts in T and the 10 s before) plus
//! `min_per_second` * 10 * (T / 10 s + 1) retries. A storm cannot feed itself: retries are no
//! deposits.
//!
//! The window moves in slots of 100 ms. First attempts count for 9.9 to 10 s and retries for 10 to
//! 10.1 s, so that the bound holds for every window of exactly 10 s that ends with a retry. The price
//! is that about 1 % of the share stays unused.
//!
//! The clock is the latest `now` that any thread brought: a call with an earlier one counts as made
//! at that time. Retries are granted under a lock, which makes (1) and (2) exact over all threads;
//! a first attempt adds to one counter and never waits.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What is looked back on.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Slots of a window.
pub(super) const SLOTS: u64 = 100;

/// Length of a slot.
pub(super) const SLOT_MS: u64 = 100;

/// Beginnings of slots that a window touches.
const MARKS: usize = SLOTS as usize + 1;

const MILLION: u128 = 1_000_000;

/// What slots are counted from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The configured bounds. They may change from call to call; what was counted stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetOptions {
    /// Retries per first attempt, and retries in flight per request in flight: 0..=1, in steps of a
    /// millionth. What is outside counts as the nearer end.
    pub share: f32,
    /// Retries a second, and retries in flight, that are allowed however little traffic there is.
    pub min_per_second: u32,
}

impl Default for BudgetOptions {
    fn default() -> Self {
        Self::USUAL
    }
}

impl BudgetOptions {
    /// Where nothing is written: 20 %, and 10 a second, as in linkerd.
    pub const USUAL: Self = Self {
        share: 0.2,
        min_per_second: 10,
    };

    /// Millionths of retries that `count` first attempts or requests in flight allow. Whole numbers,
    /// since a 32-bit fraction is a little more than the 20 % that was written.
    fn share_of(&self, count: u64) -> u128 {
        let share = (f64::from(self.share).clamp(0.0, 1.0) * MILLION as f64).round() as u64;
        u128::from(count) * u128::from(share)
    }

    /// Retries that a window with this many first attempts may hold.
    fn most_in_window(&self, first_attempts: u64) -> u64 {
        let reserve = u64::from(self.min_per_second).saturating_mul(WINDOW.as_secs());
        // No more than `first_attempts`, so it fits.
        let share = (self.share_of(first_attempts) / MILLION) as u64;
        share.saturating_add(reserve)
    }

    /// True if one more retry may run beside `retries`, of `in_flight` requests.
    fn has_room(&self, retries: u64, in_flight: u64) -> bool {
        let least = u128::from(self.min_per_second) * MILLION;
        u128::from(retries) * MILLION < self.share_of(in_flight).max(least)
    }
}

/// Why a retry was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// The retries of the last 10 s have used up their share of the first attempts.
    Window,
    /// As many retries as allowed are in flight.
    InFlight,
}

impl Spent {
    /// The word for logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::InFlight => "in_flight",
        }
    }
}

/// What an operator sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Retries in flight.
    pub in_flight: u64,
    /// First attempts in the window.
    pub first_attempts: u64,
    /// Retries in the window.
    pub retries: u64,
    /// Retries that the window still allows (1); those in flight may allow fewer.
    pub left: u64,
    /// Retries granted since this upstream is known.
    pub granted_total: u64,
    /// Retries refused for [`Spent::Window`] since then.
    pub refused_window_total: u64,
    /// Retries refused for [`Spent::InFlight`] since then.
    pub refused_in_flight_total: u64,
}

/// What every request touches, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct FirstAttempts {
    total: AtomicU64,
    /// The slot the ledger has come to.
    slot: AtomicU64,
}

/// Both totals at the beginning of a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    first_attempts: u64,
    retries: u64,
}

/// What the grants are decided by.
#[derive(Debug)]
struct Ledger {
    slot: u64,
    retries: u64,
    refused_window: u64,
    refused_in_flight: u64,
    /// Slot n began with mark n modulo their number.
    marks: [Mark; MARKS],
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            slot: 0,
            retries: 0,
            refused_window: 0,
            refused_in_flight: 0,
            marks: [Mark::default(); MARKS],
        }
    }
}

impl Ledger {
    /// Both totals when slot `back` before the current one began.
    fn mark(&self, back: u64) -> Mark {
        // Before slot 0 nothing was counted.
        let slot = self.slot.checked_sub(back);
        slot.and_then(|slot| self.marks.get(place(slot)))
            .copied()
            .unwrap_or_default()
    }

    /// First attempts and retries of the window that ends in the current slot, of this many first
    /// attempts at all. The oldest slot is in the window only in part: its retries count, its first
    /// attempts do not.
    fn window(&self, first_attempts: u64) -> Mark {
        let whole = self.mark(SLOTS - 1);
        let touched = self.mark(SLOTS);
        Mark {
            first_attempts: first_attempts.saturating_sub(whole.first_attempts),
            retries: self.retries.saturating_sub(touched.retries),
        }
    }
}

fn place(slot: u64) -> usize {
    (slot % MARKS as u64) as usize
}

/// A window lies before the first slot, for what another process has counted in it.
fn slot_of(now: Instant) -> u64 {
    let since = now.saturating_duration_since(*EPOCH);
    MARKS as u64 + since.as_secs() * (1000 / SLOT_MS) + u64::from(since.subsec_millis()) / SLOT_MS
}

/// The budget of one upstream, kept over reloads.
#[derive(Default)]
pub struct RetryBudget {
    first_attempts: FirstAttempts,
    in_flight: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("first_attempts", &self.first_attempts)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl RetryBudget {
    /// A first attempt begins. Called for every request to the upstream, also for those whose own
    /// policy has no budget.
    pub fn request(&self, now: Instant) {
        let slot = slot_of(now);
        // Whoever holds the lock brings the ledger forward or leaves it to the next one. A mark that
        // is set late counts first attempts as older than they are: fewer retries, never more.
        if slot > self.first_attempts.slot.load(Ordering::Relaxed)
            && let Some(mut ledger) = self.ledger.try_lock()
        {
            self.advance(&mut ledger, slot);
        }
        self.first_attempts.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for one retry, while `in_flight` requests to the upstream are in flight (this one
    /// included). Asked last, when the policy, the time left and the pause allow it: a retry that is
    /// granted stays counted for 10 s, made or not.
    pub fn try_retry(
        self: &Arc<Self>,
        options: &BudgetOptions,
        in_flight: u64,
        now: Instant,
    ) -> Result<RetryGuard, Spent> {
        let mut ledger = self.ledger.lock();
        self.advance(&mut ledger, slot_of(now));
        // Added to under the lock only; an end that is not seen yet makes it too high, never too low.
        if !options.has_room(self.in_flight.load(Ordering::Relaxed), in_flight) {
            ledger.refused_in_flight += 1;
            return Err(Spent::InFlight);
        }
        self.take(&mut ledger, options)?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(RetryGuard(Arc::clone(self)))
    }

    /// Charges a retry that replaces an attempt on a connection that had ended: it counts in the window (1) like any
    /// other, but the bound on those in flight (2) is not asked, since the connections to an endpoint that dies end all at
    /// once. It is not one of those in flight either.
    pub fn charge(&self, options: &BudgetOptions, now: Instant) -> Result<(), Spent> {
        let mut ledger = self.ledger.lock();
        self.advance(&mut ledger, slot_of(now));
        self.take(&mut ledger, options)
    }

    /// One more of the window, if it has one.
    fn take(&self, ledger: &mut Ledger, options: &BudgetOptions) -> Result<(), Spent> {
        let window = ledger.window(self.first_attempts.total.load(Ordering::Relaxed));
        if window.retries >= options.most_in_window(window.first_attempts) {
            ledger.refused_window += 1;
            return Err(Spent::Window);
        }
        ledger.retries += 1;
        Ok(())
    }

    /// First attempts and retries of the slots of the window, the current one first.
    pub(super) fn slots(&self, now: Instant) -> Vec<[u64; 2]> {
        let mut ledger = self.ledger.lock();
        self.advance(&mut ledger, slot_of(now));
        let mut later = Mark {
            first_attempts: self.first_attempts.total.load(Ordering::Relaxed),
            retries: ledger.retries,
        };
        let slot = |back| {
            let began = ledger.mark(back);
            let counts = [
                later.first_attempts.saturating_sub(began.first_attempts),
                later.retries.saturating_sub(began.retries),
            ];
            later = began;
            counts
        };
        (0..=SLOTS).map(slot).collect()
    }

    /// Counts what another process has counted: first attempts and retries by how many slots ago they were.
    pub(super) fn add(&self, now: Instant, first_attempts: &[(u64, u64)], retries: &[(u64, u64)]) {
        let sum = |counts: &[(u64, u64)], before: u64| -> u64 {
            let older = counts.iter().filter(|(ago, _)| *ago >= before);
            older.fold(0, |sum, (_, count)| sum.saturating_add(*count))
        };
        let mut ledger = self.ledger.lock();
        self.advance(&mut ledger, slot_of(now));
        let current = ledger.slot;
        for back in 0..=SLOTS {
            let place = current.checked_sub(back).map(place);
            if let Some(mark) = place.and_then(|place| ledger.marks.get_mut(place)) {
                // What had been counted when that slot began.
                mark.first_attempts += sum(first_attempts, back + 1);
                mark.retries += sum(retries, back + 1);
            }
        }
        ledger.retries += sum(retries, 0);
        let total = &self.first_attempts.total;
        total.fetch_add(sum(first_attempts, 0), Ordering::Relaxed);
    }

    /// What an operator sees, under the bounds of `options`.
    pub fn status(&self, options: &BudgetOptions, now: Instant) -> BudgetStatus {
        let mut ledger = self.ledger.lock();
        self.advance(&mut ledger, slot_of(now));
        let window = ledger.window(self.first_attempts.total.load(Ordering::Relaxed));
        BudgetStatus {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            first_attempts: window.first_attempts,
            retries: window.retries,
            left: options
                .most_in_window(window.first_attempts)
                .saturating_sub(window.retries),
            granted_total: ledger.retries,
            refused_window_total: ledger.refused_window,
            refused_in_flight_total: ledger.refused_in_flight,
        }
    }

    /// Marks the beginnings of the slots up to this one, a window's at most. All get one mark: no
    /// retry was granted in between, and a first attempt that was counts as older than it is.
    fn advance(&self, ledger: &mut Ledger, slot: u64) {
        if slot <= ledger.slot {
            return;
        }
        let mark = Mark {
            // A read-modify-write sees the latest value; a load might see an older one, and would
            // count first attempts as younger than they are.
            first_attempts: self.first_attempts.total.fetch_add(0, Ordering::Relaxed),
            retries: ledger.retries,
        };
        let from = (ledger.slot + 1).max(slot.saturating_sub(SLOTS));
        for begun in from..=slot {
            if let Some(place) = ledger.marks.get_mut(place(begun)) {
                *place = mark;
            }
        }
        ledger.slot = slot;
        self.first_attempts.slot.store(slot, Ordering::Relaxed);
    }
}

/// A granted retry, kept until its attempt has ended, the pause before it included.
#[must_use = "without it the retry counts as ended"]
pub struct RetryGuard(Arc<RetryBudget>);

impl fmt::Debug for RetryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryGuard")
    }
}

impl Drop for RetryGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
