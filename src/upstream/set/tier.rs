//! The members of one priority, in one pool or, where zones are told apart, in two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::options::SetOptions;
use super::spread::{self, Count, WHOLE};
use crate::upstream::balance::{Choice, Filter, Pick, Policy, Table};
use crate::upstream::endpoint::{Endpoint, EndpointState};
use crate::upstream::ewma::clock_ms;
use crate::upstream::ramp::{Ramp, millis};
use crate::upstream::shared::{Line, UpstreamState};

/// An endpoint as policies see it: weight 1 or more, state one step away.
#[derive(Debug)]
pub(in crate::upstream) struct Member {
    pub(in crate::upstream) state: Arc<EndpointState>,
    pub(in crate::upstream) endpoint: Arc<Endpoint>,
    pub(in crate::upstream) weight: u32,
    /// Position in `EndpointSet::endpoints`.
    pub(super) index: usize,
}

/// What holds for every choice in a set.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) shared: Arc<UpstreamState>,
    pub(super) limit: Option<u32>,
    pub(super) slow_start_ms: Option<u64>,
}

impl Terms {
    pub(super) fn new(options: &SetOptions, shared: Arc<UpstreamState>) -> Self {
        Self {
            shared,
            limit: options.per_endpoint,
            slow_start_ms: options.slow_start.map(millis).filter(|&length| length > 0),
        }
    }
}

/// Members among which the policy chooses.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) members: Box<[Member]>,
    table: Table,
    cursor: Arc<Line>,
    /// Weight of the available members, as last counted.
    available: AtomicU64,
    /// When the last of them is warm; 0 when all are.
    warm_at_ms: AtomicU64,
    /// When the first of them began to warm up; 0 when one is warm.
    oldest_ms: AtomicU64,
}

impl Pool {
    fn build(members: Vec<Member>, policy: &Policy, cursor: Arc<Line>) -> Self {
        let weights = members.iter().map(|member| u64::from(member.weight));
        Self {
            table: Table::build(policy, &members),
            cursor,
            available: AtomicU64::new(weights.sum()),
            warm_at_ms: AtomicU64::new(0),
            oldest_ms: AtomicU64::new(0),
            members: members.into_boxed_slice(),
        }
    }

    /// Counts the members, and lets the time of those that came begin.
    fn count(&self, terms: &Terms, now_ms: u64) -> Count {
        let mut count = Count::default();
        let (mut warm_at, mut oldest, mut one_is_warm) = (0, u64::MAX, false);
        for member in &self.members {
            let weight = u64::from(member.weight);
            count.total += weight;
            if member.state.is_drained() {
                continue;
            }
            count.judged += weight;
            if !member.state.is_available() {
                continue;
            }
            count.available += weight;
            match member.state.warm_up.settle(terms.slow_start_ms, now_ms) {
                Some(began) => {
                    let length = terms.slow_start_ms.unwrap_or(0);
                    warm_at = warm_at.max(began.saturating_add(length));
                    oldest = oldest.min(began);
                }
                None => one_is_warm = true,
            }
        }
        let oldest = if one_is_warm || warm_at == 0 {
            0
        } else {
            oldest
        };
        self.available.store(count.available, Ordering::Relaxed);
        self.warm_at_ms.store(warm_at, Ordering::Relaxed);
        self.oldest_ms.store(oldest, Ordering::Relaxed);
        count
    }

    /// The slow start of its members at `now`, while one of them warms up.
    pub(super) fn ramp(&self, terms: &Terms, now: Instant) -> Option<Ramp> {
        let warm_at = self.warm_at_ms.load(Ordering::Relaxed);
        let length = terms.slow_start_ms.filter(|_| warm_at > 0)?;
        let now_ms = clock_ms(now);
        let oldest = self.oldest_ms.load(Ordering::Relaxed);
        (now_ms < warm_at).then(|| Ramp::new(now_ms, length, (oldest > 0).then_some(oldest)))
    }

