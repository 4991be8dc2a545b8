use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::key::Key;
use crate::support::*;
use crate::{FillOptions, Finished, Lookup, Tier};

#[test]
fn what_was_put_is_found_and_shared() {
    let store = memory_store(8 << 20);
    for (name, len) in [
        ("empty", 0),
        ("one", 1),
        ("chunk", 128 * 1024),
        ("more", 300_001),
    ] {
        assert!(matches!(
            put(&store, name, body(len as u64, len)),
            Finished::Stored(_)
        ));
        let hit = store.lookup(&key(&store, name)).hit().expect(name);
        assert_eq!(
            (hit.tier(), hit.len(), hit.soft()),
            (Tier::Memory, Some(len as u64), None)
        );
        let head = Arc::clone(hit.head());
        assert_eq!(read(hit.into_reader()), Ok(body(len as u64, len)));
        // The same head and the same bytes, not copies of them.
        let again = store.lookup(&key(&store, name)).hit().expect(name);
        assert!(Arc::ptr_eq(&head, again.head()));
        let mut first = again.into_reader();
        let mut second = store
            .lookup(&key(&store, name))
            .hit()
            .expect(name)
            .into_reader();
        let (a, b) = (
            block_on(first.next()).expect("bytes"),
            block_on(second.next()).expect("bytes"),
        );
        assert_eq!(
            a.as_ref().map(|a| a.as_ptr()),
            b.as_ref().map(|b| b.as_ptr())
        );
    }
    assert!(get(&store, "other").is_none());
    assert_eq!(store.counters().misses.load(Ordering::Relaxed), 1);
}

#[test]
fn a_body_is_kept_in_chunks_however_it_came() {
    let store = memory_store(8 << 20);
    let whole = body(3, 400_000);
    for piece in [1, 700, 16_383, 16_384, 65_536, 131_072, 400_000] {
        // One byte at a time is slow; a part of it will do.
        let whole = whole.slice(..if piece == 1 { 140_000 } else { whole.len() });
        let mut fill = begin(&store, "pieces");
        for from in (0..whole.len()).step_by(piece) {
            fill.append(whole.slice(from..(from + piece).min(whole.len())));
        }
        fill.finish();
        let mut reader = store
            .lookup(&key(&store, "pieces"))
            .hit()
            .expect("stored")
            .into_reader();
        let mut at = 0;
        while let Some(slice) = block_on(reader.next()).expect("bytes") {
            assert_eq!(
                slice,
                whole.slice(at..(at + 131_072).min(whole.len())),
                "pieces of {piece}"
            );
            at += slice.len();
        }
        assert_eq!(at, whole.len());
    }
}

#[test]
fn a_collision_is_a_miss() {
    let store = memory_store(1 << 20);
    let (one, other) = (Key::with_hash(42, b"one"), Key::with_hash(42, b"other"));
    let mut fill = store.begin(one.clone(), head("one"), options(&store));
    // While it runs, too.
    assert!(matches!(store.lookup(&other), Lookup::Miss));
    fill.append(Bytes::from_static(b"one"));
    fill.finish();
    assert!(matches!(store.lookup(&other), Lookup::Miss));
    assert_eq!(store.counters().collisions.load(Ordering::Relaxed), 1);
    assert_eq!(
        read(store.lookup(&one).hit().expect("itself").into_reader()),
        Ok(Bytes::from_static(b"one"))
    );
    assert!(store.remove(&other).is_none() && !store.expire(&other, 1));
    // The other one takes its place; nobody gets the wrong body.
    store
        .begin(other.clone(), head("other"), options(&store))
        .finish();
    assert!(matches!(store.lookup(&one), Lookup::Miss));
    assert!(store.lookup(&other).hit().expect("itself").is_empty());
}

#[test]
fn variants_are_objects_of_their_own() {
    let store = memory_store(1 << 20);
    for variance in ["", "gzip", "br"] {
        let mut fill = store.begin(
            store.key(b"/a", variance.as_bytes()),
            head("/a"),
            options(&store),
        );
        fill.append(Bytes::from_static(variance.as_bytes()));
        fill.finish();
    }
    for variance in ["", "gzip", "br"] {
        let key = store.key(b"/a", variance.as_bytes());
        assert_eq!(
            (key.primary(), key.variance()),
            (&b"/a"[..], variance.as_bytes())
        );
        assert_eq!(
            read(store.lookup(&key).hit().expect(variance).into_reader()),
            Ok(Bytes::from_static(variance.as_bytes()))
        );
    }
    // The parts do not run into each other.
    assert!(store.lookup(&store.key(b"/", b"agzip")).hit().is_none());
}

