//! Consistent hashing: the same key to the same endpoint, and few keys move when endpoints
//! come or go.
//!
//! With a load bound (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads",
//! 2018) an endpoint that has more than its share of the requests in flight is passed over, so a
//! hot key spreads to the next endpoints of its walk.

mod maglev;
mod ring;

#[cfg(test)]
mod tests;

use self::maglev::Maglev;
use self::ring::Ring;
use super::Choice;
use crate::upstream::hash::{mix, stable_hash};
use crate::upstream::set::Member;

/// The usual load bound: an endpoint takes up to 1.25 times its share.
pub const DEFAULT_LOAD_BOUND: f32 = 1.25;

/// Points on the ring per unit of weight, as in ketama.
pub const DEFAULT_POINTS: u32 = 160;

/// Slots looked at before the remaining endpoints are ranked for the key instead.
const MAX_STEPS: usize = 512;

/// Makes the keys an endpoint gets first, while it warms up, independent of where they fall.
const WARM_SALT: u64 = 0x3c6e_f372_fe94_f82b;

/// Which table keys are looked up in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashTable {
    /// Points on a ring; moves the fewest keys.
    #[default]
    Ring,
    /// Google's Maglev table of 65,537 slots; spreads most evenly.
    Maglev,
}

/// Options of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct HashOptions {
    /// The table.
    pub table: HashTable,
    /// Points per unit of weight, 1 or more; only for the ring.
    pub points: u32,
    /// Above 1.0: an endpoint takes at most this many times its share. `None`: no bound.
    pub load_bound: Option<f32>,
}

impl Default for HashOptions {
    fn default() -> Self {
        Self {
            table: HashTable::Ring,
            points: DEFAULT_POINTS,
            load_bound: None,
        }
    }
}

#[derive(Debug)]
enum Slots {
    Ring(Ring),
    Maglev(Maglev),
}

/// The lookup table of one tier.
#[derive(Debug)]
pub struct ConsistentHash {
    slots: Slots,
    /// Hash of each member's identity, for the ranking.
    names: Box<[u64]>,
    load_bound: Option<f32>,
    weight_total: u64,
}

impl ConsistentHash {
    pub(super) fn build(options: &HashOptions, members: &[Member]) -> Self {
        let names: Box<[u64]> = members.iter().map(name_hash).collect();
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        Self {
            slots: match options.table {
                HashTable::Ring => Slots::Ring(Ring::build(&names, &weights, options.points)),
                HashTable::Maglev => Slots::Maglev(Maglev::build(&names, &weights)),
            },
            weight_total: weights.iter().map(|&weight| u64::from(weight)).sum(),
            names,
            load_bound: options.load_bound,
        }
    }

    pub(super) fn pick(&self, choice: &Choice<'_>) -> Option<usize> {
        let key = choice.pick.hash.unwrap_or(choice.pick.random);
        let mut bound = self.load_bound.map(|factor| LoadBound {
            allowed: factor * (choice.shared.in_flight() + 1) as f32,
            weight_total: self.weight_total,
            exact: false,
        });
        let (start, len) = match &self.slots {
            Slots::Ring(ring) => (ring.find(key), ring.len()),
            Slots::Maglev(table) => (table.find(key), table.len()),
        };
        for step in 0..len.min(MAX_STEPS) {
            let slot = start + step;
            let slot = if slot >= len { slot - len } else { slot };
            let owner = match &self.slots {
                Slots::Ring(ring) => ring.owner(slot),
                Slots::Maglev(table) => table.owner(slot),
            };
            let Some((owner, member)) = owner.and_then(|o| Some((o, choice.allowed(o)?))) else {
                continue;
            };
            // While a member warms up, a part of its keys goes on to the next; each key by itself,
            // so that none comes and goes.
            let name = self.names.get(owner).copied().unwrap_or(0);
            if !choice.accepts(member, || mix(key ^ name ^ WARM_SALT)) {
                continue;
            }
            if bound
                .as_mut()
                .is_none_or(|bound| bound.admits(choice, member))
            {
                return Some(owner);
            }
        }
        self.rank(choice, key, bound.as_mut())
            .or_else(|| self.rank(choice, key, None))
    }

    /// Rendezvous hashing over all allowed members: the same answer on every node, even when
    /// most members are out. Only for the uncommon case that the walk found nothing.
    fn rank(
        &self,
        choice: &Choice<'_>,
        key: u64,
        mut bound: Option<&mut LoadBound>,
    ) -> Option<usize> {
        let mut best = None;
        for ((index, member), name) in choice.members.iter().enumerate().zip(&self.names) {
            if !choice.allows(member)
                || !bound
                    .as_mut()
                    .is_none_or(|bound| bound.admits(choice, member))
            {
                continue;
            }
            // Highest weight / -ln(u) wins (Schindelhauer and Schomaker's weighted rendezvous).
            let uniform = ((mix(key ^ name) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            let score = choice.weight(member) as f64 / -uniform.ln();
            if best.is_none_or(|(_, top)| score > top) {
                best = Some((index, score));
            }
        }
        best.map(|(index, _)| index)
    }
}

/// How much one endpoint may carry.
struct LoadBound {
    /// Factor times the requests in flight, this one included.
    allowed: f32,
    weight_total: u64,
    /// True once `weight_total` counts only members that may be chosen.
    exact: bool,
}

impl LoadBound {
    /// True if `member` stays within its share with one request more.
    fn admits(&mut self, choice: &Choice<'_>, member: &Member) -> bool {
        let in_flight = member.state.in_flight();
        // Its share is never below one request.
        if in_flight == 0 || self.fits(member, in_flight) {
            return true;
        }
        if !self.exact {
            // The shares of members that are out fall to the others.
            let allowed = choice.members.iter().filter(|other| choice.allows(other));
            self.weight_total = allowed.map(|other| u64::from(other.weight)).sum();
            self.exact = true;
            return self.fits(member, in_flight);
        }
        false
    }

    fn fits(&self, member: &Member, in_flight: u32) -> bool {
        let share = member.weight as f32 / self.weight_total.max(1) as f32;
        in_flight as f32 + 1.0 <= (self.allowed * share).ceil()
    }
}

/// Nodes with the same configuration must agree, so only the text counts.
fn name_hash(member: &Member) -> u64 {
    let endpoint = &member.endpoint;
    stable_hash(format!("{} {}", endpoint.configured, endpoint.address).as_bytes())
}
