use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use crate::support::*;
use crate::{FillOptions, Finished, NotStored, ReadError, Tier};

#[test]
fn readers_follow_a_running_fill() {
    let store = memory_store(32 << 20);
    let whole = body(1, 700_000);
    let mut fill = begin(&store, "a");
    let mut own = fill.reader().expect("its own");
    assert!(now(own.next()).is_none(), "nothing has come");
    fill.append(whole.slice(..1000));
    assert_eq!(now(own.next()), Some(Ok(Some(whole.slice(..1000)))));

    let hit = store.lookup(&key(&store, "a")).hit().expect("it runs");
    assert_eq!((hit.tier(), hit.len()), (Tier::Fill, None));
    let late = hit.into_reader();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let reader = store
                .lookup(&key(&store, "a"))
                .hit()
                .expect("it runs")
                .into_reader();
            std::thread::spawn(move || read(reader))
        })
        .collect();
    for from in (1000..whole.len()).step_by(50_000) {
        fill.append(whole.slice(from..(from + 50_000).min(whole.len())));
    }
    assert!(matches!(fill.finish(), Finished::Stored(_)));
    for reader in readers {
        assert_eq!(reader.join().expect("a reader"), Ok(whole.clone()));
    }
    // One that begins to read when all is stored already.
    assert_eq!(read(late), Ok(whole));
}

#[test]
fn a_fill_that_dies_is_an_error_and_leaves_nothing() {
    let store = memory_store(8 << 20);
    let mut fill = begin(&store, "a");
    fill.append(body(1, 200_000));
    let reader = fill.reader().expect("its own");
    let waiting = std::thread::spawn(move || read(reader));
    let mut unread = fill.reader().expect("another");
    drop(fill);
    assert_eq!(waiting.join().expect("a reader"), Err(ReadError::Aborted));
    assert_eq!(now(unread.next()), Some(Err(ReadError::Aborted)));
    assert!(get(&store, "a").is_none());
    drop(unread);
    assert_eq!(store.memory_bytes(), store.index_bytes());
    assert_eq!(store.counters().fills_aborted.load(Ordering::Relaxed), 1);
    assert_eq!(store.counters().fills_now.load(Ordering::Relaxed), 0);
}

#[test]
fn a_place_ahead_is_waited_for_and_found_at_once() {
    let store = memory_store(32 << 20);
    let whole = body(2, 1_000_000);
    let mut fill = begin(&store, "a");
    let mut reader = fill.reader().expect("its own");
    reader.seek(500_000, Some(600_000)).expect("ahead");
    fill.append(whole.slice(..400_000));
    assert!(now(reader.next()).is_none());
    fill.append(whole.slice(400_000..));
    assert_eq!(read(reader), Ok(whole.slice(500_000..600_000)));
    // Back to the beginning, and beyond the end.
    let mut reader = fill.reader().expect("again");
    reader.seek(999_990, None).expect("near the end");
    assert_eq!(now(reader.next()), Some(Ok(Some(whole.slice(999_990..)))));
    reader.seek(0, Some(10)).expect("back");
    assert_eq!(now(reader.next()), Some(Ok(Some(whole.slice(..10)))));
    reader.seek(2_000_000, None).expect("beyond");
    fill.finish();
    assert_eq!(now(reader.next()), Some(Ok(None)));
}

