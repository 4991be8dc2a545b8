//! Shares of tiers and zones, panic, limits: what holds for every policy.

mod properties;
mod warming;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Chosen, EndpointSet, NoPick, SetOptions, spread};
use crate::upstream::balance::consistent_hash::{HashOptions, HashTable};
use crate::upstream::balance::random::Wyrand;
use crate::upstream::balance::{Pick, Policy};
use crate::upstream::endpoint::{Endpoint, EndpointState, Unavailable};
use crate::upstream::in_flight::InFlight;
use crate::upstream::tried::TriedSet;

const NOTHING: TriedSet = TriedSet::new();

/// Weight, priority, zone.
type Entry = (u32, u8, &'static str);

fn endpoints(entries: &[Entry]) -> Vec<Arc<Endpoint>> {
    let one = |(number, &(weight, priority, zone)): (usize, &Entry)| {
        let configured = format!("node-{number}:80");
        Arc::new(Endpoint {
            address: configured.parse().unwrap(),
            configured: configured.into(),
            weight,
            priority,
            zone: (!zone.is_empty()).then(|| zone.into()),
            state: Arc::new(EndpointState::default()),
        })
    };
    entries.iter().enumerate().map(one).collect()
}

fn hash(table: HashTable) -> Policy {
    Policy::ConsistentHash(HashOptions {
        table,
        ..HashOptions::default()
    })
}

fn policies() -> [Policy; 5] {
    [
        Policy::RoundRobin,
        Policy::LeastRequest,
        Policy::PeakEwma,
        hash(HashTable::Ring),
        hash(HashTable::Maglev),
    ]
}

fn set(policy: &Policy, entries: &[Entry], options: &SetOptions) -> EndpointSet {
    EndpointSet::build(endpoints(entries), policy, options, Arc::default())
}

fn zoned() -> SetOptions {
    SetOptions {
        zone: Some("a".into()),
        prefer_zone: true,
        ..SetOptions::default()
    }
}

fn down(set: &EndpointSet, indexes: impl IntoIterator<Item = usize>, on: bool) {
    for index in indexes {
        let state = &set.endpoints()[index].state;
        state.set_unavailable(Unavailable::HealthCheck, on);
    }
}

/// Shares of `picks` choices at `now`, and whether any ignored health.
fn shares_at(set: &EndpointSet, picks: u32, now: Instant) -> (Vec<f64>, bool) {
    let mut random = Wyrand::new(11);
    let mut counts = vec![0_u32; set.endpoints().len()];
    let mut panic = false;
    for _ in 0..picks {
        let pick = Pick {
            hash: Some(random.next_u64()),
            tried: &NOTHING,
            now,
            random: random.next_u64(),
        };
        let chosen = set.pick(&pick).unwrap();
        counts[chosen.index] += 1;
        panic |= chosen.panic;
    }
    let shares = counts
        .iter()
        .map(|&count| f64::from(count) / f64::from(picks));
    (shares.collect(), panic)
}

fn shares(set: &EndpointSet, picks: u32) -> (Vec<f64>, bool) {
    shares_at(set, picks, Instant::now())
}

fn sum(shares: &[f64]) -> f64 {
    shares.iter().sum()
}

#[test]
fn under_the_threshold_all_are_used_and_at_it_only_the_available() {
    for policy in policies() {
        let set = set(&policy, &[(1, 0, ""); 10], &SetOptions::default());
        down(&set, 0..5, true);
        let (got, panic) = shares(&set, 4_000);
        assert!(!panic && sum(&got[..5]) == 0.0, "{policy:?} {got:?}");
        down(&set, 5..6, true);
        let (got, panic) = shares(&set, 4_000);
        assert!(panic, "{policy:?}");
        assert!(got.iter().all(|&one| one > 0.05), "{policy:?} {got:?}");
        assert!(set.tiers(Instant::now())[0].panic);
        // An operator's drain holds in panic, and brings none about.
        set.endpoints()[5].state.set_drained(true);
        let (got, panic) = shares(&set, 4_000);
        assert!(panic && got[5] == 0.0, "{policy:?} {got:?}");
        down(&set, 0..6, false);
        for endpoint in &set.endpoints()[..9] {
            endpoint.state.set_drained(true);
        }
        let (got, panic) = shares(&set, 100);
        assert!(!panic && got[9] == 1.0, "{policy:?} {got:?}");
    }
}

#[test]
fn panic_is_by_weight() {
    let set = set(
        &Policy::LeastRequest,
        &[(8, 0, ""), (1, 0, ""), (1, 0, "")],
        &SetOptions::default(),
    );
    down(&set, [1, 2], true);
    assert!(!shares(&set, 100).1, "eight tenths are up");
    down(&set, [1, 2], false);
    down(&set, [0], true);
    assert!(shares(&set, 100).1, "two tenths are up");
}

#[test]
fn a_tier_that_is_short_spills_over_and_health_is_not_ignored_while_others_can_help() {
    let mut entries = vec![(1, 0, ""); 10];
    entries.extend([(1, 1, ""); 4]);
    entries.extend([(1, 2, ""); 2]);
    for policy in policies() {
        let set = set(&policy, &entries, &SetOptions::default());
        down(&set, 0..2, true);
        let (got, _) = shares(&set, 1_000);
        assert_eq!(sum(&got[10..]), 0.0, "{policy:?}: 1.4 x 80 % is enough");
        down(&set, 2..7, true);
        let (got, panic) = shares(&set, 40_000);
        // 1.4 x 30 % in the first tier, all the rest in the second.
        assert!((sum(&got[..10]) - 0.42).abs() < 0.01, "{policy:?} {got:?}");
        assert!(
            (sum(&got[10..14]) - 0.58).abs() < 0.01,
            "{policy:?} {got:?}"
        );
        assert!(!panic && sum(&got[14..]) == 0.0, "{policy:?}");
        assert!(got[..7].iter().all(|&one| one == 0.0), "{policy:?}");
        let tiers = set.tiers(Instant::now());
        assert!((tiers[0].share - 0.42).abs() < 1e-6 && (tiers[1].share - 0.58).abs() < 1e-6);
        assert_eq!((tiers[0].available, tiers[0].endpoints), (0.3, 10));
        down(&set, 10..16, true);
        let (got, panic) = shares(&set, 4_000);
        assert!(panic && sum(&got[10..]) == 0.0, "{policy:?} {got:?}");
    }
}

#[test]
fn the_own_zone_comes_first_and_spills_over() {
    let entries = [
        (1, 0, "a"),
        (1, 0, "b"),
        (1, 0, "a"),
        (2, 0, "b"),
        (1, 0, ""),
        (1, 0, "a"),
        (1, 0, "a"),
    ];
    for policy in policies() {
        let set = set(&policy, &entries, &zoned());
        let own = |got: &[f64]| got[0] + got[2] + got[5] + got[6];
        let (got, _) = shares(&set, 1_000);
        assert!(own(&got) > 0.9999, "{policy:?}");
        down(&set, [0], true);
        assert!(own(&shares(&set, 1_000).0) > 0.9999, "{policy:?}");
        down(&set, [2], true);
        let (got, panic) = shares(&set, 40_000);
        assert!((own(&got) - 0.7).abs() < 0.01, "{policy:?} {got:?}");
        assert!(!panic && got[0] + got[2] == 0.0, "{policy:?}");
        let away = [got[1], got[3], got[4]];
        assert!(away.iter().all(|&one| one > 0.04), "{policy:?} {got:?}");
        down(&set, [5, 6], true);
        let (got, panic) = shares(&set, 1_000);
        assert!(!panic && own(&got) == 0.0, "{policy:?} {got:?}");
        down(&set, [1, 4], true);
        // Two of eight parts are up: panic, and it knows no zones.
        let (got, panic) = shares(&set, 40_000);
        assert!(
            panic && (own(&got) - 0.5).abs() < 0.01,
            "{policy:?} {got:?}"
        );
        down(&set, 0..7, false);
        down(&set, [1, 3, 4], true);
        assert!(own(&shares(&set, 1_000).0) > 0.9999, "{policy:?}");
    }
}

#[test]
fn a_zone_nobody_is_in_or_that_is_not_preferred_changes_nothing() {
    let entries = [(1, 0, "b"), (1, 0, "c"), (1, 0, "")];
    let not_preferred = SetOptions {
        prefer_zone: false,
        zone: Some("b".into()),
        ..SetOptions::default()
    };
    for options in [zoned(), not_preferred] {
        let set = set(&Policy::RoundRobin, &entries, &options);
        assert_eq!(set.tiers(Instant::now())[0].own_zone, None);
        let (got, _) = shares(&set, 300);
        assert!(
            got.iter().all(|&one| (one - 1.0 / 3.0).abs() < 1e-9),
            "{got:?}"
        );
    }
}

#[test]
fn full_endpoints_are_passed_over_and_those_that_are_down_do_not_stand_in() {
    let options = SetOptions {
        per_endpoint: Some(2),
        ..SetOptions::default()
    };
    for policy in policies() {
        let entries = [(1, 0, ""), (1, 0, ""), (1, 0, ""), (1, 1, ""), (0, 0, "")];
        let set = set(&policy, &entries, &options);
        down(&set, [2], true);
        let mut random = Wyrand::new(2);
        let mut held = Vec::new();
        let mut pick = |tried: &TriedSet| {
            let bits = random.next_u64();
            set.pick(&Pick {
                hash: Some(bits),
                tried,
                now: Instant::now(),
                random: bits,
            })
        };
        for _ in 0..6 {
            let endpoint = &set.endpoints()[pick(&NOTHING).unwrap().index];
            held.push(InFlight::try_start(endpoint, None, Some(2)).expect("it has room"));
        }
        let in_flight: Vec<u32> = set
            .endpoints()
            .iter()
            .map(|e| e.state.in_flight())
            .collect();
        assert_eq!(in_flight, [2, 2, 0, 2, 0], "{policy:?}");
        assert_eq!(pick(&NOTHING), Err(NoPick::Full), "{policy:?}");
        let mut tried = TriedSet::new();
        tried.insert(set.endpoints()[0].state.id());
        assert_eq!(pick(&tried), Err(NoPick::Full), "{policy:?}");
        let freed = held.remove(0);
        let index = set
            .endpoints()
            .iter()
            .position(|e| Arc::ptr_eq(e, freed.endpoint()));
        drop(freed);
        assert_eq!(
            pick(&NOTHING).ok().map(|chosen| chosen.index),
            index,
            "{policy:?}"
        );
        drop(held);
        // Nothing is available: then those that are down are better than nothing, until full.
        down(&set, [0, 1, 3], true);
        assert!(pick(&NOTHING).unwrap().panic, "{policy:?}");
        for endpoint in set.endpoints() {
            endpoint.state.set_drained(true);
        }
        assert_eq!(pick(&NOTHING), Err(NoPick::None), "{policy:?}");
    }
}

/// A thread that counts was stopped by the system: the shares stay as they were for a while.
#[test]
fn shares_of_a_moment_ago_hide_nobody() {
    let options = SetOptions {
        per_endpoint: Some(5),
        ..SetOptions::default()
    };
    for policy in policies() {
        let set = set(&policy, &[(1, 0, ""), (1, 0, "")], &options);
        let now = Instant::now();
        down(&set, 0..2, true);
        assert!(set.tiers(now)[0].panic);
        set.tiers[0].set_share(
            spread::Share {
                until: spread::WHOLE,
                panic: false,
            },
            spread::WHOLE,
        );
        set.counting.store(true, Ordering::Relaxed);
        down(&set, [1], false);
        let pick = Pick {
            hash: Some(7),
            tried: &NOTHING,
            now,
            random: 7,
        };
        let only = Chosen {
            index: 1,
            panic: false,
        };
        assert_eq!(set.pick(&pick), Ok(only), "{policy:?}");
        set.counting.store(false, Ordering::Relaxed);
        down(&set, [0], false);
        assert!(!set.pick(&pick).unwrap().panic);
    }
}

#[test]
fn a_limit_of_nothing_is_full_and_a_set_of_nothing_is_none() {
    let options = SetOptions {
        per_endpoint: Some(0),
        ..SetOptions::default()
    };
    let pick = Pick {
        hash: None,
        tried: &NOTHING,
        now: Instant::now(),
        random: 1,
    };
    let full = set(&Policy::default(), &[(1, 0, "")], &options).pick(&pick);
    assert_eq!(full, Err(NoPick::Full));
    let none = set(&Policy::default(), &[(0, 0, "")], &options).pick(&pick);
    assert_eq!(none, Err(NoPick::None));
    assert_eq!((NoPick::Full.word(), NoPick::None.word()), ("full", "none"));
}

#[test]
fn the_imbalance_is_the_worst_load_over_the_fair_one() {
    let set = set(
        &Policy::RoundRobin,
        &[(1, 0, ""), (2, 0, ""), (1, 0, ""), (1, 1, "")],
        &SetOptions::default(),
    );
    let send = |counts: [u32; 3]| {
        for (endpoint, count) in set.endpoints().iter().zip(counts) {
            for _ in 0..count {
                drop(InFlight::start(endpoint.clone(), None));
            }
        }
    };
    assert_eq!(set.imbalance(), None, "no requests");
    send([25, 50, 25]);
    assert_eq!(set.imbalance(), Some(1.0));
    send([60, 50, 10]);
    // 60 of 120 where a quarter was due.
    assert_eq!(set.imbalance(), Some(2.0));
    send([5, 5, 5]);
    assert_eq!(set.imbalance(), None, "too few to tell");
    down(&set, [0], true);
    send([0, 60, 30]);
    assert_eq!(
        set.imbalance(),
        Some(1.0),
        "one that is out is not compared"
    );
    set.endpoints()[1].state.add_totals(1_000_000, 0, 0);
    send([0, 60, 30]);
    assert_eq!(
        set.imbalance(),
        Some(1.0),
        "what another process sent is not ours"
    );
}

#[test]
fn shares_follow_changes_while_threads_choose() {
    let set = set(
        &Policy::LeastRequest,
        &[(1, 0, "a"), (1, 0, "a"), (1, 0, "b"), (1, 1, "")],
        &zoned(),
    );
    std::thread::scope(|scope| {
        let choosers: Vec<_> = (0..3)
            .map(|seed| {
                let set = &set;
                scope.spawn(move || {
                    let mut random = Wyrand::new(seed);
                    for _ in 0..60_000 {
                        let pick = Pick {
                            hash: None,
                            tried: &NOTHING,
                            now: Instant::now(),
                            random: random.next_u64(),
                        };
                        // One is always available: a choice is never without an answer.
                        assert!(set.pick(&pick).is_ok());
                    }
                })
            })
            .collect();
        let mut turn = 0;
        while choosers.iter().any(|one| !one.is_finished()) {
            down(&set, [turn % 3], turn % 2 == 0);
            turn += 1;
        }
    });
    down(&set, 0..4, false);
    down(&set, [0, 1], true);
    // The last change counts, whoever counted meanwhile.
    let got = shares(&set, 10_000).0;
    assert!(
        got[0] + got[1] == 0.0 && (got[2] - 1.4 / 3.0).abs() < 0.02,
        "{got:?}"
    );
}
