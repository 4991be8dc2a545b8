use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::disk::{Durability, FaultyDisk, FileName};
use crate::hash64;
use crate::purge::{Kind, Purge, Scope};

const OBJECTS: u64 = 10_000;

fn len(n: u64) -> usize {
    (n as usize * 131) % 3000
}

fn fill_all(store: &Store<TestHead>) {
    for n in 0..OBJECTS {
        put(store, &format!("/{n}"), body(n, len(n)));
        // Faster than the writer: the queue has a bound, and what it refuses would be in memory only.
        if n % 1_000 == 0 {
            until("the writer", || store.is_written());
        }
    }
}

fn missing(store: &Store<TestHead>) -> usize {
    let found = |n: &u64| match fetch(store, &format!("/{n}")) {
        Some(bytes) => {
            assert_eq!(bytes, body(*n, len(*n)));
            true
        }
        None => false,
    };
    (0..OBJECTS).filter(|n| !found(n)).count()
}

#[test]
fn a_clean_stop_keeps_everything() {
    for durability in [Durability::None, Durability::Interval, Durability::Segment] {
        let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
        let (store, _) = open(OpenOptions {
            durability,
            ..options_of(&disk)
        });
        fill_all(&store);
        // Used twice more: to be in memory at once after the start.
        for n in 0..100 {
            get(&store, &format!("/{n}"));
            get(&store, &format!("/{n}"));
        }
        assert!(store.release(SOON));
        assert_eq!(missing(&store), 0, "it serves on");
        drop(store);
        let (store, opened) = open(OpenOptions {
            durability,
            ..options_of(&disk)
        });
        assert_eq!(opened, Opened::default());
        assert_eq!(counted(&store.counters().recovered), OBJECTS);
        until("the hot ones", || {
            (0..100).all(|n| store.lookup(&key(&store, &format!("/{n}"))).hit().is_some())
        });
        assert_eq!(missing(&store), 0);
        assert_eq!(counted(&store.counters().disk_corrupt), 0);
    }
}

#[test]
fn a_clean_stop_writes_what_the_queue_had_refused() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let mut options = options_of(&disk);
    options.limits.memory_bytes = 16 << 20;
    let (store, _) = open(options);
    disk.set_faults(crate::disk::Faults {
        delay: u16::MAX,
        ..Default::default()
    });
    for n in 0..200 {
        put(&store, &format!("/{n}"), body(n, 50_000));
    }
    assert!(counted(&store.counters().disk_queue_full) > 0);
    disk.set_faults(Default::default());
    assert!(store.release(SOON));
    let (store, _) = open(options_of(&Arc::new(disk.after_kill(1))));
    for n in 0..200 {
        assert_eq!(
            fetch(&store, &format!("/{n}")),
            Some(body(n, 50_000)),
            "{n}"
        );
    }
}

#[test]
fn a_kill_keeps_what_was_written() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    fill_all(&store);
    until("the writer", || store.is_written());
    let mut killed = Arc::new(disk.after_kill(2));
    // And again: what a start without a clean stop left.
    for round in 0..3 {
        let (store, opened) = open(options_of(&killed));
        assert_eq!(opened, Opened::default());
        assert_eq!(missing(&store), 0, "round {round}");
        assert_eq!(counted(&store.counters().disk_corrupt), 0);
        killed = Arc::new(killed.after_kill(round));
    }
}

#[test]
fn a_kill_at_any_moment_loses_what_waited_and_nothing_else() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    for n in 0..OBJECTS {
        put(&store, &format!("/{n}"), body(n, len(n)));
        if n % 1_999 == 1_998 {
            let waiting = store.core.disks[0].queue.len() as u64 + 256;
            let killed = Arc::new(disk.after_kill(n));
            let (again, _) = open(options_of(&killed));
            let lost = (0..=n)
                .filter(|n| fetch(&again, &format!("/{n}")).is_none())
                .count() as u64;
            assert!(lost <= waiting, "{lost} lost, {waiting} waited");
        }
    }
}

#[test]
fn a_torn_end_costs_the_record_it_tore() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    for n in 0..10 {
        put(&store, &format!("/{n}"), body(n, 1000));
    }
    until("the writer", || store.is_written());
    for cut in [1, 500, 1_100, 1_300, 5_000] {
        let killed = Arc::new(disk.after_kill(cut));
        killed.edit(FileName::Segment(1), |bytes| {
            bytes.truncate(bytes.len() - cut as usize)
        });
        let (store, _) = open(options_of(&killed));
        let left = (0..10)
            .filter(|n| fetch(&store, &format!("/{n}")) == Some(body(*n, 1000)))
            .count();
        let whole = 10 - (cut as usize).div_ceil(1_200);
        assert!(
            left == whole || left + 1 == whole,
            "{left} left, {whole} whole with {cut} cut"
        );
    }
}

