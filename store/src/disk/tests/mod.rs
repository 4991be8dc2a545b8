mod far;
mod faults;
mod file;
mod gate;
mod hold;
mod log;
mod release;
mod restart;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{Disk, Durability, FaultyDisk};
use crate::support::*;
use crate::{DiskOptions, Limits, OpenOptions, Opened, Store};

pub(super) fn options_of(disk: &Arc<FaultyDisk>) -> OpenOptions {
    options_on(Arc::clone(disk) as Arc<dyn Disk>)
}

pub(super) fn options_on(disk: Arc<dyn Disk>) -> OpenOptions {
    OpenOptions {
        limits: Limits {
            memory_bytes: 64 << 20,
            shards: 8,
            ..Limits::default()
        },
        disks: vec![DiskOptions {
            disk,
            size_bytes: 256 << 20,
        }],
        durability: Durability::Interval,
        segment_bytes: 4 << 20,
        random: 0x1234_5678_9abc_def0,
        elder: false,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "a call reads better")]
pub(super) fn open(options: OpenOptions) -> (Store<TestHead>, Opened) {
    let (store, opened) = Store::open(&options).expect("the store opens");
    until("recovery", || store.is_recovered());
    (store, opened)
}

/// All memory is let go: what is found then comes from disk.
pub(super) fn forget_memory(store: &Store<TestHead>) {
    until("the writer", || store.is_written());
    let limit = store.core.budget.limit();
    store.set_memory_bytes(0);
    store.set_memory_bytes(limit);
}

pub(super) fn fetch(store: &Store<TestHead>, name: &str) -> Option<Bytes> {
    let hit = block_on(store.lookup(&key(store, name)).fetched())?;
    Some(read(hit.into_reader()).expect("a whole body"))
}

pub(super) fn counted(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub(super) const SOON: Duration = Duration::from_secs(20);
