//! The limits that hold for requests of one plan, and what they decide together.

use std::sync::Arc;
use std::time::Instant;

use farmgate_plugin_api::{Consumer, Facts, Source};
use foldhash::fast::RandomState as FastState;
use http::HeaderValue;
use parking_lot::MutexGuard;

use super::gcra::{Check, Pace, Stamp};
use super::in_flight::{Counts, Held, InFlight, MAX_GATES, Room};
use super::store::{Key, Shard, Store, Stored};

/// Most rates that one request meets.
pub(super) const MAX_LIMITS: usize = 8;

/// The tiers of a plugin.
pub(super) struct Tiers {
    /// For requests without a plan, and of plans that are not listed: the default plan, or what holds
    /// for everybody.
    pub(super) other: Tier,
    pub(super) plans: std::collections::HashMap<Box<str>, Tier, FastState>,
}

/// What holds for requests of one plan: the limits for everybody and the plan's own.
#[derive(Clone)]
pub(super) struct Tier {
    /// At most [`MAX_LIMITS`], in the order of their stores' numbers: every plugin, of every
    /// snapshot, takes the locks in the same order.
    pub(super) limits: Box<[Limit]>,
    /// At most [`MAX_GATES`], in the order of their tables' numbers; locked before the stores.
    pub(super) gates: Box<[Gate]>,
    /// The field `RateLimit-Policy`; none: no fields are written.
    pub(super) policy: Option<HeaderValue>,
}

/// One limit of a rate.
#[derive(Clone)]
pub(super) struct Limit {
    pub(super) source: Source,
    pub(super) name: Arc<str>,
    /// Its name as a structured-field string.
    pub(super) quoted: Box<str>,
    /// Values of the key may be shown as they are.
    pub(super) reveal: bool,
    pub(super) pace: Pace,
    pub(super) store: Arc<Store>,
}

/// One limit of requests in flight.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) source: Source,
    pub(super) name: Arc<str>,
    pub(super) most: u32,
    pub(super) table: Arc<InFlight>,
}

/// What all limits together say of one request.
#[derive(Default)]
pub(super) struct Decision {
    /// Nanoseconds until no rate would refuse any more; none: the rates let it pass.
    pub(super) retry_ns: Option<u64>,
    /// Which rate asks for that wait.
    pub(super) slowest: usize,
    /// The rates that refuse, a bit each.
    pub(super) denied: u8,
    /// The gates that are shut, a bit each.
    pub(super) busy: u8,
    /// A gate is shut because its table is full.
    pub(super) table_full: bool,
    /// Keys that were forgotten to make room.
    pub(super) evicted: u64,
    /// What each rate says; none where the request has no key.
    pub(super) states: [Option<State>; MAX_LIMITS],
    /// The places it has now, if it passes a gate.
    pub(super) held: Option<Held>,
}

/// What one limit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) remaining: u64,
    pub(super) reset_ns: u64,
}

/// A limit's locked shard, and what will be stored in it.
struct Claim<'s> {
    shard: MutexGuard<'s, Shard>,
    key: Key,
    now_ns: u64,
    tat: Option<Stamp>,
}

/// A gate's locked shard, and the key that goes through.
struct Place<'s> {
    shard: MutexGuard<'s, Counts>,
    key: Key,
}

impl Decision {
    /// Whether the request passes.
    pub(super) fn passes(&self) -> bool {
        self.retry_ns.is_none() && self.busy == 0
    }
}

