use std::sync::Arc;
use std::time::Instant;

use super::{HashOptions, HashTable};
use crate::upstream::balance::tests::{calm, endpoint, lettered, set_of};
use crate::upstream::balance::{Pick, Policy};
use crate::upstream::endpoint::{Endpoint, Unavailable};
use crate::upstream::hash::stable_hash;
use crate::upstream::in_flight::InFlight;
use crate::upstream::set::EndpointSet;
use crate::upstream::shared::UpstreamState;
use crate::upstream::tried::TriedSet;

const KEYS: usize = 50_000;

fn policy(table: HashTable, load_bound: Option<f32>) -> Policy {
    Policy::ConsistentHash(HashOptions {
        table,
        load_bound,
        ..HashOptions::default()
    })
}

fn owner(set: &EndpointSet, key: u64, tried: &TriedSet) -> usize {
    let pick = Pick {
        hash: Some(key),
        tried,
        now: Instant::now(),
        random: 0,
    };
    set.pick(&pick).unwrap().index
}

fn key(number: usize) -> u64 {
    stable_hash(format!("user-{number}").as_bytes())
}

fn owners(set: &EndpointSet) -> Vec<String> {
    let name = |number| {
        let index = owner(set, key(number), &TriedSet::new());
        set.endpoints()[index].configured.to_string()
    };
    (0..KEYS).map(name).collect()
}

fn ten() -> Vec<Arc<Endpoint>> {
    (0..10)
        .map(|n| endpoint(&format!("node-{n}"), 1, 0))
        .collect()
}

fn moved(before: &[String], after: &[String]) -> f64 {
    let moved = before.iter().zip(after).filter(|(b, a)| b != a).count();
    moved as f64 / before.len() as f64
}

#[test]
fn removing_or_adding_one_of_ten_moves_about_a_tenth() {
    for (table, slack) in [(HashTable::Ring, 0.02), (HashTable::Maglev, 0.03)] {
        let policy = policy(table, None);
        let full = owners(&set_of(&policy, ten()));
        let mut nine = ten();
        nine.remove(4);
        let fewer = owners(&set_of(&policy, nine));
        let share = moved(&full, &fewer);
        assert!(share < 0.1 + slack, "{table:?} {share}");
        assert!(!fewer.contains(&"node-4:80".into()));
        if table == HashTable::Ring {
            // On a ring nothing moves between endpoints that stayed.
            let needless = full
                .iter()
                .zip(&fewer)
                .filter(|(b, a)| b != a && *b != "node-4:80");
            assert_eq!(needless.count(), 0);
        }
    }
}

#[test]
fn an_endpoint_that_is_down_moves_only_its_own_keys() {
    for table in [HashTable::Ring, HashTable::Maglev] {
        let set = set_of(&policy(table, None), ten());
        let before = owners(&set);
        let state = &set.endpoints()[7].state;
        state.set_unavailable(Unavailable::HealthCheck, true);
        let after = owners(&set);
        for (b, a) in before.iter().zip(&after) {
            assert!(b == a || b == "node-7:80");
        }
        assert!(!after.contains(&"node-7:80".into()));
        // Its keys do not all fall to one other endpoint.
        let heirs: std::collections::BTreeSet<_> = before
            .iter()
            .zip(&after)
            .filter(|(b, a)| b != a)
            .map(|(_, a)| a)
            .collect();
        assert_eq!(heirs.len(), 9, "{table:?}");
        state.set_unavailable(Unavailable::HealthCheck, false);
        assert_eq!(owners(&set), before);
    }
}

#[test]
fn keys_are_spread_by_weight() {
    for (table, slack) in [(HashTable::Ring, 0.25), (HashTable::Maglev, 0.05)] {
        for weights in [vec![1; 10], vec![1, 2, 3, 4], vec![100, 300]] {
            let set = set_of(&policy(table, None), lettered(&weights));
            let mut counts = vec![0_u32; weights.len()];
            for number in 0..KEYS {
                counts[owner(&set, key(number), &TriedSet::new())] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let want = KEYS as f64 * f64::from(*weight) / f64::from(total);
                let off = (f64::from(*count) / want - 1.0).abs();
                assert!(off < slack, "{table:?} {weights:?} {counts:?}");
            }
        }
    }
}

