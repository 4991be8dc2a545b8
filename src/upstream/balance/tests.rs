//! What every policy must do, and what each does with load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::consistent_hash::{HashOptions, HashTable};
use super::random::{Wyrand, next_u64};
use super::{Pick, Policy};
use crate::upstream::endpoint::{Endpoint, EndpointState, Unavailable};
use crate::upstream::in_flight::InFlight;
use crate::upstream::set::{EndpointSet, SetOptions};
use crate::upstream::shared::UpstreamState;
use crate::upstream::tried::TriedSet;

const NOTHING: TriedSet = TriedSet::new();

pub(super) fn endpoint(name: &str, weight: u32, priority: u8) -> Arc<Endpoint> {
    let configured = format!("{name}:80");
    Arc::new(Endpoint {
        address: configured.parse().unwrap(),
        configured: configured.into(),
        weight,
        priority,
        zone: None,
        state: Arc::new(EndpointState::default()),
    })
}

/// Endpoints a, b, c... of these weights, all of priority 0.
pub(super) fn lettered(weights: &[u32]) -> Vec<Arc<Endpoint>> {
    let name = |index: usize| char::from(b'a' + index as u8).to_string();
    let one = |(index, &weight)| endpoint(&name(index), weight, 0);
    weights.iter().enumerate().map(one).collect()
}

pub(super) fn set_of(policy: &Policy, endpoints: Vec<Arc<Endpoint>>) -> EndpointSet {
    EndpointSet::build(endpoints, policy, &calm(), Arc::default())
}

/// Options under which health is ignored only when nothing is available: these tests are about
/// the policies.
pub(super) fn calm() -> SetOptions {
    SetOptions {
        panic_threshold: 0.0,
        ..SetOptions::default()
    }
}

fn choose(set: &EndpointSet, tried: &TriedSet) -> Option<usize> {
    let pick = Pick {
        hash: Some(next_u64()),
        tried,
        now: Instant::now(),
        random: next_u64(),
    };
    set.pick(&pick).ok().map(|chosen| chosen.index)
}

fn counts(set: &EndpointSet, picks: usize) -> Vec<usize> {
    let mut counts = vec![0; set.endpoints().len()];
    for _ in 0..picks {
        counts[choose(set, &NOTHING).unwrap()] += 1;
    }
    counts
}

fn every_policy() -> Vec<Policy> {
    let hash = |table, load_bound| {
        Policy::ConsistentHash(HashOptions {
            table,
            load_bound,
            ..HashOptions::default()
        })
    };
    vec![
        Policy::RoundRobin,
        Policy::LeastRequest,
        Policy::PeakEwma,
        hash(HashTable::Ring, None),
        hash(HashTable::Ring, Some(1.25)),
        hash(HashTable::Maglev, None),
        hash(HashTable::Maglev, Some(1.25)),
    ]
}

#[test]
fn drained_and_weightless_endpoints_get_nothing() {
    for policy in every_policy() {
        let set = set_of(&policy, lettered(&[1, 0, 2, 1]));
        set.endpoints()[2].state.set_drained(true);
        let counts = counts(&set, 400);
        assert_eq!((counts[1], counts[2]), (0, 0), "{policy:?}");
        assert!(counts[0] > 0 && counts[3] > 0, "{policy:?} {counts:?}");
        for endpoint in set.endpoints() {
            endpoint.state.set_drained(true);
            // Health does not bring a drained endpoint back, panic neither.
            endpoint
                .state
                .set_unavailable(Unavailable::HealthCheck, true);
        }
        assert_eq!(choose(&set, &NOTHING), None, "{policy:?}");
        assert_eq!(choose(&set_of(&policy, Vec::new()), &NOTHING), None);
        assert_eq!(choose(&set_of(&policy, lettered(&[0])), &NOTHING), None);
    }
}

#[test]
fn a_retry_goes_elsewhere_until_all_were_tried() {
    for policy in every_policy() {
        for size in [1, 2, 3, 7] {
            let set = set_of(&policy, lettered(&vec![1; size]));
            let mut tried = TriedSet::new();
            for _ in 0..size {
                let index = choose(&set, &tried).unwrap();
                let id = set.endpoints()[index].state.id();
                assert!(!tried.contains(id), "{policy:?} {size}");
                tried.insert(id);
            }
            assert!(choose(&set, &tried).is_some(), "{policy:?} {size}");
        }
    }
}

