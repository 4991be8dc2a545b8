//! A circuit breaker: it stops asking an upstream that mostly fails, and finds out carefully when to ask again.
//!
//! The model is Nygard's (Release It!, 2007) with the sliding window and the slow calls of resilience4j:
//!
//! - **closed**: all requests go through and are counted. When, of at least `min_requests` in the window, a share of
//!   `error_rate` failed or of `slow_rate` was slow, it opens. As in Polly only a failed or slow call opens it: a
//!   success never does.
//! - **open**: none goes through for `open_for`, twice as long each time it opens again before it was closed for a
//!   whole window, up to `max_open_for`. Each time is stretched or shortened by up to 10 %, so that many nodes do not
//!   come back at once.
//! - **half open**: the first request after that is a probe. No more than `probes` are let through in all, unless one
//!   of them says nothing (its client left). When all succeed it closes, when one fails or is slow it opens.
//!
//! One breaker serves all routes and threads of an upstream. When closed, a request costs one load to get in and one
//! exchange of a counter that few threads share to be counted; one that is refused costs two loads. A mutex is taken to
//! change the phase and to begin or end a probe. Nothing here looks at a clock or starts a task: an open breaker
//! without requests stays open, and shows in [`Status`] that its time is up.
//!
//! What a request brings back counts only in the phase that admitted it. What a reload changes holds from the next call
//! on, except the time of an opening that has begun; another `window` starts the counting anew.

mod events;
mod moved;
mod options;
mod phase;
mod window;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use events::{Admitted, Change, Outcome, Refused, Status, Why};
pub use moved::Moved;
pub use options::BreakerOptions;
pub use phase::{Manual, Phase};

use super::balance::random::{Wyrand, below};
use phase::{Word, epoch_of};
use window::{Counts, Stamp, Window};

/// How long a request that is refused because of a probe in flight is told to wait at most: by then the probe is
/// probably back.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// A probe that was not recorded for `max_open_for`, or for this long if that is longer, has failed.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// `open_for` is doubled no more often than this.
const MOST_DOUBLINGS: u32 = 31;

/// The breaker of one upstream. Kept over reloads, so every call brings the options in force.
#[derive(Debug, Default)]
pub struct Breaker {
    /// A [`Word`]. Written under `turn`, and after all that belongs to the new phase.
    word: AtomicU64,
    /// When an open breaker's time is up, in nanoseconds since `origin`.
    open_until_ns: AtomicU64,
    /// Of the half open phase: [`Probes`]. Written under `turn`.
    probes: AtomicU64,
    /// When the last probe was let through, in nanoseconds since `origin`. Written under `turn`.
    probed_ns: AtomicU64,
    /// The first time that was brought in: what all stamps count from.
    origin: OnceLock<Instant>,
    window: Window,
    turn: Mutex<Turn>,
}

/// What only a change of phase needs.
#[derive(Debug, Default)]
struct Turn {
    /// When the phase began; `None` if it never changed.
    since: Option<Instant>,
    /// How often `open_for` is doubled at the next opening.
    doublings: u32,
    opened_total: u64,
    /// Jitter for the one opening that no caller brings a random number for.
    random: u64,
}

/// Probes of a half open phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Probes {
    in_flight: u32,
    passed: u32,
}

impl Probes {
    fn unpack(word: u64) -> Self {
        Self {
            in_flight: (word >> 32) as u32,
            passed: word as u32,
        }
    }

    fn pack(self) -> u64 {
        (u64::from(self.in_flight) << 32) | u64::from(self.passed)
    }

    /// True if one more is of use.
    fn has_room(self, wanted: u32) -> bool {
        self.in_flight.saturating_add(self.passed) < wanted
    }
}

impl Breaker {
    /// Asks for leave to make one call.
    ///
    /// # Errors
    /// [`Refused`] when the breaker is open, or half open and its probes are on their way.
    pub fn admit(
        &self,
        options: &BreakerOptions,
        now: Instant,
    ) -> Result<(Admitted, Option<Change>), Refused> {
        let word = self.word();
        let refused = match word.phase() {
            Phase::Closed => return Ok((Admitted { key: word.key() }, None)),
            Phase::Open => self.refuse_open(word, options, now),
            Phase::HalfOpen => self.refuse_half_open(options, now),
        };
        match refused {
            Some(refused) => Err(refused),
            None => self.admit_in_turn(options, now),
        }
    }

