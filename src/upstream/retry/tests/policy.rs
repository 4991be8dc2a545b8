//! Which request may be sent again.

use std::sync::Arc;

use http::Method;
use proptest::prelude::*;

use crate::upstream::retry::policy::REPLAY_BYTES;
use crate::upstream::retry::*;
use FailureClass::{
    Connect, Final, PerTry, RefusedStream, ResetBeforeResponse, ReusedReset, Status,
};

fn policy(attempts: u8, on: &[RetryCondition], methods: Option<&[Method]>) -> RetryPolicy {
    RetryPolicy {
        attempts,
        on: on.iter().copied().collect(),
        methods: methods.map(Arc::from),
        ..RetryPolicy::default()
    }
}

#[test]
fn where_nothing_is_written() {
    let usual = RetryPolicy::default();
    assert_eq!(usual.attempts, 2);
    assert_eq!(usual.replay_bytes, REPLAY_BYTES);
    let on = [RetryCondition::Connect, RetryCondition::ResetBeforeResponse];
    assert_eq!(usual.on, on.into_iter().collect());
    let budget = usual.budget.unwrap();
    assert_eq!((budget.share, budget.min_per_second), (0.2, 10));
    // An answer is passed on unless it is named.
    for status in 100..=599 {
        assert!(!may_retry(&usual, 1, &Method::GET, Status(status), true));
    }
    assert_eq!(RetryPolicy::OFF.budget, None);
    assert!(!may_retry(
        &RetryPolicy::OFF,
        1,
        &Method::GET,
        Connect,
        false
    ));
}

#[test]
fn idempotent_methods_and_unsent_requests_are_retried() {
    let usual = RetryPolicy::default();
    let may = |method: &str, failure, sent| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        may_retry(&usual, 1, &method, failure, sent)
    };
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert!(may(method, ResetBeforeResponse, true), "{method}");
        assert!(may(method, PerTry, true), "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "PURGE"] {
        assert!(!may(method, ResetBeforeResponse, true), "{method}");
        assert!(!may(method, ReusedReset, true), "{method}");
        assert!(!may(method, PerTry, true), "{method}");
        assert!(may(method, ResetBeforeResponse, false), "{method}");
        assert!(may(method, PerTry, false), "{method}");
        assert!(may(method, Connect, false), "{method}");
        // The endpoint says that it did nothing.
        assert!(may(method, RefusedStream, true), "{method}");
    }
    assert!(!may("GET", Final, false));
}

#[test]
fn attempts_count_the_first_try() {
    let three = policy(3, &RetryCondition::ALL, None);
    let mut attempts = Attempts::default();
    let mut fail = || attempts.failed(&three, &Method::GET, Connect, false);
    assert_eq!(
        [fail(), fail(), fail()],
        [Retry::Again, Retry::Again, Retry::No]
    );
    assert_eq!(attempts.number(), 3);
    for attempts in [0, 1] {
        let once = policy(attempts, &RetryCondition::ALL, None);
        assert!(!may_retry(&once, 1, &Method::GET, Connect, false));
    }
}

#[test]
fn the_last_attempt_is_number_255() {
    let most = policy(255, &RetryCondition::ALL, None);
    let mut attempts = Attempts::default();
    let mut made = 1;
    while attempts.failed(&most, &Method::GET, Connect, false) == Retry::Again {
        made += 1;
    }
    assert_eq!((made, attempts.number()), (255, 255));
}

/// Each word and exactly the failures it stands for, of a request that was sent and may be repeated.
#[test]
fn only_the_conditions_that_are_on() {
    let failures = [
        Connect,
        RefusedStream,
        ResetBeforeResponse,
        ReusedReset,
        PerTry,
        Status(429),
        Status(500),
        Status(502),
        Status(503),
        Status(504),
        Status(599),
        Final,
        Status(200),
        Status(404),
        Status(499),
        Status(600),
    ];
    let table: [(&str, &[FailureClass]); 6] = [
        ("connect", &[Connect, RefusedStream]),
        (
            "reset_before_response",
            &[RefusedStream, ResetBeforeResponse, ReusedReset, PerTry],
        ),
        (
            "5xx",
            &[
                Status(500),
                Status(502),
                Status(503),
                Status(504),
                Status(599),
            ],
        ),
        ("429", &[Status(429)]),
        ("gateway_error", &[Status(502), Status(503), Status(504)]),
        ("per_try", &[PerTry]),
    ];
    for (word, expected) in table {
        let one = policy(2, &[RetryCondition::from_word(word).unwrap()], None);
        for failure in failures {
            assert_eq!(
                may_retry(&one, 1, &Method::GET, failure, true),
                expected.contains(&failure),
                "{word} {failure:?}"
            );
        }
    }
}

