//! What the index and the disks tell each other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::core::Core;
use super::hit::Lookup;
use crate::counters::count;
use crate::disk::fetch::{self, Fetch, Reads};
use crate::disk::log::DiskLog;
use crate::disk::queue::{Job, Queue};
use crate::head::Head;
use crate::index::Place;
use crate::index::slab::Entry;
use crate::key::Key;
use crate::object::Object;

/// The index may take this share of the memory: one in two. Then no more objects are put on disk.
const INDEX_SHARE: usize = 2;
/// How long it waits for a writer before it looks again.
const TURN: Duration = Duration::from_millis(100);
/// Keys remembered while recovery runs; more end the recovery.
const RECENT: usize = 1 << 20;

/// One disk, with what waits for it.
#[derive(Debug)]
pub(crate) struct DiskPart<H: Head> {
    pub(crate) log: Arc<DiskLog>,
    pub(crate) queue: Arc<Queue<H>>,
    pub(crate) reads: Arc<Reads<H>>,
}

impl<H: Head> Core<H> {
    /// The disk of a key.
    pub(crate) fn disk_of(&self, hash: u128) -> Option<&DiskPart<H>> {
        let count = self.disks.len();
        // Neither the bits of the shard nor those of the bucket.
        self.disks.get((hash >> 96) as usize % count.max(1))
    }

