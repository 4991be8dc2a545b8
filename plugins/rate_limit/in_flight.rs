//! How many requests of each key are in flight.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState as FastState;
use parking_lot::{Mutex, MutexGuard};

use super::store::{Key, Seed};

/// Most concurrency limits that one request meets.
pub(super) const MAX_GATES: usize = 4;

const SHARDS: usize = 16;
/// Fewer keys stand in one shard.
const MIN_SHARDED: usize = 1024;

/// The counts of one shard. A key is in it only while a request of it is in flight.
pub(super) type Counts = HashMap<Key, u32, FastState>;

/// The requests in flight of one limit, by key. It outlives reloads, and not the process: a new one
/// begins with none.
pub(super) struct InFlight {
    /// Tables are always locked in the order of this number, and before any store of rates.
    id: u64,
    seed: OnceLock<Seed>,
    placing: FastState,
    len: AtomicUsize,
    shards: Box<[Mutex<Counts>]>,
}

/// What a table says of one more request of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may come in.
    Free,
    /// The key has as many as it may.
    Busy,
    /// The table holds as many keys as it may, and this one is new.
    Full,
}

impl InFlight {
    /// An empty table for about so many keys. A small one is not sharded, so its bound is exact; with
    /// shards it may be passed by one key of each.
    pub(super) fn new(keys: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let placing = FastState::default();
        let count = if keys < MIN_SHARDED { 1 } else { SHARDS };
        let shards = (0..count).map(|_| Mutex::new(HashMap::with_hasher(placing.clone())));
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            seed: OnceLock::new(),
            len: AtomicUsize::new(0),
            shards: shards.collect(),
            placing,
        }
    }

    /// The place of this table in the order of locking.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The stored form of a key.
    pub(super) fn key(&self, bytes: &[u8]) -> Key {
        Key::of(bytes, &self.seed)
    }

    /// Keys with a request in flight.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Locks the shard that holds this key.
    pub(super) fn lock(&self, key: Key) -> Option<MutexGuard<'_, Counts>> {
        let spread = usize::try_from(self.placing.hash_one(key) >> 32 & 0xffff).unwrap_or(0);
        let shard = self.shards.get(spread % self.shards.len().max(1))?;
        Some(shard.lock())
    }

    /// Whether one more request of a key may come in.
    pub(super) fn check(&self, shard: &Counts, key: Key, most: u32, max_keys: usize) -> Room {
        match shard.get(&key) {
            Some(count) if *count >= most => Room::Busy,
            Some(_) => Room::Free,
            None if self.len.load(Ordering::Relaxed) >= max_keys => Room::Full,
            None => Room::Free,
        }
    }

    /// Counts a request in.
    pub(super) fn enter(&self, shard: &mut Counts, key: Key) {
        let count = shard.entry(key).or_insert(0);
        if *count == 0 {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        *count = count.saturating_add(1);
    }

    /// Counts one out.
    fn leave(&self, key: Key) {
        let Some(mut shard) = self.lock(key) else {
            return;
        };
        if let Some(count) = shard.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&key);
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Requests of this key that are in flight.
    pub(super) fn count(&self, key: Key) -> u32 {
        let shard = self.lock(key);
        shard
            .and_then(|shard| shard.get(&key).copied())
            .unwrap_or(0)
    }
}

/// The places that one request takes. They are given back in the phase `log`, or when the request's
/// state is dropped, whichever comes first: no way of ending a request keeps a place.
#[derive(Default)]
pub(super) struct Held([Option<(Arc<InFlight>, Key)>; MAX_GATES]);

impl Held {
    /// Remembers a place that was taken.
    pub(super) fn add(&mut self, at: usize, table: &Arc<InFlight>, key: Key) {
        if let Some(place) = self.0.get_mut(at) {
            *place = Some((Arc::clone(table), key));
        }
    }

    /// Gives the places back.
    pub(super) fn release(&mut self) {
        for place in &mut self.0 {
            if let Some((table, key)) = place.take() {
                table.leave(key);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}
