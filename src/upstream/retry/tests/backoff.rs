//! Pauses, and what a Retry-After says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use crate::upstream::balance::random::Wyrand;
use crate::upstream::retry::backoff::MAX_RETRY_AFTER;
use crate::upstream::retry::*;

const HOUR: Duration = Duration::from_secs(3600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_longest_pause_doubles_up_to_the_maximum() {
    let longest = |attempt| Backoff::USUAL.pause(attempt, None, HOUR, u64::MAX);
    let expected = [
        (0, 25),
        (1, 25),
        (2, 25),
        (3, 50),
        (4, 100),
        (5, 200),
        (6, 250),
        (7, 250),
        (255, 250),
    ];
    for (attempt, pause) in expected {
        assert_eq!(longest(attempt), Some(ms(pause)), "attempt {attempt}");
        let shortest = Backoff::USUAL.pause(attempt, None, HOUR, 0);
        assert_eq!(shortest, Some(Duration::ZERO), "attempt {attempt}");
    }
}

#[test]
fn jitter_is_full() {
    let mut random = Wyrand::new(7);
    let mut tenths = [0_u32; 10];
    for _ in 0..100_000 {
        let pause = Backoff::USUAL.pause(4, None, HOUR, random.next_u64());
        let tenth = pause.unwrap().as_millis() / 10;
        tenths[(tenth as usize).min(9)] += 1;
    }
    assert!(
        tenths.iter().all(|n| (9_500..10_500).contains(n)),
        "{tenths:?}"
    );
}

#[test]
fn what_the_endpoint_asks_for_is_the_least() {
    let usual = Backoff::USUAL;
    let asked = Some(Duration::from_secs(1));
    assert_eq!(usual.pause(2, asked, HOUR, 0), asked);
    assert_eq!(usual.pause(2, asked, HOUR, u64::MAX), Some(ms(1_025)));
    // A past date or "0" asks for nothing.
    assert_eq!(
        usual.pause(2, Some(Duration::ZERO), HOUR, u64::MAX),
        Some(ms(25))
    );
}

#[test]
fn a_pause_that_uses_up_the_time_left_is_none() {
    let usual = Backoff::USUAL;
    let second = Duration::from_secs(1);
    assert_eq!(usual.pause(2, Some(second), second, 0), None);
    assert_eq!(usual.pause(2, Some(second), ms(1_001), 0), Some(second));
    assert_eq!(usual.pause(2, Some(MAX_RETRY_AFTER), HOUR, 0), None);
    assert_eq!(usual.pause(2, Some(Duration::MAX), HOUR, u64::MAX), None);
    assert_eq!(usual.pause(2, None, ms(25), u64::MAX), None);
    assert_eq!(usual.pause(2, None, ms(26), u64::MAX), Some(ms(25)));
    assert_eq!(usual.pause(2, None, Duration::ZERO, 0), None);
}

#[test]
fn odd_options_have_a_meaning() {
    let pause = |base, max, attempt| Backoff { base, max }.pause(attempt, None, HOUR, u64::MAX);
    assert_eq!(pause(Duration::ZERO, HOUR, 200), Some(Duration::ZERO));
    assert_eq!(pause(ms(25), Duration::ZERO, 9), Some(Duration::ZERO));
    assert_eq!(pause(ms(25), ms(10), 2), Some(ms(10)));
    assert_eq!(pause(Duration::MAX, ms(10), 255), Some(ms(10)));
    assert_eq!(pause(Duration::MAX, Duration::MAX, 255), None);
}

#[test]
fn waiting_is_for_endpoints_in_trouble() {
    use FailureClass::*;
    for class in [Connect, RefusedStream] {
        assert!(!needs_pause(class, true), "{class:?}");
        assert!(needs_pause(class, false), "{class:?}");
    }
    for class in [ResetBeforeResponse, ReusedReset, PerTry, Status(503), Final] {
        for untried_left in [true, false] {
            assert!(needs_pause(class, untried_left), "{class:?}");
        }
    }
}

fn at(text: &str) -> SystemTime {
    httpdate::parse_http_date(text).unwrap()
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = at("Sun, 06 Nov 1994 08:49:37 GMT");
    let parse = |text: &str| parse_retry_after(text.as_bytes(), now).map(|time| time.as_secs());
    let good = [
        ("0", 0),
        ("1", 1),
        ("  120\t", 120),
        ("007", 7),
        ("2147483648", 1 << 31),
        ("2147483649", 1 << 31),
        ("99999999999999999999999999", 1 << 31),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 1994 08:51:00 GMT", 83),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sat, 05 Nov 1994 08:49:37 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1 << 31),
    ];
    for (text, seconds) in good {
        assert_eq!(parse(text), Some(seconds), "{text:?}");
    }
    let bad = [
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1s",
        "1, 2",
        "0x10",
        "soon",
        "\u{661}",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ];
    for text in bad {
        assert_eq!(parse(text), None, "{text:?}");
    }
    assert_eq!(parse_retry_after(b"\xff", now), None);
    // A clock before 1970 is a clock.
    assert!(parse_retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", UNIX_EPOCH - HOUR).is_some());
}

proptest! {
    #[test]
    fn a_pause_lies_between_what_is_asked_and_what_is_left(
        base_ns: u64, max_ns: u64, attempt: u8, random: u64,
        asked_ms in proptest::option::of(0_u64..100_000), left_ms in 0_u64..200_000,
    ) {
        let backoff = Backoff {
            base: Duration::from_nanos(base_ns),
            max: Duration::from_nanos(max_ns),
        };
        let least = asked_ms.map(ms);
        if let Some(pause) = backoff.pause(attempt, least, ms(left_ms), random) {
            let least = least.unwrap_or_default();
            prop_assert!(pause >= least && pause < ms(left_ms));
            prop_assert!(pause - least <= backoff.max);
        } else {
            prop_assert!(least.unwrap_or_default() + backoff.max >= ms(left_ms));
        }
    }

    #[test]
    fn seconds_and_dates_come_back(s in 0_u64..4_000_000_000, ahead in 0_u64..1_000_000) {
        let now = UNIX_EPOCH + Duration::from_secs(s);
        let asked = Some(Duration::from_secs(ahead));
        prop_assert_eq!(parse_retry_after(ahead.to_string().as_bytes(), now), asked);
        let date = httpdate::fmt_http_date(now + Duration::from_secs(ahead));
        prop_assert_eq!(parse_retry_after(date.as_bytes(), now), asked);
    }

    #[test]
    fn no_value_does_harm(
        bytes: Vec<u8>,
        near in "[A-Z][a-z]{2,8},? [0-9]{0,3}[- ][A-Z][a-z]{2}[- ][0-9]{0,5} [0-9:]{0,9} ?(GMT)?",
    ) {
        let now = at("Sun, 06 Nov 1994 08:49:37 GMT");
        for value in [bytes.as_slice(), near.as_bytes()] {
            if let Some(asked) = parse_retry_after(value, now) {
                prop_assert!(asked <= MAX_RETRY_AFTER);
            }
        }
    }
}
