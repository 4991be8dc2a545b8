use proptest::prelude::*;

use super::*;
use crate::upstream::health::failure::FailureKind;

fn options(rise: u32, fall: u32) -> HealthOptions {
    HealthOptions {
        rise,
        fall,
        ..HealthOptions::default()
    }
}

fn failure() -> ProbeError {
    ProbeError::new(FailureKind::Status, "status 503, expected 200")
}

/// Feeds `+` and `-`, one a second; gives the changes back as "index:from>to".
fn fed(health: &Health, options: &HealthOptions, probes: &str, start: Instant) -> Vec<String> {
    let mut changes = Vec::new();
    for (at, sign) in probes.chars().enumerate() {
        let outcome = if sign == '+' { Ok(()) } else { Err(failure()) };
        let now = start + Duration::from_secs(at as u64);
        let took = Duration::from_millis(3);
        if let Some(change) = health.record(options, outcome, took, now) {
            let (from, to) = (change.from.word(), change.to.word());
            changes.push(format!("{at}:{from}>{to}"));
        }
    }
    changes
}

#[test]
fn rise_and_fall_are_counted_in_a_row() {
    for (rise, fall, probes, changes) in [
        (2, 3, "", &[][..]),
        // Unknown is up until `fall` failed; one good probe ends it.
        (2, 3, "--", &[]),
        (2, 3, "---", &["2:unknown>down"]),
        (2, 3, "+", &["0:unknown>up"]),
        (2, 3, "--+", &["2:unknown>up"]),
        // One of the other kind breaks a streak.
        (2, 3, "+--+--+", &["0:unknown>up"]),
        (2, 3, "+---", &["0:unknown>up", "3:up>down"]),
        (2, 3, "---+-+-+", &["2:unknown>down"]),
        (2, 3, "---++", &["2:unknown>down", "4:down>up"]),
        (1, 1, "-+-", &["0:unknown>down", "1:down>up", "2:up>down"]),
        // Options that were not checked: 0 is 1.
        (0, 0, "-+", &["0:unknown>down", "1:down>up"]),
        // Being down longer changes nothing.
        (2, 3, "--------", &["2:unknown>down"]),
    ] {
        let health = Health::default();
        let found = fed(&health, &options(rise, fall), probes, Instant::now());
        assert_eq!(found, changes, "rise {rise} fall {fall} {probes}");
    }
}

#[test]
fn a_change_says_why_and_how_long_the_phase_before_lasted() {
    let (health, options, start) = (Health::default(), options(1, 2), Instant::now());
    let second = |n: u64| start + Duration::from_secs(n);
    let took = Duration::from_millis(7);
    let up = health.record(&options, Ok(()), took, second(0)).unwrap();
    assert_eq!((up.why.clone(), up.lasted), (Why::Passed, None));
    assert!(!up.is_noticed() && !up.holds_back());
    assert_eq!(
        health.record(&options, Err(failure()), took, second(10)),
        None
    );
    let down = health
        .record(&options, Err(failure()), took, second(12))
        .unwrap();
    assert_eq!(down.why, Why::Failed(failure()));
    assert_eq!(down.lasted, Some(Duration::from_secs(12)));
    assert!(down.is_noticed() && down.holds_back());
    let status = health.status(second(20));
    assert_eq!(status.phase, Phase::Down);
    assert_eq!(status.since, Some(Duration::from_secs(8)));
    assert_eq!((status.good, status.bad), (0, 2));
    assert_eq!((status.probes_total, status.failures_total), (3, 2));
    assert_eq!(status.last_age, Some(Duration::from_secs(8)));
    assert_eq!(status.last_took, Some(took));
    assert_eq!(status.error, Some((failure(), Duration::from_secs(8))));
    assert_eq!(status.flaps, 1);
}

#[test]
fn options_may_change_under_a_streak() {
    let (health, start) = (Health::default(), Instant::now());
    assert!(fed(&health, &options(1, 10), "-----", start).is_empty());
    assert_eq!(
        fed(&health, &options(1, 3), "-", start),
        ["0:unknown>down"],
        "a lower fall holds at the next probe"
    );
}

#[test]
fn flapping_is_counted_for_ten_minutes_and_bounded() {
    let (health, options, start) = (Health::default(), options(1, 1), Instant::now());
    fed(&health, &options, "+-+-+", start);
    assert_eq!(health.status(start + Duration::from_secs(5)).flaps, 4);
    assert_eq!(health.status(start + Duration::from_secs(602)).flaps, 2);
    assert_eq!(health.status(start + Duration::from_secs(700)).flaps, 0);
    fed(&health, &options, &"-+".repeat(200), start);
    assert_eq!(
        health.status(start + Duration::from_secs(400)).flaps as usize,
        MAX_FLAPS
    );
}

