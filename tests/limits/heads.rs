//! Heads: how large, how many fields, how slow.

use std::time::{Duration, Instant};

use super::config;
use crate::harness::{Client, Node, Origin, SOON, Setup, about};

const LIMIT: Duration = Duration::from_millis(500);

async fn node(words: &str) -> (Node, Origin) {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    (setup.start(&config(words)).await, origin)
}

async fn refused(node: &Node, request: &[u8], status: u16, reason: &str) {
    let mut client = node.client().await;
    client.send(request).await;
    let response = client.response().await.expect("an answer");
    assert_eq!(response.status, status, "{reason}");
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json")
    );
    let problem = response.json();
    assert_eq!(
        (&problem["detail"], &problem["status"]),
        (&reason.into(), &status.into())
    );
    assert!(
        problem["request_id"]
            .as_str()
            .is_some_and(|id| id.len() >= 16)
    );
    client.closes_within(SOON).await;
    let labels = [("listener", "web"), ("reason", reason)];
    node.metric_is("farmgate_requests_rejected_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn sizes_have_their_statuses() {
    let words = "limits = { headers = 10, header_bytes = \"4KiB\", uri_bytes = \"1KiB\" }";
    let (node, origin) = node(words).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(1024));
    refused(&node, long.as_bytes(), 414, "uri_too_long").await;
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n",
        "X-A: b\r\n".repeat(10)
    );
    refused(&node, many.as_bytes(), 431, "header_too_large").await;
    assert_eq!(
        node.get(&format!("/{}", "x".repeat(1023))).await.status,
        200
    );
    let fits = "X-A: b\r\n".repeat(9);
    assert_eq!(node.client().await.get_with("/", &fits).await.status, 200);
    assert_eq!(origin.seen().len(), 2);
    let mut client = node.client().await;
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-A: {}\r\n\r\n",
        "b".repeat(5000)
    );
    client.send(large).await;
    assert_eq!(client.response().await.expect("an answer").status, 431);
}

#[tokio::test]
async fn malformed_heads_are_refused_and_counted() {
    let (node, origin) = node("").await;
    refused(&node, b"NONSENSE\r\n\r\n", 400, "bad_request").await;
    refused(
        &node,
        b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
        405,
        "method_not_allowed",
    )
    .await;
    refused(
        &node,
        b"GET / HTTP/3.0\r\nHost: a.test\r\n\r\n",
        505,
        "version_not_supported",
    )
    .await;
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_slow_head_ends_in_time_on_the_first_and_every_later_request() {
    let (node, origin) = node("timeouts = { header = \"500ms\", keepalive = \"5s\" }").await;
    for earlier in [0, 1, 3] {
        let mut client = node.client().await;
        for _ in 0..earlier {
            assert_eq!(client.get("/").await.status, 200);
        }
        let begun = Instant::now();
        drip(&mut client).await;
        about(begun.elapsed(), LIMIT, "a dripping head");
        let response = client.response().await.expect("a 408");
        assert_eq!(response.status, 408, "after {earlier} requests");
        assert_eq!(response.json()["detail"], "header_timeout");
        client.closes_within(SOON).await;
    }
    assert_eq!(origin.seen().len(), 4);
    let labels = [("listener", "web"), ("reason", "header_timeout")];
    node.metric_is("farmgate_requests_rejected_total", &labels, 3.0)
        .await;
}

/// Sends a head byte by byte, one each 50 ms, until something comes back.
async fn drip(client: &mut Client) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for byte in b"GET /drip HTTP/1.1\r\nHost: a.test\r\nX-Never: ends" {
        tick.tick().await;
        if !client.send([*byte]).await || client.has_input().await {
            return;
        }
    }
    panic!("the head was never refused");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_answered_408_and_closed() {
    let (node, _origin) = node("timeouts = { header = \"500ms\" }").await;
    let mut client = node.client().await;
    let begun = Instant::now();
    let response = client.response().await;
    about(begun.elapsed(), LIMIT, "a silent connection");
    assert!(response.is_none_or(|response| response.status == 408));
    client.closes_within(SOON).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_its_head_is_counted() {
    let (node, origin) = node("").await;
    let mut client = node.client().await;
    client.send("GET / HTTP/1.1\r\nHos").await;
    client.finish().await;
    client.closes_within(SOON).await;
    let labels = [("listener", "web"), ("reason", "client_closed")];
    node.metric_is("farmgate_requests_rejected_total", &labels, 1.0)
        .await;
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn escaped_slashes_follow_the_listeners_word() {
    for (word, status, target) in [
        ("keep", 200, "/a%2Fb"),
        ("decode", 200, "/a/b"),
        ("reject", 400, ""),
    ] {
        let (node, origin) = node(&format!("uri = {{ escaped_slash = \"{word}\" }}")).await;
        assert_eq!(node.get("/a%2fb").await.status, status, "{word}");
        match status {
            200 => assert_eq!(origin.only().target().to_uppercase(), target.to_uppercase()),
            _ => assert!(origin.seen().is_empty()),
        }
    }
    let (node, origin) = node("uri = { merge_slashes = false }").await;
    node.get("//a///b").await;
    assert_eq!(origin.only().target(), "//a///b");
}
