mod journal;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use crate::purge::table::{Mark, Marks};
use crate::purge::{Applied, Kind, Numbered, Purge, Scope};
use crate::support::*;
use crate::{Finished, Limits, NotStored, Stamp, Store, hash64};

fn purge(scope: Scope) -> Purge {
    Purge {
        scope,
        kind: Kind::Hard,
        at_ms: 1,
    }
}

fn store_with(names: &[(&str, &str, &[&str])]) -> Store<TestHead> {
    let store = memory_store(8 << 20);
    for (host, path, tags) in names {
        let name = format!("{host}{path}");
        let mut fill = store.begin(
            key(&store, &name),
            TestHead::new(host, path, tags),
            options(&store),
        );
        fill.append(Bytes::from(name));
        fill.finish();
    }
    store
}

fn left(store: &Store<TestHead>, names: &[(&str, &str, &[&str])]) -> Vec<String> {
    let names = names.iter().map(|(host, path, _)| format!("{host}{path}"));
    names.filter(|name| get(store, name).is_some()).collect()
}

#[test]
fn each_scope_hits_what_it_selects_and_nothing_else() {
    let names: &[(&str, &str, &[&str])] = &[
        ("a", "/", &[]),
        ("a", "/x/1", &["t"]),
        ("a", "/x/2", &["t", "u"]),
        ("a", "/y", &["u"]),
        ("b", "/x/1", &["t"]),
    ];
    let (a, t) = (hash64(b"a"), hash64(b"t"));
    let cases: [(Scope, &[&str]); 7] = [
        (Scope::All, &[]),
        (Scope::Host(a), &["b/x/1"]),
        (Scope::prefix(a, b"/x/"), &["a/", "a/y", "b/x/1"]),
        (
            Scope::prefix(a, b"/x/1/longer"),
            &["a/", "a/x/1", "a/x/2", "a/y", "b/x/1"],
        ),
        (Scope::prefix(a, b""), &["b/x/1"]),
        (Scope::Tag(t), &["a/", "a/y"]),
        (
            Scope::Url(hash64(b"a/x/1")),
            &["a/", "a/x/2", "a/y", "b/x/1"],
        ),
    ];
    for (scope, rest) in cases {
        let store = store_with(names);
        assert_eq!(left(&store, names).len(), names.len());
        store
            .purge(purge(scope))
            .1
            .wait(DEADLINE)
            .expect("in memory");
        assert_eq!(left(&store, names), rest, "{scope:?}");
        // What is filled afterwards stays.
        put(&store, "a/x/1", Bytes::new());
        assert!(get(&store, "a/x/1").is_some());
        assert_eq!(
            store.counters().purged_hits.load(Ordering::Relaxed),
            (names.len() - rest.len()) as u64
        );
    }
}

#[test]
fn a_soft_purge_makes_stale_and_a_new_answer_makes_fresh() {
    let names: &[(&str, &str, &[&str])] = &[("a", "/", &[])];
    let store = store_with(names);
    let (number, ticket) = store.purge(Purge {
        scope: Scope::All,
        kind: Kind::Soft,
        at_ms: 500,
    });
    ticket.wait(DEADLINE).expect("in memory");
    assert_eq!(number, 1);
    let hit = store
        .lookup(&key(&store, "a/"))
        .hit()
        .expect("stale, not gone");
    assert_eq!(hit.soft().map(|soft| soft.since_ms), Some(500));
    assert!(store.update_head(
        &key(&store, "a/"),
        hit.id(),
        TestHead::new("a", "/", &[]),
        store.start()
    ));
    assert_eq!(
        store
            .lookup(&key(&store, "a/"))
            .hit()
            .and_then(|hit| hit.soft()),
        None
    );
    // An answer to a question from before the purge does not.
    let before = store.start();
    let id = store.lookup(&key(&store, "a/")).hit().expect("there").id();
    drop(store.purge(Purge {
        scope: Scope::Host(hash64(b"a")),
        kind: Kind::Soft,
        at_ms: 600,
    }));
    assert!(store.update_head(&key(&store, "a/"), id, TestHead::new("a", "/", &[]), before));
    assert_eq!(
        store
            .lookup(&key(&store, "a/"))
            .hit()
            .and_then(|hit| hit.soft())
            .map(|soft| soft.since_ms),
        Some(600)
    );
}

#[test]
fn a_fill_that_runs_is_hit() {
    let store = memory_store(8 << 20);
    let mut fill = begin(&store, "/a");
    let before = fill.reader().expect("its own");
    fill.append(Bytes::from_static(b"old"));
    drop(store.purge(purge(Scope::prefix(hash64(b"a.example"), b"/"))));
    assert!(get(&store, "/a").is_none(), "nobody joins it any more");
    assert_eq!(fill.finish(), Finished::Passed(NotStored::Purged));
    assert!(get(&store, "/a").is_none());
    // Who had it before gets it whole.
    assert_eq!(read(before), Ok(Bytes::from_static(b"old")));
}

