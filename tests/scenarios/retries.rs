//! Another attempt on another endpoint: when, and when not.

use std::net::SocketAddr;

use crate::harness::{Node, Origin, Peer, Setup, free_address};

fn config(policy: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = [{{ address = "@first" }}, {{ address = "@second" }}]
{policy}
[[route]]
name = "any"
upstream = "app"
"#
    )
}

async fn node(first: SocketAddr, second: SocketAddr, policy: &str) -> Node {
    let setup = Setup::new().with("first", first).with("second", second);
    setup.start(&config(policy)).await
}

/// Reads a request and resets the connection.
async fn resetting() -> Origin {
    Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.reset();
    })
    .await
}

async fn served(node: &Node, origin: &Origin, request: &str, times: usize) {
    for n in 0..times {
        let response = node.client().await.ask(request).await;
        assert_eq!(
            (response.status, response.text()),
            (200, "second".to_owned()),
            "{n}"
        );
    }
    assert!(origin.seen().len() >= times);
}

const GET: &str = "GET /get HTTP/1.1\r\nHost: a.test\r\n\r\n";
const POST: &str = "POST /post HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody";
const PUT: &str = "PUT /put HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody";

#[tokio::test]
async fn a_refused_connection_goes_to_the_next_endpoint() {
    let second = Origin::answering("second").await;
    let node = node(free_address(), second.address(), "").await;
    served(&node, &second, GET, 4).await;
    // Nothing of it was sent, so any method may go on.
    served(&node, &second, POST, 4).await;
    let posts = second.seen();
    assert!(
        posts
            .iter()
            .filter(|seen| seen.line.starts_with("POST"))
            .all(|s| s.body == b"body")
    );
    let lines = node.log.count("/get", 4).await;
    assert!(lines.iter().any(|line| line["attempt"] == 2), "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line["endpoint"] == second.address().to_string())
    );
    assert!(lines.iter().all(|line| line["reason"] == "ok"));
    let labels = [("upstream", "app"), ("reason", "upstream_connect_refused")];
    assert!(
        node.metric("farmgate_upstream_retries_total", &labels)
            .await
            >= 2.0
    );
    assert!(
        node.metric("farmgate_upstream_endpoint_errors_total", &labels)
            .await
            >= 2.0
    );
}

#[tokio::test]
async fn a_reset_before_the_response_retries_idempotent_methods_only() {
    let (first, second) = (resetting().await, Origin::answering("second").await);
    let node = node(first.address(), second.address(), "").await;
    served(&node, &second, GET, 4).await;
    served(&node, &second, PUT, 4).await;
    let labels = [("upstream", "app")];
    let retries = node
        .metric("farmgate_upstream_retries_total", &labels)
        .await;
    assert!(retries >= 2.0, "{retries}");
    let before = first.seen().len();
    let mut failed = 0;
    for _ in 0..4 {
        let response = node.client().await.ask(POST).await;
        if response.status != 200 {
            failed += 1;
            assert_eq!(response.status, 502);
            assert_eq!(response.json()["detail"], "upstream_reset");
            let status = response.header("proxy-status");
            assert_eq!(status, Some("farmgate; error=connection_terminated"));
        }
    }
    assert_eq!(failed, first.seen().len() - before, "a POST is asked once");
    assert!(failed > 0);
    let lines = node.log.count("/post", 4).await;
    assert!(lines.iter().all(|line| line["attempt"] == 1), "{lines:?}");
    assert!(lines.iter().any(|line| line["reason"] == "upstream_reset"));
}

#[tokio::test]
async fn methods_of_the_policy_are_retried() {
    let (first, second) = (resetting().await, Origin::answering("second").await);
    let policy = "retry = { attempts = 2, on = [\"connect\", \"reset_before_response\"], methods = [\"POST\"] }";
    let node = node(first.address(), second.address(), policy).await;
    served(&node, &second, POST, 4).await;
    assert!(second.seen().iter().all(|seen| seen.body == b"body"));
    let mut failed = 0;
    for _ in 0..4 {
        failed += u32::from(node.client().await.ask(GET).await.status == 502);
    }
    assert!(failed > 0, "GET is not on the list");
}

