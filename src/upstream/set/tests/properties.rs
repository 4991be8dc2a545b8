//! What holds for any mixture of weights, priorities, zones and states.

use proptest::prelude::*;

use super::*;

/// An endpoint, and what is wrong with it: 0 and 1 nothing, 2 down, 3 drained.
fn member() -> impl Strategy<Value = (Entry, u8)> {
    let zone = prop_oneof![Just("a"), Just("b"), Just("")];
    ((0_u32..=20, 0_u8..3, zone), 0_u8..4)
}

fn built(policy: &Policy, members: &[(Entry, u8)], options: &SetOptions) -> EndpointSet {
    let entries: Vec<Entry> = members.iter().map(|(entry, _)| *entry).collect();
    let set = set(policy, &entries, options);
    for (endpoint, (_, state)) in set.endpoints().iter().zip(members) {
        let is_down = *state == 2;
        endpoint
            .state
            .set_unavailable(Unavailable::Outlier, is_down);
        endpoint.state.set_drained(*state == 3);
    }
    set
}

/// What each endpoint should get, from the shares and the weights.
fn wanted(set: &EndpointSet, options: &SetOptions) -> Vec<f64> {
    let tiers = set.tiers(Instant::now());
    let in_own = |e: &Endpoint| options.prefer_zone && e.zone == options.zone && e.zone.is_some();
    let is_used =
        |e: &Endpoint, panic: bool| !e.state.is_drained() && (panic || e.state.is_available());
    let one = |endpoint: &Arc<Endpoint>| {
        let Some(tier) = tiers.iter().find(|tier| tier.priority == endpoint.priority) else {
            return 0.0;
        };
        if endpoint.weight == 0 || !is_used(endpoint, tier.panic) {
            return 0.0;
        }
        let zone = match tier.own_zone {
            None => 1.0,
            Some(own) if in_own(endpoint) => own,
            Some(own) => 1.0 - own,
        };
        let beside = set.endpoints().iter().filter(|other| {
            other.priority == endpoint.priority
                && is_used(other, tier.panic)
                && (tier.own_zone.is_none() || in_own(other) == in_own(endpoint))
        });
        let weights: u32 = beside.map(|other| other.weight).sum();
        tier.share * zone * f64::from(endpoint.weight) / f64::from(weights)
    };
    set.endpoints().iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_endpoint_gets_its_share_and_nobody_else_anything(
        members in proptest::collection::vec(member(), 1..9),
        prefer_zone in any::<bool>(),
        threshold in prop_oneof![Just(0.0_f32), Just(0.5), Just(1.0)],
    ) {
        let options = SetOptions { prefer_zone, panic_threshold: threshold, ..zoned() };
        for policy in [Policy::RoundRobin, Policy::LeastRequest, Policy::PeakEwma] {
            let set = built(&policy, &members, &options);
            let want = wanted(&set, &options);
            let tiers = set.tiers(Instant::now());
            if !tiers.is_empty() {
                let total: f64 = tiers.iter().map(|tier| tier.share).sum();
                prop_assert!((total - 1.0).abs() < 1e-9);
            }
            if sum(&want) < 0.5 {
                // Nothing is available and no threshold: see the next property.
                continue;
            }
            prop_assert!((sum(&want) - 1.0).abs() < 1e-6, "{want:?}");
            let (got, _) = shares(&set, 60_000);
            for (got, want) in got.iter().zip(&want) {
                prop_assert!((got - want).abs() < 0.01, "{policy:?} {got} {want}");
                prop_assert!(*want > 0.0 || *got == 0.0, "{policy:?} {got}");
                let starves = *want > 0.001 && *got == 0.0;
                prop_assert!(!starves, "{policy:?} {want}");
            }
        }
    }

    #[test]
    fn there_is_an_answer_while_anybody_may_be_chosen(
        members in proptest::collection::vec(member(), 0..7),
        tried in proptest::collection::vec(0_usize..7, 0..4),
        limit in proptest::option::of(0_u32..3),
        prefer_zone in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let options = SetOptions { prefer_zone, per_endpoint: limit, ..zoned() };
        for policy in policies() {
            let set = built(&policy, &members, &options);
            let mut random = Wyrand::new(seed);
            let mut already = TriedSet::new();
            for index in &tried {
                if let Some(endpoint) = set.endpoints().get(*index) {
                    already.insert(endpoint.state.id());
                }
            }
            let usable = |e: &&Arc<Endpoint>| e.weight > 0 && !e.state.is_drained();
            let mut held = Vec::new();
            for _ in 0..40 {
                let bits = random.next_u64();
                let pick = Pick { hash: Some(bits), tried: &already, now: Instant::now(), random: bits };
                let any = set.endpoints().iter().find(usable).is_some();
                match set.pick(&pick) {
                    Ok(chosen) => {
                        let endpoint = &set.endpoints()[chosen.index];
                        prop_assert!(usable(&endpoint));
                        prop_assert!(chosen.panic || endpoint.state.is_available());
                        let guard = InFlight::try_start(endpoint, None, limit);
                        prop_assert!(guard.is_some(), "{policy:?}: a full one was chosen");
                        held.push(guard);
                    }
                    Err(NoPick::None) => prop_assert!(!any, "{policy:?}"),
                    Err(NoPick::Full) => {
                        prop_assert!(any && limit.is_some(), "{policy:?}");
                        let mut left = set.endpoints().iter().filter(usable).filter(|e| {
                            e.state.is_available() && e.state.in_flight() < limit.unwrap_or(0)
                        });
                        prop_assert!(left.next().is_none(), "{policy:?}: somebody has room");
                    }
                }
            }
        }
    }

    #[test]
    fn few_keys_move_when_one_goes_down(
        weights in proptest::collection::vec(1_u32..6, 3..12),
        lost in any::<proptest::sample::Index>(),
        backups in 0_usize..3,
    ) {
        for table in [HashTable::Ring, HashTable::Maglev] {
            let mut entries: Vec<Entry> = weights.iter().map(|&weight| (weight, 0, "")).collect();
            entries.extend(std::iter::repeat_n((1, 1, ""), backups));
            let set = set(&hash(table), &entries, &SetOptions {
                panic_threshold: 0.0,
                ..SetOptions::default()
            });
            let owners = || {
                let mut keys = Wyrand::new(9);
                let one = |_| set.pick(&Pick {
                    hash: Some(keys.next_u64()),
                    tried: &NOTHING,
                    now: Instant::now(),
                    random: 0,
                }).unwrap().index;
                (0..20_000).map(one).collect::<Vec<_>>()
            };
            let before = owners();
            let gone = lost.index(weights.len());
            down(&set, [gone], true);
            let kept = set.tiers(Instant::now())[0].share;
            let after = owners();
            let pairs = || before.iter().zip(&after);
            let spilled = pairs().filter(|(_, after)| **after >= weights.len()).count();
            prop_assert!((spilled as f64 / 20_000.0 - (1.0 - kept)).abs() < 0.015);
            // Of the keys that stay in the tier only those of the lost one move.
            let needless = pairs().filter(|(before, after)| {
                before != after && **before != gone && **after < weights.len()
            });
            prop_assert_eq!(needless.count(), 0, "{:?}", table);
            down(&set, [gone], false);
            prop_assert!(owners() == before);
        }
    }

    #[test]
    fn few_keys_move_when_one_is_added(
        weights in proptest::collection::vec(1_u32..6, 4..16),
    ) {
        for (table, slack) in [(HashTable::Ring, 1.5), (HashTable::Maglev, 1.6)] {
            let entries: Vec<Entry> = weights.iter().map(|&weight| (weight, 0, "")).collect();
            let owners = |entries: &[Entry]| {
                let set = set(&hash(table), entries, &SetOptions::default());
                let mut keys = Wyrand::new(4);
                let one = |_| set.pick(&Pick {
                    hash: Some(keys.next_u64()),
                    tried: &NOTHING,
                    now: Instant::now(),
                    random: 0,
                }).unwrap().index;
                (0..20_000).map(one).collect::<Vec<_>>()
            };
            let (all, less) = (owners(&entries), owners(&entries[..entries.len() - 1]));
            let moved = all.iter().zip(&less).filter(|(all, less)| all != less).count();
            let added = f64::from(*weights.last().unwrap());
            let fair = added / f64::from(weights.iter().sum::<u32>());
            prop_assert!(
                moved as f64 / 20_000.0 < slack * fair + 0.03,
                "{:?} {} of {}", table, moved, fair
            );
        }
    }
}
