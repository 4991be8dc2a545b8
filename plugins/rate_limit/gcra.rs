//! The generic cell rate algorithm (ITU-T I.371, Annex A), exact: no rounding at any rate.
//!
//! A limit of `rate` requests per `per` with a burst of `burst` keeps one stamp per key, the
//! theoretical arrival time (TAT): when the key's bucket will be full again. A request at `now` is
//! allowed if `TAT <= now + (burst - 1) * per / rate`, and moves the TAT on by `per / rate`.

/// A point in time, exact for one rate: `ns` whole nanoseconds since the store began and
/// `part / rate` of one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    ns: u64,
    part: u32,
}

impl Stamp {
    /// The stamp of these parts.
    pub(super) fn new(ns: u64, part: u32) -> Self {
        Self { ns, part }
    }

    /// Whole nanoseconds.
    pub(super) fn ns(self) -> u64 {
        self.ns
    }

    /// Parts of one more nanosecond.
    pub(super) fn part(self) -> u32 {
        self.part
    }
}

/// How fast and how bursty a key may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    rate: u32,
    per_ns: u64,
    /// Time that one request takes: per / rate.
    step: Stamp,
    /// How far the TAT may lie ahead: (burst - 1) steps.
    ahead: Stamp,
    /// A full burst: burst steps.
    full: Stamp,
}

/// What a limit says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// It may pass; charging it means to store `tat`.
    Allow {
        /// The new theoretical arrival time.
        tat: Stamp,
        /// Requests that could still pass at once after this one.
        remaining: u64,
        /// Nanoseconds until the whole burst is there again, rounded up.
        reset_ns: u64,
    },
    /// It is too early.
    Deny {
        /// What to store instead of a stamp that only made sense under other settings.
        correction: Option<Stamp>,
        /// Nanoseconds until a request could pass, rounded up.
        retry_ns: u64,
        /// Nanoseconds until the whole burst is there again, rounded up.
        reset_ns: u64,
    },
}

impl Pace {
    /// The longest time in which a burst may refill: 400 days.
    pub(super) const MAX_FULL_NS: u64 = 400 * 86_400 * 1_000_000_000;

    /// More than threads can differ in what time it is while they wait for a lock.
    const DISORDER_NS: u64 = 10_000_000_000;

    /// A pace of `rate` requests per `per_ns`, `burst` of them at once. None when a number is 0 or
    /// the burst would take longer than [`Pace::MAX_FULL_NS`] to refill.
    pub(super) fn new(rate: u32, per_ns: u64, burst: u32) -> Option<Self> {
        if rate == 0 || per_ns == 0 || burst == 0 {
            return None;
        }
        let steps = |n: u32| {
            let total = u128::from(n) * u128::from(per_ns);
            let ns = u64::try_from(total / u128::from(rate)).ok()?;
            let part = u32::try_from(total % u128::from(rate)).ok()?;
            (ns <= Self::MAX_FULL_NS).then_some(Stamp { ns, part })
        };
        Some(Self {
            rate,
            per_ns,
            step: steps(1)?,
            ahead: steps(burst - 1)?,
            full: steps(burst)?,
        })
    }

    /// Looks at a request at `now_ns` for a key with this TAT (none: never seen).
    pub(super) fn check(&self, tat: Option<Stamp>, now_ns: u64) -> Check {
        let now = Stamp {
            ns: now_ns,
            part: 0,
        };
        let latest = self.add(now, self.full);
        let stored = tat.unwrap_or(now).max(now);
        // The state may come from other settings, and then says at most that the bucket is empty. A
        // stamp a little too far ahead is another thread's, whose clock was read later.
        let foreign = stored.ns.saturating_sub(latest.ns) > Self::DISORDER_NS;
        let tat = if foreign { latest } else { stored };
        let tat = Stamp {
            ns: tat.ns,
            part: tat.part.min(self.rate - 1),
        };
        let allowed_until = self.add(now, self.ahead);
        if tat > allowed_until {
            return Check::Deny {
                correction: foreign.then_some(tat),
                retry_ns: until(tat, allowed_until),
                reset_ns: until(tat, now),
            };
        }
        let tat = self.add(tat, self.step);
        Check::Allow {
            tat,
            remaining: self.steps_between(tat, latest),
            reset_ns: until(tat, now),
        }
    }

    /// Nanoseconds that one request takes, rounded up.
    pub(super) fn step_ns(&self) -> u64 {
        self.step.ns.saturating_add(u64::from(self.step.part > 0))
    }

    /// True when a key with this TAT is as good as never seen.
    pub(super) fn is_spent(tat: Stamp, now_ns: u64) -> bool {
        tat.ns < now_ns
    }

    fn add(&self, a: Stamp, b: Stamp) -> Stamp {
        let part = u64::from(a.part) + u64::from(b.part);
        let carry = part >= u64::from(self.rate);
        let part = if carry {
            part - u64::from(self.rate)
        } else {
            part
        };
        Stamp {
            ns: a.ns.saturating_add(b.ns).saturating_add(u64::from(carry)),
            part: u32::try_from(part).unwrap_or(0),
        }
    }

    /// Whole steps from `early` to `late`.
    fn steps_between(&self, early: Stamp, late: Stamp) -> u64 {
        let whole = u128::from(late.ns.saturating_sub(early.ns));
        let parts = (whole * u128::from(self.rate) + u128::from(late.part))
            .saturating_sub(u128::from(early.part));
        // Most numbers fit the processor's own division, which is much faster.
        match u64::try_from(parts) {
            Ok(parts) => parts / self.per_ns,
            Err(_) => u64::try_from(parts / u128::from(self.per_ns)).unwrap_or(u64::MAX),
        }
    }
}

/// Nanoseconds from `early` to `late`, rounded up.
fn until(late: Stamp, early: Stamp) -> u64 {
    let whole = late.ns.saturating_sub(early.ns);
    whole + u64::from(late.part > early.part)
}