#[test]
fn what_is_forgotten_is_up_and_begins_anew() {
    let (health, options, start) = (Health::default(), options(2, 2), Instant::now());
    assert_eq!(health.forget(start), None);
    fed(&health, &options, "--", start);
    let change = health.forget(start + Duration::from_secs(5)).unwrap();
    assert_eq!((change.from, change.to), (Phase::Down, Phase::Unknown));
    assert_eq!(change.why, Why::Forgotten);
    assert!(change.is_noticed() && !change.holds_back());
    assert_eq!(health.status(start).flaps, 1, "forgetting is no flap");
    assert_eq!(fed(&health, &options, "-", start), [""; 0]);
    assert_eq!(fed(&health, &options, "-", start), ["0:unknown>down"]);
}

#[test]
fn another_process_goes_on_where_this_one_was() {
    let (health, options, start) = (Health::default(), options(2, 2), Instant::now());
    assert_eq!(health.moved(start), None);
    fed(&health, &options, "+--+", start);
    let moved = health.moved(start + Duration::from_secs(30)).unwrap();
    assert!(moved.down);
    let text = serde_json::to_string(&moved).unwrap();
    let moved = serde_json::from_str::<MovedHealth>(&text).unwrap();
    let later = start + Duration::from_secs(100);
    let there = Health::default();
    there.restore(&moved, Duration::from_secs(2), later);
    let status = there.status(later);
    assert_eq!(status.phase, Phase::Down);
    assert_eq!(status.since, Some(Duration::from_secs(30)));
    assert_eq!((status.good, status.flaps), (1, 1));
    assert_eq!(status.probes_total, 4);
    assert!(there.is_hurried(&options));
    assert_eq!(there.restored_change().unwrap().why, Why::Restored);
    // One more good probe, as it would have been there.
    assert_eq!(fed(&there, &options, "+", later), ["0:down>up"]);
    fed(&there, &options, "+", later);
    assert!(!there.is_hurried(&options));
    // What this process found out itself is not overwritten.
    there.restore(&moved, Duration::ZERO, later);
    assert_eq!(there.phase(), Phase::Up);
    // An older or a later version's data.
    let moved = serde_json::from_str::<MovedHealth>(r#"{"down":true,"new":1}"#).unwrap();
    let there = Health::default();
    there.restore(&moved, Duration::ZERO, later);
    assert_eq!(there.phase(), Phase::Down);
    // Absurd ages and counts harm nothing.
    let absurd = MovedHealth {
        since_ms: Some(u64::MAX),
        flaps_ms: vec![u64::MAX; 10_000],
        ..moved
    };
    let there = Health::default();
    there.restore(&absurd, Duration::MAX, later);
    assert_eq!(there.status(later).flaps, 0);
}

#[test]
fn a_failure_is_one_bounded_line() {
    let error = ProbeError::new(FailureKind::Cut, format!("a\r\nb{}", "ü".repeat(500)));
    assert!(error.text().len() <= 200 && error.text().starts_with("a  bü"));
    assert!(error.to_string().starts_with("cut: a  b"));
    let words: std::collections::BTreeSet<_> =
        FailureKind::ALL.iter().map(|kind| kind.word()).collect();
    assert_eq!(words.len(), FailureKind::ALL.len());
    for (at, kind) in FailureKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, at, "the table of counters is indexed so");
    }
}

/// The phase by its definition, from the whole history.
fn by_definition(history: &[bool], rise: u32, fall: u32) -> Phase {
    let mut phase = Phase::Unknown;
    for end in 1..=history.len() {
        let (&last, _) = history[..end].split_last().unwrap();
        let streak = history[..end]
            .iter()
            .rev()
            .take_while(|&&good| good == last);
        let streak = streak.count() as u32;
        phase = match (phase, last) {
            (Phase::Down, true) if streak < rise => Phase::Down,
            (_, true) => Phase::Up,
            (_, false) if streak >= fall => Phase::Down,
            (before, false) => before,
        };
    }
    phase
}

proptest! {
    #[test]
    fn the_machine_is_its_definition(
        history in prop::collection::vec(any::<bool>(), 0..200),
        rise in 1_u32..6,
        fall in 1_u32..6,
    ) {
        let (health, options, start) = (Health::default(), options(rise, fall), Instant::now());
        let mut told = Phase::Unknown;
        for end in 0..history.len() {
            let outcome = if history[end] { Ok(()) } else { Err(failure()) };
            let now = start + Duration::from_millis(end as u64);
            if let Some(change) = health.record(&options, outcome, Duration::ZERO, now) {
                prop_assert_eq!(change.from, told, "changes follow on each other");
                prop_assert_ne!(change.from, change.to);
                told = change.to;
            }
            prop_assert_eq!(told, by_definition(&history[..=end], rise, fall));
            prop_assert_eq!(health.phase(), told);
            let status = health.status(now);
            prop_assert!(status.good == 0 || status.bad == 0);
        }
    }
}
