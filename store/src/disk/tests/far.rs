//! Bodies that are read from disk as they are wanted.

use std::time::Instant;

use proptest::prelude::*;

use super::gate::Gate;
use super::*;
use crate::disk::{Faults, FileName};
use crate::purge::{Kind, Purge, Scope};
use crate::{Hit, ReadError, Reader, Tier};

const CHUNK: usize = 128 << 10;
const LARGE: usize = 5 << 20;

fn gated() -> (Arc<Gate>, Store<TestHead>) {
    let gate = Gate::new();
    let (store, _) = open(options_on(Arc::clone(&gate) as Arc<dyn Disk>));
    (gate, store)
}

/// Puts objects, and takes them out of memory.
pub(super) fn put_far(store: &Store<TestHead>, names: &[(&str, u64, usize)]) {
    for (name, seed, len) in names {
        put(store, name, body(*seed, *len));
        // One by one: what finds the queue of the disk full stays in memory alone.
        until("the writer", || store.is_written());
    }
    forget_memory(store);
}

pub(super) fn find(store: &Store<TestHead>, name: &str) -> Option<Hit<TestHead>> {
    block_on(store.lookup(&key(store, name)).fetched())
}

pub(super) fn reader(store: &Store<TestHead>, name: &str) -> Reader<TestHead> {
    find(store, name).expect("on disk").into_reader()
}

pub(super) fn range(
    store: &Store<TestHead>,
    name: &str,
    from: u64,
    until: u64,
) -> Result<Bytes, ReadError> {
    let mut reader = reader(store, name);
    reader.seek(from, Some(until)).expect("any place");
    read(reader)
}

/// Nothing is left of what readers held.
pub(super) fn assert_clean(store: &Store<TestHead>) {
    store.set_memory_bytes(0);
    until("the readers of the disk", || {
        store.core.share.counted() == (0, 0) && store.memory_bytes() == store.index_bytes()
    });
}

#[test]
fn a_large_body_is_given_before_it_is_read() {
    let (gate, store) = gated();
    put_far(&store, &[("/a", 1, LARGE)]);
    gate.reads();
    let hit = find(&store, "/a").expect("on disk");
    assert_eq!(
        (hit.tier(), hit.len(), hit.head().path.as_str()),
        (Tier::Disk, Some(LARGE as u64), "/a")
    );
    assert!(hit.weight() < 2_000, "the head alone");
    let asked: usize = gate.reads().iter().map(|(_, len)| len).sum();
    assert!(asked <= 32 << 10, "{asked} bytes for a head");
    // Its first chunk is given while the others wait for the disk.
    let mut own = hit.into_reader();
    let first = block_on(own.next()).expect("bytes").expect("not the end");
    assert_eq!(first, body(1, LARGE).slice(..CHUNK));
    let asked: usize = gate.reads().iter().map(|(_, len)| len).sum();
    assert!(asked <= 7 * CHUNK, "{asked} bytes for the first chunk");
    let mut rest = vec![first];
    while let Some(slice) = block_on(own.next()).expect("bytes") {
        assert!(slice.len() <= CHUNK);
        rest.push(slice);
    }
    assert_eq!(rest.concat(), body(1, LARGE));
    // All of it was read from its start, and there was room.
    let hit = store.lookup(&key(&store, "/a")).hit().expect("in memory");
    assert_eq!(hit.tier(), Tier::Memory);
    gate.reads();
    assert_eq!(read(hit.into_reader()), Ok(body(1, LARGE)));
    assert!(gate.reads().is_empty());
    assert_eq!(counted(&store.counters().disk_streams), 1);
    assert_eq!(counted(&store.counters().hits_disk), 1);
    drop(own);
    assert_clean(&store);
}

#[test]
fn what_is_small_is_read_whole() {
    let (_, store) = gated();
    put_far(
        &store,
        &[("/whole", 1, 1 << 20), ("/more", 2, (1 << 20) + 1)],
    );
    for (name, streams) in [("/whole", 0), ("/more", 1)] {
        let hit = find(&store, name).expect("on disk");
        assert_eq!((hit.tier(), hit.len().is_some()), (Tier::Disk, true));
        assert_eq!(counted(&store.counters().disk_streams), streams);
        drop(hit);
        let tier = store.lookup(&key(&store, name)).hit().map(|hit| hit.tier());
        let wanted = if streams == 0 {
            Tier::Memory
        } else {
            Tier::Disk
        };
        assert_eq!(tier, Some(wanted), "{name}");
    }
}

