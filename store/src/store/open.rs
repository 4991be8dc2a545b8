//! Opening a store with disks, closing it, and handing its disks to another process.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::tier::DiskPart;
use super::{Core, Limits, Store};
use crate::disk::fetch::Reads;
use crate::disk::log::DiskLog;
use crate::disk::queue::Queue;
use crate::disk::superblock::Superblock;
use crate::disk::{Disk, Durability, FileName, recover, snapshot, writer};
use crate::head::Head;
use crate::purge::journal::Journal;

/// Threads that read one disk.
const READERS: usize = 4;
/// The share of the memory that may wait for a disk: one in eight.
const QUEUE_SHARE: usize = 8;
/// How long a writer may take for what it has in its hands, when there is no more time for what waits.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Smallest disk.
const LEAST_BYTES: u64 = 1 << 20;

/// A disk of a store.
#[derive(Debug)]
pub struct DiskOptions {
    /// Its folder.
    pub disk: Arc<dyn Disk>,
    /// Bytes that it may take, 1 MiB at least; never exceeded.
    pub size_bytes: u64,
}

/// How a store is opened.
#[derive(Debug)]
pub struct OpenOptions {
    /// Its bounds.
    pub limits: Limits,
    /// Its disks, at most 16; the first one holds the journal. An object's disk follows from its key.
    pub disks: Vec<DiskOptions>,
    /// When what was written is brought to the device.
    pub durability: Durability,
    /// Bytes of a segment, 64 KiB to 64 MiB. An object above an eighth of it gets a segment of its own.
    pub segment_bytes: u64,
    /// Random bits: the name of a store that is made now. All checksums on its disks are seeded with it.
    pub random: u64,
    /// The process before this one still reads the disks; [`Store::elder_gone`] tells when not.
    pub elder: bool,
}

