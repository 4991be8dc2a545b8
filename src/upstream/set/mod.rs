//! The endpoints of one upstream at one moment, with what the policy computed for them.
//!
//! A choice goes by shares that are counted and not by looking at members: each tier (priority)
//! has its part of all requests, each zone its part of the tier ([`spread`]). They are counted by
//! the first choice after something changed, which one number for the whole process tells: who
//! may be chosen changes rarely and choices come by the million. Threads that choose meanwhile go
//! on with the shares before, for the microseconds it takes; no thread waits for another.

mod options;
mod spread;
mod status;
mod tier;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

pub use self::options::SetOptions;
pub use self::status::TierStatus;
pub(super) use self::tier::Member;
use self::tier::{Terms, Tier};
use super::balance::{Filter, Pick, Policy};
use super::endpoint::{Endpoint, changes_total};
use super::ewma::clock_ms;
use super::hash::mix;
use super::shared::UpstreamState;

/// Most endpoints of one upstream, resolved addresses included.
pub const MAX_ENDPOINTS: usize = 4096;

/// Makes the draw of a tier and a zone independent of the draw of a member.
const SHARE_SALT: u64 = 0x5d8e_23a1_7b64_c90f;

/// An immutable table of endpoints. A DNS answer, a runtime weight or a reload makes a new one.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Box<[Arc<Endpoint>]>,
    /// Ascending priorities, none empty.
    tiers: Box<[Tier]>,
    terms: Terms,
    panic_threshold: f32,
    /// The key and not chance says which tier and zone a request belongs to.
    by_key: bool,
    /// There is more than one tier or zone.
    is_split: bool,
    /// The number of changes the shares were counted at.
    counted: AtomicU64,
    counting: AtomicBool,
}

/// What [`EndpointSet::pick`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Position in [`EndpointSet::endpoints`].
    pub index: usize,
    /// True if health was ignored: too little of the endpoint's priority is available, or nothing.
    pub panic: bool,
}

/// Why no endpoint could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// Every endpoint that may be chosen has as many attempts in flight as it may have: one
    /// becomes free soon.
    Full,
    /// No endpoint may get anything: all drained, of weight 0, or names without an answer so far.
    None,
}

impl NoPick {
    /// The word for operators.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

impl fmt::Display for NoPick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "every endpoint has as many requests in flight as it may have",
            Self::None => "no endpoint may get requests",
        })
    }
}

impl EndpointSet {
    /// Computes the tables. Only the first 4,096 endpoints are taken.
    pub fn build(
        mut endpoints: Vec<Arc<Endpoint>>,
        policy: &Policy,
        options: &SetOptions,
        shared: Arc<UpstreamState>,
    ) -> Self {
        endpoints.truncate(MAX_ENDPOINTS);
        let weighted = |endpoint: &&Arc<Endpoint>| endpoint.weight > 0;
        let mut priorities: Vec<u8> = endpoints
            .iter()
            .filter(weighted)
            .map(|e| e.priority)
            .collect();
        priorities.sort_unstable();
        priorities.dedup();
        let tier = |priority: u8| {
            let members = endpoints
                .iter()
                .enumerate()
                .filter(|(_, endpoint)| endpoint.priority == priority && endpoint.weight > 0)
                .map(|(index, endpoint)| Member {
                    state: endpoint.state.clone(),
                    endpoint: endpoint.clone(),
                    weight: endpoint.weight,
                    index,
                })
                .collect();
            Tier::build(priority, members, policy, options, &shared)
        };
        let tiers: Box<[Tier]> = priorities.into_iter().map(tier).collect();
        Self {
            is_split: tiers.len() > 1 || tiers.iter().any(|tier| tier.pools.len() > 1),
            tiers,
            endpoints: endpoints.into_boxed_slice(),
            terms: Terms::new(options, shared),
            panic_threshold: options.panic_threshold,
            by_key: matches!(policy, Policy::ConsistentHash(_)),
            counted: AtomicU64::new(u64::MAX),
            counting: AtomicBool::new(false),
        }
    }

    /// All endpoints in configured order, those of weight 0 too.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Chooses an endpoint.
    ///
    /// First in the tier and zone the request falls to by their shares. Else passes, each over all
    /// tiers in ascending priority: available and not tried; available; (panic) not tried; any. So
    /// a request tries a backup before it tries an endpoint again, and an endpoint that is down
    /// only when nothing is up, or in a tier that is in panic. Endpoints that are full are passed
    /// over; those that are down do not stand in for them.
    pub fn pick(&self, pick: &Pick<'_>) -> Result<Chosen, NoPick> {
        self.refresh(pick.now);
        let tried = (!pick.tried.is_empty()).then_some(pick.tried);
        let (tier_draw, zone_draw) = self.draws(pick);
        let drawn = self.tiers.iter().find(|tier| tier_draw < tier.until());
        drawn
            .and_then(|tier| self.pick_in(tier, pick, tried, false, zone_draw))
            .or_else(|| {
                let others = |tier: &&Tier| drawn.is_none_or(|drawn| !std::ptr::eq(drawn, *tier));
                let mut others = self.tiers.iter().filter(others);
                others.find_map(|tier| self.pick_in(tier, pick, tried, false, zone_draw))
            })
            .or_else(|| {
                // Without tried endpoints the pass before was this one.
                tried.and_then(|_| self.pass(pick, None, false, zone_draw))
            })
            .map_or_else(|| self.pick_any(pick, zone_draw), Ok)
    }

