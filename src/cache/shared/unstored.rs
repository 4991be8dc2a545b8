//! The table of hit-for-miss: keys whose answers cannot be stored, so that their clients do not queue.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::place::Place;
use crate::cache::clock::Now;
use crate::cache::key::KeyHash;
use crate::cache::unstored::Unstored;

/// Parts with a lock each; a power of two.
const SHARDS: usize = 64;

/// Keys in one part: 65,536 in all, about 6 MiB. One more takes the place of another: its clients queue once more.
const MOST: usize = 1024;

/// The table.
#[derive(Debug)]
pub struct UnstoredTable {
    shards: Box<[Mutex<HashMap<Place, Unstored>>]>,
}

impl Default for UnstoredTable {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl UnstoredTable {
    fn shard(&self, place: &Place) -> &Mutex<HashMap<Place, Unstored>> {
        let [first, ..] = place.primary.0;
        // tidy: in bounds: masked to the length
        &self.shards[usize::from(first) & (SHARDS - 1)]
    }

    /// What is remembered of a key and still holds.
    pub fn get(&self, place: &Place, now: Now) -> Option<Unstored> {
        let shard = self.shard(place).lock();
        shard.get(place).copied().filter(|known| known.holds(now))
    }

    /// Remembers.
    pub fn set(&self, place: Place, unstored: Unstored, now: Now) {
        let mut shard = self.shard(&place).lock();
        if shard.len() >= MOST && !shard.contains_key(&place) {
            shard.retain(|_, known| known.holds(now));
            if shard.len() >= MOST
                && let Some(any) = shard.keys().next().copied()
            {
                shard.remove(&any);
            }
        }
        shard.insert(place, unstored);
    }

    /// The answers of this key can be stored after all.
    pub fn forget(&self, place: &Place) {
        self.shard(place).lock().remove(place);
    }

    /// The same for all variants of a key.
    pub fn forget_key(&self, primary: &KeyHash) {
        let mut shard = self.shard(&Place::root(*primary)).lock();
        shard.retain(|place, _| place.primary != *primary);
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::storable::Refusal;

    fn place(number: u16) -> Place {
        let [a, b] = number.to_le_bytes();
        let mut hash = [0; 16];
        hash[1] = a;
        hash[2] = b;
        Place::root(KeyHash(hash))
    }

    #[test]
    fn it_holds_for_a_time_and_never_more_than_its_bound() {
        let table = UnstoredTable::default();
        let unstored = Unstored {
            why: Refusal::Private,
            until_ms: 2_000,
        };
        let now = Now::at_ms(1_000);
        for number in 0..3_000 {
            table.set(place(number), unstored, now);
        }
        assert_eq!(table.len(), MOST);
        assert_eq!(table.get(&place(2_999), now), Some(unstored));
        assert_eq!(table.get(&place(2_999), Now::at_ms(2_000)), None);
        table.forget(&place(2_999));
        assert_eq!(table.get(&place(2_999), now), None);
        // What is over makes room for what is not.
        table.set(place(3_000), unstored, now);
        table.set(
            place(3_001),
            Unstored {
                until_ms: 9_000,
                ..unstored
            },
            Now::at_ms(5_000),
        );
        assert_eq!(table.len(), 1);
    }
}
