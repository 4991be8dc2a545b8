use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::slab::Entry;
use super::table::Table;
use super::{Place, Resident};

#[derive(Debug, PartialEq)]
struct Thing {
    name: u64,
    charge: usize,
}

impl Resident for Thing {
    fn charge(&self) -> usize {
        self.charge
    }
}

fn thing(name: u64, charge: usize) -> Arc<Thing> {
    Arc::new(Thing { name, charge })
}

/// Spreads small numbers over all bits, as a hash does.
fn spread(n: u64) -> u64 {
    (n + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[test]
fn an_entry_is_40_bytes_and_the_index_at_most_48_an_object() {
    assert_eq!(size_of::<Entry<Thing>>(), 40);
    let mut table: Table<Thing> = Table::new();
    let mut worst = 0.0_f64;
    for n in 0..200_000 {
        table.insert_place(spread(n), Place::from_bits(n + 1));
        // Below some thousands the last page and the first buckets weigh more than the objects.
        if n >= 5_000 {
            worst = worst.max(table.bytes() as f64 / (n + 1) as f64);
        }
    }
    assert!(worst <= 48.0, "{worst} bytes an object");
}

#[test]
fn a_scan_does_not_drive_out_what_is_used() {
    let mut table = Table::new();
    let hot = 500_u64;
    let room = 1_000_usize;
    let mut misses = 0;
    let mut turn = 0_u64;
    // Hot objects are asked for in turn; between two of them three that never come again.
    for round in 0..40_000_u64 {
        let name = if round % 4 == 0 {
            turn += 1;
            turn % hot
        } else {
            1_000_000 + round
        };
        match table.get(spread(name)) {
            Some(entry) => entry.touch(),
            None => {
                if name < hot && round > 20_000 {
                    misses += 1;
                }
                table.insert(spread(name), thing(name, 1), Place::NONE);
            }
        }
        while table.resident_bytes() > room {
            table.evict(|_| false);
        }
    }
    // First-in first-out and least-recently-used miss each of the 5,000: between two uses of one, 1,999 other objects
    // are asked for, and 1,000 fit.
    assert!(
        misses < 1_000,
        "{misses} of 5,000 asked for in the second half"
    );
}

#[test]
fn what_somebody_reads_is_kept_for_a_while() {
    let mut table = Table::new();
    let read = thing(0, 1);
    table.insert(spread(0), Arc::clone(&read), Place::NONE);
    for n in 1..50 {
        table.insert(spread(n), thing(n, 1), Place::NONE);
    }
    for _ in 0..49 {
        let evicted = table
            .evict(|object| Arc::strong_count(object) > 1)
            .expect("there are others");
        assert_ne!(evicted.object.name, 0);
    }
    // The last one must go even though it is read: the limit is the limit.
    assert_eq!(
        table
            .evict(|object| Arc::strong_count(object) > 1)
            .expect("the last")
            .object
            .name,
        0
    );
    assert!(table.evict(|_| false).is_none());
    assert_eq!(
        (table.len(), table.residents(), table.resident_bytes()),
        (0, 0, 0)
    );
}

#[test]
fn an_object_on_disk_stays_known_when_it_leaves_memory() {
    let mut table = Table::new();
    table.insert(spread(1), thing(1, 10), Place::from_bits(7));
    assert_eq!(table.evict(|_| false).expect("one").object.name, 1);
    let entry = table.get(spread(1)).expect("still on disk");
    assert!(entry.resident().is_none());
    assert_eq!(entry.place(), Place::from_bits(7));
    // A newer one without a place on disk takes the old place away at once.
    table.insert(spread(1), thing(2, 10), Place::NONE);
    assert!(table.get(spread(1)).expect("in memory").place().is_none());
    table.evict(|_| false);
    assert!(table.get(spread(1)).is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, usize, bool),
    Place(u64),
    SetPlace(u64, bool),
    Touch(u64),
    Remove(u64),
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0_u64..200;
    prop_oneof![
        4 => (name.clone(), 1_usize..100, any::<bool>()).prop_map(|(n, c, d)| Step::Insert(n, c, d)),
        1 => name.clone().prop_map(Step::Place),
        1 => (name.clone(), any::<bool>()).prop_map(|(n, d)| Step::SetPlace(n, d)),
        3 => name.clone().prop_map(Step::Touch),
        1 => name.prop_map(Step::Remove),
        2 => Just(Step::Evict),
    ]
}

/// What the table must say: per name the object in memory (by its charge) and the place on disk.
type Oracle = HashMap<u64, (Option<usize>, u64)>;

fn place_of(disk: bool, n: u64) -> Place {
    Place::from_bits(if disk { n + 1 } else { 0 })
}

fn apply(table: &mut Table<Thing>, oracle: &mut Oracle, step: &Step) {
    match *step {
        Step::Insert(n, charge, disk) => {
            let replaced = table.insert(spread(n), thing(n, charge), place_of(disk, n));
            let before = oracle.insert(n, (Some(charge), place_of(disk, n).bits()));
            assert_eq!(
                replaced.map(|o| o.charge),
                before.and_then(|(charge, _)| charge)
            );
        }
        Step::Place(n) => {
            let new = table.insert_place(spread(n), place_of(true, n));
            assert_eq!(new, !oracle.contains_key(&n));
            oracle.entry(n).or_insert((None, n + 1));
        }
        Step::SetPlace(n, disk) => {
            table.set_place(spread(n), place_of(disk, n));
            if let Some(known) = oracle.get_mut(&n) {
                known.1 = place_of(disk, n).bits();
                if *known == (None, 0) {
                    oracle.remove(&n);
                }
            }
        }
        Step::Touch(n) => {
            if let Some(entry) = table.get(spread(n)) {
                entry.touch();
            }
        }
        Step::Remove(n) => {
            let gone = table.remove(spread(n));
            let known = oracle.remove(&n);
            assert_eq!(gone.map(|(o, p)| (o.map(|o| o.charge), p.bits())), known);
        }
        Step::Evict => match table.evict(|_| false) {
            Some(evicted) => {
                let known = oracle.get_mut(&evicted.object.name).expect("it was there");
                assert_eq!(known.0.take(), Some(evicted.object.charge));
                if known.1 == 0 {
                    oracle.remove(&evicted.object.name);
                }
            }
            None => assert!(oracle.values().all(|(charge, _)| charge.is_none())),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is done to it, the table knows exactly what the oracle knows, and its sums are right.
    #[test]
    fn the_table_agrees_with_a_map(steps in prop::collection::vec(step(), 0..400)) {
        let mut table = Table::new();
        let mut oracle = Oracle::new();
        for step in &steps {
            apply(&mut table, &mut oracle, step);
        }
        prop_assert_eq!(table.len(), oracle.len());
        prop_assert_eq!(table.residents(), oracle.values().filter(|(c, _)| c.is_some()).count());
        prop_assert_eq!(table.resident_bytes(), oracle.values().filter_map(|(c, _)| *c).sum::<usize>());
        for (name, (charge, place)) in &oracle {
            let entry = table.get(spread(*name)).expect("known");
            prop_assert_eq!(entry.resident().map(|o| (o.name, o.charge)), charge.map(|c| (*name, c)));
            prop_assert_eq!(entry.place().bits(), *place);
        }
        // Everything in memory can be let go, each once.
        let mut seen = std::collections::HashSet::new();
        while let Some(evicted) = table.evict(|_| false) {
            prop_assert!(seen.insert(evicted.object.name));
        }
        prop_assert_eq!(table.residents(), 0);
    }
}
