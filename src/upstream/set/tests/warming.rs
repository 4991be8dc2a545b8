//! Slow start: who comes gets its share little by little.

use std::time::Duration;

use super::*;

#[test]
fn one_that_returns_gets_its_share_little_by_little() {
    let options = SetOptions {
        slow_start: Some(Duration::from_secs(30)),
        ..SetOptions::default()
    };
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    for policy in policies() {
        for others in [1, 9] {
            let set = set(&policy, &vec![(3, 0, ""); others + 1], &options);
            // The tables of a hash are not even to the percent.
            let whole = shares_at(&set, 40_000, start).0[0];
            let slack = if matches!(policy, Policy::ConsistentHash(_)) {
                0.2
            } else {
                0.06
            };
            down(&set, [0], true);
            assert_eq!(shares_at(&set, 100, start).0[0], 0.0);
            down(&set, [0], false);
            // The time begins with the first choice after it came.
            for (seconds, weight) in [
                (10.0, 0.1),
                (17.5, 0.325),
                (25.0, 0.55),
                (39.9, 1.0),
                (41.0, 1.0),
            ] {
                let got = shares_at(&set, 40_000, at(seconds)).0[0];
                let odds = weight * whole / (1.0 - whole);
                let (want, off) = (odds / (1.0 + odds), slack * whole);
                assert!(
                    (got - want).abs() < off,
                    "{policy:?} {others} {seconds}: {got} {want}"
                );
                let warmth = set.warmth(&set.endpoints()[0], at(seconds));
                assert!((warmth - weight).abs() < 0.01, "{seconds}: {warmth}");
                assert_eq!(set.warmth(&set.endpoints()[1], at(seconds)), 1.0);
            }
        }
    }
}

#[test]
fn a_key_that_came_to_a_warming_endpoint_stays_with_it() {
    let options = SetOptions {
        slow_start: Some(Duration::from_secs(10)),
        ..SetOptions::default()
    };
    let start = Instant::now();
    for table in [HashTable::Ring, HashTable::Maglev] {
        let set = set(&hash(table), &[(1, 0, ""); 8], &options);
        let owners = |now| {
            let mut keys = Wyrand::new(3);
            let one = |_| {
                let pick = Pick {
                    hash: Some(keys.next_u64()),
                    tried: &NOTHING,
                    now,
                    random: 0,
                };
                set.pick(&pick).unwrap().index
            };
            (0..20_000).map(one).collect::<Vec<_>>()
        };
        let whole = owners(start);
        set.endpoints()[5].state.set_drained(true);
        let without = owners(start);
        set.endpoints()[5].state.set_drained(false);
        let mut before = without.clone();
        for tenth in 0..=11 {
            let now = owners(start + Duration::from_secs(tenth));
            for ((was, is), (gone, end)) in before.iter().zip(&now).zip(without.iter().zip(&whole))
            {
                assert!(is == gone || is == end, "home, or where it was meanwhile");
                assert!(*was != 5 || *is == 5, "{table:?}: it does not leave again");
            }
            before = now;
        }
        assert!(before == whole, "{table:?}");
    }
}

#[test]
fn when_all_come_at_once_nobody_waits() {
    let options = SetOptions {
        slow_start: Some(Duration::from_secs(30)),
        ..SetOptions::default()
    };
    for policy in policies() {
        let set = set(&policy, &[(1, 0, ""); 6], &options);
        let before = shares(&set, 6_000).0;
        down(&set, 0..6, true);
        down(&set, 0..6, false);
        let after = shares(&set, 6_000).0;
        for (before, after) in before.iter().zip(after) {
            assert!((before - after).abs() < 0.03, "{policy:?}");
        }
    }
}
