//! Who is out: decisions over all members of one upstream.

use std::ptr;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::deviation::{Share, low_shares, slow};
use super::watch::{Interval, Outlier};
use super::{Cause, Member, OutlierOptions, Standing};
use crate::upstream::balance::random::Wyrand;

/// Decides for one upstream. Part of its state, so that a reload keeps it; the ejections themselves are in the
/// [`Outlier`]s, because members come and go.
#[derive(Debug, Default)]
pub struct Ejector(Mutex<Schedule>);

/// Behind the lock that every decision takes.
#[derive(Debug, Default)]
struct Schedule {
    /// When the interval ends; none while nothing is compared.
    next_look: Option<Instant>,
}

/// What became of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint is out.
    Ejected {
        /// For so long, jitter included.
        lasts: Duration,
        /// Its place in the growth: 1 is a first ejection.
        times: u32,
    },
    /// No: it would be more than the largest share.
    TooMany,
    /// No: no other endpoint can be used.
    Last,
    /// It is out already.
    Already,
    /// It is no member any more, or drained, or of weight 0.
    NotInUse,
}

/// Something that a tick did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The member's position.
    pub index: usize,
    /// What happened to it.
    pub what: What,
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// It is out.
    Ejected {
        /// Why.
        cause: Cause,
        /// For so long, jitter included.
        lasts: Duration,
        /// Its place in the growth: 1 is a first ejection.
        times: u32,
    },
    /// It stands out and stays: [`Verdict::TooMany`] or [`Verdict::Last`].
    Spared {
        /// Why it would have been ejected.
        cause: Cause,
        /// Why it was not.
        verdict: Verdict,
    },
    /// It is in use again.
    Returned {
        /// Why now.
        why: Back,
        /// How long it was out.
        out_for: Duration,
    },
}

/// Why an ejection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// Its time is over.
    TimeUp,
    /// Too many were out, or no endpoint was left, after something else had changed.
    Room,
    /// What ejected it is not configured any more.
    Off,
    /// It was asked for.
    Asked,
}

/// The members by standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that are not idle.
    pub members: usize,
    /// Ejected ones of them.
    pub out: usize,
    /// Those that get requests.
    pub available: usize,
    /// Most that may be out.
    pub most: usize,
}

impl Verdict {
    /// For labels and operators.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ejected { .. } => "ejected",
            Self::TooMany => "too_many",
            Self::Last => "last",
            Self::Already => "already",
            Self::NotInUse => "not_in_use",
        }
    }
}

impl Back {
    /// For labels and operators.
    pub fn word(self) -> &'static str {
        match self {
            Self::TimeUp => "time_up",
            Self::Room => "room",
            Self::Off => "off",
            Self::Asked => "asked",
        }
    }
}

impl Tally {
    /// Counts the members. The numbers belong to one moment only behind the lock.
    pub(super) fn of<M: Member>(options: &OutlierOptions, members: &[M]) -> Self {
        let mut tally = Self::default();
        for member in members {
            let (standing, out) = (member.standing(), member.outlier().is_out());
            if standing != Standing::Idle {
                tally.members += 1;
                tally.out += usize::from(out);
                tally.available += usize::from(standing == Standing::Usable && !out);
            }
        }
        tally.most = options.most(tally.members);
        tally
    }
}

/// Ends an ejection; none if there was none. The caller holds the lock.
fn give_back<M: Member>(members: &[M], index: usize, why: Back, now: Instant) -> Option<Change> {
    let member = members.get(index)?;
    let outlier = member.outlier();
    let mut held = outlier.held();
    let since = held.out?.since;
    held.end(now);
    outlier.forget_counts();
    outlier.set_out(false);
    member.hold(false);
    let out_for = now.saturating_duration_since(since);
    Some(Change {
        index,
        what: What::Returned { why, out_for },
    })
}