#[test]
fn an_answer_has_seen_the_request() {
    let all = policy(2, &RetryCondition::ALL, None);
    for status in [429, 500, 503] {
        for sent in [true, false] {
            assert!(may_retry(&all, 1, &Method::PUT, Status(status), sent));
            assert!(!may_retry(&all, 1, &Method::POST, Status(status), sent));
        }
    }
    let post = policy(2, &RetryCondition::ALL, Some(&[Method::POST]));
    assert!(may_retry(&post, 1, &Method::POST, Status(503), true));
    assert!(!may_retry(&post, 1, &Method::GET, Status(503), true));
}

#[test]
fn written_methods_replace_the_idempotent_ones() {
    let post = policy(2, &RetryCondition::ALL, Some(&[Method::POST]));
    let may = |method, sent| may_retry(&post, 1, &method, ResetBeforeResponse, sent);
    assert!(may(Method::POST, true));
    assert!(!may(Method::GET, true));
    assert!(may(Method::GET, false));
}

#[test]
fn a_dead_pooled_connection_is_retried_once_for_free() {
    let mut attempts = Attempts::default();
    let off = RetryPolicy::OFF;
    let mut fail = |sent| attempts.failed(&off, &Method::GET, ReusedReset, sent);
    assert_eq!([fail(true), fail(true)], [Retry::AgainFree, Retry::No]);

    let usual = RetryPolicy::default();
    let mut attempts = Attempts::default();
    let mut fail = || attempts.failed(&usual, &Method::GET, ReusedReset, true);
    assert_eq!(
        [fail(), fail(), fail()],
        [Retry::AgainFree, Retry::Again, Retry::No]
    );

    let mut post = Attempts::default();
    let mut fail = |sent| post.failed(&usual, &Method::POST, ReusedReset, sent);
    assert_eq!([fail(true), fail(false)], [Retry::No, Retry::AgainFree]);
}

#[test]
fn words_round_trip() {
    for condition in RetryCondition::ALL {
        assert_eq!(RetryCondition::from_word(condition.word()), Some(condition));
    }
    assert_eq!(RetryCondition::from_word("reset"), None);
}

fn any_failure() -> impl Strategy<Value = FailureClass> {
    prop_oneof![
        Just(Connect),
        Just(ResetBeforeResponse),
        Just(ReusedReset),
        Just(RefusedStream),
        Just(PerTry),
        Just(Final),
        (100_u16..700).prop_map(Status),
    ]
}

proptest! {
    /// One request to its end, whatever goes wrong and whatever is on.
    #[test]
    fn no_request_is_done_twice(
        most: u8,
        on in proptest::collection::vec(0_usize..6, 0..6),
        post: bool,
        failures in proptest::collection::vec((any_failure(), any::<bool>()), 1..40),
    ) {
        let on: Vec<_> = on.into_iter().map(|n| RetryCondition::ALL[n]).collect();
        let policy = policy(most, &on, None);
        let method = if post { Method::POST } else { Method::GET };
        let mut attempts = Attempts::default();
        let mut free = 0;
        for (failure, sent) in failures {
            let before = attempts.number();
            let next = attempts.failed(&policy, &method, failure, sent);
            let seen = match failure {
                Connect | RefusedStream => false,
                Status(_) | Final => true,
                ResetBeforeResponse | ReusedReset | PerTry => sent,
            };
            prop_assert!(next == Retry::No || !(post && seen), "{:?}", failure);
            match next {
                Retry::No => {}
                Retry::Again => prop_assert!(!on.is_empty()),
                Retry::AgainFree => free += 1,
            }
            prop_assert!(free <= 1);
            prop_assert!(failure != Final || next == Retry::No);
            prop_assert_eq!(attempts.number(), before + u8::from(next == Retry::Again));
            prop_assert!(attempts.number() <= most.max(1));
        }
    }
}
