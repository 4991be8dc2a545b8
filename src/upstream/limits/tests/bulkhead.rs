//! Bulkheads by hand. The exactness over threads is in `threads`.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::upstream::limits::Bulkhead;
use crate::upstream::limits::bulkhead::MOST_KEYS;

/// Keys that fall into one group of 64 words, found by filling: the 65th of them has no space.
pub(super) fn keys_of_one_group(count: usize) -> Vec<u64> {
    let group = crate::upstream::limits::bulkhead::group_of;
    let first = group(0);
    (0..)
        .filter(|key| group(*key) == first)
        .take(count)
        .collect()
}

#[test]
fn counts_per_key() {
    let bulkhead = Arc::new(Bulkhead::default());
    assert_eq!((bulkhead.in_flight(7), bulkhead.keys()), (0, 0));
    let first = bulkhead.try_enter(7, 2).unwrap();
    let _second = bulkhead.try_enter(7, 2).unwrap();
    assert!(bulkhead.try_enter(7, 2).is_none());
    let _other = bulkhead.try_enter(8, 1).unwrap();
    assert!(bulkhead.try_enter(8, 1).is_none());
    assert_eq!((bulkhead.in_flight(7), bulkhead.keys()), (2, 2));
    // A reload raised it, another one lowered it.
    let third = bulkhead.try_enter(7, 3).unwrap();
    drop(first);
    assert!(bulkhead.try_enter(7, 1).is_none());
    assert!(bulkhead.try_enter(7, 0).is_none());
    drop(third);
    assert_eq!(bulkhead.in_flight(7), 1);
    assert_eq!(bulkhead.no_space_total(), 0);
}

#[test]
fn a_full_group_refuses_new_keys_until_one_is_gone() {
    let bulkhead = Arc::new(Bulkhead::default());
    let keys = keys_of_one_group(66);
    let mut held: Vec<_> = keys[..64]
        .iter()
        .map(|key| bulkhead.try_enter(*key, 5).expect("there is space"))
        .collect();
    assert!(bulkhead.try_enter(keys[64], 5).is_none());
    assert_eq!(bulkhead.no_space_total(), 1);
    assert!(bulkhead.try_enter(keys[3], 5).is_some(), "known keys go on");
    drop(held.swap_remove(17));
    let new = bulkhead.try_enter(keys[65], 5).expect("a word came free");
    assert!(bulkhead.try_enter(keys[64], 5).is_none());
    assert_eq!((bulkhead.keys(), bulkhead.in_flight(keys[65])), (64, 1));
    drop((held, new));
    assert_eq!(bulkhead.keys(), 0);
}

#[test]
fn forty_thousand_keys_have_space() {
    let bulkhead = Arc::new(Bulkhead::default());
    assert_eq!(MOST_KEYS, 65_536);
    // Neighbours, and keys that differ in their upper bits only.
    let keys = (0..20_000u64).chain((1..=20_000).map(|key| key << 40));
    let held: Vec<_> = keys.map(|key| bulkhead.try_enter(key, 1)).collect();
    assert!(held.iter().all(Option::is_some));
    assert_eq!(bulkhead.keys(), 40_000);
}

proptest! {
    #[test]
    fn as_a_map_would(steps in prop::collection::vec((0usize..100, 1u32..4, any::<bool>()), 1..400)) {
        let bulkhead = Arc::new(Bulkhead::default());
        let keys = keys_of_one_group(100);
        let mut model: HashMap<usize, Vec<_>> = HashMap::new();
        for (key, most, enters) in steps {
            if enters {
                let distinct = model.values().filter(|held| !held.is_empty()).count();
                let held = model.entry(key).or_default();
                let expected = held.len() < most as usize && (!held.is_empty() || distinct < 64);
                let got = bulkhead.try_enter(keys[key], most);
                prop_assert_eq!(got.is_some(), expected);
                held.extend(got);
            } else {
                model.entry(key).or_default().pop();
            }
            prop_assert_eq!(bulkhead.in_flight(keys[key]) as usize, model.entry(key).or_default().len());
        }
    }
}
