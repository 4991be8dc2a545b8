//! Who stands out, and who does so by chance only.

use super::super::deviation::{Deviant, Share, low_shares, slow};
use super::*;
use crate::upstream::balance::random::{Wyrand, below};

fn shares(rates: &[(u32, u32)]) -> Vec<Share> {
    let share = |(index, (good, bad)): (usize, &(u32, u32))| Share {
        index,
        good: *good,
        bad: *bad,
    };
    rates.iter().enumerate().map(share).collect()
}

fn low(rates: &[(u32, u32)]) -> Vec<usize> {
    let found = low_shares(&SuccessRate::default(), &shares(rates));
    found.iter().map(|deviant| deviant.index).collect()
}

#[test]
fn one_of_five_and_two_of_six_stand_out() {
    let fine = (1000, 0);
    assert_eq!(low(&[fine, fine, (500, 500), fine, fine]), [2]);
    // Mean and deviation would see neither: 83 % - 1.9 * 24 % is 39 %.
    let half = (500, 500);
    assert_eq!(low(&[half, fine, fine, half, fine, fine]), [0, 3]);
    assert_eq!(low(&[half; 6]), [0_usize; 0], "all alike");
    assert_eq!(low(&[(0, 1000); 6]), [0_usize; 0]);
    // Who is far from the others although these differ among themselves.
    let spread = [(900, 100), (920, 80), (950, 50), (970, 30), (1000, 0)];
    assert_eq!(low(&spread), [0_usize; 0]);
    let worse = [(700, 300), (920, 80), (950, 50), (970, 30), (1000, 0)];
    assert_eq!(low(&worse), [0]);
    let wide = [(800, 200), (850, 150), (900, 100), (950, 50), (1000, 0)];
    assert_eq!(
        low(&wide),
        [0_usize; 0],
        "as far as the others from each other"
    );
    // Not by chance, and still not worth an ejection.
    let many = (100_000, 0);
    assert_eq!(
        low(&[many, many, many, many, (96_000, 4_000)]),
        [0_usize; 0]
    );
    assert_eq!(low(&[many, many, many, many, (94_000, 6_000)]), [4]);
}

/// Five in use and three that are out, down or drained but still get some requests.
#[test]
fn who_is_not_in_use_is_not_compared() {
    let options = OutlierOptions {
        consecutive_5xx: Some(1_000_000),
        success_rate: Some(SuccessRate::default()),
        ..OutlierOptions::default()
    };
    let mut farm = Farm::new(8, options);
    let record = |farm: &Farm, which: usize, seen| {
        for _ in 0..200 {
            farm.nodes[which].outlier.record(&farm.options, seen, None);
        }
    };
    // What was counted before the first look is of no interval.
    record(&farm, 0, BAD);
    (1..8).for_each(|which| record(&farm, which, GOOD));
    assert_eq!(farm.tick(ms(0)), []);
    farm.options.base_ejection = secs(100);
    assert_eq!(farm.eject(7), ejected(secs(100), 1));
    farm.nodes[6].stand(Standing::Down);
    farm.nodes[5].stand(Standing::Idle);
    // With those three the good ones would be the minority, and the bad one the median.
    (0..4).for_each(|which| record(&farm, which, GOOD));
    (4..8).for_each(|which| record(&farm, which, BAD));
    let changes = farm.tick(secs(10));
    assert!(
        matches!(
            changes.as_slice(),
            [Change {
                index: 4,
                what: What::Ejected { .. }
            }]
        ),
        "{changes:?}"
    );
    assert_eq!(farm.out(), [4, 7]);
}

#[test]
fn too_few_requests_or_endpoints_compare_with_nothing() {
    let fine = (100, 0);
    assert_eq!(low(&[fine, fine, fine, (0, 100)]), [0_usize; 0]);
    assert_eq!(low(&[fine, fine, fine, fine, (0, 99)]), [0_usize; 0]);
    assert_eq!(low(&[fine, fine, fine, (99, 0), (0, 100)]), [0_usize; 0]);
    assert_eq!(low(&[fine, fine, fine, fine, (0, 100)]), [4]);
    assert_eq!(low(&[]), [0_usize; 0]);
    let none = SuccessRate {
        min_endpoints: 0,
        min_requests: 0,
        ..SuccessRate::default()
    };
    assert_eq!(low_shares(&none, &[]), []);
    assert_eq!(low_shares(&none, &shares(&[(0, 0), (0, 0)])), []);
}