#[test]
fn of_two_fills_the_one_that_began_last_stays() {
    let store = memory_store(8 << 20);
    for first_ends_first in [true, false] {
        let mut older = begin(&store, "a");
        let mut newer = begin(&store, "a");
        older.append(Bytes::from_static(b"older"));
        newer.append(Bytes::from_static(b"newer"));
        // Who looks while both run joins the newer one.
        let hit = store.lookup(&key(&store, "a")).hit().expect("both run");
        assert_eq!(hit.id(), newer.id());
        let joined = hit.into_reader();
        let of_older = older.reader().expect("its own");
        if first_ends_first {
            assert!(matches!(older.finish(), Finished::Stored(_)));
            assert!(matches!(newer.finish(), Finished::Stored(_)));
        } else {
            assert!(matches!(newer.finish(), Finished::Stored(_)));
            // Even when the newer one is gone from memory.
            store.remove(&key(&store, "a"));
            assert_eq!(older.finish(), Finished::Passed(NotStored::Overtaken));
            assert!(get(&store, "a").is_none());
            continue;
        }
        assert_eq!(read(joined), Ok(Bytes::from_static(b"newer")));
        assert_eq!(read(of_older), Ok(Bytes::from_static(b"older")));
        assert_eq!(get(&store, "a"), Some(Ok(Bytes::from_static(b"newer"))));
    }
}

/// A fill of 8 MiB in a store of 8: it stops being kept at 2 MiB.
#[test]
fn a_fill_too_large_goes_through_a_window() {
    let store = memory_store(8 << 20);
    let whole = body(9, 8 << 20);
    let mut fill = begin(&store, "large");
    let reader = fill.reader().expect("its own");
    let reading = std::thread::spawn(move || read(reader));
    let mut most = 0;
    for from in (0..whole.len()).step_by(100_000) {
        fill.append(whole.slice(from..(from + 100_000).min(whole.len())));
        block_on(fill.room());
        most = most.max(store.memory_bytes());
    }
    assert!(!fill.is_kept());
    assert!(fill.reader().is_none(), "the beginning is gone");
    assert!(store.lookup(&key(&store, "large")).hit().is_none());
    assert_eq!(fill.finish(), Finished::Passed(NotStored::TooLarge));
    assert_eq!(reading.join().expect("the reader"), Ok(whole));
    assert!(most < 4 << 20, "{most} bytes held");
    assert_eq!(store.memory_bytes(), store.index_bytes());
}

#[test]
fn a_fill_that_nobody_reads_is_not_held() {
    let store = memory_store(8 << 20);
    let options = FillOptions {
        length: Some(64 << 20),
        ..options(&store)
    };
    let mut fill = store.begin(key(&store, "a"), head("a"), options);
    assert!(!fill.is_kept());
    for n in 0..64 {
        fill.append(body(n, 1 << 20));
        assert!(now(fill.room()).is_some());
        assert!(store.memory_bytes() < 1 << 20);
    }
    assert_eq!(fill.finish(), Finished::Passed(NotStored::TooLarge));
}

#[test]
fn who_does_not_read_holds_the_writer_for_the_patience_only() {
    let store = memory_store(8 << 20);
    let options = FillOptions {
        max_bytes: 1,
        ..options(&store)
    };
    let mut fill = store.begin(key(&store, "a"), head("a"), options);
    let mut lazy = fill.reader().expect("its own");
    let diligent = fill.reader().expect("another");
    let whole = body(4, 5 << 20);
    fill.append(whole.slice(..2 << 20));
    assert!(now(fill.room()).is_none(), "both are 2 MiB behind");
    let reading = std::thread::spawn(move || read(diligent));
    let begun = Instant::now();
    store.tick(begun);
    assert!(now(fill.room()).is_none(), "not yet");
    // The one that reads has made a move since; the lazy one is over its time.
    until("the other one to read", || {
        store.counters().bytes_read.load(Ordering::Relaxed) >= 2 << 20
    });
    store.tick(begun + Duration::from_secs(9));
    assert_eq!(store.counters().readers_cut.load(Ordering::Relaxed), 0);
    store.tick(begun + Duration::from_secs(11));
    assert!(now(fill.room()).is_some());
    assert_eq!(now(lazy.next()), Some(Err(ReadError::TooSlow)));
    fill.append(whole.slice(2 << 20..));
    assert_eq!(fill.finish(), Finished::Passed(NotStored::TooLarge));
    assert_eq!(reading.join().expect("the reader"), Ok(whole));
    assert_eq!(store.counters().readers_cut.load(Ordering::Relaxed), 1);
}