    /// Most bytes of a body that memory takes.
    pub(crate) fn most_object(&self) -> u64 {
        (self.budget.limit() / super::core::OBJECT_SHARE) as u64
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Queues an object for its disk, once. One that finds the queue full may try again when it is hit again; one that
    /// replaces an older one may not: that one is noted as gone.
    pub(crate) fn admit(&self, object: &Arc<Object<H>>) {
        let Some(part) = self
            .disk_of(object.key.hash())
            .filter(|part| !part.log.is_failed())
        else {
            return;
        };
        let can_wait = !object.replaces_disk();
        if self.is_closing()
            || object.disk_uses == 0
            || object.body.far().is_some()
            || (can_wait && part.queue.is_full())
            || object.set_queued()
        {
            return;
        }
        let full_index =
            self.index_total.load(Ordering::Relaxed) > self.budget.limit() / INDEX_SHARE;
        if full_index {
            count(&self.counters.disk_not_admitted);
        } else if part.queue.push(Job::Object(Arc::clone(object))).is_ok() {
            return;
        } else {
            count(&self.counters.disk_queue_full);
        }
        if can_wait && !full_index {
            object.left_disk();
        } else if !can_wait {
            self.mark_gone(object.key.bytes());
        }
    }

    /// Queues what should be on disk and is not, for want of room in the queue, until `deadline`. Before a clean stop.
    pub(crate) fn admit_rest(&self, deadline: Instant) {
        for shard in &self.shards {
            let wanted = |entry: &Entry<Object<H>>| {
                let object = entry.resident()?;
                (entry.place().is_none() && object.wants_disk(entry.uses() + 1))
                    .then(|| Arc::clone(object))
            };
            let rest: Vec<_> = shard.read().table.iter().filter_map(wanted).collect();
            for object in rest {
                self.admit(&object);
                while object.wants_disk(u8::MAX) && Instant::now() < deadline {
                    let Some(part) = self
                        .disk_of(object.key.hash())
                        .filter(|part| !part.log.is_failed())
                    else {
                        break;
                    };
                    part.queue.wait_taken(deadline.min(Instant::now() + TURN));
                    self.admit(&object);
                }
            }
        }
    }

    /// Has a key noted on disk as one without an object.
    pub(crate) fn mark_gone(&self, key: &[u8]) {
        let hash = crate::hash::hash128(self.seed, key);
        if let Some(part) = self.disk_of(hash) {
            // Refused only when the disk does nothing at all; then nothing newer than the old copy was written either.
            let refused = part.queue.push(Job::Gone(key.into())).is_err();
            if refused {
                count(&self.counters.disk_queue_full);
            }
        }
    }

    /// A new head for an object whose body is on disk, or the whole object when it is not.
    pub(crate) fn write_head(&self, object: &Arc<Object<H>>, body: Place) {
        if self.is_closing() {
            return;
        }
        let far = object.body.far().is_some();
        // The body on disk is all there is, whether its last head has come there or not.
        let body = if far { object.body_place() } else { body };
        if body.is_none() {
            if object.replaces_disk() {
                self.admit(object);
            }
            return;
        }
        let Some(part) = self.disk_of(object.key.hash()) else {
            return;
        };
        object.set_queued();
        if part
            .queue
            .push(Job::Head(Arc::clone(object), body))
            .is_err()
        {
            count(&self.counters.disk_queue_full);
            self.not_written(object);
        }
    }

    /// An object was written at `place`.
    pub(crate) fn landed(&self, object: &Arc<Object<H>>, place: Place, body: Place) {
        let (shard, hash) = self.shard(object.key.hash());
        let mut shard = shard.write();
        if object.is_dead() {
            return;
        }
        object.set_body_place(body);
        let resident = shard.table.get(hash).map(|entry| entry.resident().cloned());
        // One that was driven out while it waited is not taken up again: a newer one may have come and gone since.
        let is_it = resident
            .flatten()
            .is_some_and(|resident| Arc::ptr_eq(&resident, object));
        let new = is_it && shard.table.set_place(hash, place);
        if new {
            count(&self.counters.disk_objects_now);
        }
        self.count_index(&mut shard);
    }

    /// A record was written again.
    pub(crate) fn moved(&self, hash: u128, before: Place, place: Place) {
        let (shard, hash) = self.shard(hash);
        let mut shard = shard.write();
        let Some(entry) = shard
            .table
            .get(hash)
            .filter(|entry| entry.place() == before)
        else {
            return;
        };
        if let Some(resident) = entry.resident() {
            resident.set_body_place(place);
        }
        shard.table.set_place(hash, place);
        // Its body does not lie where it did; who reads it goes on.
        let far = shard.forget_far(hash);
        drop(shard);
        drop(far);
    }

    /// Where the index says that an object lies, and how often it was used.
    pub(crate) fn place_of(&self, hash: u128) -> Option<(Place, u8)> {
        let (shard, hash) = self.shard(hash);
        let shard = shard.read();
        let entry = shard.table.get(hash)?;
        (!entry.place().is_none()).then(|| (entry.place(), entry.uses()))
    }

    /// Forgets that an object lies at `place`, if it still does.
    pub(crate) fn drop_place(&self, hash: u128, place: Place) {
        let (shard, hash) = self.shard(hash);
        let mut shard = shard.write();
        let Some(entry) = shard.table.get(hash).filter(|entry| entry.place() == place) else {
            return;
        };
        if let Some(resident) = entry.resident() {
            resident.left_disk();
        }
        let far = shard.forget_far(hash);
        shard.table.set_place(hash, Place::NONE);
        drop(shard);
        drop(far);
        self.counters
            .disk_objects_now
            .fetch_sub(1, Ordering::Relaxed);
    }

    /// Staying on disk costs the uses so far.
    pub(crate) fn unuse(&self, hash: u128) {
        let (shard, hash) = self.shard(hash);
        if let Some(entry) = shard.read().table.get(hash) {
            entry.set_uses(0);
        }
    }

    /// Whether two hashes are the same to the index: shard and low half.
    pub(crate) fn is_same_slot(&self, one: u128, other: u128) -> bool {
        let mask = (self.shards.len() - 1) as u128;
        one as u64 == other as u64 && (one >> 64 & mask) == (other >> 64 & mask)
    }

    /// An object was read from `place`: into memory with it, unless the index knows better by now or a purge has hit
    /// it. Whether it may be given to those who asked.
    pub(crate) fn promote(&self, hash: u128, place: Place, object: &Arc<Object<H>>) -> bool {
        if !self.survives(object) {
            count(&self.counters.purged_hits);
            count(&self.counters.evicted_purged);
            self.drop_place(hash, place);
            return false;
        }
        let (shard, hash) = self.shard(hash);
        let mut shard = shard.write();
        let Some(entry) = shard.table.get(hash).filter(|entry| entry.place() == place) else {
            return false;
        };
        if entry.resident().is_none() {
            entry.touch();
            let replaced = shard.table.insert(hash, Arc::clone(object), place);
            drop(shard);
            drop(replaced);
            self.make_room();
        }
        true
    }

    /// Reads a hot object into memory at the start.
    pub(crate) fn preload(&self, log: &DiskLog, hash: u128, place: Place) {
        if self.place_of(hash).is_some_and(|(now, _)| now == place) {
            drop(fetch::load(self, log, hash, place));
        }
    }

    /// What a lookup gives for an object that is on disk only.
    pub(super) fn fetch(this: &Arc<Self>, key: &Key, place: Place) -> Lookup<H> {
        let part = this
            .disk_of(key.hash())
            .filter(|part| !part.log.is_failed());
        match part.and_then(|part| part.reads.ask(key.hash(), place)) {
            Some(answer) => Lookup::Disk(Fetch::new(Arc::clone(this), key.clone(), answer)),
            None => {
                count(&this.counters.misses);
                Lookup::Miss
            }
        }
    }

    /// Recovery found a record; false when it should stop.
    pub(crate) fn recover(&self, hash: u128, place: Place, uses: u8) -> bool {
        // The lock of the shard is taken first by those who note a key as recent; so is it here.
        let (shard, low) = self.shard(hash);
        let mut shard = shard.write();
        let recent = self.recent.lock();
        if recent.len() > RECENT
            || self.index_total.load(Ordering::Relaxed) > self.budget.limit() / INDEX_SHARE
        {
            return false;
        }
        if recent.contains(&self.slot(hash)) {
            return true;
        }
        drop(recent);
        if shard.table.insert_place(low, place) {
            if let Some(entry) = shard.table.get(low) {
                entry.set_uses(uses);
            }
            self.count_index(&mut shard);
            count(&self.counters.recovered);
            count(&self.counters.disk_objects_now);
        }
        true
    }

    /// What the index knows of a hash.
    fn slot(&self, hash: u128) -> (usize, u64) {
        ((hash >> 64) as usize & (self.shards.len() - 1), hash as u64)
    }

    /// Notes that recovery must not bring back what it finds of a key. The caller holds the lock of its shard.
    pub(super) fn note_recent(&self, hash: u128) {
        if self.recovering.load(Ordering::Acquire) > 0 {
            let mut recent = self.recent.lock();
            if recent.len() <= RECENT {
                recent.insert(self.slot(hash));
            }
        }
    }

    pub(crate) fn recovery_ended(&self) {
        if self.recovering.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.recent.lock() = std::collections::HashSet::new();
        }
    }
}
