//! `retry.per_try`: an endpoint that stalls costs one try, not the whole wait for the first byte.

use std::time::{Duration, Instant};

use crate::harness::{Node, Origin, Peer, Setup};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@first", "@second"]
timeouts = { first_byte = "8s" }
retry = { attempts = 2, on = ["connect", "reset_before_response"], per_try = "300ms" }
[[route]]
name = "any"
upstream = "app"
"#;

async fn node() -> (Node, Origin, Origin) {
    let stalling = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let second = Origin::answering("second").await;
    let setup = Setup::new()
        .with("first", stalling.address())
        .with("second", second.address());
    (setup.start(CONFIG).await, stalling, second)
}

#[tokio::test]
async fn a_stalled_try_is_followed_by_another() {
    let (node, stalling, _second) = node().await;
    for _ in 0..4 {
        let begun = Instant::now();
        let response = node.get("/").await;
        assert_eq!(
            (response.status, response.text()),
            (200, "second".to_owned())
        );
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    assert!(!stalling.seen().is_empty(), "round robin meets both");
}

#[tokio::test]
async fn what_must_not_be_sent_twice_gets_504_after_one_try() {
    let (node, _stalling, _second) = node().await;
    let post = "POST /once HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi";
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let begun = Instant::now();
        statuses.push(node.client().await.ask(post).await.status);
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 504, 504]);
}
