//! The parts of a store, and what they do together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::Limits;
use super::hit::{Hit, Lookup, Soft, Tier};
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
const OBJECT_SHARE: usize = 4;
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
            RwLock::new(Shard { table, running: HashMap::new(), counted })
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
                let mut running: Vec<_> = running.iter().filter(|flow| flow.key == *key).cloned().collect();
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
        let Some(object) = entry.resident().cloned() else {
            drop(shard);
            count(&this.counters.misses);
            return Lookup::Miss;
        };
        if object.key != *key {
            drop(shard);
            count(&this.counters.collisions);
            count(&this.counters.misses);
            return Lookup::Miss;
        }
        entry.touch();
        drop(shard);
        if !this.survives(&object) {
            this.forget_purged(hash, &object);
            return Lookup::Miss;
        }
        count(&this.counters.hits_memory);
        Lookup::Hit(Hit::of_object(this, object, Tier::Memory))
    }

    /// A hit on a running fill, unless a purge has hit it or its beginning is gone.
    fn join(self: &Arc<Self>, flow: Arc<Flow<H>>) -> Option<Hit<H>> {
        if flow.is_overtaken() {
            return None;
        }
        let soft = match self.purges.verdict(flow.head.as_ref(), flow.start).0 {
            Verdict::Hard => return None,
            Verdict::Soft(since_ms) => Some(Soft { since_ms }),
            Verdict::Clear => None,
        };
        let reader = Reader::of_flow(self, &flow)?;
        Some(Hit::of_flow(flow, reader, soft))
    }

    /// Compares an object with the purges, if there were any since it was last compared.
    fn survives(&self, object: &Object<H>) -> bool {
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
        let same = shard.table.get(hash).and_then(|e| e.resident()).is_some_and(|o| Arc::ptr_eq(o, object));
        if same {
            let gone = shard.table.remove(hash);
            drop(shard);
            drop(gone);
            count(&self.counters.evicted_purged);
        }
    }

    pub(crate) fn begin(this: &Arc<Self>, key: Key, head: H, mut options: FillOptions) -> Fill<H> {
        let share = (this.budget.limit() / OBJECT_SHARE) as u64;
        options.max_bytes = options.max_bytes.min(share);
        let keeps = options.length.is_none_or(|length| length <= options.max_bytes);
        let hash = key.hash();
        let flow = Arc::new(Flow::new(&this.budget, key, Arc::new(head), options.start, options.length, keeps));
        let (shard, _) = this.shard(hash);
        shard.write().running.entry(hash).or_default().push(Arc::clone(&flow));
        Fill::new(Arc::clone(this), flow, options)
    }

    /// Puts a filled object into the index, unless one that began later is there. The fill is not running any more.
    pub(crate) fn insert_filled(&self, flow: &Arc<Flow<H>>, object: &Arc<Object<H>>, _disk: bool) -> bool {
        let (shard, hash) = self.shard(object.key.hash());
        let mut shard = shard.write();
        let stored = shard.table.get(hash).and_then(|entry| entry.resident());
        if flow.is_overtaken() || stored.is_some_and(|stored| stored.key == object.key && stored.start > object.start) {
            return false;
        }
        shard.remove_running(flow);
        // What is on disk only has no stamp here; so the running fills remember.
        for other in shard.running.get(&object.key.hash()).into_iter().flatten() {
            if other.start < object.start && other.key == object.key {
                other.set_overtaken();
            }
        }
        let replaced = shard.table.insert(hash, Arc::clone(object), Place::NONE);
        shard.count(&self.budget);
        drop(shard);
        if replaced.is_some() {
            count(&self.counters.evicted_replaced);
        }
        true
    }

    pub(crate) fn remove_running(&self, flow: &Arc<Flow<H>>) {
        let (shard, _) = self.shard(flow.key.hash());
        shard.write().remove_running(flow);
    }

    pub(crate) fn update_head(&self, key: &Key, id: ObjectId, head: H, start: Stamp) -> bool {
        let (shard, hash) = self.shard(key.hash());
        let head = Arc::new(head);
        let mut shard = shard.write();
        let Some(entry) = shard.table.get(hash) else { return false };
        let Some(old) = entry.resident().filter(|old| old.key == *key && old.id == id && old.start <= start) else {
            return false;
        };
        let object = Object::new(&self.budget, key.clone(), head, old.body.clone(), id, start);
        let replaced = shard.table.insert(hash, object, Place::NONE);
        drop(shard);
        drop(replaced);
        count(&self.counters.heads_updated);
        self.make_room();
        true
    }

    pub(crate) fn expire(&self, key: &Key, now_ms: u64) -> bool {
        let (shard, hash) = self.shard(key.hash());
        let shard = shard.read();
        let object = shard.table.get(hash).and_then(|entry| entry.resident()).filter(|object| object.key == *key);
        object.inspect(|object| object.expire(now_ms)).is_some()
    }

    pub(crate) fn remove(&self, key: &Key) -> Option<ObjectId> {
        let (shard, hash) = self.shard(key.hash());
        let mut shard = shard.write();
        for flow in shard.running.get(&key.hash()).into_iter().flatten().filter(|flow| flow.key == *key) {
            flow.set_overtaken();
        }
        let ours = shard.table.get(hash)?.resident().is_some_and(|object| object.key == *key);
        let removed = if ours { shard.table.remove(hash) } else { None };
        drop(shard);
        count_by(&self.counters.evicted_removed, usize::from(removed.is_some()));
        removed?.0.map(|object| object.id)
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
        (applied, self.put_in_force(numbered.node, numbered.number, numbered.purge))
    }

    /// The caller holds the stream, so that lines stand in the journal in the order of their numbers.
    fn put_in_force(&self, node: u64, number: u64, purge: Purge) -> Ticket {
        let (ticket, folded) = self.purges.apply(&purge, |stamp| self.note(node, number, stamp, purge));
        count(&self.counters.purges);
        count_by(&self.counters.purges_folded, usize::from(folded));
        self.counters.purges_now.store(self.purges.len() as u64, Ordering::Relaxed);
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
                let Some(shard) = self.shards.get(at) else { break };
                let evicted = shard.write().table.evict(|object| Arc::strong_count(object) > 1);
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
        count(if evicted.main { &counters.evicted_main } else { &counters.evicted_small });
        counters.age_at_eviction_s.record(evicted.object.stored.elapsed().as_secs());
        counters.size_at_eviction_bytes.record(evicted.object.body.len());
    }

    pub(crate) fn index_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().table.bytes()).sum()
    }

    pub(crate) fn objects(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().table.len()).sum()
    }

    pub(crate) fn tick(&self, now: Instant) {
        if let Some(journal) = &self.journal {
            self.counters.purge_errors.store(journal.errors(), Ordering::Relaxed);
        }
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

    /// Tells the budget what the table takes.
    fn count(&mut self, budget: &Budget) {
        let bytes = self.table.bytes();
        budget.add(bytes.saturating_sub(self.counted));
        budget.sub(self.counted.saturating_sub(bytes));
        self.counted = bytes;
    }
}
