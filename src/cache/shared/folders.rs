//! The folders of the cache, and how they change hands: one process writes them at any time, and what was stored is found
//! by the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farmgate_store::disk::FileDisk;
use farmgate_store::{DiskOptions, Limits, OpenError, OpenOptions, Opened, Store};
use parking_lot::Mutex;

use super::SharedCache;
use super::settings::CacheSettings;
use crate::cache::meta::head::StoredHead;

/// Bytes of a segment on disk.
const SEGMENT_BYTES: u64 = 64 << 20;

/// A process that only drains keeps one of so many parts of its memory.
const DRAINING_SHARE: u64 = 8;

/// The folders, and whose they are.
#[derive(Debug)]
pub(super) struct Folders {
    settings: CacheSettings,
    ours: AtomicBool,
    /// Held while they change hands, which takes a while.
    changing: Mutex<()>,
}

impl Folders {
    /// `ours`: this process has them, if there are any.
    pub(super) fn new(settings: &CacheSettings, ours: bool) -> Self {
        Self {
            settings: settings.clone(),
            ours: AtomicBool::new(ours && !settings.disks.is_empty()),
            changing: Mutex::default(),
        }
    }
}

/// What was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Objects that are known, in memory or on disk.
    pub objects: usize,
    /// All that should be on disk is there, and the next one who opens the folders finds it at once.
    pub clean: bool,
}

impl SharedCache {
    /// Lets the folders go, if this process has them: what waits is written, within about `longest`. From then on it
    /// serves as before and writes nothing. Blocks.
    pub fn release(&self, longest: Duration) -> Option<Released> {
        let _changing = self.folders.changing.lock();
        if !self.folders.ours.swap(false, Ordering::AcqRel) {
            return None;
        }
        let store = self.store.load_full();
        let objects = store.objects();
        let clean = store.release(longest);
        Some(Released { objects, clean })
    }

    /// Takes the folders, if there are any and this process has them not: from now on all is looked for there. What was
    /// in this process's memory alone is forgotten. `random` and `elder` as for [`SharedCache::open`]. Blocks.
    ///
    /// # Errors
    /// As [`SharedCache::open`]; nothing has changed then.
    pub fn take_folders(&self, random: u64, elder: bool) -> Result<Option<Opened>, OpenError> {
        let folders = &self.folders;
        let _changing = folders.changing.lock();
        if self.is_on_disk() || folders.settings.disks.is_empty() {
            return Ok(None);
        }
        let settings = CacheSettings {
            memory_bytes: self.memory_limit.load(Ordering::Relaxed),
            ..folders.settings.clone()
        };
        let (store, opened) = open(&settings, random, elder)?;
        folders.ours.store(true, Ordering::Release);
        self.stream
            .store(super::stream_of(&store, random), Ordering::Relaxed);
        // Requests under way go on with the store that they found; it ends with the last of them.
        self.store.store(Arc::new(store));
        Ok(Some(opened))
    }

    /// Whether this process has folders, and objects survive it.
    pub fn is_on_disk(&self) -> bool {
        self.folders.ours.load(Ordering::Acquire)
    }

    /// No other process reads the folders any more: what only that one kept may be reclaimed.
    pub fn elder_gone(&self) {
        self.store().elder_gone();
    }

    /// Another bound of memory: what is above it is let go now.
    pub fn set_memory_bytes(&self, bytes: u64) {
        self.memory_limit.store(bytes, Ordering::Relaxed);
        self.store().set_memory_bytes(memory(bytes));
    }

    /// Another process has the memory from now on: only a part is kept, for what is under way here.
    pub fn make_way(&self) {
        let bytes = self.memory_limit.load(Ordering::Relaxed) / DRAINING_SHARE;
        self.store().set_memory_bytes(memory(bytes));
    }
}

fn memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn limits(settings: &CacheSettings) -> Limits {
    Limits {
        memory_bytes: memory(settings.memory_bytes),
        ..Limits::default()
    }
}

/// A store without folders.
pub(super) fn in_memory(settings: &CacheSettings, random: u64) -> Store<StoredHead> {
    Store::in_memory(limits(settings), random)
}

/// A store over its folders, or without if there are none.
pub(super) fn open(
    settings: &CacheSettings,
    random: u64,
    elder: bool,
) -> Result<(Store<StoredHead>, Opened), OpenError> {
    if settings.disks.is_empty() {
        return Ok((in_memory(settings, random), Opened::default()));
    }
    let mut disks = Vec::with_capacity(settings.disks.len());
    for (number, disk) in settings.disks.iter().enumerate() {
        let folder = FileDisk::open(&disk.path).map_err(|error| OpenError::Disk(number, error))?;
        disks.push(DiskOptions {
            disk: Arc::new(folder),
            size_bytes: disk.size_bytes,
        });
    }
    Store::open(&OpenOptions {
        limits: limits(settings),
        disks,
        durability: settings.durability,
        segment_bytes: SEGMENT_BYTES,
        random,
        elder,
    })
}