/// What was found when a store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// There was none: it was made.
    pub fresh: bool,
    /// The journal of purges was missing or damaged: everything on disk counts as purged.
    pub purged_all: bool,
    /// Disks that belong to another store, or to none, and were made anew.
    pub foreign_disks: usize,
}

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process writes disk `0` and so on.
    Locked(usize),
    /// A disk does not work.
    Disk(usize, io::Error),
    /// Too many disks, or too small ones.
    Bounds(usize),
    /// No thread could be started.
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(disk) => write!(
                out,
                "disk {disk} is written by another process; stop it, or give this one another folder"
            ),
            Self::Disk(disk, error) => write!(out, "disk {disk}: {error}"),
            Self::Bounds(disk) => write!(out, "disk {disk}: at most 16 disks, of 1 MiB at least"),
            Self::Thread(error) => write!(out, "a thread could not be started: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl<H: Head> Store<H> {
    /// Opens a store with disks. It serves at once: what recovery has not found yet is a miss.
    ///
    /// # Errors
    /// A disk is locked or does not work. A caller may go on with [`Store::in_memory`].
    pub fn open(options: &OpenOptions) -> Result<(Self, Opened), OpenError> {
        let size_of = |disk: &DiskOptions| disk.size_bytes >= LEAST_BYTES;
        if let Some(wrong) = options.disks.iter().position(|disk| !size_of(disk)) {
            return Err(OpenError::Bounds(wrong));
        }
        let Some(first) = options
            .disks
            .first()
            .filter(|_| options.disks.len() <= crate::disk::place::MOST_DISKS)
        else {
            return Err(OpenError::Bounds(options.disks.len()));
        };
        for (number, disk) in options.disks.iter().enumerate() {
            if !disk
                .disk
                .lock()
                .map_err(|error| OpenError::Disk(number, error))?
            {
                options
                    .disks
                    .iter()
                    .take(number)
                    .for_each(|disk| drop(disk.disk.unlock()));
                return Err(OpenError::Locked(number));
            }
        }
        let journal_disk = Arc::clone(&first.disk);
        let opened = Self::open_locked(options, &journal_disk);
        if opened.is_err() {
            options
                .disks
                .iter()
                .for_each(|disk| drop(disk.disk.unlock()));
        }
        opened
    }

    fn open_locked(
        options: &OpenOptions,
        journal_disk: &Arc<dyn Disk>,
    ) -> Result<(Self, Opened), OpenError> {
        let mut opened = Opened::default();
        let first = |error| OpenError::Disk(0, error);
        let known = Superblock::read(journal_disk.as_ref()).map_err(first)?;
        let boot_before = known.map_or(0, |known| known.boot);
        // A store that was started 16 million times begins anew: its stamps would not grow any more.
        let known = known.filter(|known| known.boot < crate::stamp::MOST_BOOTS);
        opened.fresh = known.is_none();
        let name = known.map_or(options.random, |known| known.name);
        let seed = known.map_or_else(
            || options.random.rotate_left(32) ^ 0x5bd1_e995,
            |known| known.seed,
        );
        let boot = known.map_or(0, |known| known.boot) + 1;
        for (number, disk) in options.disks.iter().enumerate() {
            let failed = |error| OpenError::Disk(number, error);
            let own = Superblock {
                name,
                seed,
                boot,
                disk: number as u32,
            };
            let read = Superblock::read(disk.disk.as_ref()).map_err(failed)?;
            if read.is_none_or(|read| read.name != name || read.disk != own.disk) {
                let foreign = clear(disk.disk.as_ref()).map_err(failed)?;
                opened.foreign_disks += usize::from(foreign);
            }
            own.write(disk.disk.as_ref()).map_err(failed)?;
        }
        let mut core = Core::new(options.limits, seed, boot);
        core.boot = boot;
        let (journal, read) =
            Journal::open(journal_disk, name, opened.fresh, &core.purges, &core.stream)
                .map_err(first)?;
        core.journal = Some(journal);
        opened.purged_all = read.damaged;
        core.counters
            .purges_now
            .store(core.purges.len() as u64, Ordering::Relaxed);
        for (number, disk) in options.disks.iter().enumerate() {
            let log = DiskLog::new(
                Arc::clone(&disk.disk),
                number as u8,
                name,
                seed,
                disk.size_bytes,
                options.segment_bytes.clamp(64 << 10, 64 << 20),
                options.durability,
                Arc::clone(&core.counters),
            );
            let log = Arc::new(log.map_err(|error| OpenError::Disk(number, error))?);
            if options.elder {
                log.spared
                    .store(log.newest.load(Ordering::Acquire), Ordering::Release);
            }
            let queue = Arc::new(Queue::new(options.limits.memory_bytes / QUEUE_SHARE));
            core.disks.push(DiskPart {
                log,
                queue,
                reads: Arc::new(Reads::default()),
            });
        }
        core.recovering.store(core.disks.len(), Ordering::Release);
        let store = Self::with_keeper(Arc::new(core));
        store
            .start_threads(boot_before)
            .map_err(OpenError::Thread)?;
        Ok((store, opened))
    }

    fn start_threads(&self, boot_before: u32) -> io::Result<()> {
        for (number, part) in self.core.disks.iter().enumerate() {
            let (weak, log, queue) = (
                Arc::downgrade(&self.core),
                Arc::clone(&part.log),
                Arc::clone(&part.queue),
            );
            Builder::new()
                .name(format!("cache-write-{number}"))
                .spawn(move || {
                    writer::run(&weak, Arc::clone(&log), &queue);
                    // What waits behind a writer that ended is not written any more.
                    queue.close();
                    queue.end();
                })?;
            for _ in 0..READERS {
                let (weak, log, reads) = (
                    Arc::downgrade(&self.core),
                    Arc::clone(&part.log),
                    Arc::clone(&part.reads),
                );
                Builder::new()
                    .name(format!("cache-read-{number}"))
                    .spawn(move || reads.run(&weak, &log))?;
            }
            let (weak, log) = (Arc::downgrade(&self.core), Arc::clone(&part.log));
            // As they are now: what is written from now on is in the index already.
            let segments: Vec<(u64, u64)> = log
                .segments
                .lock()
                .iter()
                .map(|(n, segment)| (*n, segment.len))
                .collect();
            Builder::new()
                .name(format!("cache-recover-{number}"))
                .spawn(move || {
                    if let Some(core) = weak.upgrade() {
                        recover::run(&core, &log, boot_before, &segments);
                    }
                })?;
        }
        Ok(())
    }

    /// Whether recovery is over.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.core.recovering.load(Ordering::Acquire) == 0
    }

    /// Whether nothing waits for a disk.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.core.disks.iter().all(|part| part.queue.is_idle())
    }

    /// The process before this one has ended: what only it kept may be reclaimed.
    pub fn elder_gone(&self) {
        self.core
            .disks
            .iter()
            .for_each(|part| part.log.spared.store(0, Ordering::Release));
    }

    /// Writes what waits, seals, writes the index down and lets the disks go, within about `longest`; false when
    /// that was too short or a disk failed, so that the next start reads the segments. What waited longer is not
    /// written, and a disk on which a write hangs a second more is not let go. From then on the store serves
    /// as before, from memory and from what is on disk, and writes nothing: this is a clean stop, and the first half
    /// of handing the disks to another process. Purges are in force as before, but no more journalled: the process
    /// that holds the disks must be told them.
    pub fn release(&self, longest: Duration) -> bool {
        let core = &self.core;
        let deadline = Instant::now() + longest;
        if core.is_closing() {
            return false;
        }
        core.admit_rest(deadline);
        if core.closing.swap(true, Ordering::AcqRel) {
            return false;
        }
        core.disks.iter().for_each(|part| part.queue.close());
        let mut clean = self.is_recovered();
        for part in &core.disks {
            let log = &part.log;
            let written = part.queue.wait_ended(deadline);
            if !written {
                part.queue.abandon();
            }
            let newest = log.newest.load(Ordering::Acquire);
            clean &= written && !log.is_failed();
            clean = clean
                && log
                    .note(snapshot::write(core, log, core.boot, newest))
                    .is_ok();
        }
        if let Some(journal) = &core.journal {
            journal.close();
        }
        let last = Instant::now() + LAST_WRITE;
        let mut unlocked = true;
        for part in &core.disks {
            // A disk with a writer that hangs in it stays locked for the life of the process: no two write one.
            let ended = part.queue.wait_ended(last);
            unlocked &= ended && part.log.note(part.log.disk.unlock()).is_ok();
        }
        clean && unlocked
    }
}

impl<H: Head> Drop for Core<H> {
    fn drop(&mut self) {
        for part in &self.disks {
            part.queue.close();
            part.reads.close();
            if !self.closing.load(Ordering::Acquire) {
                drop(part.log.disk.unlock());
            }
        }
    }
}

/// Removes what another store left; whether there was something.
fn clear(disk: &dyn Disk) -> io::Result<bool> {
    let files = disk.list()?;
    for file in &files {
        disk.remove(*file)?;
    }
    Ok(files
        .iter()
        .any(|file| matches!(file, FileName::Segment(_) | FileName::Superblock)))
}