/// Ejects a member if that is allowed, and keeps the tally right. The caller holds the lock.
fn judge<M: Member>(
    options: &OutlierOptions,
    (member, tally): (&M, &mut Tally),
    cause: Cause,
    now: Instant,
    random: u64,
) -> Verdict {
    let (standing, outlier) = (member.standing(), member.outlier());
    let is_usable = match standing {
        Standing::Idle => return Verdict::NotInUse,
        Standing::Usable => true,
        Standing::Down => false,
    };
    if outlier.is_out() {
        return Verdict::Already;
    }
    if tally.available <= usize::from(is_usable) {
        return Verdict::Last;
    }
    if tally.out >= tally.most {
        return Verdict::TooMany;
    }
    let mut held = outlier.held();
    let lasts = held.begin(options, cause, now, random);
    outlier.set_out(true);
    member.hold(true);
    tally.out += 1;
    tally.available -= usize::from(is_usable);
    Verdict::Ejected {
        lasts,
        times: held.times,
    }
}

/// Ends what is due and forgets growth.
fn settle<M: Member>(
    options: &OutlierOptions,
    members: &[M],
    now: Instant,
    changes: &mut Vec<Change>,
) {
    for (index, member) in members.iter().enumerate() {
        let mut held = member.outlier().held();
        let Some(out) = held.out else {
            if member.standing() != Standing::Usable {
                held.not_in_use(now);
            }
            held.forget_growth(options, now);
            continue;
        };
        let is_due = held.end_at(options).is_none_or(|end| end <= now);
        drop(held);
        if !options.watches(out.cause) {
            changes.extend(give_back(members, index, Back::Off, now));
        } else if is_due {
            changes.extend(give_back(members, index, Back::TimeUp, now));
        } else {
            // Another process may have ejected it: its mark did not come with its state.
            member.hold(true);
        }
    }
}

/// Gives endpoints back, the soonest due first, until no more are out than may be and one can be used.
fn make_room<M: Member>(
    options: &OutlierOptions,
    members: &[M],
    now: Instant,
    changes: &mut Vec<Change>,
) {
    let mut tally = Tally::of(options, members);
    if tally.out == 0 || (tally.out <= tally.most && tally.available > 0) {
        return;
    }
    let mut out: Vec<(Instant, usize, bool)> = Vec::with_capacity(tally.out);
    for (index, member) in members.iter().enumerate() {
        let (standing, end) = (member.standing(), member.outlier().held().end_at(options));
        if let (Some(end), false) = (end, standing == Standing::Idle) {
            out.push((end, index, standing == Standing::Usable));
        }
    }
    out.sort_unstable();
    for (_, index, is_usable) in out {
        if tally.out > tally.most || (tally.available == 0 && is_usable) {
            changes.extend(give_back(members, index, Back::Room, now));
            tally.out = tally.out.saturating_sub(1);
            tally.available += usize::from(is_usable);
        }
    }
}

impl Ejector {
    /// Decides about a cause that [`Outlier::record`] of `which` gave back. `members` are all endpoints of the
    /// upstream now. Costs a look at each of them, behind the upstream's lock.
    ///
    /// The endpoint is named by its counters and not by a position: the set may be another one than that the request
    /// has chosen from.
    pub fn eject<M: Member>(
        &self,
        options: &OutlierOptions,
        members: &[M],
        which: &Outlier,
        cause: Cause,
        now: Instant,
        random: u64,
    ) -> Verdict {
        let _decide = self.0.lock();
        let found = members
            .iter()
            .find(|member| ptr::eq(member.outlier(), which));
        let Some(member) = found else {
            return Verdict::NotInUse;
        };
        let mut tally = Tally::of(options, members);
        judge(options, (member, &mut tally), cause, now, random)
    }

    /// To be called about once a second: ends ejections, makes room, compares endpoints when the interval is over and
    /// forgets growth. Gives back what changed.
    ///
    /// After it, no more endpoints are out than may be, and one can be used if one is [`Standing::Usable`].
    pub fn tick<M: Member>(
        &self,
        options: &OutlierOptions,
        members: &[M],
        now: Instant,
        random: u64,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut schedule = self.0.lock();
        settle(options, members, now, &mut changes);
        make_room(options, members, now, &mut changes);
        let was_counted = schedule.next_look.is_some();
        let is_over = schedule.is_over(options, now);
        drop(schedule);
        if !is_over {
            return changes;
        }
        // Reading all counters takes its time with thousands of members; no request waits for it.
        let intervals: Vec<Interval> = members
            .iter()
            .map(|member| member.outlier().take_interval())
            .collect();
        // A first look ends an interval of unknown length.
        if was_counted {
            let decide = self.0.lock();
            compare(
                (options, members),
                &intervals,
                (now, random),
                &decide,
                &mut changes,
            );
        }
        changes
    }

