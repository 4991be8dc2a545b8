use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::disk::{FaultyDisk, FileName};
use crate::{FillOptions, OpenError, Tier};

#[test]
fn what_left_memory_is_read_from_disk_and_kept_again() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, opened) = open(options_of(&disk));
    assert!(opened.fresh);
    // The last ones have a segment of their own.
    let sizes = [0, 1, 2048, 131_072, 131_073, 300_000, 600_000, 5 << 20];
    for size in sizes {
        put(&store, &format!("/{size}"), body(size as u64, size));
    }
    forget_memory(&store);
    assert_eq!(
        store
            .core
            .shards
            .iter()
            .map(|s| s.read().table.residents())
            .sum::<usize>(),
        0
    );
    for size in sizes {
        let name = format!("/{size}");
        let hit = block_on(store.lookup(&key(&store, &name)).fetched()).expect("on disk");
        assert_eq!(
            (hit.tier(), hit.len(), hit.head().path.as_str()),
            (Tier::Disk, Some(size as u64), name.as_str())
        );
        assert_eq!(read(hit.into_reader()), Ok(body(size as u64, size)));
        assert_eq!(
            store
                .lookup(&key(&store, &name))
                .hit()
                .map(|hit| hit.tier()),
            Some(Tier::Memory)
        );
    }
    assert_eq!(counted(&store.counters().hits_disk), sizes.len() as u64);
    assert_eq!(counted(&store.counters().disk_corrupt), 0);
}

#[test]
fn small_objects_take_little_more_than_their_bodies() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    for n in 0..4_000 {
        put(
            &store,
            &format!("/static/images/picture-{n:06}.jpg"),
            body(n, 2048),
        );
    }
    assert!(store.release(SOON));
    let share = disk.bytes() as f64 / (4_000.0 * 2048.0);
    assert!(share <= 1.15, "{share} bytes on disk for a byte of body");
}

fn put_for(store: &Store<TestHead>, name: &str, seed: u64, disk_uses: u8) {
    let options = FillOptions {
        disk_uses,
        ..options(store)
    };
    let mut fill = store.begin(key(store, name), head(name), options);
    fill.append(body(seed, 100));
    fill.finish();
}

#[test]
fn each_fill_says_after_how_many_uses_it_goes_to_disk() {
    for disk_uses in 0..=9_u8 {
        // More than the four that are told apart are four; 0 is never.
        let wanted = match disk_uses {
            0 => u8::MAX,
            uses => uses.min(4),
        };
        for uses in 1..=6 {
            let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
            let (store, _) = open(options_of(&disk));
            put_for(&store, "/a", 1, disk_uses);
            // The fill is the first use.
            for _ in 1..uses {
                assert!(get(&store, "/a").is_some());
            }
            forget_memory(&store);
            let found = fetch(&store, "/a");
            assert_eq!(
                found.is_some(),
                uses >= wanted,
                "{uses} of {disk_uses} uses"
            );
            let not_yet = u64::from((2..=9).contains(&disk_uses));
            assert_eq!(counted(&store.counters().disk_not_admitted), not_yet);
        }
    }
}

#[test]
fn a_newer_one_of_what_is_on_disk_needs_no_further_use() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put_for(&store, "/a", 1, 1);
    put_for(&store, "/a", 2, 4);
    forget_memory(&store);
    assert_eq!(fetch(&store, "/a"), Some(body(2, 100)));
    // One that stays off takes the older one away, and a new head does not bring it there.
    put_for(&store, "/a", 3, 0);
    let id = store.lookup(&key(&store, "/a")).hit().expect("stored").id();
    assert!(store.update_head(&key(&store, "/a"), id, head("/a"), store.start()));
    assert!(store.expire(&key(&store, "/a"), 9));
    forget_memory(&store);
    assert_eq!(fetch(&store, "/a"), None);
    let (store, _) = open(options_of(&Arc::new(disk.after_kill(1))));
    assert_eq!(fetch(&store, "/a"), None);
}

#[test]
fn a_new_head_keeps_the_uses_that_are_wanted() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put_for(&store, "/a", 1, 3);
    let id = store.lookup(&key(&store, "/a")).hit().expect("stored").id();
    assert!(store.update_head(&key(&store, "/a"), id, head("/a"), store.start()));
    until("the writer", || store.is_written());
    assert_eq!(counted(&store.counters().disk_objects_now), 0);
    assert!(get(&store, "/a").is_some());
    forget_memory(&store);
    assert_eq!(fetch(&store, "/a"), Some(body(1, 100)));
}

