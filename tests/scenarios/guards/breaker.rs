//! The circuit breaker: it opens, lets a probe through, closes; and does what an operator says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{node, upstream};
use crate::harness::{Origin, Peer, eventually};

const WORDS: &str =
    "breaker = { min_requests = 4, open_for = \"300ms\", max_open_for = \"400ms\" }";

/// Answers with whatever status the test wants just now.
async fn changing() -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(500));
    let told = Arc::clone(&status);
    let origin = Origin::start(move |mut peer: Peer| {
        let told = Arc::clone(&told);
        async move {
            while peer.request().await.is_some() {
                peer.answer(told.load(Ordering::SeqCst), "", "told").await;
            }
        }
    });
    (origin.await, status)
}

#[tokio::test]
async fn it_opens_and_closes_again() {
    let (origin, status) = changing().await;
    let node = node(&[origin.address()], WORDS).await;
    for _ in 0..4 {
        assert_eq!(node.get("/").await.status, 500);
    }
    let response = node.get("/refused").await;
    assert_eq!(response.status, 503);
    assert_eq!(response.json()["detail"], "upstream_breaker_open");
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(origin.seen().len(), 4, "nothing is sent while it is open");
    let shed = [("upstream", "app"), ("reason", "upstream_breaker_open")];
    assert_eq!(
        node.metric("farmgate_upstream_shed_total", &shed).await,
        1.0
    );
    assert_eq!(
        node.metric("farmgate_upstream_breaker", &[("upstream", "app")])
            .await,
        1.0
    );
    status.store(200, Ordering::SeqCst);
    eventually("it closes", || async {
        (node.get("/").await.status == 200).then_some(())
    })
    .await;
    for to in ["open", "half_open", "closed"] {
        let labels = [("upstream", "app"), ("to", to)];
        let changes = node
            .metric("farmgate_upstream_breaker_changes_total", &labels)
            .await;
        assert_eq!(changes, 1.0, "{to}");
    }
}

#[tokio::test]
async fn an_operator_opens_and_closes_it() {
    let (origin, status) = changing().await;
    status.store(200, Ordering::SeqCst);
    let node = node(&[origin.address()], WORDS).await;
    node.run(&["breaker", "app", "open"]).await.expect(0);
    assert_eq!(node.get("/").await.status, 503);
    assert_eq!(upstream(&node).await["breaker"]["manual"], "open");
    node.run(&["breaker", "app", "close"]).await.expect(0);
    status.store(500, Ordering::SeqCst);
    for _ in 0..8 {
        assert_eq!(node.get("/").await.status, 500, "held closed");
    }
    let unknown = node.run(&["breaker", "nobody", "open"]).await.expect(1);
    assert!(
        unknown.text().contains("no upstream is named"),
        "{}",
        unknown.text()
    );
}