#[test]
fn priorities_health_and_panic() {
    for policy in every_policy() {
        let endpoints = vec![
            endpoint("backup", 1, 1),
            endpoint("first", 1, 0),
            endpoint("second", 1, 0),
            endpoint("last", 1, 9),
        ];
        let set = set_of(&policy, endpoints);
        let down = |index: usize, on| {
            let state = &set.endpoints()[index].state;
            state.set_unavailable(Unavailable::HealthCheck, on);
        };
        assert_eq!(counts(&set, 100)[0], 0, "{policy:?}");
        down(1, true);
        // Half of a tier carries 70 % of the requests.
        let spilled = counts(&set, 1000);
        assert!((230..370).contains(&spilled[0]), "{policy:?} {spilled:?}");
        assert_eq!(spilled[0] + spilled[2], 1000, "{policy:?} {spilled:?}");
        down(2, true);
        assert_eq!(counts(&set, 50), [50, 0, 0, 0], "{policy:?}");
        // An available endpoint that was tried comes before one that is down.
        let mut tried = TriedSet::new();
        tried.insert(set.endpoints()[0].state.id());
        assert_eq!(choose(&set, &tried), Some(3), "{policy:?}");
        tried.insert(set.endpoints()[3].state.id());
        assert_eq!(choose(&set, &tried), Some(0), "{policy:?}");
        down(0, true);
        down(3, true);
        let pick = Pick {
            hash: None,
            tried: &NOTHING,
            now: Instant::now(),
            random: 3,
        };
        let chosen = set.pick(&pick).unwrap();
        assert!(chosen.panic && [1, 2].contains(&chosen.index), "{policy:?}");
        down(2, false);
        assert_eq!(counts(&set, 50), [0, 0, 50, 0], "{policy:?}");
    }
}

#[test]
fn one_of_many_left_is_found_and_shares_stay_even() {
    for policy in every_policy() {
        let set = set_of(&policy, lettered(&[3; 26]));
        for endpoint in set.endpoints().iter().skip(2) {
            endpoint.state.set_unavailable(Unavailable::Outlier, true);
        }
        let counts = counts(&set, 4000);
        assert!(
            counts[0] > 1500 && counts[1] > 1500,
            "{policy:?} {counts:?}"
        );
    }
}

#[test]
fn round_robin_is_smooth_and_keeps_its_place_in_a_new_set() {
    let shared = Arc::new(UpstreamState::default());
    let endpoints = lettered(&[5, 1, 1]);
    let mut order = String::new();
    for picks in [3, 4, 7] {
        let set = EndpointSet::build(
            endpoints.clone(),
            &Policy::RoundRobin,
            &calm(),
            shared.clone(),
        );
        for _ in 0..picks {
            order.push(char::from(b'a' + choose(&set, &NOTHING).unwrap() as u8));
        }
    }
    assert_eq!(order, "aabacaaaabacaa");
}

#[test]
fn round_robin_shares_out_the_slots_of_an_endpoint_that_is_out() {
    let set = set_of(&Policy::RoundRobin, lettered(&[1, 1, 1]));
    set.endpoints()[0].state.set_drained(true);
    assert_eq!(counts(&set, 100), [0, 50, 50]);
    let endpoints = vec![
        endpoint("x", 1, 0),
        endpoint("y", 1, 1),
        endpoint("z", 1, 1),
    ];
    let backups = set_of(&Policy::RoundRobin, endpoints);
    let down = &backups.endpoints()[0].state;
    down.set_unavailable(Unavailable::HealthCheck, true);
    assert_eq!(counts(&backups, 100), [0, 50, 50]);
}

#[test]
fn a_retry_takes_no_turn_of_round_robin() {
    for (weights, share) in [(&[1, 1][..], 300), (&[1, 1, 1], 200), (&[1, 2, 1, 2], 100)] {
        let set = set_of(&Policy::RoundRobin, lettered(weights));
        let (mut asked, mut again) = (0, vec![0; weights.len()]);
        for _ in 0..600 {
            // The first endpoint fails whatever it gets.
            if choose(&set, &NOTHING) == Some(0) {
                asked += 1;
                let mut tried = TriedSet::new();
                tried.insert(set.endpoints()[0].state.id());
                again[choose(&set, &tried).unwrap()] += 1;
            }
        }
        assert_eq!(asked, share, "{weights:?}: its share of the requests");
        let others: u32 = weights[1..].iter().sum();
        for (&weight, &count) in weights[1..].iter().zip(&again[1..]) {
            let expected = asked * weight / others;
            // Six standard deviations of 200 over two are 43.
            let near = expected.saturating_sub(45)..=expected + 45;
            assert!(near.contains(&count), "{weights:?} {again:?}");
        }
    }
}