    /// Takes back what [`Self::admit`] gave, with what became of the call. `took` is the time to the answer, and tells
    /// slow calls; `random` is used when the breaker opens.
    ///
    /// To be called once for every admitted call, also for one that is given up: the second time, a probe that is not
    /// there would be ended.
    pub fn record(
        &self,
        options: &BreakerOptions,
        admitted: Admitted,
        outcome: Outcome,
        took: Duration,
        now: Instant,
        random: u64,
    ) -> Option<Change> {
        let is_slow = options.is_slow(took);
        if admitted.is_probe() {
            let ended = match outcome {
                Outcome::Success if is_slow => Outcome::Failure,
                other => other,
            };
            return self.record_probe(options, admitted, ended, now, random);
        }
        let is_failure = match outcome {
            Outcome::Neither => return None,
            Outcome::Success => false,
            Outcome::Failure => true,
        };
        let at = self.stamp(options, admitted.key, now);
        let is_current = || self.word().key() == admitted.key;
        self.window.add(at, is_failure, is_slow, is_current);
        if !is_failure && !is_slow {
            return None;
        }
        let word = self.word();
        if word.key() != admitted.key || word.manual() != Manual::Auto {
            return None;
        }
        let why = breach(options, self.window.counts(at), is_failure, is_slow)?;
        let mut turn = self.turn.lock();
        let word = self.word();
        if word.key() != admitted.key || word.manual() != Manual::Auto {
            return None;
        }
        Some(self.open(&mut turn, word, options, why, now, random))
    }

    /// Does what an operator wants. `None` if the phase stays as it is.
    ///
    /// From `Open` back to `Auto` it is half open: the upstream has to show that it works. A wish of an operator also
    /// ends the growth of the open time.
    pub fn set(&self, manual: Manual, now: Instant) -> Option<Change> {
        let mut turn = self.turn.lock();
        self.origin(now);
        let word = self.word();
        if word.manual() == manual {
            return None;
        }
        turn.doublings = 0;
        let wanted = word.with_manual(manual);
        let to = match (manual, word.phase()) {
            (Manual::Open, Phase::Closed | Phase::HalfOpen) => Phase::Open,
            (Manual::Close, Phase::Open | Phase::HalfOpen) => Phase::Closed,
            (Manual::Auto, Phase::Open) => Phase::HalfOpen,
            (Manual::Open, Phase::Open)
            | (Manual::Close, Phase::Closed)
            | (Manual::Auto, Phase::Closed | Phase::HalfOpen) => {
                self.word.store(wanted.0, Ordering::Release);
                return None;
            }
        };
        Some(self.change(&mut turn, wanted, to, Why::Manual, now))
    }

    /// What operators see. Takes the mutex: not for the request path.
    pub fn status(&self, options: &BreakerOptions, now: Instant) -> Status {
        let turn = self.turn.lock();
        let word = self.word();
        let counts = match word.phase() {
            Phase::Closed => self.window.counts(self.stamp(options, word.key(), now)),
            Phase::Open | Phase::HalfOpen => Counts::default(),
        };
        let began = turn.since.unwrap_or_else(|| self.origin(now));
        Status {
            phase: word.phase(),
            manual: word.manual(),
            since: now.saturating_duration_since(began),
            requests: counts.calls,
            error_share: counts.error_share(),
            slow_share: counts.slow_share(),
            open_left: self.open_left(word, now),
            probes_in_flight: self.probes().in_flight,
            opened_total: turn.opened_total,
        }
    }

    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn probes(&self) -> Probes {
        // Acquire: with a probe, the time it was let through is seen.
        Probes::unpack(self.probes.load(Ordering::Acquire))
    }

    fn origin(&self, now: Instant) -> Instant {
        *self.origin.get_or_init(|| now)
    }

