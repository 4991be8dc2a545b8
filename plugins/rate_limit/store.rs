//! The keys of one limit and their stamps: sharded, bounded, and lockable together with the stores
//! of other limits without a deadlock.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use farmgate_plugin_api::services::Clock;
use foldhash::fast::RandomState as FastState;
use parking_lot::{Mutex, MutexGuard};
use siphasher::sip128::SipHasher13;

use super::gcra::{Pace, Stamp};

const SHARDS: usize = 16;
/// Fewer keys stand in one shard.
const MIN_SHARDED: usize = 1024;
/// How many keys are looked at to find one to give up.
const SAMPLE: usize = 16;

/// A key as it is stored. Up to 15 bytes (so every address) are stored as they are. Longer ones are
/// stored as 120 bits of SipHash-1-3 under a secret that was drawn at random: with a million keys two
/// of them fall together with a chance below 10^-24, and no client can look for such a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u128);

/// The secret under which long keys are hashed. It goes along with an upgrade: the hashes mean
/// nothing without it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(pub(super) u64, pub(super) u64);

/// The highest byte of a hashed key; that of others is their length.
const HASHED: u8 = 0xff;

/// The keys of one limit. It outlives reloads and upgrades; settings are passed in with every call.
pub(super) struct Store {
    /// Stores are always locked in the order of this number.
    id: u64,
    clock: Arc<dyn Clock>,
    began: Instant,
    /// Drawn when the first long key comes, unless one came with an upgrade before.
    seed: OnceLock<Seed>,
    /// Keys that an upgrade may bring: as many as there may be.
    keys: usize,
    placing: FastState,
    len: AtomicUsize,
    shards: Box<[Mutex<Shard>]>,
}

/// A part of the keys, under one lock.
pub(super) struct Shard {
    places: HashMap<Key, u32, FastState>,
    slots: Vec<Slot>,
    /// Where the next search for a key to give up begins.
    hand: usize,
}

struct Slot {
    key: Key,
    tat: Stamp,
}

/// What storing a stamp did to other keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing was lost.
    Clean,
    /// The table was full and a key that still counted was forgotten.
    Evicted,
}

impl Seed {
    fn draw() -> Self {
        // The state is seeded by the system, and what it gives does not show its keys.
        Self(
            RandomState::new().hash_one(1),
            RandomState::new().hash_one(2),
        )
    }
}

impl Key {
    /// The stored form of these bytes; a long key draws the secret if there is none yet.
    pub(super) fn of(bytes: &[u8], seed: &OnceLock<Seed>) -> Self {
        if bytes.len() < 16 {
            let packed = bytes.iter().fold(0, |all, b| (all << 8) | u128::from(*b));
            let len = u128::try_from(bytes.len()).unwrap_or(0);
            return Self((len << 120) | packed);
        }
        let Seed(one, two) = seed.get_or_init(Seed::draw);
        let hash = SipHasher13::new_with_keys(*one, *two).hash(bytes).as_u128();
        Self((u128::from(HASHED) << 120) | hash)
    }

    /// True if it stands for more than 15 bytes.
    pub(super) fn is_hashed(self) -> bool {
        self.parts().0 == HASHED
    }

    /// Its length (255: it is a hash), and its bytes.
    pub(super) fn parts(self) -> (u8, impl Iterator<Item = u8>) {
        let bytes = self.0.to_be_bytes();
        let [length, ..] = bytes;
        let absent = 15_usize.saturating_sub(usize::from(length));
        (length, bytes.into_iter().skip(1 + absent))
    }

    /// The key of such parts; none if there is none.
    pub(super) fn from_parts(length: u8, bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len()
            == if length == HASHED {
                15
            } else {
                usize::from(length)
            };
        let packed = bytes.iter().fold(0, |all, b| (all << 8) | u128::from(*b));
        (fits && bytes.len() < 16).then_some(Self((u128::from(length) << 120) | packed))
    }
}

