//! The gate of one upstream: at most so many requests at once, and a queue for the others.
//!
//! One atomic word holds how many are in, how many wait for a place, and how many places were given back. A newcomer
//! that finds room and nobody waiting adds itself with one compare-and-swap. Everything else happens under a lock:
//!
//! - Who finds no place counts itself as waiting by a compare-and-swap on the same word. So a place that is given back
//!   in between makes it fail and look again, and one that is given back later is given back by somebody who sees that
//!   one waits.
//! - While somebody waits nobody enters past the lock, so a place goes to the first waiter and not to a newcomer. It is
//!   *given*: it counts as taken before the waiter wakes. A waiter that goes away with a place in its hands gives it
//!   back like any other.
//! - Those who wait for what others release ([`Gate::wait_for`]) cannot be given it. They are *called* and take it
//!   themselves; a call that its waiter does not answer, or cannot use, goes on to the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::adaptive::Adaptive;
use super::queue::{Call, Queue, Spot, Stand, Waiter, Want};
use super::ticket::{Ticket, wake};
use super::{Class, GateOptions, Shed};

/// Most requests in flight that can be counted.
pub const MOST_IN_FLIGHT: u32 = (1 << 24) - 1;
/// Most requests that can wait at one gate.
pub const MOST_WAITING: u32 = 1 << 15;

/// [`Gate::retry_after`] says at most this.
const LONGEST_RETRY_AFTER: u64 = 30;

/// In the word: bits 0..24 are in, 24..40 wait for a place, 40..64 were given back (it wraps).
const ONE_IN: u64 = 1;
const ONE_WAITS: u64 = 1 << 24;
/// One more was given back, one less is in.
const GIVE_BACK: u64 = (1 << 40) - ONE_IN;

const fn in_flight(word: u64) -> u32 {
    (word & 0x00ff_ffff) as u32
}

const fn waiting(word: u64) -> u64 {
    word >> 24 & 0xffff
}

const fn released(word: u64) -> u32 {
    (word >> 40) as u32
}

/// The places of one upstream.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Gate {
    word: AtomicU64,
    /// Those who wait for what others release.
    others: AtomicU32,
    /// Places given back per second, the bits of an `f32`; 0 while it is not known.
    per_second: AtomicU32,
    adaptive: Adaptive,
    pub(super) queue: Mutex<Queue>,
}

/// One request's place. Dropping it gives it to the first who waits.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Place {
    gate: Arc<Gate>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.give_back();
    }
}

/// How many wait, for whatever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Of the class `critical`.
    pub critical: u32,
    /// Of the class `default`.
    pub default: u32,
    /// Of the class `bulk`.
    pub bulk: u32,
}

/// A gate as operators see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateStatus {
    /// Requests that have a place.
    pub in_flight: u32,
    /// Most requests at once now; `None` if neither `in_flight` nor `adaptive` is configured.
    pub limit: Option<u32>,
    /// The adaptive part of it, if configured.
    pub adaptive: Option<u32>,
    /// Who waits.
    pub waiting: Waiting,
    /// How long the one has waited who waits longest.
    pub longest_wait: Duration,
}