#[test]
fn no_purge_is_undone_by_a_kill() {
    let rounds = if std::env::var_os("FARMGATE_LONG").is_some() {
        1000
    } else {
        60
    };
    let mut disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let mut before = None;
    for round in 0..rounds {
        let (store, opened) = open(options_of(&disk));
        assert!(!opened.purged_all);
        if let Some(scope) = before {
            assert_eq!(fetch(&store, "/a"), None, "{scope:?} in round {round}");
        }
        put(&store, "/a", body(round, 100));
        put(&store, "/other", body(round, 100));
        forget_memory(&store);
        assert!(fetch(&store, "/a").is_some());
        let host = hash64(b"a.example");
        let scopes = [
            Scope::Url(hash64(b"a.example/a")),
            Scope::Host(host),
            Scope::All,
            Scope::prefix(host, b"/a"),
        ];
        let scope = scopes[round as usize % 4];
        let purge = Purge {
            scope,
            kind: Kind::Hard,
            at_ms: 1,
        };
        store.purge(purge).1.wait(SOON).expect("journalled");
        // Killed as soon as it is acknowledged.
        disk = Arc::new(disk.after_kill(round));
        before = Some(scope);
    }
    let (store, _) = open(options_of(&disk));
    assert!(fetch(&store, "/a").is_none() && fetch(&store, "/other").is_some());
    assert_eq!(
        store.purges_since(1, rounds, 9).map(|purges| purges.len()),
        Ok(1),
        "the stream goes on"
    );
    assert_eq!(
        store
            .purge(Purge {
                scope: Scope::All,
                kind: Kind::Hard,
                at_ms: 1
            })
            .0,
        rounds + 1
    );
}

#[test]
fn an_older_version_does_not_come_back() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    for name in ["/removed", "/kept off", "/replaced"] {
        put(&store, name, body(1, 1000));
    }
    until("the writer", || store.is_written());
    assert!(store.remove(&key(&store, "/removed")).is_some());
    let off = crate::FillOptions {
        disk_uses: 0,
        ..options(&store)
    };
    store
        .begin(key(&store, "/kept off"), head("/kept off"), off)
        .finish();
    put(&store, "/replaced", body(2, 1000));
    until("the writer", || store.is_written());
    let (store, _) = open(options_of(&Arc::new(disk.after_kill(1))));
    assert_eq!(fetch(&store, "/removed"), None);
    assert_eq!(fetch(&store, "/kept off"), None);
    assert_eq!(fetch(&store, "/replaced"), Some(body(2, 1000)));
}

#[test]
fn heads_and_staleness_are_recovered() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put(&store, "/a", body(1, 1000));
    put(&store, "/b", body(2, 1000));
    until("the writer", || store.is_written());
    let id = store.lookup(&key(&store, "/a")).hit().expect("stored").id();
    let mut newer = head("/a");
    newer.version = 5;
    assert!(store.update_head(&key(&store, "/a"), id, newer, store.start()));
    assert!(store.expire(&key(&store, "/b"), 77));
    until("the writer", || store.is_written());
    let killed = Arc::new(disk.after_kill(1));
    assert!(store.release(SOON));
    for disk in [killed, disk] {
        let (store, _) = open(options_of(&disk));
        let a = block_on(store.lookup(&key(&store, "/a")).fetched()).expect("on disk");
        assert_eq!((a.head().version, a.id(), a.soft()), (5, id, None));
        assert_eq!(read(a.into_reader()), Ok(body(1, 1000)));
        let b = block_on(store.lookup(&key(&store, "/b")).fetched()).expect("on disk");
        assert_eq!(b.soft().map(|soft| soft.since_ms), Some(77));
    }
}