#[test]
fn a_fill_that_stands_still_is_left() {
    let store = memory_store(8 << 20);
    let fill = begin(&store, "a");
    let mut reader = fill.reader().expect("its own");
    assert!(now(reader.next()).is_none());
    let begun = Instant::now();
    store.tick(begun + Duration::from_secs(59));
    assert!(now(reader.next()).is_none());
    store.tick(begun + Duration::from_secs(61));
    assert_eq!(now(reader.next()), Some(Err(ReadError::Stalled)));
    assert_eq!(store.counters().readers_stalled.load(Ordering::Relaxed), 1);
}

#[test]
fn memory_full_of_fills_makes_them_pass() {
    let store = memory_store(4 << 20);
    // Eight fills of 900,000 bytes do not fit; all end whole for those who read them.
    let whole = body(6, 900_000);
    let mut fills: Vec<_> = (0..8).map(|n| begin(&store, &format!("{n}"))).collect();
    let readers: Vec<_> = fills
        .iter()
        .map(|fill| fill.reader().expect("its own"))
        .collect();
    let reading: Vec<_> = readers
        .into_iter()
        .map(|reader| std::thread::spawn(move || read(reader)))
        .collect();
    for from in (0..whole.len()).step_by(60_000) {
        for fill in &mut fills {
            fill.append(whole.slice(from..(from + 60_000).min(whole.len())));
            block_on(fill.room());
            // Each may hold its narrow window, one chunk that is read in part, and the beginning of the next one.
            let most = (4 << 20) + 8 * (64 + 128 + 128 + 64) * 1024;
            assert!(store.memory_bytes() <= most, "{}", store.memory_bytes());
        }
    }
    let stored = fills
        .into_iter()
        .map(|fill| fill.finish())
        .filter(|f| matches!(f, Finished::Stored(_)))
        .count();
    assert!((1..8).contains(&stored), "{stored} stored");
    for reader in reading {
        assert_eq!(reader.join().expect("a reader"), Ok(whole.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the writer cuts and the readers jump, each gets the bytes of its range.
    #[test]
    fn every_range_has_its_bytes(
        len in 0_usize..500_000,
        pieces in prop::collection::vec(1_usize..200_000, 1..40),
        ranges in prop::collection::vec((0_u64..520_000, 0_u64..520_000, 0_usize..40), 1..10),
        kept in any::<bool>(),
    ) {
        let store = memory_store(16 << 20);
        let whole = body(len as u64, len);
        let options = FillOptions { max_bytes: if kept { u64::MAX } else { 0 }, ..options(&store) };
        let mut fill = store.begin(key(&store, "a"), head("a"), options);
        let mut readers = Vec::new();
        // A fill that is not kept holds its beginning only for who is there when it begins.
        let attach = |fill: &crate::Fill<TestHead>, step: usize, readers: &mut Vec<_>| {
            for (from, until, _) in ranges.iter().filter(|(_, _, at)| if kept { *at == step } else { step == 0 }) {
                let mut reader = fill.reader().expect("the beginning is held");
                reader.seek(*from, Some(*until)).expect("held");
                readers.push((*from as usize, *until as usize, reader));
            }
        };
        let mut at = 0;
        for (step, piece) in pieces.iter().chain(&[usize::MAX]).enumerate() {
            attach(&fill, step, &mut readers);
            let end = at + (*piece).min(whole.len() - at);
            fill.append(whole.slice(at..end));
            at = end;
        }
        let finished = fill.finish();
        prop_assert_eq!(matches!(finished, Finished::Stored(_)), kept || len == 0);
        for (from, until, reader) in readers {
            let until = until.min(whole.len());
            let wanted = if from < until { whole.slice(from..until) } else { Bytes::new() };
            prop_assert_eq!(read(reader), Ok(wanted));
        }
    }
}
