//! The parts of a store, and what they do together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::Limits;
use super::hit::{Hit, Lookup, Soft, Tier};
use super::tier::DiskPart;
use crate::budget::Budget;
use crate::counters::{Counters, count, count_by};
use crate::fill::flow::Flow;
use crate::fill::{Fill, FillOptions};
use crate::head::Head;
use crate::index::Place;
use crate::index::table::{Evicted, Table};
use crate::key::Key;
use crate::object::{Object, ObjectId};
use crate::purge::journal::Journal;
use crate::purge::stream::Stream;
use crate::purge::table::{Purges, Verdict};
use crate::purge::{Applied, Numbered, Purge, Ticket};
use crate::reader::Reader;
use crate::stamp::Stamp;

/// One object takes at most this share of the memory: one in four.
pub(crate) const OBJECT_SHARE: usize = 4;
/// Times that room is looked for, when others take it meanwhile.
const ROUNDS: usize = 4;

/// A part of the index, with what is being filled.
#[derive(Debug)]
pub(crate) struct Shard<H: Head> {
    pub(crate) table: Table<Object<H>>,
    running: HashMap<u128, Vec<Arc<Flow<H>>>>,
    /// What the budget knows of the table's own bytes.
    counted: usize,
}

/// What all clones of a store share.
#[derive(Debug)]
pub(crate) struct Core<H: Head> {
    pub(crate) shards: Box<[RwLock<Shard<H>>]>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) purges: Arc<Purges>,
    pub(crate) stream: Arc<Mutex<Stream>>,
    pub(crate) journal: Option<Journal>,
    pub(crate) seed: u64,
    pub(crate) disks: Vec<DiskPart<H>>,
    /// Uses, the fill included, before an object is put on disk.
    pub(crate) min_uses: u8,
    /// Which start of the process this is.
    pub(crate) boot: u32,
    /// Bytes of the index.
    pub(crate) index_total: AtomicUsize,
    /// Disks whose recovery runs.
    pub(crate) recovering: AtomicUsize,
    /// What was filled or removed while it runs: shard and hash.
    pub(crate) recent: Mutex<HashSet<(usize, u64)>>,
    /// Nothing is written to disks any more.
    pub(crate) closing: AtomicBool,
    limits: Limits,
    hand: AtomicUsize,
}