#[test]
fn a_range_reads_its_own_chunks_only() {
    let (gate, store) = gated();
    put_far(&store, &[("/a", 1, LARGE)]);
    drop(find(&store, "/a"));
    gate.reads();
    let from = 3 * (1 << 20) + 5;
    let got = range(&store, "/a", from, from + 10).expect("bytes");
    assert_eq!(got, body(1, LARGE).slice(from as usize..from as usize + 10));
    let reads = gate.reads();
    assert_eq!(reads.len(), 1, "{reads:?}");
    assert!(reads[0].0 > 3 << 20 && reads[0].1 == CHUNK);
    // A range of three chunks takes three reads, wherever it lies.
    let got = range(&store, "/a", (LARGE - 2 * CHUNK - 1) as u64, u64::MAX);
    assert_eq!(got, Ok(body(1, LARGE).slice(LARGE - 2 * CHUNK - 1..)));
    assert_eq!(gate.reads().len(), 3);
    // It does not come into memory by that.
    let hit = store.lookup(&key(&store, "/a")).hit().expect("its head");
    assert_eq!(hit.tier(), Tier::Disk);
    assert_eq!(
        range(&store, "/a", LARGE as u64, u64::MAX),
        Ok(Bytes::new())
    );
    assert_eq!(range(&store, "/a", 9, 9), Ok(Bytes::new()));
    drop(hit);
    assert_clean(&store);
}

#[test]
fn readers_that_go_together_read_the_disk_once() {
    let (gate, store) = gated();
    put_far(&store, &[("/a", 1, LARGE)]);
    let mut readers: Vec<_> = (0..8).map(|_| reader(&store, "/a")).collect();
    for reader in &mut readers {
        // Not all of it, so that it is not gathered: what all have passed is let go.
        reader.seek(1, None).expect("a place");
    }
    gate.reads();
    gate.shut(true);
    // All want the beginning before it comes.
    assert!(
        readers
            .iter_mut()
            .all(|reader| now(reader.next()).is_none())
    );
    gate.shut(false);
    let whole = body(1, LARGE);
    let mut at = 1;
    while at < LARGE {
        let mut end = at;
        for reader in &mut readers {
            let slice = block_on(reader.next())
                .expect("bytes")
                .expect("not the end");
            end = at + slice.len();
            assert_eq!(slice, whole.slice(at..end));
        }
        at = end;
        assert!(store.memory_bytes() < store.index_bytes() + 7 * CHUNK + 10_000);
    }
    assert_eq!(gate.reads().len(), LARGE / CHUNK);
    drop(readers);
    assert_clean(&store);
}