    fn since_origin_ns(&self, now: Instant) -> u64 {
        // A thread that read its clock before the first one did is at the origin.
        nanoseconds(now.saturating_duration_since(self.origin(now)))
    }

    fn stamp(&self, options: &BreakerOptions, key: u64, now: Instant) -> Stamp {
        Stamp::new(epoch_of(key), options.window, self.since_origin_ns(now))
    }

    /// Time until an open breaker lets a probe through. `None` if it is not open, or held open.
    fn open_left(&self, word: Word, now: Instant) -> Option<Duration> {
        if word.phase() != Phase::Open || word.manual() == Manual::Open {
            return None;
        }
        let until_ns = self.open_until_ns.load(Ordering::Relaxed);
        let left_ns = until_ns.saturating_sub(self.since_origin_ns(now));
        Some(Duration::from_nanos(left_ns))
    }

    /// The answer of an open breaker; `None` if its time is up.
    fn refuse_open(&self, word: Word, options: &BreakerOptions, now: Instant) -> Option<Refused> {
        // Held open by an operator: nobody knows how long. The configured time is as good as any.
        let left = self.open_left(word, now).unwrap_or(options.open_for);
        let is_held = word.manual() == Manual::Open;
        (is_held || !left.is_zero()).then_some(Refused {
            retry_after: left,
            change: None,
        })
    }

    /// The answer of a half open breaker; `None` if there is something to do. May be wrong for a moment, in both
    /// directions: who gets `None` looks again in turn.
    fn refuse_half_open(&self, options: &BreakerOptions, now: Instant) -> Option<Refused> {
        let probes = self.probes();
        let wanted = options.probes_wanted();
        let is_busy = !probes.has_room(wanted) && probes.passed < wanted;
        (is_busy && !self.is_probe_lost(options, now)).then(|| refuse_for_probe(options))
    }

    /// True if the last probe was let through so long ago that nothing will be heard of it.
    fn is_probe_lost(&self, options: &BreakerOptions, now: Instant) -> bool {
        let probed_ns = self.probed_ns.load(Ordering::Relaxed);
        let waited_ns = self.since_origin_ns(now).saturating_sub(probed_ns);
        waited_ns >= nanoseconds(options.max_open_for.max(LEAST_PATIENCE))
    }

    /// The rare part of [`Self::admit`]: the phase may have to change, or a probe to begin.
    #[cold]
    fn admit_in_turn(
        &self,
        options: &BreakerOptions,
        now: Instant,
    ) -> Result<(Admitted, Option<Change>), Refused> {
        let mut turn = self.turn.lock();
        let word = self.word();
        match word.phase() {
            Phase::Closed => Ok((Admitted { key: word.key() }, None)),
            Phase::Open => {
                if let Some(refused) = self.refuse_open(word, options, now) {
                    return Err(refused);
                }
                let change = self.change(&mut turn, word, Phase::HalfOpen, Why::TimeUp, now);
                Ok((self.begin_probe(now), Some(change)))
            }
            Phase::HalfOpen => {
                let (probes, wanted) = (self.probes(), options.probes_wanted());
                if probes.passed >= wanted {
                    // A reload wants fewer than it did when the last one passed.
                    let why = Why::ProbesPassed;
                    let change = self.change(&mut turn, word, Phase::Closed, why, now);
                    let key = self.word().key();
                    return Ok((Admitted { key }, Some(change)));
                }
                if probes.has_room(wanted) {
                    return Ok((self.begin_probe(now), None));
                }
                let mut refused = refuse_for_probe(options);
                if self.is_probe_lost(options, now) {
                    let random = Wyrand::new(turn.random).next_u64();
                    let why = Why::ProbeFailed;
                    refused.change = Some(self.open(&mut turn, word, options, why, now, random));
                    let left = self.open_left(self.word(), now);
                    refused.retry_after = left.unwrap_or(options.open_for);
                }
                Err(refused)
            }
        }
    }

    /// In turn, and half open: counts one more probe.
    fn begin_probe(&self, now: Instant) -> Admitted {
        let mut probes = self.probes();
        probes.in_flight = probes.in_flight.saturating_add(1);
        // The time first: nobody may see the last place taken and think of the time of an earlier probe.
        self.probed_ns
            .store(self.since_origin_ns(now), Ordering::Relaxed);
        self.probes.store(probes.pack(), Ordering::Release);
        let key = self.word().key();
        Admitted { key }
    }