#[test]
fn a_new_head_keeps_the_body_and_the_generation() {
    let store = memory_store(1 << 20);
    put(&store, "/a", body(1, 5000));
    let key = key(&store, "/a");
    let old = store.lookup(&key).hit().expect("stored");
    let (id, first) = (old.id(), old.into_reader());
    assert!(store.expire(&key, 77));
    assert_eq!(
        store
            .lookup(&key)
            .hit()
            .and_then(|hit| hit.soft())
            .map(|soft| soft.since_ms),
        Some(77)
    );

    let mut newer = head("/a");
    newer.version = 9;
    assert!(store.update_head(&key, id, newer.clone(), store.start()));
    let hit = store.lookup(&key).hit().expect("still stored");
    assert_eq!((hit.head().version, hit.id(), hit.soft()), (9, id, None));
    let mut second = hit.into_reader();
    let mut first = first;
    let (a, b) = (block_on(first.next()), block_on(second.next()));
    let pointer = |slice: &Result<Option<Bytes>, _>| {
        slice
            .as_ref()
            .ok()
            .and_then(|s| s.as_ref())
            .map(|s| s.as_ptr())
    };
    assert_eq!(pointer(&a), pointer(&b));

    // Not for another generation, and not from an answer that is older than what is known.
    let old_start = store.start();
    put(&store, "/a", body(2, 10));
    assert!(!store.update_head(&key, id, newer.clone(), store.start()));
    let id = store.lookup(&key).hit().expect("stored").id();
    assert!(!store.update_head(&key, id, newer, old_start));
}

#[test]
fn an_object_too_large_for_memory_passes_through() {
    let store = memory_store(1 << 20);
    let whole = body(5, 600_000);
    assert!(matches!(put(&store, "large", whole), Finished::Passed(_)));
    assert!(get(&store, "large").is_none());
    let options = FillOptions {
        length: Some(5),
        ..options(&store)
    };
    let mut fill = store.begin(key(&store, "short"), head("short"), options);
    fill.append(Bytes::from_static(b"four"));
    assert_eq!(fill.finish(), Finished::WrongLength);
    assert!(get(&store, "short").is_none());
}

#[test]
fn memory_is_counted_to_the_last_byte() {
    let store = memory_store(4 << 20);
    let empty = store.memory_bytes();
    let index = store.index_bytes();
    assert_eq!(empty, index);
    for round in 0..3_000_u64 {
        put(
            &store,
            &format!("{round}"),
            body(round, (round as usize * 37) % 9000),
        );
        assert!(store.memory_bytes() <= 4 << 20);
    }
    // Reading one keeps it counted after it was driven out.
    let held = store
        .lookup(&key(&store, "2999"))
        .hit()
        .expect("the last one");
    for round in 0..2_000 {
        store.remove(&key(&store, &format!("{}", 1_000 + round)));
    }
    assert!(store.remove(&key(&store, "0")).is_none());
    assert!(store.memory_bytes() > store.index_bytes());
    drop(held);
    store.set_memory_bytes(store.index_bytes());
    assert_eq!(store.memory_bytes(), store.index_bytes());
}

#[test]
fn a_store_ends_with_its_last_clone() {
    let store = memory_store(1 << 20);
    let weak = Arc::downgrade(&store.core);
    let clone = store.clone();
    drop(store);
    assert!(get(&clone, "x").is_none());
    drop(clone);
    until("the end of the keeper", || weak.strong_count() == 0);
}

/// Popular objects by Zipf's law, and every now and then a crawler that asks for everything once.
#[test]
fn zipf_and_scans_stay_in_memory_and_keep_what_is_popular() {
    // `1` is ten minutes, a larger number that many seconds.
    let seconds = std::env::var("FARMGATE_LONG")
        .ok()
        .map(|text| text.parse().unwrap_or(1))
        .map(|n| if n > 1 { n } else { 600 });
    let long = seconds.is_some();
    let limit = if long { 256 << 20 } else { 8 << 20 };
    let names = if long { 400_000_u64 } else { 10_000 };
    let store = memory_store(limit);
    let mut seed = 1_u64;
    let mut draw = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    let begun = std::time::Instant::now();
    let (mut asked, mut found, mut scanned, mut most, mut most_rss) = (0_u64, 0_u64, 0_u64, 0, 0);
    let rss_before = resident_bytes();
    let ask = |n: u64, count: bool, asked: &mut u64, found: &mut u64| {
        let name = format!("/{n}");
        let hit = store.lookup(&key(&store, &name)).hit().is_some();
        *asked += u64::from(count);
        *found += u64::from(count && hit);
        if !hit {
            put(&store, &name, body(n, 200 + (n as usize * 7919) % 5_000));
        }
    };
    loop {
        for _ in 0..10_000 {
            // Exponent 1: the logarithm of the rank is uniform.
            let rank = (names as f64).powf(draw()) as u64;
            ask(rank, true, &mut asked, &mut found);
            if rank.is_multiple_of(4) {
                scanned += 1;
                ask(names + scanned, false, &mut asked, &mut found);
            }
            most = most.max(store.memory_bytes());
        }
        most_rss = most_rss.max(resident_bytes());
        let over = |seconds| begun.elapsed().as_secs() >= seconds;
        if seconds.map_or(asked >= 40_000, over) {
            break;
        }
    }
    let ratio = found as f64 / asked as f64;
    println!(
        "{asked} asked, hit ratio {ratio:.3}, at most {most} of {limit}, process grew by {}",
        most_rss - rss_before.min(most_rss)
    );
    assert!(most <= limit, "{most} counted");
    assert!(store.memory_bytes() > limit / 100 * 95, "memory is used");
    // About a quarter of the names fits, and the scans want a fifth of it all.
    assert!(ratio > 0.70, "{ratio}");
    if long {
        let grew = most_rss.saturating_sub(rss_before) as f64 / limit as f64;
        println!("resident memory over the budget: {grew:.3}");
        assert!(grew <= 1.05, "{grew}");
    }
}

/// Resident bytes of this process.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok())
        .unwrap_or(0)
        * 4096
}