    pub(super) fn choice<'a>(
        &'a self,
        terms: &'a Terms,
        filter: Filter<'a>,
        pick: &'a Pick<'a>,
    ) -> Choice<'a> {
        Choice {
            members: &self.members,
            filter,
            pick,
            shared: &terms.shared,
            cursor: &self.cursor,
            limit: terms.limit,
            ramp: self.ramp(terms, pick.now),
        }
    }

    fn pick(&self, terms: &Terms, filter: Filter<'_>, pick: &Pick<'_>) -> Option<usize> {
        // Known without a look at the members; a count that is a moment old errs on both sides
        // alike, and the last passes look at everybody.
        if filter.only_available && self.available.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let member = self.table.pick(&self.choice(terms, filter, pick))?;
        self.members.get(member).map(|member| member.index)
    }

    pub(super) fn available(&self) -> u64 {
        self.available.load(Ordering::Relaxed)
    }
}

/// All members of one priority.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) priority: u8,
    /// The own zone's and the others', or all in one. None is empty.
    pub(super) pools: Box<[Pool]>,
    /// The end of this tier's part of all requests, see [`spread::Share`].
    until: AtomicU64,
    /// The first pool's part of the tier's requests, of [`WHOLE`].
    own: AtomicU64,
    panic: AtomicBool,
}

impl Tier {
    pub(super) fn build(
        priority: u8,
        members: Vec<Member>,
        policy: &Policy,
        options: &SetOptions,
        shared: &UpstreamState,
    ) -> Self {
        let own_zone = options.zone.as_deref().filter(|_| options.prefer_zone);
        let is_own = |member: &Member| {
            own_zone.is_some_and(|own| member.endpoint.zone.as_deref() == Some(own))
        };
        let (own, away): (Vec<_>, Vec<_>) = members.into_iter().partition(is_own);
        let is_split = !own.is_empty();
        let pool = |(members, away): (Vec<Member>, bool)| {
            let cursor = shared.cursor(priority, away && is_split);
            Pool::build(members, policy, cursor)
        };
        Self {
            priority,
            pools: [(own, false), (away, true)]
                .into_iter()
                .filter(|(members, _)| !members.is_empty())
                .map(pool)
                .collect(),
            until: AtomicU64::new(WHOLE),
            own: AtomicU64::new(WHOLE),
            panic: AtomicBool::new(false),
        }
    }

    /// Counts each pool. The second one is empty where zones are not told apart.
    pub(super) fn count(&self, terms: &Terms, now_ms: u64) -> (Count, Count) {
        let count = |number: usize| {
            let pool = self.pools.get(number);
            pool.map(|pool| pool.count(terms, now_ms))
                .unwrap_or_default()
        };
        (count(0), count(1))
    }

    pub(super) fn set_share(&self, share: spread::Share, own: u64) {
        self.until.store(share.until, Ordering::Relaxed);
        self.own.store(own, Ordering::Relaxed);
        self.panic.store(share.panic, Ordering::Relaxed);
    }

    pub(super) fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// The own zone's part; `None` where zones are not told apart.
    pub(super) fn own(&self) -> Option<u64> {
        (self.pools.len() > 1).then(|| self.own.load(Ordering::Relaxed))
    }

    pub(super) fn is_panic(&self) -> bool {
        self.panic.load(Ordering::Relaxed)
    }

    /// Chooses in the pool that `draw`, in `0..WHOLE`, falls to, else in the other one.
    pub(super) fn pick(
        &self,
        terms: &Terms,
        filter: Filter<'_>,
        pick: &Pick<'_>,
        draw: u64,
    ) -> Option<usize> {
        match &*self.pools {
            [all] => all.pick(terms, filter, pick),
            [own, away] => {
                let is_own = draw < self.own.load(Ordering::Relaxed);
                let (first, second) = if is_own { (own, away) } else { (away, own) };
                let found = first.pick(terms, filter, pick);
                found.or_else(|| second.pick(terms, filter, pick))
            }
            _ => None,
        }
    }
}
