//! Bulkheads: at most so many requests at once per key, so that one route or tenant cannot take all.
//!
//! One table of words for all keys. A word holds a tag of its key and how many are in, so one compare-and-swap looks
//! and counts. Keys are spread over groups of 64 words. A word that was used once keeps its tag with a count of 0 until
//! another key of its group needs it: a key that is used again and again takes no lock. Only to enter a key that is not
//! there its group is locked, because two threads must not enter it twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

const GROUPS: usize = 1024;
const GROUP_SLOTS: usize = 64;

/// Most keys with requests in flight: 65,536. A group may be full before that; below 40,000 this is as good as never.
pub const MOST_KEYS: usize = GROUPS * GROUP_SLOTS;
/// Most requests at once of one key.
pub const MOST_PER_KEY: u32 = (1 << 24) - 1;

const TAG: u64 = !0xff_ffff;

const fn count(word: u64) -> u32 {
    (word & !TAG) as u32
}

/// The requests in flight of all keys. 512 KiB from the first use on.
#[derive(Debug, Default)]
pub struct Bulkhead {
    table: OnceLock<Table>,
    no_space_total: AtomicU64,
}

#[derive(Debug)]
struct Table {
    groups: Box<[Group]>,
}

#[derive(Debug)]
#[repr(align(64))]
struct Group {
    slots: [AtomicU64; GROUP_SLOTS],
    /// Held while a key is entered.
    entering: Mutex<()>,
}

/// Where a key stands. Only 10 + 40 of its bits count: two keys among 40,000 share one count with a chance of 1 in a
/// million.
#[derive(Clone, Copy)]
struct Home {
    group: usize,
    slot: usize,
    tag: u64,
}

impl Home {
    fn of(key: u64) -> Self {
        // One to one (the finaliser of SplitMix64), so that keys that differ in few bits go to different groups.
        let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let key = key ^ (key >> 31);
        let tag = key & TAG;
        Self {
            group: key as usize % GROUPS,
            slot: (key >> 10) as usize % GROUP_SLOTS,
            // 0 is a word that was never used.
            tag: if tag == 0 { 1 << 24 } else { tag },
        }
    }
}

/// What a look through a group found.
enum Found<'t> {
    /// The key, full or not.
    Key(Option<usize>),
    /// Not the key, but a word it can have, as it was read.
    Free(usize, &'t AtomicU64, u64),
    Nothing,
}

impl Group {
    fn new() -> Self {
        Self {
            slots: [const { AtomicU64::new(0) }; GROUP_SLOTS],
            entering: Mutex::new(()),
        }
    }

    /// Looks for the key and, if it is there, adds one below `most`.
    fn add(&self, home: Home, most: u32) -> Found<'_> {
        let mut free = None;
        for step in 0..GROUP_SLOTS {
            let at = (home.slot + step) % GROUP_SLOTS;
            let Some(slot) = self.slots.get(at) else {
                break;
            };
            let mut word = slot.load(Ordering::Relaxed);
            while word & TAG == home.tag {
                if count(word) >= most {
                    return Found::Key(None);
                }
                match slot.compare_exchange_weak(
                    word,
                    word + 1,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Found::Key(Some(at)),
                    Err(now) => word = now,
                }
            }
            if count(word) == 0 {
                free = free.or(Some((at, slot, word)));
            }
            // Words never become unused again, so no key stands behind one that is.
            if word == 0 {
                break;
            }
        }
        match free {
            Some((at, slot, word)) => Found::Free(at, slot, word),
            None => Found::Nothing,
        }
    }

    fn enter(&self, home: Home, most: u32) -> Result<Option<usize>, NoSpace> {
        if let Found::Key(at) = self.add(home, most) {
            return Ok(at);
        }
        let _entering = self.entering.lock();
        loop {
            match self.add(home, most) {
                Found::Key(at) => return Ok(at),
                Found::Nothing => return Err(NoSpace),
                Found::Free(at, slot, word) => {
                    let order = (Ordering::Acquire, Ordering::Relaxed);
                    let new = home.tag + 1;
                    // Fails if the key that stood there came back; each time somebody else got in.
                    if slot.compare_exchange(word, new, order.0, order.1).is_ok() {
                        return Ok(Some(at));
                    }
                }
            }
        }
    }

    /// Reads how many of this key are in.
    fn count(&self, tag: u64) -> u32 {
        let words = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        words
            .filter(|word| word & TAG == tag)
            .map(count)
            .max()
            .unwrap_or(0)
    }
}

struct NoSpace;

impl Bulkhead {
    fn table(&self) -> &Table {
        self.table.get_or_init(|| Table {
            groups: (0..GROUPS).map(|_| Group::new()).collect(),
        })
    }

    /// Counts one more request of `key`, unless `most` of them are in flight. Exact over all threads. The key is a hash
    /// of what the bulkhead is for, such as the route, or the route and the tenant; where clients choose part of that,
    /// a keyed hash.
    ///
    /// Refuses as well if the table has no space for another key; [`Bulkhead::no_space_total`] counts that.
    pub fn try_enter(self: &Arc<Self>, key: u64, most: u32) -> Option<Occupied> {
        let most = most.min(MOST_PER_KEY);
        if most == 0 {
            return None;
        }
        let home = Home::of(key);
        let group = self.table().groups.get(home.group)?;
        match group.enter(home, most) {
            Ok(at) => at.map(|slot| Occupied {
                bulkhead: Arc::clone(self),
                group: home.group,
                slot,
            }),
            Err(NoSpace) => {
                self.no_space_total.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Requests of this key in flight.
    pub fn in_flight(&self, key: u64) -> u32 {
        let home = Home::of(key);
        let group = self.table.get().and_then(|it| it.groups.get(home.group));
        group.map_or(0, |group| group.count(home.tag))
    }

    /// Keys with requests in flight. Reads the whole table: for operators.
    pub fn keys(&self) -> usize {
        let groups = self.table.get().map(|table| &table.groups);
        let slots = groups.into_iter().flatten().flat_map(|group| &group.slots);
        slots
            .filter(|slot| count(slot.load(Ordering::Relaxed)) != 0)
            .count()
    }

    /// Requests refused because there was no space for their key.
    pub fn no_space_total(&self) -> u64 {
        self.no_space_total.load(Ordering::Relaxed)
    }
}

/// One request in its bulkhead. Dropping it lets another one in.
#[derive(Debug)]
#[must_use = "dropping it leaves the bulkhead"]
pub struct Occupied {
    bulkhead: Arc<Bulkhead>,
    group: usize,
    slot: usize,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let table = self.bulkhead.table.get();
        let group = table.and_then(|table| table.groups.get(self.group));
        if let Some(slot) = group.and_then(|group| group.slots.get(self.slot)) {
            // The word is this key's as long as somebody is in.
            slot.fetch_sub(1, Ordering::Release);
        }
    }
}

/// Which group a key falls into.
#[cfg(test)]
pub(super) fn group_of(key: u64) -> usize {
    Home::of(key).group
}
