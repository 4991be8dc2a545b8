//! Answers that are tried again, and the budget that bounds it.

use super::{node, status};
use crate::harness::Origin;

const ON_5XX: &str = "retry = { attempts = 3, on = [\"5xx\", \"429\"], backoff = { base = \"1ms\", max = \"5ms\" } }";

#[tokio::test]
async fn a_status_of_the_list_goes_to_the_next_endpoint() {
    let (bad, good) = (
        status(503, "", "bad").await,
        Origin::answering("good").await,
    );
    let node = node(&[bad.address(), good.address()], ON_5XX).await;
    for _ in 0..6 {
        let response = node.get("/").await;
        assert_eq!((response.status, response.text()), (200, "good".to_owned()));
    }
    assert!(!bad.seen().is_empty(), "round robin meets both");
    let good_seen = good.seen();
    let again = good_seen
        .iter()
        .filter(|seen| seen.header("x-attempt") == Some("2"));
    let times = again.count() as f64;
    assert!(times > 0.0);
    for (name, label) in [
        (
            "farmgate_upstream_retries_total",
            ("reason", "upstream_status"),
        ),
        (
            "farmgate_upstream_first_tries_total",
            ("outcome", "server_error"),
        ),
        ("farmgate_upstream_last_tries_total", ("outcome", "good")),
    ] {
        let labels = [("upstream", "app"), label];
        assert_eq!(node.metric(name, &labels).await, times, "{name}");
    }
}

#[tokio::test]
async fn the_last_answer_is_passed_on_when_the_attempts_are_used_up() {
    let bad = status(503, "X-Own: 1\r\n", "why").await;
    let node = node(&[bad.address()], ON_5XX).await;
    let response = node.get("/").await;
    assert_eq!((response.status, response.text()), (503, "why".to_owned()));
    assert_eq!(response.header("x-own"), Some("1"));
    assert_eq!(bad.seen().len(), 3);
    assert_eq!(node.log.of("/").await["attempt"], 3);
}

#[tokio::test]
async fn a_post_is_not_sent_twice_for_a_status() {
    let bad = status(500, "", "done or not").await;
    let node = node(&[bad.address()], ON_5XX).await;
    let response = node.client().await.post("/", "body").await;
    assert_eq!(response.status, 500);
    assert_eq!(bad.seen().len(), 1);
}

#[tokio::test]
async fn a_longer_retry_after_than_the_time_left_ends_it() {
    let bad = status(429, "Retry-After: 3600\r\n", "slow down").await;
    let node = node(&[bad.address()], ON_5XX).await;
    let response = node.get("/").await;
    assert_eq!(
        (response.status, response.header("retry-after")),
        (429, Some("3600"))
    );
    assert_eq!(bad.seen().len(), 1);
    let labels = [("upstream", "app"), ("why", "time")];
    assert_eq!(
        node.metric("farmgate_upstream_retries_refused_total", &labels)
            .await,
        1.0
    );
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let bad = status(503, "", "no").await;
    let words = "retry = { attempts = 4, on = [\"5xx\"], backoff = { base = \"1ms\", max = \"1ms\" }, \
                 budget = { share = \"20%\", min_per_second = 1 } }";
    let node = node(&[bad.address()], words).await;
    let mut client = node.client().await;
    for _ in 0..100 {
        assert_eq!(client.get("/").await.status, 503);
    }
    let attempts = bad.seen().len();
    // A fifth of the requests, and one a second over ten seconds.
    assert!((100..=131).contains(&attempts), "{attempts}");
    let labels = [("upstream", "app"), ("why", "budget")];
    assert!(
        node.metric("farmgate_upstream_retries_refused_total", &labels)
            .await
            >= 60.0
    );
}