    #[cold]
    fn record_probe(
        &self,
        options: &BreakerOptions,
        admitted: Admitted,
        ended: Outcome,
        now: Instant,
        random: u64,
    ) -> Option<Change> {
        let mut turn = self.turn.lock();
        let word = self.word();
        if word.key() != admitted.key {
            return None;
        }
        let mut probes = self.probes();
        probes.in_flight = probes.in_flight.saturating_sub(1);
        match ended {
            Outcome::Neither => {}
            Outcome::Success => probes.passed = probes.passed.saturating_add(1),
            Outcome::Failure => {
                let why = Why::ProbeFailed;
                return Some(self.open(&mut turn, word, options, why, now, random));
            }
        }
        self.probes.store(probes.pack(), Ordering::Release);
        let has_passed = probes.passed >= options.probes_wanted();
        has_passed.then(|| self.change(&mut turn, word, Phase::Closed, Why::ProbesPassed, now))
    }

    /// In turn: opens for a time that grows.
    fn open(
        &self,
        turn: &mut Turn,
        word: Word,
        options: &BreakerOptions,
        why: Why,
        now: Instant,
        random: u64,
    ) -> Change {
        let was_well = word.phase() == Phase::Closed
            && turn
                .since
                .is_none_or(|since| now.saturating_duration_since(since) >= options.window);
        if was_well {
            turn.doublings = 0;
        }
        let open_ns = nanoseconds(open_time(options, turn.doublings, random));
        let until_ns = self.since_origin_ns(now).saturating_add(open_ns);
        self.open_until_ns.store(until_ns, Ordering::Relaxed);
        turn.doublings = (turn.doublings + 1).min(MOST_DOUBLINGS);
        turn.random = random;
        self.change(turn, word, Phase::Open, why, now)
    }

    /// In turn: ends one phase and begins another.
    fn change(&self, turn: &mut Turn, from: Word, to: Phase, why: Why, now: Instant) -> Change {
        turn.since = Some(now);
        if to == Phase::Open {
            turn.opened_total = turn.opened_total.saturating_add(1);
        }
        self.probes.store(0, Ordering::Relaxed);
        // Release: whoever sees the new phase sees what was stored for it above.
        self.word.store(from.changed_to(to).0, Ordering::Release);
        Change {
            from: from.phase(),
            to,
            why,
        }
    }
}

/// Why a closed breaker has to open after a call that failed or was slow, if it has to.
fn breach(options: &BreakerOptions, counts: Counts, failed: bool, slow: bool) -> Option<Why> {
    if counts.calls < u64::from(options.min_requests.max(1)) {
        return None;
    }
    let (errors, slows) = (counts.error_share(), counts.slow_share());
    if failed && options.error_rate.is_some_and(|rate| errors >= rate) {
        return Some(Why::ErrorRate(errors));
    }
    let is_breach = slow && options.slow_rate.is_some_and(|rate| slows >= rate);
    is_breach.then_some(Why::SlowRate(slows))
}

fn refuse_for_probe(options: &BreakerOptions) -> Refused {
    Refused {
        retry_after: options.open_for.min(PROBE_WAIT),
        change: None,
    }
}

/// `open_for`, doubled `doublings` times, not more than `max_open_for`, and any time from 10 % less to 10 % more that
/// is not above `max_open_for` either.
fn open_time(options: &BreakerOptions, doublings: u32, random: u64) -> Duration {
    let most_ns = nanoseconds(options.max_open_for);
    let factor = 1_u64 << doublings.min(MOST_DOUBLINGS);
    let full_ns = nanoseconds(options.open_for)
        .saturating_mul(factor)
        .min(most_ns);
    let tenth_ns = full_ns / 10;
    let least_ns = full_ns - tenth_ns;
    let spread_ns = full_ns.saturating_add(tenth_ns).min(most_ns) - least_ns;
    Duration::from_nanos(least_ns + below(random, spread_ns.saturating_add(1)))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