    /// Nothing that is available was found.
    fn pick_any(&self, pick: &Pick<'_>, zone_draw: u64) -> Result<Chosen, NoPick> {
        let has_room = |endpoint: &Arc<Endpoint>| {
            let in_flight = endpoint.state.in_flight();
            let limit = self.terms.limit;
            limit.is_none_or(|limit| in_flight < limit).then_some(())
        };
        // A look at each: one may have come while another thread counts the shares.
        match self.first_with_room(false, has_room) {
            Ok((chosen, ())) => return Ok(chosen),
            // Requests to endpoints that are down would not help those that are full.
            Err(NoPick::Full) => return Err(NoPick::Full),
            Err(NoPick::None) => {}
        }
        let tried = (!pick.tried.is_empty()).then_some(pick.tried);
        let found = self.pass(pick, tried, true, zone_draw);
        let found = found.or_else(|| tried.and_then(|_| self.pass(pick, None, true, zone_draw)));
        match found {
            Some(chosen) => Ok(chosen),
            None => self
                .first_with_room(true, has_room)
                .map(|(chosen, ())| chosen),
        }
    }

    /// Looks at the endpoints that may be chosen, one after another, until `take` takes one.
    /// `panic`: whether they are available or not.
    pub(super) fn first_with_room<T>(
        &self,
        panic: bool,
        mut take: impl FnMut(&Arc<Endpoint>) -> Option<T>,
    ) -> Result<(Chosen, T), NoPick> {
        let mut why = NoPick::None;
        for (tier, member) in self.members() {
            let panic = panic || tier.is_panic();
            if member.state.is_drained() || !(panic || member.state.is_available()) {
                continue;
            }
            why = NoPick::Full;
            if let Some(taken) = take(&member.endpoint) {
                let index = member.index;
                return Ok((Chosen { index, panic }, taken));
            }
        }
        Err(why)
    }

    /// The limit of attempts in flight to one endpoint.
    pub(super) fn limit(&self) -> Option<u32> {
        self.terms.limit
    }

    fn members(&self) -> impl Iterator<Item = (&Tier, &Member)> {
        self.tiers.iter().flat_map(|tier| {
            let pools = tier.pools.iter();
            pools.flat_map(move |pool| pool.members.iter().map(move |member| (tier, member)))
        })
    }

    fn pass(
        &self,
        pick: &Pick<'_>,
        tried: Option<&super::TriedSet>,
        panic: bool,
        zone_draw: u64,
    ) -> Option<Chosen> {
        let mut tiers = self.tiers.iter();
        tiers.find_map(|tier| self.pick_in(tier, pick, tried, panic, zone_draw))
    }

    fn pick_in(
        &self,
        tier: &Tier,
        pick: &Pick<'_>,
        tried: Option<&super::TriedSet>,
        panic: bool,
        zone_draw: u64,
    ) -> Option<Chosen> {
        let panic = panic || tier.is_panic();
        let filter = Filter {
            tried,
            only_available: !panic,
        };
        let index = tier.pick(&self.terms, filter, pick, zone_draw)?;
        Some(Chosen { index, panic })
    }

    /// Two numbers in `0..spread::WHOLE`, for the tier and for the zone. With a consistent hash
    /// they follow from the key: a key moves only when the shares do.
    fn draws(&self, pick: &Pick<'_>) -> (u64, u64) {
        if !self.is_split {
            return (0, 0);
        }
        let seed = match pick.hash {
            Some(hash) if self.by_key => hash,
            _ => pick.random,
        };
        let bits = mix(seed ^ SHARE_SALT);
        (bits >> 32, bits & 0xffff_ffff)
    }

    /// Counts the shares if something changed since they were counted.
    fn refresh(&self, now: Instant) {
        let changes = changes_total();
        if self.counted.load(Ordering::Acquire) == changes {
            return;
        }
        if self.counting.swap(true, Ordering::Acquire) {
            return;
        }
        let now_ms = clock_ms(now);
        let counts: Vec<_> = self
            .tiers
            .iter()
            .map(|tier| tier.count(&self.terms, now_ms))
            .collect();
        let sums: Vec<_> = counts.iter().map(|(own, away)| own.plus(*away)).collect();
        let shares = spread::over_tiers(&sums, self.panic_threshold);
        for (tier, (share, (own, away))) in self.tiers.iter().zip(shares.into_iter().zip(counts)) {
            tier.set_share(share, spread::of_own_zone(own, away, share.panic));
        }
        // What changed while it was counted has a higher number, and is counted by the next choice.
        self.counted.store(changes, Ordering::Release);
        self.counting.store(false, Ordering::Release);
    }
}