impl Gate {
    /// Takes a place, unless there is none or somebody waits for one who goes first. Exact over all threads: there are
    /// never more places than the options of the last who took one allow.
    pub fn try_enter(self: &Arc<Self>, options: &GateOptions, class: Class) -> Option<Place> {
        let limit = self.limit(options);
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if waiting(word) != 0 {
                return self.try_enter_first(limit, class);
            }
            if in_flight(word) >= limit {
                return None;
            }
            match self.swap(word, word + ONE_IN) {
                Ok(()) => return Some(self.place()),
                Err(now) => word = now,
            }
        }
    }

    /// Takes a place, or waits for one until `until`, at most for `queue_timeout`. Dropping the future leaves the
    /// queue; what it was given by then goes to the next one.
    pub async fn enter(
        self: &Arc<Self>,
        options: &Arc<GateOptions>,
        class: Class,
        until: Instant,
    ) -> Result<Place, Shed> {
        if let Some(place) = self.try_enter(options, class) {
            return Ok(place);
        }
        if self.in_flight() < self.limit(options) {
            // Somebody waits below the limit: these options are new. They hold for those before it too.
            self.queue.lock().see(options);
            self.give_to_waiters();
        }
        let (ticket, deadline) = match self.join(options, class, Want::Place, until)? {
            Joined::Entered(place) => return Ok(place),
            Joined::Waits(ticket, deadline) => (ticket, deadline),
        };
        if self.in_flight() < self.limit(options) {
            // Given back under older options, in between.
            self.give_to_waiters();
        }
        loop {
            let signal = ticket.waiter.signal.notified();
            let late = timeout_at(deadline, signal).await.is_err();
            match (ticket.stand(), late) {
                (Stand::Granted, _) => return Ok(ticket.into_place()),
                (Stand::Evicted, _) => return Err(Shed::Full),
                (_, true) => return ticket.late(),
                (_, false) => {}
            }
        }
    }

    /// Takes what others release, such as an endpoint below its own limit: by `take` at once if nobody waits who goes
    /// first, or else in the queue, whenever [`Gate::freed`] is called. While `take` finds nothing the one who asks
    /// keeps its place in the queue. Whoever may take the same thing has to take it through here, or it is taken away
    /// from those who wait.
    ///
    /// A call that finds the first one with nothing it can use (it may have been at that endpoint already) goes on to
    /// the 8 behind it, and no further.
    pub async fn wait_for<T>(
        self: &Arc<Self>,
        options: &Arc<GateOptions>,
        class: Class,
        until: Instant,
        mut take: impl FnMut() -> Option<T>,
    ) -> Result<T, Shed> {
        if self.others.load(Ordering::Relaxed) == 0
            && let Some(taken) = take()
        {
            return Ok(taken);
        }
        let (ticket, deadline) = match self.join(options, class, Want::Other, until)? {
            // Never: a place is given to those who want one.
            Joined::Entered(_) => return Err(Shed::Full),
            Joined::Waits(ticket, deadline) => (ticket, deadline),
        };
        // With the fence in `freed`: either it sees that one waits, or `take` sees what was released.
        fence(Ordering::SeqCst);
        let mut late = false;
        loop {
            if let Some(call) = ticket.answer() {
                match take() {
                    Some(taken) => {
                        ticket.served(call);
                        return Ok(taken);
                    }
                    None => ticket.pass_on(call),
                }
            }
            if ticket.stand() == Stand::Evicted {
                return Err(Shed::Full);
            }
            if late {
                return Err(Shed::TimedOut);
            }
            // A call that comes with the deadline is still answered: once more through the loop.
            late = timeout_at(deadline, ticket.waiter.signal.notified())
                .await
                .is_err();
        }
    }

    /// Says that one thing was released for those in [`Gate::wait_for`]. Call it after the release, once for each. It
    /// costs a fence and a load while nobody waits.
    pub fn freed(&self) {
        fence(Ordering::SeqCst);
        self.call(Call::ONE);
    }

    /// As [`Gate::freed`] where nobody counts how much there is to take now: an endpoint came back, a limit was raised.
    pub fn freed_many(&self) {
        fence(Ordering::SeqCst);
        self.call(Call::MANY);
    }

    fn call(&self, call: Call) {
        if self.others.load(Ordering::Relaxed) != 0 {
            let called = self.queue.lock().others.call_first(call);
            wake(called);
        }
    }

    /// Tells the adaptive limit how a request went: `took` until the response's head; `dropped` if it failed as under
    /// overload (timeout, reset, refused). Call it before the place is dropped.
    pub fn observe(
        &self,
        options: &GateOptions,
        took: Duration,
        dropped: bool,
        now: std::time::Instant,
    ) {
        let Some(adaptive) = &options.adaptive else {
            return;
        };
        let word = self.word.load(Ordering::Relaxed);
        self.adaptive
            .observe(adaptive, took, in_flight(word), dropped, now);
    }

    /// The adaptive limit's state.
    pub fn adaptive(&self) -> &Adaptive {
        &self.adaptive
    }

    /// When it makes sense to ask again: until those who wait now have had their turn, from how fast places come free.
    /// 1 to 30 s; 1 s while that is not known.
    pub fn retry_after(&self) -> Duration {
        let rate = f32::from_bits(self.per_second.load(Ordering::Relaxed));
        let word = self.word.load(Ordering::Relaxed);
        let others = self.others.load(Ordering::Relaxed);
        let before = waiting(word) as f32 + others as f32 + 1.0;
        // `as` saturates, and 0 per second has its own meaning.
        let seconds = if rate > 0.0 {
            (before / rate).ceil() as u64
        } else {
            1
        };
        Duration::from_secs(seconds.clamp(1, LONGEST_RETRY_AFTER))
    }

    /// Requests that have a place now.
    pub fn in_flight(&self) -> u32 {
        in_flight(self.word.load(Ordering::Relaxed))
    }

    /// For operators. Takes the queue's lock for a moment.
    pub fn status(&self, options: &GateOptions, now: Instant) -> GateStatus {
        let adaptive = options.adaptive.as_ref();
        let adaptive = adaptive.map(|options| self.adaptive.limit(options));
        let limited = options.in_flight.is_some() || adaptive.is_some();
        let queue = self.queue.lock();
        let since = queue.oldest();
        GateStatus {
            in_flight: self.in_flight(),
            limit: limited.then(|| self.limit(options)),
            adaptive,
            waiting: Waiting {
                critical: queue.waiting(Class::Critical),
                default: queue.waiting(Class::Default),
                bulk: queue.waiting(Class::Bulk),
            },
            longest_wait: since
                .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
        }
    }

    fn limit(&self, options: &GateOptions) -> u32 {
        let fixed = options.in_flight.unwrap_or(MOST_IN_FLIGHT);
        let fixed = fixed.min(MOST_IN_FLIGHT);
        match &options.adaptive {
            Some(adaptive) => fixed.min(self.adaptive.limit(adaptive)),
            None => fixed,
        }
    }

    pub(super) fn place(self: &Arc<Self>) -> Place {
        Place {
            gate: Arc::clone(self),
        }
    }

    /// Acquire: who gets a place sees what the one did who gave it back.
    fn swap(&self, from: u64, to: u64) -> Result<(), u64> {
        self.word
            .compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .map(drop)
    }

    /// Adds `step` to the word if there is room below `limit`.
    fn add_below(&self, limit: u32, step: u64) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while in_flight(word) < limit {
            match self.swap(word, word.wrapping_add(step)) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Somebody waits: a higher class may still take a place that is being given back.
    fn try_enter_first(self: &Arc<Self>, limit: u32, class: Class) -> Option<Place> {
        if self.in_flight() >= limit {
            return None;
        }
        let queue = self.queue.lock();
        let first = queue.places.none_before(class);
        (first && self.add_below(limit, ONE_IN)).then(|| self.place())
    }

    /// Goes into the queue, or straight in if there is room by now.
    fn join<'g>(
        self: &'g Arc<Self>,
        options: &Arc<GateOptions>,
        class: Class,
        want: Want,
        until: Instant,
    ) -> Result<Joined<'g>, Shed> {
        let now = Instant::now();
        let deadline = now.checked_add(options.queue_timeout);
        let deadline = deadline.map_or(until, |latest| until.min(latest));
        let limit = self.limit(options);
        let most = options.queue.min(MOST_WAITING) as usize;
        let mut queue = self.queue.lock();
        queue.see(options);
        let released = released(self.word.load(Ordering::Relaxed));
        let rate = queue.pace.look(now, released).unwrap_or_default();
        self.per_second.store(rate.to_bits(), Ordering::Relaxed);
        let first = match want {
            Want::Place => queue.places.none_before(class),
            Want::Other => queue.others.none_before(class),
        };
        let enters = want == Want::Place && first;
        if enters && self.add_below(limit, ONE_IN) {
            return Ok(Joined::Entered(self.place()));
        }
        if deadline <= now && most > 0 {
            return Err(Shed::TimedOut);
        }
        let evicted = if queue.len() < most {
            None
        } else if most == 0 {
            return Err(Shed::Full);
        } else {
            Some(queue.lowest_below(class).ok_or(Shed::Full)?)
        };
        if want == Want::Place && !self.count_waiting(enters.then_some(limit)) {
            return Ok(Joined::Entered(self.place()));
        }
        let (spot, waiter) = queue.add(want, class, now);
        if want == Want::Other {
            self.others.fetch_add(1, Ordering::SeqCst);
            // It has to look once more now that others see it. What was released before that called nobody, so nobody
            // knows how much it is; those behind it are called by it.
            if first {
                waiter.call(Call::MANY);
            }
        }
        let woken = evicted.map(|spot| self.evict(&mut queue, spot));
        drop(queue);
        if let Some((evicted, called)) = woken {
            wake(evicted);
            wake(called);
        }
        let ticket = Ticket {
            gate: self,
            spot,
            waiter,
        };
        Ok(Joined::Waits(ticket, deadline))
    }

    /// Counts one more that waits for a place. False if it got one instead, which it may below `limit`.
    fn count_waiting(&self, limit: Option<u32>) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let room = limit.is_some_and(|limit| in_flight(word) < limit);
            let step = if room { ONE_IN } else { ONE_WAITS };
            match self.swap(word, word + step) {
                Ok(()) => return !room,
                Err(now) => word = now,
            }
        }
    }

    /// Takes one out of the queue, under its lock. Returns it, and whom to call in its stead.
    fn evict(&self, queue: &mut Queue, spot: Spot) -> (Option<Arc<Waiter>>, Option<Arc<Waiter>>) {
        let Some(waiter) = self.take_out(queue, spot) else {
            return (None, None);
        };
        let called = match waiter.stand() {
            Stand::Called | Stand::Trying => queue.others.call_first(waiter.called_by()),
            Stand::Waiting | Stand::Granted | Stand::Evicted | Stand::Left => None,
        };
        waiter.set(Stand::Evicted);
        (Some(waiter), called)
    }

    /// Takes one out of the queue and of the counts, under the lock.
    pub(super) fn take_out(&self, queue: &mut Queue, spot: Spot) -> Option<Arc<Waiter>> {
        let waiter = queue.remove(spot)?;
        match spot.want {
            Want::Place => {
                self.word.fetch_sub(ONE_WAITS, Ordering::AcqRel);
            }
            Want::Other => {
                self.others.fetch_sub(1, Ordering::SeqCst);
            }
        }
        Some(waiter)
    }

    pub(super) fn give_back(&self) {
        let before = self.word.fetch_add(GIVE_BACK, Ordering::AcqRel);
        if waiting(before) != 0 {
            self.give_to_waiters();
        }
    }

    /// Gives places to the first who wait, while there are both.
    fn give_to_waiters(&self) {
        while waiting(self.word.load(Ordering::Relaxed)) != 0 {
            let mut queue = self.queue.lock();
            let Some(options) = &queue.options else {
                return;
            };
            let limit = self.limit(options);
            // Under the lock the word counts exactly those in `places`.
            let one = ONE_IN.wrapping_sub(ONE_WAITS);
            if queue.places.len() == 0 || !self.add_below(limit, one) {
                return;
            }
            let Some(waiter) = queue.places.pop_first() else {
                return;
            };
            waiter.set(Stand::Granted);
            drop(queue);
            waiter.signal.notify_one();
        }
    }
}

enum Joined<'g> {
    Entered(Place),
    Waits(Ticket<'g>, Instant),
}
