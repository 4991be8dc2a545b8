use super::*;

const DAY: i64 = 86_400;
const LIFE: Lifetime = Lifetime {
    not_before: 1_000 * DAY,
    not_after: 1_090 * DAY,
};

fn facts() -> Facts {
    Facts {
        life: Some(LIFE),
        window: None,
        next_attempt: None,
        seed: 0,
    }
}

#[test]
fn a_missing_certificate_is_due_at_once() {
    let facts = Facts {
        life: None,
        ..facts()
    };
    assert_eq!(due(&facts, 5), Due::Now(Why::Missing));
}

#[test]
fn two_thirds_of_the_lifetime_and_this_nodes_share() {
    assert_eq!(by_age(LIFE, 0), 1_060 * DAY);
    assert_eq!(by_age(LIFE, u64::MAX), 1_060 * DAY + 9 * DAY / 2 - 1);
    let facts = facts();
    assert_eq!(due(&facts, 1_060 * DAY - 1), Due::At(1_060 * DAY));
    assert_eq!(due(&facts, 1_060 * DAY), Due::Now(Why::Age));
    assert_eq!(due(&facts, 2_000 * DAY), Due::Now(Why::Age));
    // Six days, an authority's short profile.
    let short = Lifetime {
        not_before: 0,
        not_after: 6 * DAY,
    };
    assert_eq!(by_age(short, 0), 4 * DAY);
}

#[test]
fn the_spread_is_even_and_the_same_at_every_start() {
    let at: Vec<i64> = (0..2_000)
        .map(|node| by_age(LIFE, seed(&format!("node-{node}"), "edge")))
        .collect();
    let again: Vec<i64> = (0..2_000)
        .map(|node| by_age(LIFE, seed(&format!("node-{node}"), "edge")))
        .collect();
    assert_eq!(at, again);
    let span = LIFE.seconds() / 20;
    for quarter in 0..4 {
        let from = 1_060 * DAY + span * quarter / 4;
        let within = at
            .iter()
            .filter(|at| (from..from + span / 4).contains(at))
            .count();
        assert!((400..600).contains(&within), "{quarter}: {within}");
    }
    assert_ne!(seed("a", "bc"), seed("ab", "c"));
}

#[test]
fn the_authoritys_window_stands_above_the_age() {
    let window = Window {
        start: 1_010 * DAY,
        end: 1_012 * DAY,
    };
    let facts = |seed| Facts {
        window: Some(window),
        seed,
        ..facts()
    };
    assert_eq!(due(&facts(0), 1_009 * DAY), Due::At(1_010 * DAY));
    assert_eq!(due(&facts(1 << 63), 1_009 * DAY), Due::At(1_011 * DAY));
    assert_eq!(due(&facts(u64::MAX), 1_012 * DAY), Due::Now(Why::Suggested));
    // A window in the past is an order to renew now, as after a revocation of many.
    let past = Window {
        start: 3 * DAY,
        end: 4 * DAY,
    };
    let facts = Facts {
        window: Some(past),
        ..facts(0)
    };
    assert_eq!(due(&facts, 1_001 * DAY), Due::Now(Why::Suggested));
    // But not without end: a new certificate rests first.
    let rested = 1_000 * DAY + 6 * 3_600;
    assert_eq!(due(&facts, 1_000 * DAY), Due::At(rested));
    assert_eq!(due(&facts, rested), Due::Now(Why::Suggested));
}

#[test]
fn a_mad_window_does_not_let_a_certificate_run_out() {
    for window in [
        Window {
            start: 5_000 * DAY,
            end: 5_001 * DAY,
        },
        Window {
            start: i64::MAX,
            end: i64::MIN,
        },
        Window {
            start: i64::MIN,
            end: i64::MAX,
        },
    ] {
        for seed in [0, 1 << 63, u64::MAX] {
            assert!(in_window(LIFE, window, seed) <= 1_081 * DAY);
        }
    }
}

#[test]
fn pauses_double_up_to_an_hour() {
    let pauses: Vec<i64> = (1..=9)
        .map(|failures| retry_delay_s(failures, None, None, 0, 0))
        .collect();
    assert_eq!(pauses, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    assert_eq!(retry_delay_s(u32::MAX, None, None, 0, 0), 3_600);
    assert_eq!(retry_delay_s(0, None, None, 0, 0), 60);
    assert_eq!(retry_delay_s(9, None, None, 0, u64::MAX), 3_959);
}

#[test]
fn what_the_authority_asks_is_kept_up_to_a_day() {
    assert_eq!(retry_delay_s(1, Some(7_200), None, 0, 0), 7_200);
    assert_eq!(retry_delay_s(4, Some(10), None, 0, 0), 480);
    assert_eq!(retry_delay_s(1, Some(i64::MAX), None, 0, 0), DAY);
    assert_eq!(retry_delay_s(1, Some(-5), None, 0, 0), 60);
}

#[test]
fn near_the_end_attempts_are_closer() {
    let calm = retry_delay_s(9, None, Some(LIFE), 1_080 * DAY, 0);
    let urgent = retry_delay_s(9, None, Some(LIFE), 1_081 * DAY, 0);
    assert_eq!((calm, urgent), (3_600, 900));
    // Not closer than the authority wants.
    assert_eq!(
        retry_delay_s(9, Some(5_000), Some(LIFE), 1_089 * DAY, 0),
        5_000
    );
}

#[test]
fn a_failure_holds_back_the_next_attempt() {
    let facts = Facts {
        next_attempt: Some(1_070 * DAY),
        ..facts()
    };
    assert_eq!(due(&facts, 1_069 * DAY), Due::At(1_070 * DAY));
    assert_eq!(due(&facts, 1_070 * DAY), Due::Now(Why::Age));
    let none = Facts {
        life: None,
        ..facts
    };
    assert_eq!(due(&none, 1_069 * DAY), Due::At(1_070 * DAY));
    // And never brings one forward.
    let early = Facts {
        next_attempt: Some(0),
        ..facts
    };
    assert_eq!(due(&early, 1_010 * DAY), Due::At(1_060 * DAY));
}

#[test]
fn a_lifetime_that_makes_no_sense_is_due() {
    let life = Lifetime {
        not_before: 10,
        not_after: 5,
    };
    let facts = Facts {
        life: Some(life),
        ..facts()
    };
    assert_eq!(due(&facts, 10), Due::Now(Why::Age));
}

#[test]
fn an_attempt_that_was_put_off_under_a_wrong_clock_is_not_waited_for() {
    // A node that began in 2036 could not believe the authority; then its clock was set.
    let late = Facts {
        life: None,
        next_attempt: Some(5 * 365 * DAY),
        ..facts()
    };
    assert_eq!(due(&late, 10 * DAY), Due::Now(Why::Missing));
    let day = Facts {
        next_attempt: Some(11 * DAY),
        ..late
    };
    assert_eq!(due(&day, 10 * DAY), Due::At(11 * DAY));
}
