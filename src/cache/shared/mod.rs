//! The one shared cache of a process: the rules of this folder over the store.

pub mod compress;
mod figures;
pub mod flights;
mod folders;
mod head;
pub mod invalidate;
pub mod keep;
pub mod lookup;
mod others;
pub mod place;
pub mod settings;
pub mod unstored;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use farmgate_store::{OpenError, Store};
use parking_lot::Mutex;

use super::clock::{Now, Timeline};
use super::key::Hasher;
use super::meta::head::StoredHead;
use crate::telemetry::clock;
use compress::Worker;
pub use farmgate_store::purge::{Kind, Numbered, Purge, Scope};
pub use farmgate_store::{Finished, NotStored, Opened, ReadError, Stamp, Tier};
pub use flights::{Flights, Joined, Landed, Lead, Waiting};
use folders::Folders;
pub use folders::Released;
pub use lookup::{Found, Lookup};
pub use others::{Confirmed, HandingOver, Ordered, Others};
pub use place::Place;
pub use settings::{CacheSettings, DiskSettings, Durability};
use unstored::UnstoredTable;

/// The shared cache.
#[derive(Debug)]
pub struct SharedCache {
    /// Another one when the folders change hands. Who asks it twice, and needs the same one, keeps what
    /// [`SharedCache::store`] gave: keys of two stores differ.
    store: ArcSwap<Store<StoredHead>>,
    folders: Folders,
    others: OnceLock<Arc<dyn Others>>,
    timeline: Timeline,
    started: Instant,
    flights: Arc<Flights>,
    unstored: UnstoredTable,
    worker: Worker,
    /// Which hour it is, and how many invalidations by URL there were in it.
    invalidated: Mutex<(u64, u32)>,
    /// What the stream of its own purges is called.
    stream: AtomicU64,
    memory_limit: AtomicU64,
    disk_limit: u64,
}

/// A stored response that was found.
pub type Hit = farmgate_store::Hit<StoredHead>;

/// Reads a body.
pub type Reader = farmgate_store::Reader<StoredHead>;

/// A response while it comes.
pub type Fill = farmgate_store::Fill<StoredHead>;

impl SharedCache {
    /// Opens the cache. It serves at once; what lies on its disks is found in the background. `random` names a store
    /// that is made now; `elder` says that another process still reads the disks.
    ///
    /// # Errors
    /// A disk is written by another process, or does not work.
    pub fn open(
        settings: &CacheSettings,
        random: u64,
        elder: bool,
    ) -> Result<(Arc<Self>, Opened), OpenError> {
        let (store, opened) = folders::open(settings, random, elder)?;
        let cache = Self::over(store, settings, random, true);
        Ok((cache, opened))
    }

    /// A cache whose folders another process still has: in memory alone until [`SharedCache::take_folders`].
    pub fn waiting(settings: &CacheSettings, random: u64) -> Arc<Self> {
        let store = folders::in_memory(settings, random);
        Self::over(store, settings, random, false)
    }

    fn over(
        store: Store<StoredHead>,
        settings: &CacheSettings,
        random: u64,
        ours: bool,
    ) -> Arc<Self> {
        Arc::new_cyclic(|cache| Self {
            stream: AtomicU64::new(stream_of(&store, random)),
            memory_limit: AtomicU64::new(settings.memory_bytes),
            disk_limit: settings.disks.iter().map(|disk| disk.size_bytes).sum(),
            store: ArcSwap::from_pointee(store),
            folders: Folders::new(settings, ours),
            others: OnceLock::new(),
            timeline: Timeline::new(),
            started: Instant::now(),
            flights: Arc::default(),
            unstored: UnstoredTable::default(),
            worker: Worker::start(Weak::clone(cache)),
            invalidated: Mutex::default(),
        })
    }

    /// The time of the cache.
    pub fn now(&self) -> Now {
        let monotonic = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.timeline.now(clock::unix_ms(), monotonic)
    }

    /// Fetches under way.
    pub fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// Keys whose answers cannot be stored.
    pub fn unstored(&self) -> &UnstoredTable {
        &self.unstored
    }

    /// The store behind it, as it is now.
    pub fn store(&self) -> Guard<Arc<Store<StoredHead>>> {
        self.store.load()
    }
}

/// What the stream of a store's own purges is called.
fn stream_of(store: &Store<StoredHead>, random: u64) -> u64 {
    let mut name = Hasher::new(b'n');
    name.part(&store.name().unwrap_or(random).to_le_bytes());
    name.finish_short()
}
