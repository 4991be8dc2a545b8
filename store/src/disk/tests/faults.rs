use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::disk::{Faults, FaultyDisk};
use crate::purge::{Kind, Purge, Scope};
use crate::{Finished, Hit, ReadError, Tier};

/// Operations: a million where the build is optimised or long tests are wanted.
fn operations() -> u64 {
    if std::env::var_os("FARMGATE_LONG").is_some() || !cfg!(debug_assertions) {
        1_000_000
    } else {
        60_000
    }
}

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn faults(draw: &mut Draw) -> Faults {
    let mut one = |most: u64| draw.below(most) as u16;
    Faults {
        flip_on_read: one(16_000),
        flip_on_write: one(2_000),
        torn_write: one(1_000),
        short_write: one(4_000),
        short_read: one(16_000),
        read_error: one(2_000),
        write_error: one(1_000),
        sync_error: one(4_000),
        delay: one(20),
    }
}

/// What may be found of a name: the versions that began after its last purge and removal. Any of them may be missing.
#[derive(Default)]
struct Known {
    /// The latest that was stored, and whether older ones might come back with a restart.
    latest: Option<u64>,
    since: u64,
}

fn len(version: u64) -> usize {
    let spread = version.wrapping_mul(2_654_435_761);
    let len = if version.is_multiple_of(250) {
        // Too large to be read at once.
        (1 << 20) + spread % 400_000
    } else if version.is_multiple_of(50) {
        spread % 200_000
    } else {
        spread % 3_000
    };
    len as usize
}

/// Reads a part of a hit, perhaps all of it, perhaps not to the end of that; whether the disk gave it.
fn check_part(hit: Hit<TestHead>, draw: &mut Draw) -> bool {
    let version = hit.head().version;
    let whole = body_of(version);
    // One that is filled just now does not know it.
    assert!(hit.len().is_none_or(|len| len == whole.len() as u64));
    let from = draw.below(whole.len() as u64) as usize;
    let until = from + draw.below((whole.len() - from) as u64 + 1) as usize;
    let slices = draw.below(12);
    let mut reader = hit.into_reader();
    reader
        .seek(from as u64, Some(until as u64))
        .expect("it is stored");
    let mut at = from;
    for _ in 0..slices {
        match block_on(reader.next()) {
            Ok(Some(slice)) => {
                let end = at + slice.len();
                assert!(end <= until);
                assert_eq!(slice, whole.slice(at..end), "a wrong byte in {version}");
                at = end;
            }
            Ok(None) => {
                assert_eq!(at, until, "an end before the end");
                break;
            }
            Err(error) => {
                assert_eq!(error, ReadError::Disk);
                return false;
            }
        }
    }
    true
}

/// A body says which version it is; all of it is compared.
fn check(bytes: &Bytes, known: &Known, name: u64, restarted: bool) {
    let version = bytes
        .first_chunk::<8>()
        .map(|b| u64::from_le_bytes(*b))
        .expect("a body of ours");
    assert_eq!(
        *bytes,
        body_of(version),
        "a wrong byte in version {version} of {name}"
    );
    assert!(
        version > known.since,
        "{version} of {name} is from before {}",
        known.since
    );
    if !restarted {
        assert_eq!(Some(version), known.latest, "an older version of {name}");
    }
}

fn body_of(version: u64) -> Bytes {
    let mut out = version.to_le_bytes().to_vec();
    out.extend_from_slice(&body(version, len(version)));
    out.into()
}

