//! Disks: the lowest level is a [`Disk`], a folder of a few kinds of files; everything above can be run on one that
//! fails on purpose ([`FaultyDisk`]).

pub(crate) mod far;
mod fault;
pub(crate) mod fetch;
mod file;
mod hold;
pub(crate) mod log;
pub(crate) mod place;
pub(crate) mod queue;
mod reclaim;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod segment;
pub(crate) mod share;
pub(crate) mod snapshot;
pub(crate) mod superblock;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

pub use fault::{Faults, FaultyDisk};
pub use fetch::Fetch;
pub use file::FileDisk;
pub use log::Durability;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// A file of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileName {
    /// Name, version and starts of the store; two copies in one file.
    Superblock,
    /// The purges.
    Journal,
    /// The next journal, until it takes the place of the last one.
    JournalNew,
    /// The index as it was at a clean stop.
    Snapshot,
    /// The next snapshot, until it takes the place of the last one.
    SnapshotNew,
    /// One part of the log. Numbers only grow.
    Segment(u64),
}

/// A folder with files. Calls block; only threads of the engine make them, never a request's.
pub trait Disk: Send + Sync + Debug + 'static {
    /// Reads from `at`; fewer bytes at the end of the file, or when the device feels like it.
    ///
    /// # Errors
    /// The device's, and `NotFound`.
    fn read_at(&self, file: FileName, at: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes at `at`, creating the file; perhaps fewer bytes.
    ///
    /// # Errors
    /// The device's.
    fn write_at(&self, file: FileName, at: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Brings what was written to the device.
    ///
    /// # Errors
    /// The device's.
    fn sync(&self, file: FileName) -> io::Result<()>;

    /// Bytes of a file.
    ///
    /// # Errors
    /// The device's, and `NotFound`.
    fn len(&self, file: FileName) -> io::Result<u64>;

    /// Cuts a file.
    ///
    /// # Errors
    /// The device's, and `NotFound`.
    fn set_len(&self, file: FileName, len: u64) -> io::Result<()>;

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// The device's.
    fn remove(&self, file: FileName) -> io::Result<()>;

    /// Puts `from` in the place of `to`, so that after a crash there is one or the other.
    ///
    /// # Errors
    /// The device's.
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()>;

    /// All files.
    ///
    /// # Errors
    /// The device's.
    fn list(&self) -> io::Result<Vec<FileName>>;

    /// Opens a file so that it can be read even when it is removed.
    ///
    /// # Errors
    /// The device's, and `NotFound`.
    fn hold(&self, file: FileName) -> io::Result<Arc<dyn HeldFile>>;

    /// Becomes the one writer; false when another process is.
    ///
    /// # Errors
    /// The device's.
    fn lock(&self) -> io::Result<bool>;

    /// Is the writer no longer.
    ///
    /// # Errors
    /// The device's.
    fn unlock(&self) -> io::Result<()>;
}

/// A file that is open: its bytes are there until this is dropped.
pub trait HeldFile: Send + Sync + Debug + 'static {
    /// Reads from `at`, as [`Disk::read_at`] does.
    ///
    /// # Errors
    /// The device's.
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize>;
}

/// Reads exactly `out`, in as many calls as the disk needs.
pub(crate) fn read_exact(
    disk: &dyn Disk,
    file: FileName,
    at: u64,
    out: &mut [u8],
) -> io::Result<()> {
    read_whole(at, out, |at, out| disk.read_at(file, at, out))
}

/// Reads exactly `out` by as many calls of `read` as it takes.
pub(crate) fn read_whole(
    mut at: u64,
    mut out: &mut [u8],
    read: impl Fn(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while !out.is_empty() {
        match read(at, out)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                at += read as u64;
                out = out.get_mut(read..).ok_or(io::ErrorKind::InvalidData)?;
            }
        }
    }
    Ok(())
}

/// Writes all of `bytes`, in as many calls as the disk needs.
pub(crate) fn write_all(
    disk: &dyn Disk,
    file: FileName,
    mut at: u64,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.write_at(file, at, bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                at += written as u64;
                bytes = bytes.get(written..).ok_or(io::ErrorKind::InvalidData)?;
            }
        }
    }
    Ok(())
}