impl<H: Head> Core<H> {
    pub(crate) fn new(limits: Limits, seed: u64, boot: u32) -> Self {
        let budget = Budget::new(limits.memory_bytes);
        let shard = || {
            let table = Table::new();
            let counted = table.bytes();
            budget.add(counted);
            RwLock::new(Shard {
                table,
                running: HashMap::new(),
                counted,
            })
        };
        let shards = limits.shards.clamp(1, 1024).next_power_of_two();
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            budget,
            counters: Arc::default(),
            purges: Arc::new(Purges::new(limits.purges, boot)),
            stream: Arc::default(),
            journal: None,
            seed,
            disks: Vec::new(),
            min_uses: 1,
            boot,
            index_total: AtomicUsize::new(0),
            recovering: AtomicUsize::new(0),
            recent: Mutex::default(),
            closing: AtomicBool::new(false),
            limits,
            hand: AtomicUsize::new(0),
        }
    }

    /// The shard of a hash, and what it is found by there.
    pub(crate) fn shard(&self, hash: u128) -> (&RwLock<Shard<H>>, u64) {
        let at = (hash >> 64) as usize & (self.shards.len() - 1);
        // tidy: in bounds: there is a power of two of shards
        (&self.shards[at], hash as u64)
    }

    pub(crate) fn lookup(this: &Arc<Self>, key: &Key) -> Lookup<H> {
        let (shard, hash) = this.shard(key.hash());
        let shard = shard.read();
        if !shard.running.is_empty() {
            if let Some(running) = shard.running.get(&key.hash()) {
                let mut running: Vec<_> = running
                    .iter()
                    .filter(|flow| flow.key == *key)
                    .cloned()
                    .collect();
                running.sort_unstable_by_key(|flow| std::cmp::Reverse(flow.start));
                if let Some(hit) = running.into_iter().find_map(|flow| this.join(flow)) {
                    count(&this.counters.hits_fill);
                    return Lookup::Hit(hit);
                }
            }
        }
        let Some(entry) = shard.table.get(hash) else {
            drop(shard);
            count(&this.counters.misses);
            return Lookup::Miss;
        };
        let place = entry.place();
        let Some(object) = entry.resident().cloned() else {
            drop(shard);
            return Self::fetch(this, key, place);
        };
        if object.key != *key {
            drop(shard);
            count(&this.counters.collisions);
            count(&this.counters.misses);
            return Lookup::Miss;
        }
        entry.touch();
        // The second use, or another one after it left its disk; told apart by what lies in the cache line already.
        let admit = place.is_none()
            && entry.uses() + 1 >= this.min_uses
            && !this.disks.is_empty()
            && object.may_go_to_disk();
        drop(shard);
        if admit {
            this.admit(&object);
        }
        if !this.survives(&object) {
            this.forget_purged(hash, &object);
            return Lookup::Miss;
        }
        count(&this.counters.hits_memory);
        Lookup::Hit(Hit::of_object(object, Tier::Memory))
    }

    /// A hit on a running fill, unless a purge has hit it or its beginning is gone.
    fn join(&self, flow: Arc<Flow<H>>) -> Option<Hit<H>> {
        if flow.is_overtaken() {
            return None;
        }
        let soft = match self.purges.verdict(flow.head.as_ref(), flow.start).0 {
            Verdict::Hard => return None,
            Verdict::Soft(since_ms) => Some(Soft { since_ms }),
            Verdict::Clear => None,
        };
        let reader = Reader::of_flow(&flow)?;
        Some(Hit::of_flow(flow, reader, soft))
    }

    /// Compares an object with the purges, if there were any since it was last compared.
    pub(crate) fn survives(&self, object: &Object<H>) -> bool {
        if object.checked() >= self.purges.epoch() {
            return true;
        }
        let (verdict, epoch) = self.purges.verdict(object.head.as_ref(), object.start);
        match verdict {
            Verdict::Hard => return false,
            Verdict::Soft(since_ms) => object.set_checked(epoch, Some(since_ms)),
            Verdict::Clear => object.set_checked(epoch, None),
        }
        true
    }

    fn forget_purged(&self, hash: u64, object: &Arc<Object<H>>) {
        count(&self.counters.purged_hits);
        count(&self.counters.misses);
        let (shard, _) = self.shard(object.key.hash());
        let mut shard = shard.write();
        let same = shard
            .table
            .get(hash)
            .and_then(|e| e.resident())
            .is_some_and(|o| Arc::ptr_eq(o, object));
        if same {
            object.set_dead();
            let gone = shard.table.remove(hash);
            self.note_recent(object.key.hash());
            drop(shard);
            self.note_left(gone);
            count(&self.counters.evicted_purged);
        }
    }

    pub(crate) fn begin(this: &Arc<Self>, key: Key, head: H, mut options: FillOptions) -> Fill<H> {
        let share = (this.budget.limit() / OBJECT_SHARE) as u64;
        options.max_bytes = options.max_bytes.min(share);
        let keeps = options
            .length
            .is_none_or(|length| length <= options.max_bytes);
        let hash = key.hash();
        let flow = Arc::new(Flow::new(
            (&this.budget, &this.counters),
            key,
            Arc::new(head),
            options.start,
            options.length,
            keeps,
        ));
        let (shard, _) = this.shard(hash);
        shard
            .write()
            .running
            .entry(hash)
            .or_default()
            .push(Arc::clone(&flow));
        Fill::new(Arc::clone(this), flow, options)
    }

    /// Puts a filled object into the index, unless one that began later is there. The fill is not running any more.
    pub(crate) fn insert_filled(
        &self,
        flow: &Arc<Flow<H>>,
        object: &Arc<Object<H>>,
        disk: bool,
    ) -> bool {
        let (shard, hash) = self.shard(object.key.hash());
        let mut shard = shard.write();
        let entry = shard.table.get(hash);
        let stored = entry.and_then(|entry| entry.resident());
        if flow.is_overtaken()
            || stored.is_some_and(|stored| stored.key == object.key && stored.start > object.start)
        {
            return false;
        }
        // The older one may lie on disk, or be on its way there.
        let on_disk = entry.is_some_and(|entry| !entry.place().is_none());
        if on_disk
            || stored.is_some_and(|stored| stored.touches_disk())
            || self.recovering.load(Ordering::Acquire) > 0
        {
            object.set_replaces_disk();
        }
        if let Some(stored) = stored {
            stored.set_dead();
        }
        shard.remove_running(flow);
        // What is on disk only has no stamp here; so the running fills remember.
        for other in shard.running.get(&object.key.hash()).into_iter().flatten() {
            if other.start < object.start && other.key == object.key {
                other.set_overtaken();
            }
        }
        // Without a place: whatever becomes of the new one, the old one is not found on disk any more.
        let replaced = shard.table.insert(hash, Arc::clone(object), Place::NONE);
        self.note_recent(object.key.hash());
        self.count_index(&mut shard);
        drop(shard);
        count_by(
            &self.counters.evicted_replaced,
            usize::from(replaced.is_some()),
        );
        self.counters
            .disk_objects_now
            .fetch_sub(u64::from(on_disk), Ordering::Relaxed);
        self.to_disk(object, disk);
        true
    }

    /// An object for which there is a newer one on disk already, or that needs no second use, goes there at once.
    fn to_disk(&self, object: &Arc<Object<H>>, allowed: bool) {
        if self.disks.is_empty() {
            return;
        }
        if !allowed {
            object.set_queued();
        }
        if allowed && (self.min_uses <= 1 || object.replaces_disk()) {
            self.admit(object);
        } else if object.replaces_disk() {
            self.mark_gone(object.key.bytes());
        } else if self.min_uses > 1 {
            count(&self.counters.disk_not_admitted);
        }
    }

    pub(crate) fn remove_running(&self, flow: &Arc<Flow<H>>) {
        let (shard, _) = self.shard(flow.key.hash());
        shard.write().remove_running(flow);
    }

    pub(crate) fn update_head(&self, key: &Key, id: ObjectId, head: H, start: Stamp) -> bool {
        let fits = |old: &Object<H>| old.key == *key && old.id == id && old.start <= start;
        let done = self.change(key, fits, |old| {
            let (key, body) = (old.key.clone(), old.body.clone());
            Object::new(
                (&self.budget, &self.counters),
                key,
                Arc::new(head),
                body,
                id,
                start,
            )
        });
        if done {
            count(&self.counters.heads_updated);
        }
        done
    }

    pub(crate) fn expire(&self, key: &Key, now_ms: u64) -> bool {
        self.change(
            key,
            |old| old.key == *key,
            |old| {
                let (key, head, body) = (old.key.clone(), Arc::clone(&old.head), old.body.clone());
                let object = Object::new(
                    (&self.budget, &self.counters),
                    key,
                    head,
                    body,
                    old.id,
                    old.start,
                );
                object.expire(now_ms);
                object
            },
        )
    }

    /// Puts another object with the same body in the place of one in memory, and its head on disk.
    fn change(
        &self,
        key: &Key,
        fits: impl Fn(&Object<H>) -> bool,
        make: impl FnOnce(&Object<H>) -> Arc<Object<H>>,
    ) -> bool {
        let (shard, hash) = self.shard(key.hash());
        let mut shard = shard.write();
        let Some(entry) = shard.table.get(hash) else {
            return false;
        };
        let on_disk = !entry.place().is_none();
        let Some(old) = entry.resident().filter(|old| fits(old)).cloned() else {
            return false;
        };
        let object = make(&old);
        old.set_dead();
        let body = old.body_place();
        if on_disk || old.touches_disk() {
            object.set_replaces_disk();
        }
        if !old.may_go_to_disk() && !old.touches_disk() {
            object.set_queued();
        }
        object.set_body_place(body);
        let replaced = shard.table.insert(hash, Arc::clone(&object), Place::NONE);
        self.note_recent(key.hash());
        drop(shard);
        drop(replaced);
        self.counters
            .disk_objects_now
            .fetch_sub(u64::from(on_disk), Ordering::Relaxed);
        if !self.disks.is_empty() {
            self.write_head(&object, if on_disk { body } else { Place::NONE });
        }
        self.make_room();
        true
    }

    pub(crate) fn remove(&self, key: &Key) -> Option<ObjectId> {
        let (shard, hash) = self.shard(key.hash());
        let mut shard = shard.write();
        for flow in shard
            .running
            .get(&key.hash())
            .into_iter()
            .flatten()
            .filter(|flow| flow.key == *key)
        {
            flow.set_overtaken();
        }
        let entry = shard.table.get(hash)?;
        let resident = entry.resident().cloned();
        // One that lies on disk only cannot be compared; a collision costs an object that is fetched again.
        if resident.as_ref().is_some_and(|object| object.key != *key) {
            return None;
        }
        let on_disk = !entry.place().is_none()
            || resident
                .as_ref()
                .is_some_and(|object| object.touches_disk());
        if let Some(object) = &resident {
            object.set_dead();
        }
        let removed = shard.table.remove(hash);
        self.note_recent(key.hash());
        drop(shard);
        self.note_left(removed);
        if on_disk || self.recovering.load(Ordering::Acquire) > 0 {
            self.mark_gone(key.bytes());
        }
        count(&self.counters.evicted_removed);
        Some(resident.map_or(ObjectId(0), |object| object.id))
    }

    /// Counts what left the index; drops it outside of its lock.
    fn note_left(&self, gone: Option<(Option<Arc<Object<H>>>, Place)>) {
        let on_disk = gone.as_ref().is_some_and(|(_, place)| !place.is_none());
        self.counters
            .disk_objects_now
            .fetch_sub(u64::from(on_disk), Ordering::Relaxed);
    }

    pub(crate) fn purge(&self, purge: Purge) -> (u64, Ticket) {
        let mut stream = self.stream.lock();
        let number = stream.number(purge);
        (number, self.put_in_force(0, number, purge))
    }

    pub(crate) fn apply(&self, numbered: &Numbered) -> (Applied, Ticket) {
        let mut stream = self.stream.lock();
        let applied = stream.see(numbered.node, numbered.number);
        if applied == Applied::Known {
            return (applied, Ticket::done());
        }
        (
            applied,
            self.put_in_force(numbered.node, numbered.number, numbered.purge),
        )
    }

    /// The caller holds the stream, so that lines stand in the journal in the order of their numbers.
    fn put_in_force(&self, node: u64, number: u64, purge: Purge) -> Ticket {
        let (ticket, folded) = self
            .purges
            .apply(&purge, |stamp| self.note(node, number, stamp, purge));
        count(&self.counters.purges);
        count_by(&self.counters.purges_folded, usize::from(folded));
        self.counters
            .purges_now
            .store(self.purges.len() as u64, Ordering::Relaxed);
        ticket
    }

    fn note(&self, node: u64, number: u64, stamp: Stamp, purge: Purge) -> Ticket {
        match &self.journal {
            Some(journal) => journal.note(node, number, stamp, purge),
            None => Ticket::done(),
        }
    }

    /// Lets objects go until memory is within its limit; whether it is.
    pub(crate) fn make_room(&self) -> bool {
        for _ in 0..ROUNDS {
            let over = self.budget.over();
            if over == 0 {
                return true;
            }
            let (mut freed, mut empty) = (0, 0);
            while freed < over && empty <= self.shards.len() {
                let at = self.hand.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1);
                let Some(shard) = self.shards.get(at) else {
                    break;
                };
                let evicted = shard
                    .write()
                    .table
                    .evict(|object| Arc::strong_count(object) > 1);
                let Some(evicted) = evicted else {
                    empty += 1;
                    continue;
                };
                empty = 0;
                freed += evicted.object.charge();
                self.note_evicted(&evicted);
            }
            if freed == 0 {
                break;
            }
        }
        self.budget.over() == 0
    }

    fn note_evicted(&self, evicted: &Evicted<Object<H>>) {
        let counters = &self.counters;
        count(if evicted.main {
            &counters.evicted_main
        } else {
            &counters.evicted_small
        });
        counters
            .age_at_eviction_s
            .record(evicted.object.stored.elapsed().as_secs());
        counters
            .size_at_eviction_bytes
            .record(evicted.object.body.len());
    }

    /// Tells the budget what a shard's table takes.
    pub(crate) fn count_index(&self, shard: &mut Shard<H>) {
        let bytes = shard.table.bytes();
        let (more, less) = (
            bytes.saturating_sub(shard.counted),
            shard.counted.saturating_sub(bytes),
        );
        self.budget.add(more);
        self.budget.sub(less);
        self.index_total.fetch_add(more, Ordering::Relaxed);
        self.index_total.fetch_sub(less, Ordering::Relaxed);
        shard.counted = bytes;
    }

    pub(crate) fn index_bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().table.bytes())
            .sum()
    }

    pub(crate) fn objects(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().table.len())
            .sum()
    }

    pub(crate) fn tick(&self, now: Instant) {
        if let Some(journal) = &self.journal {
            self.counters
                .purge_errors
                .store(journal.errors(), Ordering::Relaxed);
        }
        for part in &self.disks {
            part.reads.tick(now);
        }
        let queued: usize = self.disks.iter().map(|part| part.queue.len()).sum();
        self.counters
            .disk_queue_now
            .store(queued as u64, Ordering::Relaxed);
        if self.counters.fills_now.load(Ordering::Relaxed) == 0 {
            return;
        }
        for shard in &self.shards {
            let running: Vec<_> = shard.read().running.values().flatten().cloned().collect();
            for flow in running {
                let (stalled, slow) = flow.tick(now, self.limits.stall, self.limits.patience);
                count_by(&self.counters.readers_stalled, stalled);
                count_by(&self.counters.readers_cut, slow);
            }
        }
    }
}

impl<H: Head> Shard<H> {
    fn remove_running(&mut self, flow: &Arc<Flow<H>>) {
        let hash = flow.key.hash();
        if let Some(running) = self.running.get_mut(&hash) {
            running.retain(|other| !Arc::ptr_eq(other, flow));
            if running.is_empty() {
                self.running.remove(&hash);
            }
        }
    }
}