#[test]
fn round_robin_is_exact_under_threads() {
    let set = set_of(&Policy::RoundRobin, lettered(&[5, 1, 1]));
    let mut total = [0; 3];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| counts(&set, 7_000)))
            .collect();
        for worker in workers {
            let counts = worker.join().unwrap();
            total
                .iter_mut()
                .zip(counts)
                .for_each(|(sum, count)| *sum += count);
        }
    });
    assert_eq!(total, [20_000, 4_000, 4_000]);
}

#[test]
fn idle_endpoints_share_by_weight() {
    for policy in [Policy::LeastRequest, Policy::PeakEwma] {
        for weights in [vec![1, 3], vec![2, 1, 5], vec![1; 8]] {
            let set = set_of(&policy, lettered(&weights));
            let total: u32 = weights.iter().sum();
            let counts = counts(&set, 20_000);
            // Weights do not matter to a tie, so the first draw decides.
            for (count, weight) in counts.iter().zip(&weights) {
                let want = 20_000.0 * f64::from(*weight) / f64::from(total);
                assert!(
                    (*count as f64 - want).abs() < 600.0,
                    "{policy:?} {weights:?} {counts:?}"
                );
            }
        }
    }
}

#[test]
fn least_request_fills_by_weight_and_stays_level() {
    for weights in [
        vec![1, 3],
        vec![1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        vec![1, 2, 4, 8],
    ] {
        let set = set_of(&Policy::LeastRequest, lettered(&weights));
        let total: u32 = weights.iter().sum();
        let mut held = Vec::new();
        for _ in 0..total * 100 {
            let index = choose(&set, &NOTHING).unwrap();
            held.push(InFlight::start(set.endpoints()[index].clone(), None));
        }
        for (endpoint, weight) in set.endpoints().iter().zip(&weights) {
            let load = f64::from(endpoint.state.in_flight()) / f64::from(*weight);
            assert!((load - 100.0).abs() < 8.0, "{weights:?} {load}");
        }
    }
}

#[test]
fn of_two_the_less_loaded_always_wins() {
    let set = set_of(&Policy::LeastRequest, lettered(&[1, 1]));
    let _busy = InFlight::start(set.endpoints()[0].clone(), None);
    assert_eq!(counts(&set, 100), [0, 100]);
}

#[test]
fn peak_ewma_leaves_a_slow_endpoint_and_comes_back() {
    let set = set_of(&Policy::PeakEwma, lettered(&[1, 1]));
    let start = Instant::now();
    let guards: Vec<InFlight> = set
        .endpoints()
        .iter()
        .map(|endpoint| InFlight::start(endpoint.clone(), None))
        .collect();
    guards[0].answered(start, Duration::from_millis(400));
    guards[1].answered(start, Duration::from_millis(10));
    drop(guards);
    let mut random = Wyrand::new(5);
    let mut slow_chosen = |now| {
        let mut pick = || Pick {
            hash: None,
            tried: &NOTHING,
            now,
            random: random.next_u64(),
        };
        (0..1000)
            .filter(|_| set.pick(&pick()).unwrap().index == 0)
            .count()
    };
    assert_eq!(slow_chosen(start), 0);
    // 39 requests on the fast one: 0.4 s x 1 against 0.01 s x 40.
    let busy: Vec<InFlight> = (0..41)
        .map(|_| InFlight::start(set.endpoints()[1].clone(), None))
        .collect();
    assert_eq!(slow_chosen(start), 1000);
    drop(busy);
    // A slow answer long ago is forgotten: both have decayed to nothing.
    let later = start + Duration::from_secs(300);
    assert!((400..600).contains(&slow_chosen(later)));
}

#[test]
fn peak_ewma_sends_one_request_to_an_unknown_endpoint() {
    let set = set_of(&Policy::PeakEwma, lettered(&[1, 1]));
    let known = InFlight::start(set.endpoints()[0].clone(), None);
    known.answered(Instant::now(), Duration::from_millis(20));
    drop(known);
    assert_eq!(choose(&set, &NOTHING), Some(1));
    let _waiting = InFlight::start(set.endpoints()[1].clone(), None);
    assert_eq!(counts(&set, 50), [50, 0]);
}