/// Who knows this node's purges by their numbers must never take a new one for one that it has seen.
#[test]
fn without_its_journal_a_stream_goes_on_beyond_all_numbers() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    let all = Purge {
        scope: Scope::All,
        kind: Kind::Hard,
        at_ms: 1,
    };
    let (first, ticket) = store.purge(all);
    ticket.wait(SOON).expect("journalled");
    let name = store.name();
    assert!(store.release(SOON));
    drop(store);
    disk.edit(FileName::Journal, Vec::clear);
    let (store, opened) = open(options_of(&disk));
    assert!(opened.purged_all);
    assert_eq!((store.name(), first), (name, 1));
    let (next, ticket) = store.purge(all);
    ticket.wait(SOON).expect("journalled");
    assert!(next > 1_000_000_000_000, "{next}");
    assert_eq!(
        store.purges_since(1, 2, 9).map_err(|gone| gone.first),
        Err(next)
    );
}

#[test]
fn damage_is_noticed_at_the_start() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put(&store, "/a", body(1, 1000));
    for n in 0..4 {
        store
            .purge(Purge {
                scope: Scope::Tag(n),
                kind: Kind::Hard,
                at_ms: 1,
            })
            .1
            .wait(SOON)
            .expect("journalled");
    }
    assert!(store.release(SOON));

    let found = |file: FileName, change: fn(&mut Vec<u8>)| {
        let disk = Arc::new(disk.after_kill(1));
        disk.edit(file, change);
        let (store, opened) = open(options_of(&disk));
        (opened, fetch(&store, "/a").is_some())
    };
    let fine = Opened::default();
    let purged = Opened {
        purged_all: true,
        ..fine
    };
    assert_eq!(found(FileName::Journal, |_| ()), (fine, true));
    assert_eq!(
        found(FileName::Journal, |bytes| bytes[70] ^= 1),
        (purged, false)
    );
    assert_eq!(found(FileName::Journal, Vec::clear), (purged, false));
    // A torn end is a purge that was not acknowledged.
    assert_eq!(
        found(FileName::Journal, |bytes| bytes.truncate(bytes.len() - 1)),
        (fine, true)
    );
    // The snapshot only saves time.
    assert_eq!(
        found(FileName::Snapshot, |bytes| bytes[90] ^= 1),
        (fine, true)
    );
    assert_eq!(found(FileName::Snapshot, Vec::clear), (fine, true));
    // One copy of the superblock is enough; without any the disk belongs to nobody.
    assert_eq!(
        found(FileName::Superblock, |bytes| bytes[10] ^= 1),
        (fine, true)
    );
    let both = |bytes: &mut Vec<u8>| {
        bytes[10] ^= 1;
        bytes[4096 + 10] ^= 1;
    };
    assert_eq!(
        found(FileName::Superblock, both),
        (
            Opened {
                fresh: true,
                foreign_disks: 1,
                ..fine
            },
            false
        )
    );
}

#[test]
fn requests_are_served_while_recovery_runs() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    fill_all(&store);
    until("the writer", || store.is_written());
    let killed = Arc::new(disk.after_kill(1));
    killed.set_faults(crate::disk::Faults {
        delay: u16::MAX,
        ..Default::default()
    });
    let (store, _) = Store::<TestHead>::open(&options_of(&killed)).expect("opens");
    // Newer than what recovery will find, and some of it gone again from memory.
    for n in 0..20 {
        put(&store, &format!("/{n}"), body(n + 1_000_000, 50));
    }
    for n in 20..40 {
        store.remove(&key(&store, &format!("/{n}")));
    }
    killed.set_faults(Default::default());
    until("recovery", || store.is_recovered());
    for n in 0..20 {
        assert_eq!(
            fetch(&store, &format!("/{n}")),
            Some(body(n + 1_000_000, 50))
        );
    }
    forget_memory(&store);
    for n in 0..20 {
        assert_eq!(
            fetch(&store, &format!("/{n}")),
            Some(body(n + 1_000_000, 50))
        );
    }
    assert_eq!(fetch(&store, "/999"), Some(body(999, len(999))));
}

#[test]
fn a_slow_disk_is_waited_for_two_seconds_only() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put(&store, "/a", body(1, 10));
    forget_memory(&store);
    let part = &store.core.disks[0];
    let place = store
        .core
        .place_of(key(&store, "/a").hash())
        .expect("on disk")
        .0;
    // A read that nobody takes up: its threads are busy, as far as it knows.
    part.reads.close();
    assert!(
        now(store.lookup(&key(&store, "/a")).fetched())
            .expect("at once")
            .is_none()
    );
    assert!(part.reads.ask(0, place).is_none());
    store.tick(std::time::Instant::now() + Duration::from_secs(3));
}
