//! The choice of one member out of a tier, one policy a file.
//!
//! A tier is the members of one priority. Its [`Table`] is computed when the set is built; a
//! pick reads it and the members' atomics, and neither allocates nor locks.

pub mod consistent_hash;
pub mod least_request;
pub mod peak_ewma;
pub mod random;
pub mod round_robin;
mod two_choices;

#[cfg(test)]
mod tests;

use std::time::Instant;

use self::consistent_hash::{ConsistentHash, HashOptions};
use self::least_request::LeastRequest;
use self::peak_ewma::PeakEwma;
use self::random::{Wyrand, below};
use self::round_robin::RoundRobin;
use super::ramp::{Ramp, WHOLE};
use super::set::Member;
use super::shared::{Line, UpstreamState};
use super::tried::TriedSet;

/// How endpoints are chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Policy {
    /// Smooth weighted round robin.
    RoundRobin,
    /// The less loaded of two random endpoints.
    #[default]
    LeastRequest,
    /// The one with the lower expected waiting time of two random endpoints.
    PeakEwma,
    /// The same key to the same endpoint.
    ConsistentHash(HashOptions),
}

/// What one choice depends on besides the endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// Hash of the key, by [`stable_hash`](super::hash::stable_hash). Without it
    /// `consistent_hash` chooses at random; the other policies do not read it.
    pub hash: Option<u64>,
    /// What this request tried before.
    pub tried: &'a TriedSet,
    /// The time the choice is made at. `peak_ewma` and a slow start read it.
    pub now: Instant,
    /// Random bits, for instance [`random::next_u64`].
    pub random: u64,
}

/// Which members may be chosen in one pass. Drained members never are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<'a> {
    /// Members to leave out, if any.
    pub(super) tried: Option<&'a TriedSet>,
    /// False in panic, when nothing is available.
    pub(super) only_available: bool,
}

/// One pass over one tier, or over one zone of it.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) members: &'a [Member],
    pub(super) filter: Filter<'a>,
    pub(super) pick: &'a Pick<'a>,
    pub(super) shared: &'a UpstreamState,
    /// Where round robin goes on.
    pub(super) cursor: &'a Line,
    /// Most attempts in flight to one member.
    pub(super) limit: Option<u32>,
    /// Set while a member warms up.
    pub(super) ramp: Option<Ramp>,
}

impl Choice<'_> {
    /// True if this member may be chosen in this pass.
    fn allows(&self, member: &Member) -> bool {
        !member.state.is_drained()
            && self
                .limit
                .is_none_or(|limit| member.state.in_flight() < limit)
            && (!self.filter.only_available || member.state.is_available())
            && self
                .filter
                .tried
                .is_none_or(|tried| !tried.contains(member.state.id()))
    }

    /// The member at `index`, if it may be chosen.
    fn allowed(&self, index: usize) -> Option<&Member> {
        self.members.get(index).filter(|member| self.allows(member))
    }

    /// The member at `index`, if it may be chosen and chance accepts it: while it warms up its
    /// weight counts in part, and tables know only the whole.
    fn accepted(&self, index: usize, random: &mut Wyrand) -> Option<&Member> {
        let member = self.allowed(index)?;
        self.accepts(member, || random.next_u64()).then_some(member)
    }

    /// True for that part of all `bits` that is the member's part of its weight.
    fn accepts(&self, member: &Member, bits: impl FnOnce() -> u64) -> bool {
        let Some(ramp) = &self.ramp else {
            return true;
        };
        let share = ramp.share(&member.state.warm_up);
        share >= WHOLE || below(bits(), u64::from(WHOLE)) < u64::from(share)
    }

    /// The member's weight as it counts now, in units of 1/1024.
    fn weight(&self, member: &Member) -> u64 {
        let share = self
            .ramp
            .map_or(WHOLE, |ramp| ramp.share(&member.state.warm_up));
        u64::from(member.weight) * u64::from(share)
    }

    fn any_allowed(&self) -> bool {
        self.members.iter().any(|member| self.allows(member))
    }

    /// A random allowed member other than `except`, each with a chance by its weight. Reads all
    /// members: for the uncommon case that drawing blindly found nothing.
    fn draw(&self, random: u64, except: Option<usize>) -> Option<usize> {
        let fits =
            |(index, member): &(usize, &Member)| Some(*index) != except && self.allows(member);
        let candidates = || self.members.iter().enumerate().filter(fits);
        let total: u64 = candidates().map(|(_, member)| self.weight(member)).sum();
        if total == 0 {
            return None;
        }
        let mut left = below(random, total);
        let mut chosen = None;
        for (index, member) in candidates() {
            chosen = Some(index);
            match left.checked_sub(self.weight(member)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        chosen
    }
}

/// What a policy computed for one tier or zone.
#[derive(Debug)]
pub(super) enum Table {
    RoundRobin(RoundRobin),
    LeastRequest(LeastRequest),
    PeakEwma(PeakEwma),
    ConsistentHash(ConsistentHash),
}

impl Table {
    /// Prepares the choice among `members`, all of weight 1 or more.
    pub(super) fn build(policy: &Policy, members: &[Member]) -> Self {
        match policy {
            Policy::RoundRobin => Self::RoundRobin(RoundRobin::build(members)),
            Policy::LeastRequest => Self::LeastRequest(LeastRequest::build(members)),
            Policy::PeakEwma => Self::PeakEwma(PeakEwma::build(members)),
            Policy::ConsistentHash(options) => {
                Self::ConsistentHash(ConsistentHash::build(options, members))
            }
        }
    }

    /// The index in `choice.members` of the chosen one; `None` if none is allowed.
    pub(super) fn pick(&self, choice: &Choice<'_>) -> Option<usize> {
        // One endpoint needs no policy, and may not pay for one.
        if let [only] = choice.members {
            return choice.allows(only).then_some(0);
        }
        match self {
            Self::RoundRobin(table) => table.pick(choice),
            Self::LeastRequest(table) => table.pick(choice),
            Self::PeakEwma(table) => table.pick(choice),
            Self::ConsistentHash(table) => table.pick(choice),
        }
    }
}

impl Policy {
    /// True if choices need the number of requests in flight to the whole upstream.
    pub(super) fn counts_sum(&self) -> bool {
        matches!(self, Self::ConsistentHash(options) if options.load_bound.is_some())
    }
}

/// A generator for the further draws of one choice.
fn generator(pick: &Pick<'_>) -> Wyrand {
    Wyrand::new(pick.random)
}
