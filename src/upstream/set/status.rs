//! What operators and gauges see of a set.

use std::time::Instant;

use super::EndpointSet;
use super::spread::WHOLE;
use super::tier::{Pool, Tier};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::ramp;

/// Requests per endpoint below which an imbalance would say more about chance than about us.
const MIN_REQUESTS: u64 = 10;

/// One priority as it is used now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierStatus {
    /// Its priority.
    pub priority: u8,
    /// Its part of all requests, 0.0..=1.0.
    pub share: f64,
    /// The own zone's part of the tier's requests; `None` where zones are not told apart.
    pub own_zone: Option<f64>,
    /// Too little is available, so that health is ignored.
    pub panic: bool,
    /// Endpoints of weight 1 or more.
    pub endpoints: usize,
    /// The available part of their weight, 0.0..=1.0; drained ones are not available.
    pub available: f64,
}

impl EndpointSet {
    /// The shares of all priorities at `now`, ascending.
    pub fn tiers(&self, now: Instant) -> Vec<TierStatus> {
        self.refresh(now);
        let mut before = 0;
        let status = |tier: &Tier| {
            let until = tier.until().max(before);
            let share = (until - before) as f64 / WHOLE as f64;
            before = until;
            let members = || tier.pools.iter().flat_map(|pool| &pool.members);
            let total: u64 = members().map(|member| u64::from(member.weight)).sum();
            let available: u64 = tier.pools.iter().map(Pool::available).sum();
            TierStatus {
                priority: tier.priority,
                share,
                own_zone: tier.own().map(|own| own as f64 / WHOLE as f64),
                panic: tier.is_panic(),
                endpoints: members().count(),
                available: available as f64 / total.max(1) as f64,
            }
        };
        self.tiers.iter().map(status).collect()
    }

    /// The part of its weight an endpoint of this set has at `now`, 0.1..=1.0: below 1.0 while it
    /// warms up.
    pub fn warmth(&self, endpoint: &Endpoint, now: Instant) -> f64 {
        self.refresh(now);
        let id = endpoint.state.id();
        let mut pools = self.tiers.iter().flat_map(|tier| &tier.pools);
        let pool = pools.find(|pool| pool.members.iter().any(|one| one.state.id() == id));
        let ramp = pool.and_then(|pool| pool.ramp(&self.terms, now));
        ramp.map_or(1.0, |ramp| {
            f64::from(ramp.share(&endpoint.state.warm_up)) / f64::from(ramp::WHOLE)
        })
    }

    /// How uneven the requests since the last call were: the largest of the endpoints' requests
    /// over what their weights would have given them, 1.0 when all got their share. Endpoints are
    /// compared within their priority and zone, and only those that may be chosen now. `None` when
    /// no group of two or more had 10 requests per endpoint.
    ///
    /// The counts are kept by the endpoints, so that one caller, each 10 seconds or so, goes on
    /// over new sets.
    pub fn imbalance(&self) -> Option<f64> {
        let pools = self.tiers.iter().flat_map(|tier| {
            let panic = tier.is_panic();
            tier.pools.iter().map(move |pool| (panic, pool))
        });
        let worst = pools.filter_map(|(panic, pool)| uneven(pool, panic));
        worst.fold(None, |most: Option<f64>, one| {
            Some(most.map_or(one, |most| most.max(one)))
        })
    }
}

fn uneven(pool: &Pool, panic: bool) -> Option<f64> {
    let (mut requests, mut weights, mut count, mut densest) = (0_u64, 0_u64, 0_u64, 0.0_f64);
    for member in &pool.members {
        // Taken from everybody: who comes back begins with what comes then.
        let got = member.state.take_measured();
        if member.state.is_drained() || !(panic || member.state.is_available()) {
            continue;
        }
        let weight = u64::from(member.weight);
        requests = requests.saturating_add(got);
        weights = weights.saturating_add(weight);
        count += 1;
        densest = densest.max(got as f64 / weight as f64);
    }
    let enough = count > 1 && requests >= count.saturating_mul(MIN_REQUESTS);
    enough.then(|| densest * weights as f64 / requests as f64)
}