#[test]
fn faults_never_give_a_wrong_byte() {
    let operations = operations();
    let mut draw = Draw(42);
    let mut disk = Arc::new(FaultyDisk::new(7, 48 << 20));
    let small = |disk: &Arc<FaultyDisk>| {
        let mut options = options_of(disk);
        // The largest are below a quarter of it.
        options.limits.memory_bytes = 6 << 20;
        options.disks[0].size_bytes = 40 << 20;
        options.segment_bytes = 1 << 20;
        options
    };
    let (mut store, _) = open(small(&disk));
    let mut known: HashMap<u64, Known> = HashMap::new();
    let mut restarted = false;
    let mut current = Faults::default();
    let (mut hits, mut disk_hits, mut restarts) = (0_u64, 0_u64, 0_u64);
    let (mut streams, mut parts, mut broken_off) = (0_u64, 0_u64, 0_u64);
    let mut injected = 0;
    for version in 1..=operations {
        let name = draw.below(5_000);
        let key = store.key(&name.to_le_bytes(), b"");
        let entry = known.entry(name).or_default();
        match draw.below(1_000) {
            0..300 => {
                let mut own = head(&format!("/{name}"));
                own.version = version;
                let mut fill = store.begin(key, own, options(&store));
                fill.append(body_of(version));
                if matches!(fill.finish(), Finished::Stored(_)) {
                    entry.latest = Some(version);
                }
            }
            300..310 => {
                store.remove(&key);
                entry.latest = None;
            }
            310..330 => {
                if let Some(hit) = store.lookup(&key).hit() {
                    store.update_head(&key, hit.id(), TestHead::clone(hit.head()), store.start());
                }
            }
            330 => {
                // Acknowledged, so no restart brings it back; refused, so a restart may.
                let scope = Scope::Url(crate::hash64(format!("a.example/{name}").as_bytes()));
                let purge = Purge {
                    scope,
                    kind: Kind::Hard,
                    at_ms: version,
                };
                // An acknowledgement is worth what the disk's word is: here it does not say that it wrote what it did not.
                disk.set_faults(Faults {
                    flip_on_write: 0,
                    torn_write: 0,
                    ..current
                });
                if store.purge(purge).1.wait(SOON).is_ok() {
                    entry.since = version;
                }
                entry.latest = None;
                disk.set_faults(current);
            }
            331..334 => {
                current = faults(&mut draw);
                disk.set_faults(current);
            }
            334 => {
                current = Faults::default();
                disk.set_faults(current);
            }
            335 if draw.below(2 + operations / 20_000) == 0 => {
                // A kill, or a clean stop as far as the faults let it be clean; then a start without faults.
                if draw.below(2) == 0 {
                    store.release(SOON);
                }
                injected += disk.injected();
                disk = Arc::new(disk.after_kill(version));
                current = Faults::default();
                let opened;
                (store, opened) = open(small(&disk));
                assert!(!opened.fresh);
                restarted = true;
                restarts += 1;
            }
            _ => {
                let lookup = store.lookup(&key);
                if let Some(hit) = block_on(lookup.fetched()) {
                    hits += 1;
                    disk_hits += u64::from(hit.tier() == Tier::Disk);
                    let streamed = hit.tier() == Tier::Disk && hit.len() > Some(1 << 20);
                    streams += u64::from(streamed);
                    if hit.len() > Some(0) && draw.below(if streamed { 2 } else { 10 }) == 0 {
                        parts += u64::from(streamed);
                        let whole = check_part(hit, &mut draw);
                        assert!(whole || streamed);
                        broken_off += u64::from(!whole);
                        continue;
                    }
                    match read(hit.into_reader()) {
                        Ok(bytes) => check(&bytes, entry, name, restarted),
                        Err(error) => {
                            assert!(streamed && error == ReadError::Disk);
                            broken_off += 1;
                        }
                    }
                }
            }
        }
    }
    injected += disk.injected();
    println!(
        "{operations} operations, {hits} hits, {disk_hits} of them from disk, {restarts} restarts, {injected} faults"
    );
    println!("{streams} streamed, {parts} of them in part, {broken_off} broken off");
    println!("{:?}", store.counters());
    assert!(
        hits > operations / 20
            && disk_hits > operations / 100
            && restarts > 5
            && injected > operations / 1_000
    );
    assert!(streams > operations / 2_000 && parts > operations / 5_000 && broken_off > 0);
}

/// Threads that fill, read, change heads, remove and purge the same few objects, in a memory too small for them, on a
/// disk that is too small too and fails now and then.
#[test]
fn many_threads_never_see_a_wrong_byte() {
    let disk = Arc::new(FaultyDisk::new(3, 1 << 30));
    let mut small = options_of(&disk);
    small.limits.memory_bytes = 2 << 20;
    small.disks[0].size_bytes = 4 << 20;
    small.segment_bytes = 512 << 10;
    let (store, _) = open(small);
    let turns = if std::env::var_os("FARMGATE_LONG").is_some() {
        200_000
    } else {
        8_000
    };
    let work = |thread: u64| {
        let (store, disk) = (store.clone(), Arc::clone(&disk));
        move || {
            let mut draw = Draw(thread);
            let mut hits = 0_u64;
            for turn in 0..turns {
                let name = draw.below(400);
                let key = store.key(&name.to_le_bytes(), b"");
                let text = format!("/{name}");
                match draw.below(100) {
                    0..30 => {
                        let version = thread << 32 | turn;
                        let mut fill = store.begin(key, head(&text), options(&store));
                        let whole = body_of(version);
                        let cut = draw.below(whole.len() as u64) as usize;
                        fill.append(whole.slice(..cut));
                        if draw.below(20) > 0 {
                            fill.append(whole.slice(cut..));
                            fill.finish();
                        }
                    }
                    30 => drop(store.remove(&key)),
                    31..34 => {
                        if let Some(hit) = store.lookup(&key).hit() {
                            store.update_head(&key, hit.id(), head(&text), store.start());
                        }
                    }
                    34 if turn % 50 == 0 => {
                        let scope = Scope::prefix(crate::hash64(b"a.example"), text.as_bytes());
                        drop(store.purge(Purge {
                            scope,
                            kind: Kind::Hard,
                            at_ms: 1,
                        }));
                    }
                    35 if turn % 20 == 0 => disk.set_faults(Faults {
                        flip_on_read: 3_000,
                        short_write: 3_000,
                        read_error: 300,
                        ..Faults::default()
                    }),
                    36 => disk.set_faults(Faults::default()),
                    _ => {
                        let Some(hit) = block_on(store.lookup(&key).fetched()) else {
                            continue;
                        };
                        assert_eq!(hit.head().path, text);
                        // An error is a fill that was dropped.
                        let Ok(bytes) = read(hit.into_reader()) else {
                            continue;
                        };
                        let version = bytes.first_chunk::<8>().map(|b| u64::from_le_bytes(*b));
                        assert_eq!(Some(&bytes), version.map(body_of).as_ref());
                        hits += 1;
                    }
                }
            }
            hits
        }
    };
    let threads: Vec<_> = (1..5)
        .map(|thread| std::thread::spawn(work(thread)))
        .collect();
    let hits: u64 = threads
        .into_iter()
        .map(|thread| thread.join().expect("no wrong byte"))
        .sum();
    assert!(hits > turns / 2, "{hits} hits");
    // What is counted is what there is: nothing leaked, nothing was counted twice.
    disk.set_faults(Faults::default());
    until("the writer", || store.is_written());
    let placed: usize = store
        .core
        .shards
        .iter()
        .map(|shard| {
            shard
                .read()
                .table
                .iter()
                .filter(|e| !e.place().is_none())
                .count()
        })
        .sum();
    assert_eq!(counted(&store.counters().disk_objects_now), placed as u64);
    store.set_memory_bytes(0);
    until("the readers", || {
        store.memory_bytes() == store.index_bytes()
    });
    assert_eq!(counted(&store.counters().fills_now), 0);
}

