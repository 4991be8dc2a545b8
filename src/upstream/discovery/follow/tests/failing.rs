//! Sources that fail, hang, panic, or answer nonsense.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_takes_nothing_away() {
    let mut farm = Farm::new(&["orders"], None);
    farm.say("orders", &["10.0.0.1:80"]);
    farm.told().await;
    for _ in 0..50 {
        farm.fail("orders");
    }
    farm.quiet(59 * SECOND).await;
    let status = farm.status("orders");
    assert!(!status.is_stale);
    assert_eq!(status.error, Some(SourceError::new("down")));
    // 1, 2, 4, 8, 16, 30 s with up to a half off: neither a storm nor one look a minute.
    assert!((5..=9).contains(&status.failures), "{}", status.failures);
    farm.quiet(5 * SECOND).await;
    let status = farm.status("orders");
    assert!(status.is_stale, "{status:?}");
    assert_eq!(status.counts.stale, 1);
    assert_eq!(
        shown(&status.endpoints),
        ["10.0.0.1:80"],
        "stale, and in use"
    );
    // Still stale is not stale once more.
    farm.quiet(300 * SECOND).await;
    assert_eq!(farm.status("orders").counts.stale, 1);
    farm.say("orders", &["10.0.0.1:80"]);
    for _ in 0..200 {
        farm.quiet(10 * SECOND).await;
        if farm.status("orders").failures == 0 {
            break;
        }
    }
    let status = farm.status("orders");
    assert_eq!(
        (status.failures, &status.error, status.is_stale),
        (0, &None, false)
    );
    assert_eq!(
        (
            status.counts.failures,
            status.counts.stale,
            status.counts.updates
        ),
        (50, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn answers_without_use_are_failures_and_come_as_often_as_good_ones() {
    let mut farm = Farm::new(&["orders"], None);
    farm.say("orders", &["10.0.0.1:80"]);
    farm.told().await;
    let many: Vec<String> = (0..101).map(|n| format!("10.0.0.{n}:80")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut weightless = said(&["10.0.0.2:80", "10.0.0.3:80"]);
    weightless
        .endpoints
        .iter_mut()
        .for_each(|found| found.weight = 0);
    let cases = [
        (said(&[]), "names no endpoint"),
        (said(&many), "101 endpoints, and `max_endpoints` is 100"),
        (
            said(&["169.254.169.254:80", "169.254.0.1:80"]),
            "all 2 addresses are refused, 169.254.169.254:80 is one",
        ),
        (weightless, "weights of all endpoints are 0"),
    ];
    for (n, (answer, expected)) in cases.into_iter().enumerate() {
        farm.step("orders", Step::Say(Ok((answer, SECOND))));
        farm.quiet(2 * SECOND).await;
        let status = farm.status("orders");
        let error = status.error.unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(status.counts.failures, n as u64 + 1);
        assert_eq!(shown(&status.endpoints), ["10.0.0.1:80"]);
    }
    assert_eq!(farm.status("orders").counts.refused, 2);
    // One poisoned address costs itself only.
    farm.say("orders", &["169.254.169.254:80", "10.0.0.2:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.2:80"]);
    let status = farm.status("orders");
    assert_eq!(status.left_out.as_deref(), Some("1 addresses are refused"));
    assert_eq!(status.counts.refused, 3);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_or_hangs_is_opened_again_and_disturbs_nobody() {
    let mut farm = Farm::new(&["orders", "users"], None);
    farm.step("orders", Step::Panic);
    farm.say("users", &["10.0.1.1:80"]);
    assert_eq!(&*farm.told().await.0, "users");
    farm.say("orders", &["10.0.0.1:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.1:80"]);
    assert_eq!(farm.opened.load(Ordering::SeqCst), 3);
    // Now both hang: nobody says anything.
    farm.quiet(125 * SECOND).await;
    let status = farm.status("orders");
    assert_eq!(status.error, Some(SourceError::new("no answer in 120s")));
    assert_eq!(shown(&status.endpoints), ["10.0.0.1:80"]);
    farm.say("orders", &["10.0.0.2:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.2:80"]);
    assert_eq!(
        farm.alive.load(Ordering::SeqCst),
        2,
        "dropped sources are gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_opened_is_tried_again() {
    let farm = Farm::new(&[], None);
    farm.follower.update(vec![wanted("nobody", |_| {})]);
    assert_eq!(
        farm.follower.wait_first(10 * SECOND).await,
        [Arc::from("nobody")]
    );
    tokio::time::sleep(10 * SECOND).await;
    let status = farm.status("nobody");
    assert_eq!(status.error, Some(SourceError::new("no such source")));
    assert!(status.failures >= 3, "{}", status.failures);
    assert_eq!(status.provenance, Provenance::Nothing);
}

/// The start of a node waits for answers, for failures, and for neither longer than it is told.
#[tokio::test(start_paused = true)]
async fn the_start_waits_as_long_as_it_must() {
    let farm = Farm::new(&["orders", "users"], None);
    let start = Instant::now();
    farm.say("orders", &["10.0.0.1:80"]);
    let missing = farm.follower.wait_first(3 * SECOND).await;
    assert_eq!(missing, [Arc::from("users")]);
    assert_eq!(start.elapsed(), 3 * SECOND);
    farm.fail("users");
    let start = Instant::now();
    assert_eq!(
        farm.follower.wait_first(3 * SECOND).await,
        [Arc::from("users")]
    );
    assert!(start.elapsed() < SECOND, "a failure ends the wait");
}
