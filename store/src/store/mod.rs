//! The store: what its user calls.

mod change;
mod core;
mod far;
mod hit;
mod open;
mod room;
mod tier;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

pub(crate) use self::core::Core;
pub use hit::{Hit, Lookup, Soft, Tier};
pub use open::{DiskOptions, OpenError, OpenOptions, Opened};

use crate::counters::Counters;
use crate::fill::{Fill, FillOptions};
use crate::head::Head;
use crate::keeper;
use crate::key::Key;
use crate::object::ObjectId;
use crate::purge::journal::Journal;
use crate::purge::{Applied, Gone, Numbered, Purge, Ticket};
use crate::stamp::Stamp;

/// The bounds of a store.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory: bodies, heads, keys, index, and what fills hold.
    pub memory_bytes: usize,
    /// Parts of the index with a lock each; a power of two, 1 to 1,024.
    pub shards: usize,
    /// Purges in force at once; more fold the older half into one for everything. 56 to 110 bytes each, which are
    /// not counted in `memory_bytes`.
    pub purges: usize,
    /// How long a reader waits for a fill that stands still.
    pub stall: Duration,
    /// How long a reader may take nothing while it holds up a fill that is not kept.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            shards: 64,
            purges: 65_536,
            stall: Duration::from_secs(60),
            patience: Duration::from_secs(10),
        }
    }
}

/// The one store of a process; clones are the same store.
#[derive(Debug)]
pub struct Store<H: Head> {
    pub(crate) core: Arc<Core<H>>,
    /// Ends the keeper with the last clone.
    keeper: Arc<Keeper>,
}

#[derive(Debug)]
struct Keeper(Option<Thread>);

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(thread) = &self.0 {
            thread.unpark();
        }
    }
}

impl<H: Head> Clone for Store<H> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            keeper: Arc::clone(&self.keeper),
        }
    }
}

impl<H: Head> Store<H> {
    /// A store without disks. `seed` should be random: it hides which keys collide.
    #[must_use]
    pub fn in_memory(limits: Limits, seed: u64) -> Self {
        Self::with_keeper(Arc::new(Core::new(limits, seed, 1)))
    }

    fn with_keeper(core: Arc<Core<H>>) -> Self {
        let keeper = Arc::new(Keeper(keeper::start(Arc::downgrade(&core))));
        Self { core, keeper }
    }

    /// The key of an object.
    #[must_use]
    pub fn key(&self, primary: &[u8], variance: &[u8]) -> Key {
        Key::build(self.core.seed, primary, variance)
    }

    /// Now, in the order of fills and purges. Take it before the request to the origin is sent.
    #[must_use]
    pub fn start(&self) -> Stamp {
        self.core.purges.next()
    }

    /// Looks for an object. Never waits: what lies on disk only is fetched by the future that is given.
    ///
    /// The fill of the key that began last is preferred to what is stored: who finds an object stale and waits for a
    /// fetch under way finds its result.
    #[must_use]
    pub fn lookup(&self, key: &Key) -> Lookup<H> {
        Core::lookup(&self.core, key)
    }

    /// Begins a fill. Several of one key may run: the one that began last stays.
    #[must_use]
    pub fn begin(&self, key: Key, head: H, options: FillOptions) -> Fill<H> {
        Core::begin(&self.core, key, head, options)
    }

    /// Gives a stored object another head without touching its body: the origin said that it is the same still.
    /// `start` is when the origin was asked. False when the object `id` is not there any more.
    pub fn update_head(&self, key: &Key, id: ObjectId, head: H, start: Stamp) -> bool {
        self.core.update_head(key, id, head, start)
    }

    /// Makes an object stale as of now. False when it is not there.
    pub fn expire(&self, key: &Key, now_ms: u64) -> bool {
        self.core.expire(key, now_ms)
    }

    /// Forgets an object, and the fills of it that run: their readers get all, later lookups do not find it. Its id.
    pub fn remove(&self, key: &Key) -> Option<ObjectId> {
        self.core.remove(key)
    }

    /// Purges. In force at once for every lookup that begins after this returns; the ticket says when it is
    /// journalled, and then may be acknowledged. Also gives its number in the stream of this node.
    pub fn purge(&self, purge: Purge) -> (u64, Ticket) {
        self.core.purge(purge)
    }

    /// Applies a purge of another node. Applying it again does nothing.
    pub fn apply(&self, purge: &Numbered) -> (Applied, Ticket) {
        self.core.apply(purge)
    }

    /// The purges of this node from number `from` on, at most `most`, for a node that was away. `node` is what this
    /// one is called among them.
    ///
    /// # Errors
    /// They are not kept any more; the other node must purge everything.
    pub fn purges_since(&self, node: u64, from: u64, most: usize) -> Result<Vec<Numbered>, Gone> {
        self.core.stream.lock().since(node, from, most)
    }

    /// The name under which this store's own purges are numbered, as long as its first disk; none in memory, where the
    /// numbers begin anew at each start.
    #[must_use]
    pub fn name(&self) -> Option<u64> {
        self.core.journal.as_ref().map(Journal::name)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.core.budget.used()
    }

    /// Bytes of the index, which are part of the memory in use.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.core.index_bytes()
    }

    /// Objects that are known, in memory or on disk.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.core.objects()
    }

    /// The largest body that is kept; larger ones pass through.
    #[must_use]
    pub fn most_body_bytes(&self) -> u64 {
        self.core.most_body_bytes()
    }

    /// Another limit of memory: what is above it is let go now.
    pub fn set_memory_bytes(&self, bytes: usize) {
        self.core.budget.set_limit(bytes);
        self.core.make_room();
    }

    /// Ends waits that are over; a thread calls it four times a second.
    pub fn tick(&self, now: Instant) {
        self.core.tick(now);
    }
}