impl Tiers {
    /// The tier of a request of this consumer, and whether its plan is one that is not listed.
    pub(super) fn of(&self, consumer: Option<&Consumer>) -> (&Tier, bool) {
        if self.plans.is_empty() {
            return (&self.other, false);
        }
        let Some(plan) = consumer.and_then(|consumer| consumer.plan.as_deref()) else {
            return (&self.other, false);
        };
        match self.plans.get(plan) {
            Some(tier) => (tier, false),
            None => (&self.other, true),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Tier> {
        self.plans.values().chain([&self.other])
    }
}

impl Tier {
    /// Decides about a request and charges it if it passes: all rates and gates, or none. All shards
    /// stay locked from the first check to the last charge, so two threads never both take what is
    /// left for one. Without `gated` the gates are left out: the request is through them already.
    pub(super) fn decide(
        &self,
        facts: &dyn Facts,
        now: Instant,
        max_keys: usize,
        gated: bool,
    ) -> Decision {
        let mut decision = Decision::default();
        let mut places: [Option<Place<'_>>; MAX_GATES] = Default::default();
        if gated {
            self.look_at_gates(facts, max_keys, &mut places, &mut decision);
        }
        let mut claims: [Option<Claim<'_>>; MAX_LIMITS] = Default::default();
        let slots = claims.iter_mut().zip(&mut decision.states).enumerate();
        for (limit, (at, (claim, state))) in self.limits.iter().zip(slots) {
            let store = &*limit.store;
            let Some(key) = limit.source.with_key(facts, |bytes| store.key(bytes)) else {
                continue;
            };
            let Some(mut shard) = store.lock(key) else {
                continue;
            };
            let now_ns = store.ns(now);
            let (tat, told) = match limit.pace.check(shard.get(key), now_ns) {
                Check::Allow {
                    tat,
                    remaining,
                    reset_ns,
                } => (Some(tat), (remaining, reset_ns)),
                Check::Deny {
                    correction,
                    retry_ns,
                    reset_ns,
                } => {
                    if let Some(tat) = correction {
                        shard.set(key, tat);
                    }
                    decision.denied |= 1 << at;
                    if decision.retry_ns.is_none_or(|longest| retry_ns > longest) {
                        decision.retry_ns = Some(retry_ns);
                        decision.slowest = at;
                    }
                    (None, (0, reset_ns))
                }
            };
            let (remaining, reset_ns) = told;
            *state = Some(State {
                remaining,
                reset_ns,
            });
            *claim = Some(Claim {
                shard,
                key,
                now_ns,
                tat,
            });
        }
        if decision.passes() {
            decision.evicted = self.charge(&mut claims, max_keys);
            decision.held = self.enter(&mut places);
        }
        decision
    }

    fn look_at_gates<'s>(
        &'s self,
        facts: &dyn Facts,
        max_keys: usize,
        places: &mut [Option<Place<'s>>; MAX_GATES],
        decision: &mut Decision,
    ) {
        for (at, (gate, place)) in self.gates.iter().zip(places).enumerate() {
            let table = &*gate.table;
            let Some(key) = gate.source.with_key(facts, |bytes| table.key(bytes)) else {
                continue;
            };
            let Some(shard) = table.lock(key) else {
                continue;
            };
            match table.check(&shard, key, gate.most, max_keys) {
                Room::Free => {}
                Room::Busy => decision.busy |= 1 << at,
                Room::Full => {
                    decision.busy |= 1 << at;
                    decision.table_full = true;
                }
            }
            *place = Some(Place { shard, key });
        }
    }

    /// Stores the new stamps; returns how many keys were forgotten for it.
    fn charge(&self, claims: &mut [Option<Claim<'_>>], max_keys: usize) -> u64 {
        let mut evicted = 0;
        for (limit, claim) in self.limits.iter().zip(claims) {
            let Some(claim) = claim else { continue };
            let Some(tat) = claim.tat else { continue };
            let shard = &mut *claim.shard;
            let stored = limit
                .store
                .put(shard, claim.key, tat, claim.now_ns, max_keys);
            evicted += u64::from(stored == Stored::Evicted);
        }
        evicted
    }

    /// Takes the places; none when the request goes through no gate.
    fn enter(&self, places: &mut [Option<Place<'_>>]) -> Option<Held> {
        let mut held = None;
        for (at, (gate, place)) in self.gates.iter().zip(places).enumerate() {
            let Some(place) = place else { continue };
            gate.table.enter(&mut place.shard, place.key);
            let held: &mut Held = held.get_or_insert_default();
            held.add(at, &gate.table, place.key);
        }
        held
    }
}

impl Limit {
    /// What it would say of this request now; nothing is charged.
    pub(super) fn peek(&self, facts: &dyn Facts, now: Instant) -> Option<Check> {
        let store = &*self.store;
        let key = self.source.with_key(facts, |bytes| store.key(bytes))?;
        let tat = store.lock(key)?.get(key);
        Some(self.pace.check(tat, store.ns(now)))
    }
}