#[test]
fn a_changed_chunk_is_an_error_to_all_and_then_a_miss() {
    let (gate, store) = gated();
    put_far(&store, &[("/a", 1, LARGE), ("/b", 2, LARGE)]);
    // In the middle of the first one, which has a segment of its own.
    gate.disk
        .edit(FileName::Segment(1), |bytes| bytes[3 << 20] ^= 1);
    let (mut one, other) = (reader(&store, "/a"), reader(&store, "/a"));
    let mut far_off = reader(&store, "/a");
    far_off.seek((4 << 20) + 7, None).expect("a place");
    assert!(block_on(far_off.next()).expect("verified").is_some());
    let mut got = Vec::new();
    let error = loop {
        match block_on(one.next()) {
            Ok(Some(slice)) => got.extend_from_slice(&slice),
            Ok(None) => panic!("an end, and bytes are missing"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, ReadError::Disk);
    assert_eq!(got, body(1, LARGE)[..got.len()]);
    assert!(got.len() <= 3 << 20 && got.len().is_multiple_of(CHUNK));
    assert_eq!(read(other), Err(ReadError::Disk));
    assert_eq!(block_on(far_off.next()), Err(ReadError::Disk));
    assert!(find(&store, "/a").is_none(), "a miss from then on");
    assert_eq!(counted(&store.counters().disk_corrupt), 1);
    assert_eq!(counted(&store.counters().disk_bodies_lost), 1);
    assert_eq!(fetch(&store, "/b"), Some(body(2, LARGE)));
    drop((one, far_off));
    assert_clean(&store);
}

#[test]
fn a_disk_that_fails_or_ends_early_is_an_error() {
    for broken in [true, false] {
        let (gate, store) = gated();
        put_far(&store, &[("/a", 1, LARGE)]);
        let hit = find(&store, "/a").expect("its head");
        if broken {
            gate.disk.set_broken(true);
        } else {
            gate.disk
                .edit(FileName::Segment(1), |bytes| bytes.truncate(4096));
        }
        assert_eq!(read(hit.into_reader()), Err(ReadError::Disk));
        gate.disk.set_broken(false);
        assert!(find(&store, "/a").is_none());
        assert_eq!(counted(&store.counters().disk_bodies_lost), 1);
        assert_clean(&store);
    }
}

#[test]
fn a_chunk_is_waited_for_two_seconds() {
    let (gate, store) = gated();
    put_far(&store, &[("/a", 1, LARGE)]);
    let mut slow = reader(&store, "/a");
    assert!(block_on(slow.next()).expect("bytes").is_some());
    slow.seek(4 << 20, None).expect("a place");
    until("what was read ahead", || {
        store.core.disks[0].reads.idle() == 4
    });
    gate.shut(true);
    assert!(now(slow.next()).is_none());
    let begun = Instant::now();
    store.tick(begun + Duration::from_secs(1));
    assert!(now(slow.next()).is_none());
    store.tick(begun + Duration::from_secs(3));
    assert_eq!(now(slow.next()), Some(Err(ReadError::Disk)));
    assert_eq!(counted(&store.counters().disk_waits_cut), 1);
    gate.shut(false);
    // The disk was slow; what lies there is as good as before.
    drop(slow);
    assert_eq!(fetch(&store, "/a"), Some(body(1, LARGE)));
    assert_eq!(counted(&store.counters().disk_bodies_lost), 0);
    assert_clean(&store);
}

#[test]
fn a_reader_that_left_is_not_read_for() {
    let (gate, store) = gated();
    put_far(&store, &[("/a", 1, LARGE)]);
    let mut left = reader(&store, "/a");
    until("the head", || store.core.disks[0].reads.idle() == 4);
    gate.shut(true);
    gate.reads();
    assert!(now(left.next()).is_none());
    until("the threads", || store.core.disks[0].reads.waiting() <= 1);
    drop(left);
    gate.shut(false);
    until("the reads", || store.core.disks[0].reads.idle() == 4);
    assert!(gate.reads().len() <= 4, "only what had begun");
    assert_clean(&store);
}

#[test]
fn a_store_that_ends_ends_its_readers() {
    let (gate, store) = gated();
    put_far(&store, &[("/a", 1, LARGE)]);
    let mut own = reader(&store, "/a");
    assert!(block_on(own.next()).expect("bytes").is_some());
    gate.shut(true);
    own.seek(4 << 20, None).expect("a place");
    assert!(now(own.next()).is_none());
    let waiting = std::thread::spawn(move || block_on(own.next()));
    let weak = Arc::downgrade(&store.core);
    drop(store);
    gate.shut(false);
    // What was under way may still come; what was not is an error, and neither hangs.
    let ended = waiting.join().expect("a reader");
    assert!(matches!(ended, Ok(Some(_)) | Err(ReadError::Disk)));
    until("the end of the store", || weak.strong_count() == 0);
}

#[test]
fn heads_of_what_is_read_from_disk_change_and_go() {
    let (gate, store) = gated();
    put_far(
        &store,
        &[("/a", 1, LARGE), ("/b", 2, LARGE), ("/c", 3, LARGE)],
    );
    let before = counted(&store.counters().disk_bytes_written);
    let hit = find(&store, "/a").expect("its head");
    let id = hit.id();
    let old = hit.into_reader();
    for version in 1..4 {
        let mut newer = head("/a");
        newer.version = version;
        // Also while the head before it is on its way to the disk.
        assert!(store.update_head(&key(&store, "/a"), id, newer, store.start()));
        let hit = store.lookup(&key(&store, "/a")).hit().expect("its head");
        assert_eq!(
            (hit.head().version, hit.id(), hit.tier()),
            (version, id, Tier::Disk)
        );
    }
    drop(find(&store, "/b"));
    assert!(store.expire(&key(&store, "/b"), 77));
    drop(find(&store, "/c"));
    until("the writer", || store.is_written());
    assert_eq!(range(&store, "/a", 9, 99), Ok(body(1, LARGE).slice(9..99)));
    assert_eq!(read(old), Ok(body(1, LARGE)));
    assert!(counted(&store.counters().disk_bytes_written) - before < 2_000);
    forget_memory(&store);
    assert_eq!(find(&store, "/a").map(|hit| hit.head().version), Some(3));
    let soft = find(&store, "/b").and_then(|hit| hit.soft());
    assert_eq!(soft.map(|soft| soft.since_ms), Some(77));
    let purge = |scope| Purge {
        scope,
        kind: Kind::Hard,
        at_ms: 1,
    };
    let url = Scope::Url(crate::hash64(b"a.example/c"));
    store.purge(purge(url)).1.wait(SOON).expect("journalled");
    assert!(find(&store, "/c").is_none());
    assert!(store.remove(&key(&store, "/b")).is_some());
    assert!(find(&store, "/b").is_none());
    until("the writer", || store.is_written());
    // The same after a kill.
    let (store, _) = open(options_of(&Arc::new(gate.disk.after_kill(1))));
    let hit = find(&store, "/a").expect("its head");
    assert_eq!((hit.head().version, hit.id()), (3, id));
    assert_eq!(read(hit.into_reader()), Ok(body(1, LARGE)));
    assert!(find(&store, "/b").is_none() && find(&store, "/c").is_none());
}

#[test]
fn a_hundred_readers_stay_within_the_memory() {
    let limit = 24 << 20;
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let mut options = options_of(&disk);
    options.limits.memory_bytes = limit;
    let (store, _) = open(options);
    let len = 3 << 20;
    let names: Vec<String> = (0..25).map(|n| format!("/{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        put(&store, name, body(n as u64, len));
        until("the writer", || store.is_written());
    }
    forget_memory(&store);
    disk.set_faults(Faults {
        short_read: 10_000,
        delay: 10_000,
        ..Faults::default()
    });
    // A quarter of them reads all, the others begin elsewhere; each takes its time as it likes.
    let threads: Vec<_> = (0..100_u64)
        .map(|n| {
            let store = store.clone();
            std::thread::spawn(move || {
                let seed = n % 25;
                let mut own = reader(&store, &format!("/{seed}"));
                let from = if n < 25 {
                    0
                } else {
                    (n as usize * 31_337) % len
                };
                own.seek(from as u64, None).expect("a place");
                let got = read(own).expect("its range");
                assert_eq!(got, body(seed, len).slice(from..));
            })
        })
        .collect();
    let mut most = 0;
    while threads.iter().any(|thread| !thread.is_finished()) {
        most = most.max(store.memory_bytes());
        std::thread::yield_now();
    }
    for thread in threads {
        thread.join().expect("a reader");
    }
    // Each thread that reads counts its chunk before it makes room for it.
    let counted_before = 4 * (CHUNK + 64);
    println!("at most {most} of {limit}");
    assert!(most <= limit + counted_before, "{most} of {limit}");
    assert!(most > limit / 8, "{most}: they were in memory at once");
    disk.set_faults(Faults::default());
    assert_clean(&store);
}

#[test]
fn readers_that_take_nothing_hold_next_to_nothing() {
    let limit = 16 << 20;
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let mut options = options_of(&disk);
    options.limits.memory_bytes = limit;
    let (store, _) = open(options);
    put_far(&store, &[("/a", 1, 3 << 20), ("/b", 2, 3 << 20)]);
    // All of them took one slice and hold it; what was read ahead for them has its own limit.
    let mut held = Vec::new();
    for n in 0..100_usize {
        let name = if n % 2 == 0 { "/a" } else { "/b" };
        let mut lazy = reader(&store, name);
        lazy.seek((n * 31_000 + 1) as u64, None).expect("a place");
        let slice = block_on(lazy.next()).expect("bytes");
        held.push((lazy, slice));
    }
    until("the reads", || store.core.disks[0].reads.idle() == 4);
    let (whole, ahead) = store.core.share.counted();
    assert_eq!(whole, 0);
    assert!(ahead <= limit / 8, "{ahead} read ahead");
    // Of 48 chunks of two bodies each is there once, with all that hold it.
    assert!(store.memory_bytes() <= limit, "{}", store.memory_bytes());
    drop(held);
    assert_clean(&store);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Readers that jump and take what they like, in any order, over a disk that reads in pieces: each gets its bytes.
    #[test]
    fn every_place_has_its_bytes(
        len in (1_usize << 20) + 1..3_000_000,
        steps in prop::collection::vec((0_usize..4, 0_u64..3_200_000, prop::option::of(0_u64..3_200_000), 0_usize..12), 1..30),
    ) {
        let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
        let mut options = options_of(&disk);
        options.limits.memory_bytes = 16 << 20;
        let (store, _) = open(options);
        put_far(&store, &[("/a", 1, len)]);
        disk.set_faults(Faults { short_read: 20_000, ..Faults::default() });
        let whole = body(1, len);
        let mut readers: Vec<_> = (0..4).map(|_| (reader(&store, "/a"), 0_usize, len)).collect();
        for (which, from, to, slices) in steps {
            let (reader, at, end) = &mut readers[which];
            // A third of the steps reads on where it was.
            if !from.is_multiple_of(3) {
                reader.seek(from, to).expect("any place");
                (*at, *end) = (from as usize, to.map_or(len, |to| len.min(to as usize)));
            }
            for _ in 0..slices {
                let slice = block_on(reader.next()).expect("bytes");
                let Some(slice) = slice else {
                    prop_assert!(*at >= *end);
                    break;
                };
                prop_assert!(*at + slice.len() <= *end);
                prop_assert_eq!(&slice, &whole.slice(*at..*at + slice.len()));
                *at += slice.len();
            }
        }
        drop(readers);
        assert_clean(&store);
    }
}
