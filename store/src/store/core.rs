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
use crate::disk::share::Share;
use crate::fill::flow::Flow;
use crate::fill::{Fill, FillOptions};
use crate::head::Head;
use crate::index::table::Table;
use crate::key::Key;
use crate::object::Object;
use crate::purge::journal::Journal;
use crate::purge::stream::Stream;
use crate::purge::table::{Purges, Verdict};
use crate::purge::{Applied, Numbered, Purge, Ticket};
use crate::reader::Reader;
use crate::stamp::Stamp;

/// One object takes at most this share of the memory: one in four.
pub(crate) const OBJECT_SHARE: usize = 4;

/// A part of the index, with what is being filled.
#[derive(Debug)]
pub(crate) struct Shard<H: Head> {
    pub(crate) table: Table<Object<H>>,
    pub(super) running: HashMap<u128, Vec<Arc<Flow<H>>>>,
    /// What the budget knows of the table's own bytes.
    pub(super) counted: usize,
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
    /// What of the memory bodies on disk may take that are read.
    pub(crate) share: Arc<Share>,
    pub(crate) seed: u64,
    pub(crate) disks: Vec<DiskPart<H>>,
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
    pub(super) hand: AtomicUsize,
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
            share: Share::new(&budget),
            budget,
            counters: Arc::default(),
            purges: Arc::new(Purges::new(limits.purges, boot)),
            stream: Arc::default(),
            journal: None,
            seed,
            disks: Vec::new(),
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
        if !shard.running.is_empty()
            && let Some(running) = shard.running.get(&key.hash())
        {
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
        // One use more, perhaps the one that was wanted, or another one after it left its disk.
        let admit =
            place.is_none() && !this.disks.is_empty() && object.wants_disk(entry.uses() + 1);
        drop(shard);
        if admit {
            this.admit(&object);
        }
        if !this.survives(&object) {
            this.forget_purged(hash, &object);
            return Lookup::Miss;
        }
        let Some(far) = object.body.far() else {
            count(&this.counters.hits_memory);
            return Lookup::Hit(Hit::of_object(object, Tier::Memory));
        };
        if far.is_lost() {
            count(&this.counters.misses);
            return Lookup::Miss;
        }
        count(&this.counters.hits_disk);
        Lookup::Hit(Hit::of_object(object, Tier::Disk))
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
            self.note_left(gone.as_ref());
            count(&self.counters.evicted_purged);
        }
    }

    pub(crate) fn begin(this: &Arc<Self>, key: Key, head: H, mut options: FillOptions) -> Fill<H> {
        options.max_bytes = options.max_bytes.min(this.most_body_bytes());
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

    pub(crate) fn most_body_bytes(&self) -> u64 {
        (self.budget.limit() / OBJECT_SHARE) as u64
    }

    pub(crate) fn remove_running(&self, flow: &Arc<Flow<H>>) {
        let (shard, _) = self.shard(flow.key.hash());
        shard.write().remove_running(flow);
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
    pub(super) fn remove_running(&mut self, flow: &Arc<Flow<H>>) {
        let hash = flow.key.hash();
        if let Some(running) = self.running.get_mut(&hash) {
            running.retain(|other| !Arc::ptr_eq(other, flow));
            if running.is_empty() {
                self.running.remove(&hash);
            }
        }
    }
}
