//! `[cache]` as decided: its bounds and its disks.

use std::path::PathBuf;

/// The bounds of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Bytes of memory: bodies, heads, keys and index. Can change in a running process.
    pub memory_bytes: u64,
    /// The folders that hold objects across restarts, at most 16. They cannot change in a running process.
    pub disks: Vec<DiskSettings>,
    /// When what was written is brought to the device. It cannot change in a running process.
    pub durability: Durability,
}

/// One folder of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSettings {
    /// The folder; it belongs to one node alone.
    pub path: PathBuf,
    /// Most bytes in it; at least 1 MiB.
    pub size_bytes: u64,
}

pub use farmgate_store::disk::Durability;
