//! Weighted and sticky choice.

use crate::snapshot::router::{Choice, MAX_SIDES, SideId, Split, SplitError};

/// Evenly spread points of the whole range.
fn points(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| u64::MAX / count * n)
}

fn counts(split: &Split, cookie: Option<&str>, sides: usize) -> Vec<u32> {
    let mut counts = vec![0; sides];
    for random in points(10_000) {
        counts[split.choose(cookie, random).index] += 1;
    }
    counts
}

#[test]
fn weights_are_shares() {
    let split = Split::new([("app", 90), ("tenant-a", 10), ("off", 0)]).unwrap();
    let counts = counts(&split, None, 3);
    assert!(
        counts[0].abs_diff(9000) <= 1 && counts[1].abs_diff(1000) <= 1,
        "{counts:?}"
    );
    assert_eq!(counts[2], 0);
    assert_eq!(split.share(1), Some(0.1));
    assert_eq!((split.share(2), split.share(3)), (Some(0.0), None));
    assert_eq!(
        split.choose(None, u64::MAX),
        Choice {
            index: 1,
            set_cookie: true
        }
    );
    let first_off = Split::new([("off", 0), ("app", 1)]).unwrap();
    assert_eq!(first_off.choose(None, 0).index, 1);
    let heavy = Split::new([("a", u32::MAX), ("b", u32::MAX)]).unwrap();
    assert_eq!(heavy.choose(None, u64::MAX).index, 1);
}

#[test]
fn a_cookie_keeps_its_side_even_at_weight_zero() {
    let split = Split::new([("app", 90), ("tenant-a", 10), ("off", 0)]).unwrap();
    for index in 0..3 {
        let id = split.id(index).unwrap();
        for random in points(100) {
            let choice = split.choose(Some(id.as_str()), random);
            assert_eq!(
                choice,
                Choice {
                    index,
                    set_cookie: false
                }
            );
        }
    }
    assert_eq!(split.id(3), None);
}

#[test]
fn an_unknown_cookie_chooses_anew() {
    let split = Split::new([("app", 90), ("tenant-a", 10)]).unwrap();
    let removed = SideId::new("gone");
    for cookie in [removed.as_str(), "", "app", "0", "\u{e9}"] {
        assert_eq!(counts(&split, Some(cookie), 2), counts(&split, None, 2));
        assert!(split.choose(Some(cookie), 7).set_cookie);
    }
}

#[test]
fn ids_are_stable_and_do_not_depend_on_the_other_sides() {
    // SHA-256 of "app", from an independent implementation.
    assert_eq!(SideId::new("app").as_str(), "a172cedcae47474b");
    let one = Split::new([("app", 1), ("b", 1)]).unwrap();
    let two = Split::new([("c", 5), ("app", 1)]).unwrap();
    assert_eq!(one.id(0), two.id(1));
}

#[test]
fn bad_splits_are_refused() {
    let refused = |sides: &[(&str, u32)]| Split::new(sides.iter().copied()).unwrap_err();
    assert_eq!(refused(&[]), SplitError::Sides(0));
    assert_eq!(refused(&[("a", 0), ("b", 0)]), SplitError::NoWeight);
    assert_eq!(
        refused(&[("a", 1), ("b", 0), ("a", 2)]),
        SplitError::Twice(0, 2)
    );
    let names: Vec<String> = (0..=MAX_SIDES).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(refused(&many), SplitError::Sides(MAX_SIDES + 1));
    assert!(Split::new(many.into_iter().skip(1)).is_ok());
}
