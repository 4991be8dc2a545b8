//! One shard of the index, and the memory tier's choice of what to let go: S3-FIFO (Yang et al., SOSP 2023).

use std::sync::Arc;

use super::ghost::Ghosts;
use super::queue::Queue;
use super::slab::{Entry, InQueue, NIL, Slab};
use super::{Place, Resident};

/// Buckets of an empty shard.
const FIRST_BUCKETS: usize = 16;
/// Entries per bucket at which the buckets are doubled: chains of one to two entries.
const LOAD: usize = 2;
/// The share of the memory's bytes that is on probation: one in ten.
const SMALL_SHARE: usize = 10;
/// Uses on probation that lead to the main queue.
const PROMOTED: u8 = 2;
/// Second chances given while a lock is held; the next one is evicted whatever its uses.
const CHANCES: usize = 64;

/// An object that lost its place in memory.
#[derive(Debug)]
pub(crate) struct Evicted<T> {
    pub(crate) object: Arc<T>,
    /// It had been used again.
    pub(crate) main: bool,
}

/// One shard.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slab: Slab<T>,
    buckets: Box<[u32]>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
}

impl<T: Resident> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            slab: Slab::new(),
            buckets: vec![NIL; FIRST_BUCKETS].into(),
            small: Queue::new(InQueue::Small),
            main: Queue::new(InQueue::Main),
            ghosts: Ghosts::new(FIRST_BUCKETS),
        }
    }

    /// Objects, in memory or on disk.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Objects in memory.
    pub(crate) fn residents(&self) -> usize {
        self.small.len + self.main.len
    }

    /// Bytes of the objects in memory.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    /// Bytes of the index itself.
    pub(crate) fn bytes(&self) -> usize {
        self.slab.bytes() + self.buckets.len() * size_of::<u32>() + self.ghosts.bytes()
    }

    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn first(&self, hash: u64) -> u32 {
        self.buckets.get(self.bucket(hash)).copied().unwrap_or(NIL)
    }

    fn position(&self, hash: u64) -> Option<u32> {
        let mut at = self.first(hash);
        while let Some(entry) = self.slab.get(at) {
            if entry.hash == hash {
                return Some(at);
            }
            at = entry.chain;
        }
        None
    }

    pub(crate) fn get(&self, hash: u64) -> Option<&Entry<T>> {
        self.slab.get(self.position(hash)?)
    }

    fn get_or_take(&mut self, hash: u64) -> Option<u32> {
        if let Some(at) = self.position(hash) {
            return Some(at);
        }
        if self.slab.len() >= self.buckets.len() * LOAD {
            self.double();
        }
        let bucket = self.bucket(hash);
        let at = self.slab.take(hash)?;
        let first = self.buckets.get_mut(bucket)?;
        let next = std::mem::replace(first, at);
        self.slab.get_mut(at)?.chain = next;
        Some(at)
    }

    fn double(&mut self) {
        let old = std::mem::take(&mut self.buckets);
        self.buckets = vec![NIL; old.len() * 2].into();
        // What was forgotten comes back as new: one generation of ghosts, at a time when the shard still grows.
        self.ghosts = Ghosts::new(self.buckets.len());
        for mut at in old {
            while let Some(hash) = self.slab.get(at).map(|entry| entry.hash) {
                let bucket = self.bucket(hash);
                let Some(first) = self.buckets.get_mut(bucket) else {
                    break;
                };
                let before = std::mem::replace(first, at);
                let Some(entry) = self.slab.get_mut(at) else {
                    break;
                };
                at = std::mem::replace(&mut entry.chain, before);
            }
        }
    }

    /// Puts an object into memory; gives back the one it replaces. Its place on disk is that of the older one, and is
    /// forgotten: `place` says where the new one lies, if it does.
    pub(crate) fn insert(&mut self, hash: u64, object: Arc<T>, place: Place) -> Option<Arc<T>> {
        let charge = object.charge();
        let at = self.get_or_take(hash)?;
        let entry = self.slab.get_mut(at)?;
        let known = entry.uses() > 0 || !entry.place.is_none();
        entry.place = place;
        let queue = entry.queue;
        let replaced = entry.resident.replace(object);
        let old = replaced.as_ref().map_or(0, |object| object.charge());
        match queue {
            // It keeps its place in the queue: being refreshed is not being used.
            InQueue::Small => self.small.bytes = self.small.bytes - old + charge,
            InQueue::Main => self.main.bytes = self.main.bytes - old + charge,
            InQueue::None => {
                // On disk and wanted again, or evicted a while ago: not a newcomer.
                if self.ghosts.take(hash) || known {
                    self.main.push(&mut self.slab, at, charge);
                } else {
                    self.small.push(&mut self.slab, at, charge);
                }
            }
        }
        replaced
    }

    /// Notes where an object lies on disk, if `is_it` says that the object in memory is still the one that was
    /// written; without an object in memory only when there is an entry that was expected at `before`.
    pub(crate) fn set_place(&mut self, hash: u64, place: Place) -> bool {
        let Some(at) = self.position(hash) else {
            return false;
        };
        let Some(entry) = self.slab.get_mut(at) else {
            return false;
        };
        entry.place = place;
        if entry.place.is_none() && entry.resident.is_none() {
            self.unlink(at);
        }
        true
    }

    /// An object that is on disk only; false when there is one of that hash already.
    pub(crate) fn insert_place(&mut self, hash: u64, place: Place) -> bool {
        if self.position(hash).is_some() {
            return false;
        }
        let Some(at) = self.get_or_take(hash) else {
            return false;
        };
        let Some(entry) = self.slab.get_mut(at) else {
            return false;
        };
        entry.place = place;
        true
    }

    /// Forgets an object altogether.
    pub(crate) fn remove(&mut self, hash: u64) -> Option<(Option<Arc<T>>, Place)> {
        let at = self.position(hash)?;
        let place = self.slab.get(at)?.place;
        self.leave_queue(at);
        Some((self.unlink(at), place))
    }

    /// Takes an object out of memory; where it lies on disk stays known.
    pub(crate) fn leave_memory(&mut self, hash: u64) -> Option<Arc<T>> {
        let at = self.position(hash)?;
        self.leave_queue(at);
        let entry = self.slab.get_mut(at)?;
        let object = entry.resident.take();
        if entry.place.is_none() {
            self.unlink(at);
        }
        object
    }

    fn leave_queue(&mut self, at: u32) {
        let Some(entry) = self.slab.get(at) else {
            return;
        };
        let charge = entry.resident.as_ref().map_or(0, |object| object.charge());
        match entry.queue {
            InQueue::Small => self.small.remove(&mut self.slab, at, charge),
            InQueue::Main => self.main.remove(&mut self.slab, at, charge),
            InQueue::None => {}
        }
    }

    /// Takes an entry out of its bucket and frees it.
    fn unlink(&mut self, at: u32) -> Option<Arc<T>> {
        let (hash, next) = self.slab.get(at).map(|entry| (entry.hash, entry.chain))?;
        let bucket = self.bucket(hash);
        let mut before = self.first(hash);
        if before == at {
            *self.buckets.get_mut(bucket)? = next;
        } else {
            while let Some(entry) = self.slab.get_mut(before) {
                if entry.chain == at {
                    entry.chain = next;
                    break;
                }
                before = entry.chain;
            }
        }
        self.slab.give_back(at)
    }

    /// Lets one object in memory go, the one S3-FIFO chooses. `pinned` says that somebody reads it: letting it go
    /// would free nothing.
    pub(crate) fn evict(&mut self, pinned: impl Fn(&Arc<T>) -> bool) -> Option<Evicted<T>> {
        let mut chances = CHANCES.min(4 * self.residents());
        loop {
            let probation =
                self.small.bytes * SMALL_SHARE >= self.resident_bytes() || self.main.len == 0;
            let at = match (self.small.oldest(), self.main.oldest()) {
                (Some(at), _) if probation => at,
                (_, Some(at)) | (Some(at), None) => at,
                (None, None) => return None,
            };
            let entry = self.slab.get(at)?;
            let object = entry.resident.as_ref()?;
            let charge = object.charge();
            let held = pinned(object);
            let uses = entry.uses();
            let hash = entry.hash;
            let from_main = entry.queue == InQueue::Main;
            let spared = chances > 0
                && (held
                    || if from_main {
                        uses > 0
                    } else {
                        uses >= PROMOTED
                    });
            self.leave_queue(at);
            if spared {
                chances -= 1;
                // In the main queue each turn costs a use; on probation the count begins anew.
                entry_uses(
                    &self.slab,
                    at,
                    if from_main { uses.saturating_sub(1) } else { 0 },
                );
                self.main.push(&mut self.slab, at, charge);
                continue;
            }
            let entry = self.slab.get_mut(at)?;
            let object = entry.resident.take()?;
            if entry.place.is_none() {
                self.unlink(at);
                if !from_main {
                    self.ghosts.remember(hash);
                }
            }
            return Some(Evicted {
                object,
                main: from_main,
            });
        }
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.slab.iter()
    }
}

fn entry_uses<T>(slab: &Slab<T>, at: u32, uses: u8) {
    if let Some(entry) = slab.get(at) {
        entry.set_uses(uses);
    }
}