impl Store {
    /// An empty store for about so many keys. A small one is not sharded, so its bound is exact.
    pub(super) fn new(clock: Arc<dyn Clock>, keys: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let placing = FastState::default();
        let count = if keys < MIN_SHARDED { 1 } else { SHARDS };
        let shards = (0..count).map(|_| {
            Mutex::new(Shard {
                places: HashMap::with_hasher(placing.clone()),
                slots: Vec::new(),
                hand: 0,
            })
        });
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            began: clock.now(),
            clock,
            seed: OnceLock::new(),
            keys,
            len: AtomicUsize::new(0),
            shards: shards.collect(),
            placing,
        }
    }

    /// The place of this store in the order of locking.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What time it is.
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Nanoseconds since the store began.
    pub(super) fn ns(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The stored form of a key.
    pub(super) fn key(&self, bytes: &[u8]) -> Key {
        Key::of(bytes, &self.seed)
    }

    /// What stands for a key where it must not be shown: the same for the same key, and worthless to
    /// whoever does not know this process's secret.
    pub(super) fn tag(&self, bytes: &[u8]) -> u64 {
        let Seed(one, two) = self.seed.get_or_init(Seed::draw);
        let hash = SipHasher13::new_with_keys(*one, *two).hash(bytes);
        hash.h1 ^ hash.h2
    }

    /// The secret of the hashes, if there are any.
    pub(super) fn seed(&self) -> Option<Seed> {
        self.seed.get().copied()
    }

    /// Hashes with this secret from now on; false when another one is in use.
    pub(super) fn take_seed(&self, seed: Seed) -> bool {
        *self.seed.get_or_init(|| seed) == seed
    }

    /// Takes a key of another process; false when there is no room. Of two stamps the later one stays.
    pub(super) fn take(&self, key: Key, tat: Stamp) -> bool {
        let Some(mut shard) = self.lock(key) else {
            return false;
        };
        let known = shard.get(key);
        if known.is_none() && self.len.load(Ordering::Relaxed) >= self.keys {
            return false;
        }
        let tat = known.map_or(tat, |known| known.max(tat));
        // Below its bound the store gives up nothing.
        self.put(&mut shard, key, tat, 0, usize::MAX);
        true
    }

    /// Shows every key, one shard after the other: requests wait for one of them at a time.
    pub(super) fn each(&self, see: &mut dyn FnMut(Key, Stamp)) {
        for shard in &self.shards {
            for slot in &shard.lock().slots {
                see(slot.key, slot.tat);
            }
        }
    }

    /// Locks the shard that holds this key. Whoever locks several stores does so in the order of
    /// [`Store::id`].
    pub(super) fn lock(&self, key: Key) -> Option<MutexGuard<'_, Shard>> {
        // The table inside the shard uses the lowest and the highest bits of the same hash.
        let spread = usize::try_from(self.placing.hash_one(key) >> 32 & 0xffff).unwrap_or(0);
        let shard = self.shards.get(spread % self.shards.len().max(1))?;
        Some(shard.lock())
    }

    /// Stores a stamp in the locked shard of its key. When the store holds `max_keys` already, a
    /// new key takes the place of another one of its shard: of one that is spent, else of the one
    /// nearest to that among a sample.
    pub(super) fn put(
        &self,
        shard: &mut Shard,
        key: Key,
        tat: Stamp,
        now_ns: u64,
        max_keys: usize,
    ) -> Stored {
        if let Some(slot) = shard.find_mut(key) {
            slot.tat = tat;
            return Stored::Clean;
        }
        if self.len.load(Ordering::Relaxed) >= max_keys
            && let Some(at) = shard.pick_victim(now_ns)
        {
            return shard.replace(at, key, tat, now_ns);
        }
        let Ok(place) = u32::try_from(shard.slots.len()) else {
            return Stored::Evicted;
        };
        shard.slots.push(Slot { key, tat });
        shard.places.insert(key, place);
        self.len.fetch_add(1, Ordering::Relaxed);
        Stored::Clean
    }
}

impl Shard {
    /// The stamp of a key.
    pub(super) fn get(&self, key: Key) -> Option<Stamp> {
        let place = usize::try_from(*self.places.get(&key)?).ok()?;
        self.slots.get(place).map(|slot| slot.tat)
    }

    /// Replaces the stamp of a key, if it is there.
    pub(super) fn set(&mut self, key: Key, tat: Stamp) {
        if let Some(slot) = self.find_mut(key) {
            slot.tat = tat;
        }
    }

    fn find_mut(&mut self, key: Key) -> Option<&mut Slot> {
        let place = usize::try_from(*self.places.get(&key)?).ok()?;
        self.slots.get_mut(place)
    }

    /// The first spent key from the hand on, else the one of the sample whose bucket is fullest:
    /// forgetting it forgives least.
    fn pick_victim(&mut self, now_ns: u64) -> Option<usize> {
        let len = self.slots.len();
        let mut best: Option<(usize, Stamp)> = None;
        for step in 0..SAMPLE.min(len) {
            let at = (self.hand + step) % len;
            let tat = self.slots.get(at)?.tat;
            if best.is_none_or(|(_, least)| tat < least) {
                best = Some((at, tat));
            }
            if Pace::is_spent(tat, now_ns) {
                break;
            }
        }
        let (at, _) = best?;
        self.hand = (at + 1) % len;
        Some(at)
    }

    fn replace(&mut self, at: usize, key: Key, tat: Stamp, now_ns: u64) -> Stored {
        let (Some(slot), Ok(place)) = (self.slots.get_mut(at), u32::try_from(at)) else {
            return Stored::Evicted;
        };
        let old = std::mem::replace(slot, Slot { key, tat });
        self.places.remove(&old.key);
        self.places.insert(key, place);
        if Pace::is_spent(old.tat, now_ns) {
            Stored::Clean
        } else {
            Stored::Evicted
        }
    }
}
