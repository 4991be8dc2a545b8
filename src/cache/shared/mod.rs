//! The one shared cache of a process: the rules of this folder over the store.

pub mod compress;
mod figures;
pub mod flights;
mod head;
pub mod invalidate;
pub mod keep;
pub mod lookup;
pub mod place;
pub mod settings;
pub mod unstored;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use farmgate_store::disk::FileDisk;
use farmgate_store::{DiskOptions, Limits, OpenError, OpenOptions, Opened, Store};
use parking_lot::Mutex;

use super::clock::{Now, Timeline};
use super::key::Hasher;
use super::meta::head::StoredHead;
use crate::telemetry::clock;
use compress::Worker;
pub use farmgate_store::purge::{Kind, Numbered, Purge, Scope};
pub use farmgate_store::{Finished, NotStored, ReadError, Stamp, Tier};
pub use flights::{Flights, Joined, Landed, Lead, Waiting};
pub use lookup::{Found, Lookup};
pub use place::Place;
pub use settings::{CacheSettings, DiskSettings, Durability};
use unstored::UnstoredTable;

/// Bytes of a segment on disk.
const SEGMENT_BYTES: u64 = 64 << 20;

/// The shared cache.
#[derive(Debug)]
pub struct SharedCache {
    store: Store<StoredHead>,
    timeline: Timeline,
    started: Instant,
    flights: Arc<Flights>,
    unstored: UnstoredTable,
    worker: Worker,
    /// Which hour it is, and how many invalidations by URL there were in it.
    invalidated: Mutex<(u64, u32)>,
    /// What the stream of its own purges is called.
    stream: u64,
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
        let limits = Limits {
            memory_bytes: usize::try_from(settings.memory_bytes).unwrap_or(usize::MAX),
            ..Limits::default()
        };
        let (store, opened) = if settings.disks.is_empty() {
            (Store::in_memory(limits, random), Opened::default())
        } else {
            let mut disks = Vec::with_capacity(settings.disks.len());
            for (number, disk) in settings.disks.iter().enumerate() {
                let folder =
                    FileDisk::open(&disk.path).map_err(|error| OpenError::Disk(number, error))?;
                disks.push(DiskOptions {
                    disk: Arc::new(folder),
                    size_bytes: disk.size_bytes,
                });
            }
            Store::open(&OpenOptions {
                limits,
                disks,
                durability: settings.durability,
                segment_bytes: SEGMENT_BYTES,
                random,
                elder,
            })?
        };
        let mut name = Hasher::new(b'n');
        name.part(&store.name().unwrap_or(random).to_le_bytes());
        let cache = Arc::new_cyclic(|cache| Self {
            stream: name.finish_short(),
            memory_limit: AtomicU64::new(settings.memory_bytes),
            disk_limit: settings.disks.iter().map(|disk| disk.size_bytes).sum(),
            store,
            timeline: Timeline::new(),
            started: Instant::now(),
            flights: Arc::default(),
            unstored: UnstoredTable::default(),
            worker: Worker::start(Weak::clone(cache)),
            invalidated: Mutex::default(),
        });
        Ok((cache, opened))
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

    /// Another bound of memory: what is above it is let go now.
    pub fn set_memory_bytes(&self, bytes: u64) {
        self.memory_limit.store(bytes, Ordering::Relaxed);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.store.set_memory_bytes(bytes);
    }

    /// The store behind it.
    pub fn store(&self) -> &Store<StoredHead> {
        &self.store
    }
}