/// The same with a few objects that are mostly read from disk while they are replaced, renewed, removed and reclaimed.
#[test]
fn many_threads_over_large_bodies() {
    let disk = Arc::new(FaultyDisk::new(5, 1 << 30));
    let mut small = options_of(&disk);
    small.limits.memory_bytes = 6 << 20;
    small.disks[0].size_bytes = 24 << 20;
    small.segment_bytes = 1 << 20;
    let (store, _) = open(small);
    let turns = if std::env::var_os("FARMGATE_LONG").is_some() {
        20_000
    } else {
        400
    };
    let work = |thread: u64| {
        let (store, disk) = (store.clone(), Arc::clone(&disk));
        move || {
            let mut draw = Draw(thread);
            let mut whole = 0_u64;
            for turn in 0..turns {
                let name = draw.below(12);
                let key = store.key(&name.to_le_bytes(), b"");
                let mut own = head(&format!("/{name}"));
                match draw.below(100) {
                    0..8 => {
                        // A multiple of 250: a large one.
                        own.version = (thread << 32 | turn) * 250;
                        let whole = body_of(own.version);
                        let mut fill = store.begin(key, own, options(&store));
                        fill.append(whole);
                        fill.finish();
                    }
                    8 => drop(store.remove(&key)),
                    9..14 => {
                        if let Some(hit) = block_on(store.lookup(&key).fetched()) {
                            let same = TestHead::clone(hit.head());
                            store.update_head(&key, hit.id(), same, store.start());
                        }
                    }
                    14 => drop(store.expire(&key, 7)),
                    15 => disk.set_faults(Faults {
                        flip_on_read: 2_000,
                        short_read: 20_000,
                        read_error: 100,
                        ..Faults::default()
                    }),
                    16..19 => disk.set_faults(Faults::default()),
                    19 => store.set_memory_bytes(5 << 20),
                    20 => store.set_memory_bytes(6 << 20),
                    _ => {
                        if let Some(hit) = block_on(store.lookup(&key).fetched()) {
                            assert_eq!(hit.head().path, own.path);
                            whole += u64::from(hit.is_empty() || check_part(hit, &mut draw));
                        }
                    }
                }
            }
            whole
        }
    };
    let threads: Vec<_> = (1..5)
        .map(|thread| std::thread::spawn(work(thread)))
        .collect();
    let whole: u64 = threads
        .into_iter()
        .map(|thread| thread.join().expect("no wrong byte"))
        .sum();
    let streams = counted(&store.counters().disk_streams);
    println!(
        "{whole} hits, {streams} streamed, {} lost",
        counted(&store.counters().disk_bodies_lost)
    );
    assert!(whole > turns / 4 && streams > turns / 20);
    disk.set_faults(Faults::default());
    until("the writer", || store.is_written());
    store.set_memory_bytes(0);
    until("the readers", || {
        store.core.share.counted() == (0, 0) && store.memory_bytes() == store.index_bytes()
    });
    let log = &store.core.disks[0].log;
    let now = || counted(&store.counters().disk_bytes_now);
    until("the files to be closed", || now() == disk_segments(&disk));
    assert_eq!(log.bytes(), now());
}

/// Bytes of all segments.
fn disk_segments(disk: &FaultyDisk) -> u64 {
    let files = disk.list().expect("a list");
    let segments = files
        .into_iter()
        .filter(|file| matches!(file, crate::disk::FileName::Segment(_)));
    segments
        .map(|file| disk.len(file).expect("its length"))
        .sum()
}