#[test]
fn a_full_table_folds_to_the_safe_side() {
    let limits = Limits {
        purges: 8,
        ..small_limits(8 << 20)
    };
    let store = Store::in_memory(limits, 1);
    let mut purged = Vec::new();
    for n in 0..100 {
        put(&store, &format!("/{n}"), Bytes::new());
        if n % 2 == 0 {
            purged.push(n);
            drop(store.purge(purge(Scope::Url(hash64(
                format!("a.example/{n}").as_bytes(),
            )))));
        }
    }
    assert!(
        purged
            .iter()
            .all(|n| get(&store, &format!("/{n}")).is_none())
    );
    assert!(
        get(&store, "/99").is_some(),
        "later than everything that was folded"
    );
    assert!(get(&store, "/1").is_none(), "the price");
    assert!(store.counters().purges_folded.load(Ordering::Relaxed) > 0);
    assert!(store.counters().purges_now.load(Ordering::Relaxed) <= 8);
}

#[test]
fn a_stream_of_another_node_is_applied_once_and_in_any_order() {
    let (sender, receiver) = (memory_store(1 << 20), memory_store(1 << 20));
    let tags = ["x", "y", "z"].map(|tag| Scope::Tag(hash64(tag.as_bytes())));
    let numbers: Vec<u64> = tags.iter().map(|tag| sender.purge(purge(*tag)).0).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let sent = sender.purges_since(5, 1, 100).expect("all are kept");
    assert_eq!(
        sent.iter().map(|p| (p.node, p.number)).collect::<Vec<_>>(),
        [(5, 1), (5, 2), (5, 3)]
    );
    assert_eq!(sender.purges_since(5, 3, 100).map(|p| p.len()), Ok(1));
    assert_eq!(sender.purges_since(5, 4, 100).map(|p| p.len()), Ok(0));
    assert_eq!(sender.purges_since(5, 1, 2).map(|p| p.len()), Ok(2));

    let tagged = |store: &Store<TestHead>| {
        let mut fill = store.begin(
            key(store, "o"),
            TestHead::new("h", "/", &["z"]),
            options(store),
        );
        fill.append(Bytes::new());
        fill.finish();
    };
    tagged(&receiver);
    let see = |purge: &Numbered| receiver.apply(purge).0;
    assert_eq!(see(&sent[0]), Applied::New);
    assert_eq!(see(&sent[2]), Applied::Gap(2));
    assert!(
        get(&receiver, "o").is_none(),
        "in force in spite of the gap"
    );
    tagged(&receiver);
    assert_eq!(see(&sent[1]), Applied::New);
    assert_eq!(see(&sent[2]), Applied::New);
    tagged(&receiver);
    for purge in &sent {
        assert_eq!(see(purge), Applied::Known);
    }
    assert!(get(&receiver, "o").is_some(), "known ones do nothing");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(u8),
    Finish(u8),
    Abort(u8),
    Look(u8),
    Revalidate(u8),
    Purge(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0_u8..6;
    prop_oneof![
        3 => name.clone().prop_map(Step::Begin),
        3 => name.clone().prop_map(Step::Finish),
        1 => name.clone().prop_map(Step::Abort),
        4 => name.clone().prop_map(Step::Look),
        1 => name.prop_map(Step::Revalidate),
        2 => (0_u8..9, any::<bool>()).prop_map(|(scope, hard)| Step::Purge(scope, hard)),
    ]
}

/// Scopes over six objects: each one, all even ones, the first half, everything.
fn scope_of(n: u8) -> (Scope, fn(u8, u8) -> bool) {
    match n {
        0..6 => (
            Scope::Url(hash64(format!("a.example/{n}").as_bytes())),
            |scope, name| scope == name,
        ),
        6 => (Scope::Tag(hash64(b"even")), |_, name| name % 2 == 0),
        7 => (Scope::Host(hash64(b"a.example")), |_, _| true),
        _ => (Scope::All, |_, _| true),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens in whatever order, nobody gets a body whose origin was asked before a hard purge, a body of
    /// before a soft purge says so, and no purge takes more than it selects.
    #[test]
    fn purges_and_fills_in_any_order(steps in prop::collection::vec(step(), 0..200)) {
        let store = memory_store(8 << 20);
        let mut clock = 0_u64;
        // Per name: fills that run, as (when begun, fill); and when it was last purged, hard and soft.
        let mut running: HashMap<u8, Vec<(u64, crate::Fill<TestHead>)>> = HashMap::new();
        let mut stored: HashMap<u8, u64> = HashMap::new();
        let mut hard = [0_u64; 6];
        let mut soft = [0_u64; 6];
        for step in steps {
            clock += 1;
            match step {
                Step::Begin(n) => {
                    let tags: &[&str] = if n % 2 == 0 { &["even"] } else { &[] };
                    let mut head = TestHead::new("a.example", &format!("/{n}"), tags);
                    head.version = clock;
                    let fill = store.begin(key(&store, &format!("{n}")), head, options(&store));
                    running.entry(n).or_default().push((clock, fill));
                }
                Step::Finish(n) => {
                    if let Some((begun, fill)) = running.get_mut(&n).filter(|r| !r.is_empty()).map(|r| r.remove(0)) {
                        let finished = fill.finish();
                        let wanted = begun > hard[n as usize];
                        prop_assert_eq!(matches!(finished, Finished::Stored(_)), wanted);
                        if wanted {
                            stored.insert(n, begun);
                        }
                    }
                }
                Step::Abort(n) => {
                    running.get_mut(&n).and_then(Vec::pop);
                }
                Step::Revalidate(n) => {
                    let key = key(&store, &format!("{n}"));
                    if let Some(hit) = store.lookup(&key).hit().filter(|hit| hit.tier() == crate::Tier::Memory) {
                        let mut head = hit.head().as_ref().clone();
                        head.version = clock;
                        prop_assert!(store.update_head(&key, hit.id(), head, store.start()));
                        stored.insert(n, clock);
                        // Fills that began before it are late now: taken as ended.
                        running.remove(&n);
                    }
                }
                Step::Look(n) => {
                    let (hard, soft) = (hard[n as usize], soft[n as usize]);
                    let hit = store.lookup(&key(&store, &format!("{n}"))).hit();
                    let fill = running.get(&n).and_then(|r| r.last()).map(|(begun, _)| *begun).filter(|b| *b > hard);
                    let wanted = fill.or(stored.get(&n).copied().filter(|begun| *begun > hard));
                    prop_assert_eq!(hit.as_ref().map(|hit| hit.head().version), wanted);
                    if let (Some(hit), Some(begun)) = (hit, wanted) {
                        prop_assert_eq!(hit.soft().is_some(), soft > begun);
                    }
                }
                Step::Purge(n, is_hard) => {
                    let (scope, selects) = scope_of(n);
                    let kind = if is_hard { Kind::Hard } else { Kind::Soft };
                    store.purge(Purge { scope, kind, at_ms: clock }).1.wait(DEADLINE).expect("in memory");
                    let marks = if is_hard { &mut hard } else { &mut soft };
                    (0..6).filter(|name| selects(n, *name)).for_each(|name| marks[name as usize] = clock);
                }
            }
        }
    }
}

/// Threads that fill and read, one that purges: what is read after a purge was acknowledged began after it.
#[test]
fn no_reader_gets_a_body_of_before_an_acknowledged_purge() {
    let store = memory_store(8 << 20);
    let [origin, acknowledged, hits] = [1, 1, 0].map(|n| Arc::new(AtomicU64::new(n)));
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            let (origin, acknowledged, hits) = (
                Arc::clone(&origin),
                Arc::clone(&acknowledged),
                Arc::clone(&hits),
            );
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let least = acknowledged.load(Ordering::SeqCst);
                    let (key, head) = (key(&store, "/a"), head("/a"));
                    if let Some(hit) = store.lookup(&key).hit() {
                        if let Ok(bytes) = read(hit.into_reader()) {
                            let got = bytes
                                .first_chunk::<8>()
                                .map_or(u64::MAX, |b| u64::from_le_bytes(*b));
                            assert!(got >= least, "{got} after {least} was acknowledged");
                            hits.fetch_add(1, Ordering::SeqCst);
                        }
                        continue;
                    }
                    let mut fill = store.begin(key, head, options(&store));
                    fill.append(Bytes::copy_from_slice(
                        &origin.load(Ordering::SeqCst).to_le_bytes(),
                    ));
                    std::thread::yield_now();
                    fill.append(body(1, 300));
                    fill.finish();
                }
            })
        })
        .collect();
    for round in 2..1_000_u64 {
        // The origin changes, the purge is ordered and acknowledged, and then nobody may get the old body.
        origin.store(round, Ordering::SeqCst);
        let scope = [
            Scope::Url(hash64(b"a.example/a")),
            Scope::All,
            Scope::Host(hash64(b"a.example")),
        ][round as usize % 3];
        store
            .purge(purge(scope))
            .1
            .wait(DEADLINE)
            .expect("in memory");
        acknowledged.store(round, Ordering::SeqCst);
        let before = hits.load(Ordering::SeqCst);
        until("somebody to read it again", || {
            threads.iter().any(|thread| thread.is_finished())
                || hits.load(Ordering::SeqCst) > before
        });
    }
    stop.store(true, Ordering::Relaxed);
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no old body"));
}

#[test]
fn a_mark_on_everything_replaces_what_is_older() {
    let mut marks = Marks::default();
    let at = |n| Mark {
        hard: Stamp::from_bits(n),
        ..Mark::default()
    };
    marks.set(Scope::Tag(1), at(1), 10);
    marks.set(Scope::prefix(1, b"/x"), at(3), 10);
    marks.set(Scope::All, at(2), 10);
    assert_eq!(marks.len(), 1);
    marks.set(Scope::All, at(4), 10);
    assert_eq!((marks.len(), marks.iter().count()), (0, 1));
}