#[test]
fn a_light_endpoint_still_has_slots() {
    let table = super::Maglev::build(&[1, 2], &[1_000_000, 1]);
    assert_eq!(
        (0..table.len())
            .filter(|&slot| table.owner(slot) == Some(1))
            .count(),
        1
    );
    assert_eq!(super::Maglev::build(&[], &[]).len(), 0);
}

/// Nodes of different versions must send a key to the same endpoint.
#[test]
fn golden_owners() {
    for (table, expected) in [
        (HashTable::Ring, GOLDEN_RING),
        (HashTable::Maglev, GOLDEN_MAGLEV),
    ] {
        let set = set_of(&policy(table, None), ten());
        let got: Vec<usize> = (0..8)
            .map(|n| owner(&set, key(n), &TriedSet::new()))
            .collect();
        assert_eq!(got, expected, "{table:?}");
    }
}

const GOLDEN_RING: [usize; 8] = [5, 0, 4, 1, 1, 1, 4, 9];
const GOLDEN_MAGLEV: [usize; 8] = [2, 7, 2, 9, 4, 1, 4, 3];

#[test]
fn the_order_of_writing_does_not_matter() {
    for table in [HashTable::Ring, HashTable::Maglev] {
        let policy = policy(table, None);
        let mut turned = ten();
        turned.reverse();
        let share = moved(
            &owners(&set_of(&policy, ten())),
            &owners(&set_of(&policy, turned)),
        );
        // Maglev lets earlier members choose first, so a few slots depend on the order.
        let allowed = if table == HashTable::Ring { 0.0 } else { 0.02 };
        assert!(share <= allowed, "{table:?} {share}");
    }
}

#[test]
fn a_hot_key_spreads_within_the_bound() {
    for table in [HashTable::Ring, HashTable::Maglev] {
        let shared = Arc::new(UpstreamState::default());
        let set = EndpointSet::build(ten(), &policy(table, Some(1.25)), &calm(), shared.clone());
        let home = owner(&set, key(1), &TriedSet::new());
        let mut held = Vec::new();
        for total in 1..=400_u32 {
            let index = owner(&set, key(1), &TriedSet::new());
            let endpoint = &set.endpoints()[index];
            held.push(InFlight::start(endpoint.clone(), Some(shared.clone())));
            let limit = (1.25 * f64::from(total) / 10.0).ceil();
            assert!(
                f64::from(endpoint.state.in_flight()) <= limit,
                "{table:?} {total}"
            );
        }
        drop(held);
        assert_eq!(shared.in_flight(), 0);
        assert_eq!(owner(&set, key(1), &TriedSet::new()), home);
    }
}

#[test]
fn the_bound_counts_only_endpoints_that_may_be_chosen() {
    let shared = Arc::new(UpstreamState::default());
    let set = EndpointSet::build(
        ten(),
        &policy(HashTable::Ring, Some(1.25)),
        &calm(),
        shared.clone(),
    );
    for endpoint in set.endpoints().iter().skip(2) {
        endpoint.state.set_drained(true);
    }
    let mut held = Vec::new();
    for _ in 0..100 {
        let index = owner(&set, key(1), &TriedSet::new());
        let endpoint = set.endpoints()[index].clone();
        held.push(InFlight::start(endpoint, Some(shared.clone())));
    }
    let most = set.endpoints().iter().map(|e| e.state.in_flight()).max();
    // 1.25 times half of 100.
    assert_eq!(most, Some(63));
}

#[test]
fn the_ranking_spreads_by_weight_when_the_walk_finds_nothing() {
    let mut endpoints: Vec<_> = (0..600).map(|n| endpoint(&format!("n{n}"), 1, 0)).collect();
    endpoints.push(endpoint("x", 1, 0));
    endpoints.push(endpoint("y", 1, 0));
    let set = set_of(&policy(HashTable::Maglev, None), endpoints);
    for endpoint in set.endpoints().iter().take(600) {
        endpoint.state.set_drained(true);
    }
    let chosen: Vec<usize> = (0..2000)
        .map(|n| owner(&set, key(n), &TriedSet::new()))
        .collect();
    let x = chosen.iter().filter(|&&index| index == 600).count();
    assert!((800..1200).contains(&x), "{x}");
    let again: Vec<usize> = (0..2000)
        .map(|n| owner(&set, key(n), &TriedSet::new()))
        .collect();
    assert_eq!(chosen, again);
}