/// A day of five endpoints with 10 requests a second each, for each error rate.
#[test]
fn chance_ejects_nobody() {
    let mut generator = Wyrand::new(7);
    for per_mille in [1, 3, 10, 50, 200, 500] {
        let mut found = 0;
        for _ in 0..8640 {
            let mut draw = || {
                let bad = (0..100).filter(|_| below(generator.next_u64(), 1000) < per_mille);
                let bad = bad.count() as u32;
                (100 - bad, bad)
            };
            let drawn: Vec<(u32, u32)> = (0..5).map(|_| draw()).collect();
            found += low(&drawn).len();
        }
        assert!(found <= 2, "{per_mille}: {found} in a day");
    }
}

fn slow_ones(times: &[u64]) -> Vec<Deviant> {
    let timed: Vec<(usize, Duration)> = times.iter().map(|took| ms(*took)).enumerate().collect();
    slow(&SlowEndpoint::default(), &timed)
}

#[test]
fn a_slow_one_is_measured_against_the_others() {
    let found = slow_ones(&[10, 12, 300, 11, 9]);
    let others = Duration::from_micros(10_500);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].index, found[0].cause),
        (
            2,
            Cause::Latency {
                own: ms(300),
                others
            }
        )
    );
    assert!((found[0].excess - 300.0 / 31.5).abs() < 1e-9);
    let indexes = |times: &[u64]| -> Vec<usize> {
        slow_ones(times)
            .iter()
            .map(|deviant| deviant.index)
            .collect()
    };
    assert_eq!(indexes(&[100, 100, 301, 100]), [2]);
    assert_eq!(indexes(&[100, 100, 299, 100]), [0_usize; 0]);
    assert_eq!(indexes(&[1, 1, 49, 1]), [0_usize; 0], "below what matters");
    assert_eq!(indexes(&[1, 1, 50, 1]), [2]);
    assert_eq!(indexes(&[300, 300, 300, 300]), [0_usize; 0]);
    assert_eq!(indexes(&[10, 300]), [0_usize; 0], "one against one");
    assert_eq!(indexes(&[10, 10, 300]), [2]);
    assert_eq!(indexes(&[10, 300, 300]), [0_usize; 0]);
    assert_eq!(indexes(&[10, 10, 10, 300, 400]), [3, 4]);
    assert_eq!(indexes(&[0, 0, 60]), [2]);
}

#[test]
fn the_worst_goes_first_and_the_others_are_told() {
    let options = OutlierOptions {
        consecutive_5xx: None,
        success_rate: Some(SuccessRate::default()),
        max_ejected: 0.2,
        ..OutlierOptions::default()
    };
    let mut farm = Farm::new(7, options);
    assert_eq!(farm.tick(ms(0)), [], "the interval begins");
    for (index, node) in farm.nodes.iter().enumerate() {
        for request in 0..200 {
            let is_bad = request % 10 < [0, 0, 5, 0, 9, 0, 0][index];
            let seen = if is_bad { BAD } else { GOOD };
            assert_eq!(node.outlier.record(&farm.options, seen, None), None);
        }
    }
    assert_eq!(farm.tick(secs(9)), []);
    let changes = farm.tick(secs(1));
    assert_eq!(farm.out(), [4]);
    let [first, second] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    let ten = secs(10);
    let rate = |own| Cause::SuccessRate { own, median: 1.0 };
    let (worst, other) = (rate(0.1), rate(0.5));
    let is_out = matches!(first.what, What::Ejected { cause, lasts, times: 1 } if cause == worst && lasts >= ten);
    assert!(is_out && first.index == 4, "{first:?}");
    let verdict = Verdict::TooMany;
    let spared = What::Spared {
        cause: other,
        verdict,
    };
    assert_eq!((second.index, second.what), (2, spared));
    let status = farm.nodes[2].outlier.status(farm.now);
    assert_eq!(status.success_rate, Some(0.5));
    // Counted once: the next interval has nothing.
    assert_eq!(farm.tick(secs(10)), []);
    farm.options.success_rate = None;
    assert_eq!(farm.tick(secs(1)).len(), 1, "its cause is off");
    assert_eq!(farm.nodes[2].outlier.status(farm.now).success_rate, None);
}
