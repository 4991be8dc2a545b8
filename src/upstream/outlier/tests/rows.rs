//! What is counted in a row.

use super::*;

fn causes(outlier: &Outlier, options: &OutlierOptions, seen: &[Seen]) -> Vec<Option<Cause>> {
    let record = |seen: &Seen| outlier.record(options, *seen, Some(ms(1)));
    seen.iter().map(record).collect()
}

#[test]
fn five_in_a_row_and_again_after_five_more() {
    let (outlier, options) = (Outlier::default(), OutlierOptions::default());
    for _ in 0..3 {
        let seen = [BAD, Seen::Failure, BAD, Seen::Failure, BAD];
        let five = Some(Cause::Consecutive5xx(5));
        assert_eq!(
            causes(&outlier, &options, &seen),
            [None, None, None, None, five]
        );
    }
    let seen = [BAD, BAD, BAD, BAD, GOOD, BAD, BAD, BAD, BAD];
    assert_eq!(causes(&outlier, &options, &seen), [None; 9]);
    assert_eq!(outlier.status(Instant::now()).bad_in_row, 4);
}

#[test]
fn failed_connects_have_a_row_and_are_failures() {
    let (outlier, mut options) = (Outlier::default(), OutlierOptions::default());
    let refused = Seen::ConnectFailure;
    let two = Some(Cause::ConnectFailures(2));
    assert_eq!(causes(&outlier, &options, &[refused, refused]), [None, two]);
    // A failure on a connection says nothing about connecting; an answer does.
    let seen = [refused, Seen::Failure, refused];
    let outlier = Outlier::default();
    assert_eq!(causes(&outlier, &options, &seen), [None, None, two]);
    let seen = [refused, BAD, refused, BAD, refused];
    let outlier = Outlier::default();
    let five = Some(Cause::Consecutive5xx(5));
    assert_eq!(
        causes(&outlier, &options, &seen),
        [None, None, None, None, five]
    );
    options.consecutive_connect_failures = None;
    let outlier = Outlier::default();
    assert_eq!(causes(&outlier, &options, &[refused; 5])[4], five);
}

#[test]
fn what_is_off_is_never_a_cause() {
    let options = OutlierOptions {
        consecutive_5xx: None,
        consecutive_connect_failures: None,
        ..OutlierOptions::default()
    };
    let outlier = Outlier::default();
    let seen = [Seen::ConnectFailure, BAD, Seen::Failure].repeat(100);
    assert!(
        causes(&outlier, &options, &seen)
            .iter()
            .all(Option::is_none)
    );
    assert_eq!(outlier.take_interval(), Default::default());
}

#[test]
fn a_threshold_that_was_lowered_is_passed_by_the_next() {
    let (outlier, mut options) = (Outlier::default(), OutlierOptions::default());
    assert_eq!(causes(&outlier, &options, &[BAD; 4]), [None; 4]);
    options.consecutive_5xx = Some(2);
    let two = Some(Cause::Consecutive5xx(2));
    assert_eq!(causes(&outlier, &options, &[BAD; 3]), [two, None, two]);
    options.consecutive_5xx = Some(0);
    assert!(causes(&outlier, &options, &[BAD])[0].is_some(), "as if 1");
}

#[test]
fn who_returns_begins_anew() {
    let mut farm = Farm::new(4, OutlierOptions::default());
    let options = farm.options.clone();
    let _ = farm.eject(0);
    causes(&farm.nodes[0].outlier, &options, &[BAD; 4]);
    farm.tick(secs(10));
    let after = causes(&farm.nodes[0].outlier, &options, &[BAD; 5]);
    assert_eq!(after[0], None);
    assert!(after[4].is_some());
}

#[test]
fn times_of_errors_do_not_count() {
    let options = OutlierOptions {
        latency: Some(SlowEndpoint::default()),
        ..OutlierOptions::default()
    };
    let outlier = Outlier::default();
    outlier.record(&options, BAD, Some(ms(1)));
    outlier.record(&options, Seen::Failure, Some(secs(60)));
    outlier.record(&options, GOOD, None);
    assert_eq!(outlier.take_interval().taken, None);
    outlier.record(&options, GOOD, Some(ms(80)));
    let taken = outlier.take_interval().taken.unwrap();
    assert!(taken.mean.abs_diff(ms(80)) < ms(10), "{taken:?}");
}

#[test]
fn causes_are_told() {
    let rate = Cause::SuccessRate {
        own: 0.5,
        median: 0.999,
    };
    let latency = Cause::Latency {
        own: ms(312),
        others: ms(11),
    };
    let told: Vec<String> = [
        Cause::Consecutive5xx(5),
        Cause::ConnectFailures(2),
        rate,
        latency,
    ]
    .iter()
    .map(|cause| format!("{}: {cause}", cause.word()))
    .collect();
    assert_eq!(
        told,
        [
            "consecutive_5xx: 5 answers of 5xx or failures in a row",
            "consecutive_connect_failures: 2 failed connects in a row",
            "success_rate: 50.0 % good answers, the median endpoint has 99.9 %",
            "latency: answers take 312 ms, those of the other endpoints 11 ms",
        ]
    );
}