#[test]
fn a_disk_is_never_larger_than_its_size_and_keeps_what_is_used() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let size_bytes = 8 << 20;
    let mut options = options_of(&disk);
    options.disks[0].size_bytes = size_bytes;
    options.segment_bytes = 1 << 20;
    let (store, _) = open(options);
    for n in 0..10 {
        put(&store, &format!("/hot/{n}"), body(n, 5000));
    }
    for n in 0..3_000 {
        put(&store, &format!("/{n}"), body(n, 9000));
        if n % 10 == 0 {
            until("the writer", || store.is_written());
            assert!(disk.bytes() <= size_bytes, "{}", disk.bytes());
            for hot in 0..10 {
                assert!(
                    fetch(&store, &format!("/hot/{hot}")).is_some(),
                    "{hot} at {n}"
                );
            }
        }
    }
    forget_memory(&store);
    for n in 0..10 {
        assert_eq!(fetch(&store, &format!("/hot/{n}")), Some(body(n, 5000)));
    }
    assert!(counted(&store.counters().disk_reinserted) >= 10);
    let left = (0..3_000)
        .filter(|n| fetch(&store, &format!("/{n}")).is_some())
        .count();
    assert!(
        (400..900).contains(&left),
        "{left} left of what fits about 800 times"
    );
}

#[test]
fn a_new_head_is_written_without_its_body() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put(&store, "/a", body(1, 200_000));
    until("the writer", || store.is_written());
    let before = counted(&store.counters().disk_bytes_written);
    let id = store.lookup(&key(&store, "/a")).hit().expect("stored").id();
    for version in 1..4 {
        let mut newer = head("/a");
        newer.version = version;
        assert!(store.update_head(&key(&store, "/a"), id, newer, store.start()));
        forget_memory(&store);
        let hit = block_on(store.lookup(&key(&store, "/a")).fetched()).expect("on disk");
        assert_eq!(
            (hit.head().version, hit.id(), hit.soft()),
            (version, id, None)
        );
        assert_eq!(read(hit.into_reader()), Ok(body(1, 200_000)));
    }
    assert!(store.expire(&key(&store, "/a"), 99));
    forget_memory(&store);
    let hit = block_on(store.lookup(&key(&store, "/a")).fetched()).expect("on disk");
    assert_eq!(hit.soft().map(|soft| soft.since_ms), Some(99));
    assert!(counted(&store.counters().disk_bytes_written) - before < 2_000);
}

#[test]
fn a_purge_hits_what_is_on_disk() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put(&store, "/a", body(1, 10));
    forget_memory(&store);
    let purge = crate::purge::Purge {
        scope: crate::purge::Scope::All,
        kind: crate::purge::Kind::Hard,
        at_ms: 1,
    };
    store.purge(purge).1.wait(SOON).expect("journalled");
    assert_eq!(fetch(&store, "/a"), None);
    assert_eq!(counted(&store.counters().purged_hits), 1);
}

#[test]
fn one_writer_and_the_elder_reads_on() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let small = || {
        let mut options = options_of(&disk);
        options.disks[0].size_bytes = 2 << 20;
        options.segment_bytes = 256 << 10;
        options
    };
    let (elder, _) = open(small());
    for n in 0..20 {
        put(&elder, &format!("/{n}"), body(n, 20_000));
    }
    forget_memory(&elder);
    assert!(matches!(
        Store::<TestHead>::open(&small()),
        Err(OpenError::Locked(0))
    ));
    assert!(elder.release(SOON));
    let (heir, opened) = open(OpenOptions {
        elder: true,
        ..small()
    });
    assert!(!opened.fresh && !opened.purged_all);
    // The heir fills its disk: what the elder reads is not reclaimed, and the limit holds.
    for n in 0..300 {
        put(&heir, &format!("/new/{n}"), body(n, 20_000));
    }
    until("the writer", || heir.is_written());
    assert!(disk.bytes() <= 2 << 20);
    for n in 0..20 {
        assert_eq!(fetch(&elder, &format!("/{n}")), Some(body(n, 20_000)));
        assert_eq!(fetch(&heir, &format!("/{n}")), Some(body(n, 20_000)));
    }
    // Fills of the elder are in its memory only.
    put(&elder, "/late", body(7, 100));
    assert!(get(&elder, "/late").is_some());
    heir.elder_gone();
    for n in 300..600 {
        put(&heir, &format!("/new/{n}"), body(n, 20_000));
    }
    until("the writer", || heir.is_written());
    assert!(disk.bytes() <= 2 << 20);
    // Now its segments are gone: misses, not wrong bytes.
    forget_memory(&elder);
    for n in 0..20 {
        assert!(fetch(&elder, &format!("/{n}")).is_none_or(|bytes| bytes == body(n, 20_000)));
    }
}