#[tokio::test]
async fn what_the_policy_leaves_out_is_not_retried() {
    let (first, second) = (resetting().await, Origin::answering("second").await);
    let policy = "retry = { attempts = 3, on = [\"connect\"] }";
    let node = node(first.address(), second.address(), policy).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(node.client().await.ask(GET).await.status);
    }
    assert!(statuses.contains(&502), "{statuses:?}");
    node.metric_is(
        "farmgate_upstream_retries_total",
        &[("upstream", "app")],
        0.0,
    )
    .await;
}

#[tokio::test]
async fn attempts_are_counted_and_end() {
    let (first, second) = (resetting().await, resetting().await);
    for (attempts, expected) in [(1, 1), (2, 2), (5, 2)] {
        let policy = format!(
            "retry = {{ attempts = {attempts}, on = [\"connect\", \"reset_before_response\"] }}"
        );
        let node = node(first.address(), second.address(), &policy).await;
        let before = first.seen().len() + second.seen().len();
        let response = node.get("/all").await;
        assert_eq!(response.status, 502);
        let asked = first.seen().len() + second.seen().len() - before;
        let line = node.log.of("/all").await;
        assert_eq!(line["attempt"], asked);
        // Five attempts with two endpoints: an endpoint may be asked again, or not; never more.
        assert!(
            asked >= expected && asked <= attempts,
            "{attempts}: {asked}"
        );
        assert_eq!(line["reason"], "upstream_reset");
    }
}

#[tokio::test]
async fn all_endpoints_refusing_is_a_502() {
    let node = node(free_address(), free_address(), "").await;
    let response = node.get("/down").await;
    assert_eq!(response.status, 502);
    assert_eq!(
        response.header("proxy-status"),
        Some("farmgate; error=connection_refused")
    );
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json")
    );
    let line = node.log.of("/down").await;
    assert_eq!(line["reason"], "upstream_connect_refused");
    assert_eq!(line["attempt"], 2);
    assert_eq!(line["request_id"], response.json()["request_id"]);
    let labels = [("route", "any"), ("reason", "upstream_connect_refused")];
    node.metric_is("farmgate_request_errors_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn no_endpoint_to_ask_is_a_503() {
    let second = Origin::answering("second").await;
    let node = Setup::new()
        .with("origin", second.address())
        .start(super::PLAIN)
        .await;
    let address = second.address().to_string();
    node.run(&["endpoint", "app", &address, "drain"])
        .await
        .expect(0);
    let response = node.get("/nobody").await;
    assert_eq!(response.status, 503);
    assert_eq!(
        response.header("proxy-status"),
        Some("farmgate; error=destination_unavailable")
    );
    assert_eq!(
        node.log.of("/nobody").await["reason"],
        "upstream_no_endpoint"
    );
    node.run(&["endpoint", "app", &address, "enable"])
        .await
        .expect(0);
    assert_eq!(node.get("/again").await.status, 200);
}

#[tokio::test]
async fn garbage_is_a_502_and_is_not_retried() {
    let garbage: [&'static [u8]; 5] = [
        b"no http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken header line\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ];
    for bytes in garbage {
        let origin = Origin::start(move |mut peer: Peer| async move {
            if peer.request().await.is_some() {
                peer.send(bytes).await;
            }
        })
        .await;
        let node = Node::serving(origin.address(), super::PLAIN).await;
        let response = node.get("/garbage").await;
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(response.status, 502, "{shown}");
        let line = node.log.of("/garbage").await;
        assert_eq!(line["reason"], "upstream_invalid_response", "{shown}");
        assert_eq!(origin.seen().len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_cut_response_is_cut_for_the_client_too() {
    let origin = Origin::closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let node = Node::serving(origin.address(), super::PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /cut HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let head = client.head().await.expect("a head");
    assert_eq!(head.status, 200);
    let (rest, ended) = client.rest(crate::harness::SOON).await;
    assert!(
        ended && rest.len() < 10,
        "the client sees that it is not whole"
    );
    let line = node.log.of("/cut").await;
    assert_eq!(line["reason"], "upstream_body_cut");
    assert_eq!(origin.seen().len(), 1);
}
