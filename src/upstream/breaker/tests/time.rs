//! How long it stays open, and what moves to another process.

use super::*;

#[test]
fn the_open_time_doubles_until_it_was_closed_for_a_window() {
    let mut bench = Bench::opened(options());
    let mut at_ms = 0;
    // 1 s, 2 s, then 3 s at most. At the most the jitter only shortens: half of a tenth on average.
    for expected in [1000, 2000, 2850, 2850] {
        let left = bench.refused().retry_after;
        assert!(left.abs_diff(ms(expected)) < ms(2), "{left:?}");
        at_ms += 3001;
        let probe = bench.at(at_ms).enter();
        let failed = bench.record(probe, Outcome::Failure, 1);
        assert_eq!(failed.unwrap().why, Why::ProbeFailed);
    }
    // Closed, but open again before a window has passed.
    at_ms += 3001;
    let probe = bench.at(at_ms).enter();
    bench.record(probe, Outcome::Success, 1);
    at_ms += 9_999;
    bench.at(at_ms).calls(Outcome::Failure, 4);
    let left = bench.refused().retry_after;
    assert!(left.abs_diff(ms(2850)) < ms(2), "{left:?}");
    // Closed for a whole one.
    at_ms += 3001;
    let probe = bench.at(at_ms).enter();
    bench.record(probe, Outcome::Success, 1);
    at_ms += 10_000;
    bench.at(at_ms).calls(Outcome::Failure, 4);
    let left = bench.refused().retry_after;
    assert!(left.abs_diff(ms(1000)) < ms(2), "{left:?}");
}

#[test]
fn an_operator_ends_the_growth() {
    let mut bench = Bench::opened(options());
    let probe = bench.at(1010).enter();
    bench.record(probe, Outcome::Failure, 1);
    assert!(bench.refused().retry_after > ms(1500));
    let now = bench.now;
    bench.breaker.set(Manual::Close, now);
    bench.breaker.set(Manual::Auto, now);
    bench.calls(Outcome::Failure, 4);
    assert!(bench.refused().retry_after < ms(1500));
}

#[test]
fn jitter_is_a_tenth_both_ways_and_never_above_the_most() {
    let options = options();
    let bounds =
        |doublings| [0, u64::MAX].map(|random| open_time(&options, doublings, random).as_micros());
    assert_eq!(bounds(0), [900_000, 1_100_000]);
    assert_eq!(bounds(1), [1_800_000, 2_200_000]);
    assert_eq!(bounds(2), [2_700_000, 3_000_000]);
    assert_eq!(bounds(u32::MAX), [2_700_000, 3_000_000]);
    let mut random = Wyrand::new(7);
    let mut tenths = [0_u32; 10];
    for _ in 0..10_000 {
        let time = open_time(&options, 0, random.next_u64());
        let above = time.checked_sub(ms(900)).unwrap();
        tenths[(above.as_micros() / 20_000).min(9) as usize] += 1;
    }
    assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
}

/// Another process: its clock began elsewhere.
fn taken_over(bench: &Bench, age_ms: u64) -> Bench {
    let moved = bench.breaker.moved(bench.now);
    let text = serde_json::to_string(&moved).expect("plain data");
    let moved: Moved = serde_json::from_str(&text).expect("what was written");
    let mut other = Bench::new(bench.options.clone());
    other.at(500);
    let moved = moved.aged(ms(age_ms));
    other.breaker.restore(&moved, other.now);
    other
}

#[test]
fn an_open_breaker_stays_open_in_another_process() {
    let mut bench = Bench::opened(options());
    let probe = bench.at(1010).enter();
    bench.record(probe, Outcome::Failure, 1);
    bench.at(2010);
    let here = bench.status();
    let mut other = taken_over(&bench, 100);
    let there = other.status();
    assert_eq!((there.phase, there.opened_total), (Phase::Open, 2));
    assert_eq!(there.since, ms(1100));
    let (left, left_there) = (here.open_left.unwrap(), there.open_left.unwrap());
    assert!(left.abs_diff(left_there + ms(100)) <= ms(1));
    other.refused();
    // The growth goes on.
    let probe = other.at(1600).enter();
    other.record(probe, Outcome::Failure, 1);
    assert!(other.refused().retry_after > ms(2500));
}

#[test]
fn half_open_closed_and_held_ones_move_too() {
    let mut bench = Bench::opened(options());
    let _on_its_way = bench.at(1010).enter();
    let mut other = taken_over(&bench, 0);
    assert_eq!(other.phase(), Phase::HalfOpen);
    let probe = other.enter();
    other.refused();
    other.record(probe, Outcome::Success, 1);
    other.at(4500);
    // Closed for 4 s there and 6 s here: a whole window.
    let mut third = taken_over(&other, 0);
    assert_eq!(third.phase(), Phase::Closed);
    assert_eq!(third.status().since, ms(4000));
    third.at(6500).calls(Outcome::Failure, 4);
    assert!(third.refused().retry_after < ms(1500));

    for (manual, phase) in [(Manual::Open, Phase::Open), (Manual::Close, Phase::Closed)] {
        let bench = Bench::new(options());
        bench.breaker.set(manual, bench.now);
        let other = taken_over(&bench, 0);
        let status = other.status();
        assert_eq!((status.manual, status.phase), (manual, phase));
        assert_eq!(status.open_left, None);
    }
}

#[test]
fn what_happened_here_is_not_taken_back() {
    let here = Bench::opened(options());
    let there = Bench::new(options());
    there.breaker.set(Manual::Close, there.now);
    here.breaker
        .restore(&there.breaker.moved(there.now), here.now);
    let status = here.status();
    assert_eq!((status.phase, status.manual), (Phase::Open, Manual::Auto));
    let open = Bench::opened(options());
    there
        .breaker
        .restore(&open.breaker.moved(open.now), there.now);
    let status = there.status();
    assert_eq!(
        (status.phase, status.manual),
        (Phase::Closed, Manual::Close)
    );
    assert_eq!(status.opened_total, 1, "the total is");
}

#[test]
fn nonsense_from_another_process_is_borne() {
    let text = r#"{"phase": "ajar", "manual": "kicked", "of_a_later_version": [1]}"#;
    let moved: Moved = serde_json::from_str(text).expect("unknown fields are passed over");
    let bench = Bench::new(options());
    bench.breaker.restore(&moved, bench.now);
    assert_eq!(bench.phase(), Phase::Closed);
    let moved = Moved {
        phase: "open".to_owned(),
        since_ms: Some(u64::MAX),
        open_left_ms: Some(u64::MAX),
        doublings: u32::MAX,
        opened_total: u64::MAX,
        ..Moved::default()
    };
    let mut bench = Bench::new(options());
    bench.breaker.restore(&moved.aged(ms(5)), bench.now);
    let day_ms = 86_400_000;
    assert_eq!(bench.refused().retry_after, ms(day_ms));
    let probe = bench.at(day_ms).enter();
    bench.record(probe, Outcome::Failure, 1);
    assert!(bench.refused().retry_after <= ms(3000));
    // Open without a time: the next request is a probe.
    let open = Moved {
        phase: "open".to_owned(),
        ..Moved::default()
    };
    let bench = Bench::new(options());
    bench.breaker.restore(&open, bench.now);
    assert!(bench.enter().is_probe());
}