#[test]
fn a_disk_that_goes_costs_the_disk_only() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    put(&store, "/old", body(1, 100));
    forget_memory(&store);
    disk.set_broken(true);
    for n in 0..100 {
        put(&store, &format!("/{n}"), body(n, 3000));
        until("the writer", || store.is_written());
        assert_eq!(get(&store, &format!("/{n}")), Some(Ok(body(n, 3000))));
    }
    assert_eq!(fetch(&store, "/old"), None);
    assert_eq!(counted(&store.counters().disks_failed), 1);
    let purge = crate::purge::Purge {
        scope: crate::purge::Scope::All,
        kind: crate::purge::Kind::Hard,
        at_ms: 1,
    };
    assert!(
        store.purge(purge).1.wait(SOON).is_err(),
        "in force, and said not to last"
    );
    assert!(get(&store, "/1").is_none());
}

#[test]
fn a_full_device_costs_the_disk_copy_only() {
    let disk = Arc::new(FaultyDisk::new(1, 300_000));
    let (store, _) = open(options_of(&disk));
    for n in 0..100 {
        put(&store, &format!("/{n}"), body(n, 30_000));
    }
    until("the writer", || store.is_written());
    for n in 0..100 {
        assert_eq!(get(&store, &format!("/{n}")), Some(Ok(body(n, 30_000))));
    }
    forget_memory(&store);
    let left = (0..100)
        .filter(|n| fetch(&store, &format!("/{n}")).is_some())
        .count();
    assert!((1..10).contains(&left), "{left}");
    // When others made room it is used again.
    disk.set_room(1 << 30);
    for n in 0..2_000 {
        put(&store, &format!("/again/{n}"), body(n, 30_000));
        if n % 100 == 0 {
            until("the writer", || store.is_written());
        }
    }
    forget_memory(&store);
    let found = |n: &u64| fetch(&store, &format!("/again/{n}")).is_some();
    let left = (0..2_000).filter(found).count();
    assert!(left > 300, "{left}");
    assert_eq!(counted(&store.counters().disks_failed), 0);
    assert!(counted(&store.counters().disk_errors) > 0);
}

#[test]
fn a_segment_that_is_gone_or_changed_is_a_miss() {
    let disk = Arc::new(FaultyDisk::new(1, 1 << 30));
    let (store, _) = open(options_of(&disk));
    for n in 0..3 {
        put(&store, &format!("/{n}"), body(n, 100_000));
    }
    forget_memory(&store);
    disk.edit(FileName::Segment(1), |bytes| bytes[150_000] ^= 1);
    let whole: Vec<bool> = (0..3)
        .map(|n| fetch(&store, &format!("/{n}")).is_some())
        .collect();
    assert_eq!(whole, [true, false, true]);
    assert_eq!(counted(&store.counters().disk_corrupt), 1);
    forget_memory(&store);
    disk.edit(FileName::Segment(1), Vec::clear);
    assert_eq!(fetch(&store, "/0"), None);
    assert_eq!(fetch(&store, "/0"), None);
    assert_eq!(counted(&store.counters().disk_corrupt), 2);
}

#[test]
fn a_file_disk_is_locked_and_keeps_what_was_put() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk =
        || Arc::new(crate::disk::FileDisk::open(folder.path()).expect("a folder")) as Arc<dyn Disk>;
    let (store, opened) = open(options_on(disk()));
    assert!(opened.fresh);
    for n in 0..50 {
        put(&store, &format!("/{n}"), body(n, 10_000));
    }
    assert!(matches!(
        Store::<TestHead>::open(&options_on(disk())),
        Err(OpenError::Locked(0))
    ));
    std::fs::write(folder.path().join("README"), "of somebody else").expect("a file");
    assert!(store.release(SOON));
    drop(store);
    let (store, opened) = open(options_on(disk()));
    assert_eq!(opened, Opened::default());
    for n in 0..50 {
        assert_eq!(fetch(&store, &format!("/{n}")), Some(body(n, 10_000)));
    }
    assert_eq!(fetch(&store, "/50"), None::<Bytes>);
    assert!(folder.path().join("README").exists());
}