    /// The members by standing, as of one moment: for operators and gauges.
    pub fn tally<M: Member>(&self, options: &OutlierOptions, members: &[M]) -> Tally {
        let _decide = self.0.lock();
        Tally::of(options, members)
    }

    /// Gives one endpoint back before its time: an operator asks for it, or its cause was failed connects and an
    /// active health check came through. Its growth stays. None if it is not out.
    pub fn give_back<M: Member>(
        &self,
        members: &[M],
        which: &Outlier,
        now: Instant,
    ) -> Option<Change> {
        let _decide = self.0.lock();
        let is_it = |member: &M| ptr::eq(member.outlier(), which);
        let index = members.iter().position(is_it)?;
        give_back(members, index, Back::Asked, now)
    }

    /// Gives all endpoints back and forgets their growth: outlier detection is not configured any more.
    pub fn release<M: Member>(&self, members: &[M], now: Instant) -> Vec<Change> {
        let mut schedule = self.0.lock();
        schedule.next_look = None;
        let mut changes = Vec::new();
        for (index, member) in members.iter().enumerate() {
            changes.extend(give_back(members, index, Back::Off, now));
            let mut held = member.outlier().held();
            held.forget_interval();
            (held.times, held.quiet_since) = (0, None);
        }
        changes
    }
}

impl Schedule {
    /// True if the interval ends now, and the next one begins; also for the very first.
    fn is_over(&mut self, options: &OutlierOptions, now: Instant) -> bool {
        if !options.compares() {
            return self.next_look.take().is_some();
        }
        let next = now.checked_add(options.interval);
        // A reload may have made the interval shorter.
        let due = match (self.next_look, next) {
            (Some(due), Some(next)) => due.min(next),
            (Some(due), None) => due,
            (None, _) => now,
        };
        let is_over = due <= now;
        self.next_look = if is_over {
            next.or(Some(now))
        } else {
            Some(due)
        };
        is_over
    }
}

/// Compares what the members did in one interval, and ejects who stands out most as long as there is room.
fn compare<M: Member>(
    (options, members): (&OutlierOptions, &[M]),
    intervals: &[Interval],
    (now, random): (Instant, u64),
    _decide: &MutexGuard<'_, Schedule>,
    changes: &mut Vec<Change>,
) {
    let (mut shares, mut timed) = (Vec::new(), Vec::new());
    for (index, (member, interval)) in members.iter().zip(intervals).enumerate() {
        let outlier = member.outlier();
        outlier.held().keep_interval(interval);
        // Who is out gets, in a panic at most, requests that compare with nothing.
        if outlier.is_out() || member.standing() != Standing::Usable {
            continue;
        }
        shares.push(Share {
            index,
            good: interval.good,
            bad: interval.bad,
        });
        if let (Some(slow), Some(taken)) = (options.latency, interval.taken)
            && taken.requests >= slow.min_requests
        {
            timed.push((index, taken.mean));
        }
    }
    let mut deviants = Vec::new();
    if let Some(rate) = &options.success_rate {
        deviants.extend(low_shares(rate, &shares));
    }
    if let Some(latency) = &options.latency {
        deviants.extend(slow(latency, &timed));
    }
    deviants.sort_by(|one, other| other.excess.total_cmp(&one.excess));
    let mut tally = Tally::of(options, members);
    let mut generator = Wyrand::new(random);
    for deviant in deviants {
        let Some(member) = members.get(deviant.index) else {
            continue;
        };
        let (index, cause) = (deviant.index, deviant.cause);
        let random = generator.next_u64();
        let what = match judge(options, (member, &mut tally), cause, now, random) {
            Verdict::Ejected { lasts, times } => What::Ejected {
                cause,
                lasts,
                times,
            },
            verdict @ (Verdict::TooMany | Verdict::Last) => What::Spared { cause, verdict },
            // Both its share and its time stand out, or it was drained a moment ago.
            Verdict::Already | Verdict::NotInUse => continue,
        };
        changes.push(Change { index, what });
    }
}
