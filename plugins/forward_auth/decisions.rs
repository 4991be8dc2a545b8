//! Decisions that are kept: sharded, bounded, found again after a reload that changes nothing about them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState as FastState;

use super::answer::Decision;

const SHARDS: usize = 16;
/// Fewer entries stand in one shard, so that a small bound is exact.
const MIN_SHARDED: usize = 1024;
/// How many entries are looked at to find one to give up.
const SAMPLE: usize = 16;

/// Decisions by their key.
pub(super) struct Decisions {
    /// The secret of the keys: it must live as long as they do.
    secret: (u64, u64),
    per_shard: usize,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    places: HashMap<u128, usize, FastState>,
    slots: Vec<Slot>,
    /// Where the next search for an entry to give up begins.
    hand: usize,
}

struct Slot {
    key: u128,
    until: Instant,
    decision: Decision,
}

/// What keeping a decision did to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing was lost.
    Clean,
    /// One that still held was given up.
    Evicted,
}

impl Decisions {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        let count = if most < MIN_SHARDED { 1 } else { SHARDS };
        Self {
            // The state is seeded by the system, and what it gives does not show its keys.
            secret: (
                RandomState::new().hash_one(1),
                RandomState::new().hash_one(2),
            ),
            per_shard: (most / count).max(1),
            shards: (0..count).map(|_| Mutex::default()).collect(),
        }
    }

    /// The secret under which keys are hashed.
    pub(super) fn secret(&self) -> (u64, u64) {
        self.secret
    }

    /// The decision of this key, if one is kept and still holds.
    pub(super) fn get(&self, key: u128, now: Instant) -> Option<Decision> {
        let shard = self.lock(key)?;
        let slot = shard.slots.get(*shard.places.get(&key)?)?;
        (now < slot.until).then(|| slot.decision.clone())
    }

    /// Keeps a decision until then.
    pub(super) fn put(
        &self,
        key: u128,
        decision: Decision,
        until: Instant,
        now: Instant,
    ) -> Stored {
        let Some(mut shard) = self.lock(key) else {
            return Stored::Clean;
        };
        let slot = Slot {
            key,
            until,
            decision,
        };
        if let Some(at) = shard.places.get(&key).copied() {
            if let Some(known) = shard.slots.get_mut(at) {
                *known = slot;
            }
            return Stored::Clean;
        }
        if shard.slots.len() < self.per_shard {
            let at = shard.slots.len();
            shard.places.insert(key, at);
            shard.slots.push(slot);
            return Stored::Clean;
        }
        shard.replace(slot, now)
    }

    fn lock(&self, key: u128) -> Option<MutexGuard<'_, Shard>> {
        let count = u128::try_from(self.shards.len()).ok()?;
        let shard = usize::try_from((key >> 64) % count).ok()?;
        let shard = self.shards.get(shard)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    /// Gives up the entry that ends first, of some that are looked at.
    fn replace(&mut self, slot: Slot, now: Instant) -> Stored {
        let len = self.slots.len();
        let looked = (0..SAMPLE.min(len)).map(|step| (self.hand + step) % len.max(1));
        let first = looked.min_by_key(|at| self.slots.get(*at).map(|slot| slot.until));
        self.hand = (self.hand + SAMPLE) % len.max(1);
        let Some((at, old)) = first.and_then(|at| Some((at, self.slots.get_mut(at)?))) else {
            return Stored::Clean;
        };
        let stored = match now < old.until {
            true => Stored::Evicted,
            false => Stored::Clean,
        };
        self.places.remove(&old.key);
        self.places.insert(slot.key, at);
        *old = slot;
        stored
    }
}
