//! Segments that are reclaimed while bodies are read from them.

use super::far::{assert_clean, find, put_far, range, reader};
use super::*;
use crate::ReadError;
use crate::disk::FileName;

const CHUNK: usize = 128 << 10;

/// A disk of 24 MiB: what is removed and still read may take 2.9 of them.
fn small_disk(disk: Arc<dyn Disk>) -> Store<TestHead> {
    let mut options = options_on(disk);
    options.disks[0].size_bytes = 24 << 20;
    options.segment_bytes = 1 << 20;
    open(options).0
}

fn turn_over(store: &Store<TestHead>, from: u64, disk_bytes: impl Fn() -> u64) {
    for n in from..from + 400 {
        put(store, &format!("/new/{n}"), body(n, 100_000));
        if n % 20 == 0 {
            until("the writer", || store.is_written());
            assert!(disk_bytes() <= 24 << 20, "{}", disk_bytes());
        }
    }
    until("the writer", || store.is_written());
}

#[test]
fn a_segment_is_reclaimed_while_it_is_read() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let store = small_disk(Arc::clone(&disk) as Arc<dyn Disk>);
    put_far(&store, &[("/a", 1, 2 << 20), ("/b", 2, 2 << 20)]);
    let mut readers: Vec<_> = ["/a", "/b"].map(|name| reader(&store, name)).into();
    for reader in &mut readers {
        // Not from the start: nothing is gathered.
        reader.seek(1, None).expect("a place");
        assert!(block_on(reader.next()).expect("bytes").is_some());
    }
    turn_over(&store, 0, || disk.bytes());
    let files = disk.list().expect("files");
    assert!(!files.contains(&FileName::Segment(1)) && !files.contains(&FileName::Segment(2)));
    // Its bytes are the disk's until its reader has gone, the other one was too much.
    let rest = 2 * (1 << 20) - CHUNK;
    let mut ends = readers.iter_mut().map(|reader| {
        let mut got = 0;
        loop {
            match block_on(reader.next()) {
                Ok(Some(slice)) => got += slice.len(),
                Ok(None) => return Ok(got),
                Err(error) => return Err(error),
            }
        }
    });
    assert_eq!(ends.next(), Some(Ok(rest)));
    assert_eq!(ends.next(), Some(Err(ReadError::Disk)));
    assert!(find(&store, "/a").is_none() && find(&store, "/b").is_none());
    let now = || counted(&store.counters().disk_bytes_now);
    let log = &store.core.disks[0].log;
    assert!(now() > 2 << 20 && now() == log.bytes());
    let held = now();
    drop(readers);
    until("the file to be closed", || now() + (2 << 20) <= held);
    assert_eq!(now(), log.bytes());
    // The room is used again.
    turn_over(&store, 1_000, || disk.bytes());
    assert_clean(&store);
}

#[test]
fn a_file_that_is_removed_is_read_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = crate::disk::FileDisk::open(folder.path()).expect("a folder");
    let store = small_disk(Arc::new(disk));
    put_far(&store, &[("/a", 1, 2 << 20)]);
    let mut own = reader(&store, "/a");
    let first = block_on(own.next()).expect("bytes").expect("not the end");
    turn_over(&store, 0, || counted(&store.counters().disk_bytes_now));
    assert!(!folder.path().join("0000000000000001.segment").exists());
    let rest = read(own).expect("all of it");
    assert_eq!([first, rest].concat(), body(1, 2 << 20));
    assert!(find(&store, "/a").is_none());
    assert_clean(&store);
}

#[test]
fn a_body_in_use_is_moved_and_found_again() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let mut options = options_of(&disk);
    options.disks[0].size_bytes = 24 << 20;
    options.segment_bytes = 16 << 20;
    let (store, _) = open(options);
    // In one segment with others: a quarter of it may be written again.
    put_far(&store, &[("/a", 1, 1_500_000)]);
    for n in 0..350 {
        assert_eq!(
            range(&store, "/a", 1_000_000, 1_000_100),
            Ok(body(1, 1_500_000).slice(1_000_000..1_000_100)),
            "{n}"
        );
        put(&store, &format!("/new/{n}"), body(n, 100_000));
        until("the writer", || store.is_written());
    }
    assert!(counted(&store.counters().disk_reinserted) > 0);
    assert_eq!(counted(&store.counters().disk_bodies_lost), 0);
    assert_eq!(fetch(&store, "/a"), Some(body(1, 1_500_000)));
}
