//! What two ends could read differently: it is refused, or made to mean one thing.

use super::PLAIN;
use crate::harness::http2::Http2;
use crate::harness::{Demo, Node, Origin, Peer, Setup};

#[tokio::test]
async fn a_response_before_the_end_of_the_body_keeps_the_connection() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello")
        .await;
    let head = client.head().await.expect("a head before the body's end");
    assert_eq!(head.status, 200);
    assert_ne!(head.header("connection"), Some("close"));
    assert_eq!(client.exactly(5).await, b"hello");
    client.send("world").await;
    assert_eq!(client.exactly(5).await, b"world");
    assert_eq!(client.get("/bytes/3").await.body.len(), 3);
}

#[tokio::test]
async fn a_retry_sends_the_body_from_its_first_byte() {
    let first = Origin::start(|mut peer: Peer| async move {
        if peer.head().await.is_some() {
            peer.reset();
        }
    })
    .await;
    let second = Origin::answering("second").await;
    let setup = Setup::new()
        .with("first", first.address())
        .with("second", second.address());
    let node = setup
        .start(
            r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@first", "@second"]
[[route]]
name = "any"
upstream = "app"
"#,
        )
        .await;
    for _ in 0..4 {
        let mut client = node.client().await;
        client
            .send("PUT /put HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello")
            .await;
        // The first origin resets on the head: the next one gets what was read and what follows.
        assert!(!client.has_input().await);
        client.send("world").await;
        let response = client.response().await.expect("a response");
        if response.status == 200 {
            assert_eq!(response.text(), "second");
        } else {
            assert_eq!(response.status, 502);
        }
    }
    assert!(!second.seen().is_empty());
    assert!(second.seen().iter().all(|seen| seen.body == b"helloworld"));
}

#[tokio::test]
async fn an_interim_response_does_not_pass_for_the_response() {
    let origin = Origin::closing("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("POST /hints HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        .await;
    let response = client.response().await.expect("a final response");
    assert_eq!(response.status, 502);
    assert_eq!(node.log.of("/hints").await["status"], 502);
}

#[tokio::test]
async fn a_switch_nobody_asked_for_is_an_invalid_response() {
    let origin = Origin::raw(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nsmuggled",
    )
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let response = node.client().await.get("/switch").await;
    assert_eq!(response.status, 502);
    assert!(!response.text().contains("smuggled"));
}

#[tokio::test]
async fn only_websocket_upgrades_are_passed_on() {
    let origin = Origin::answering("plain").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    let fields =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let response = client.get_with("/up", fields).await;
    assert_eq!((response.status, response.text()), (200, "plain".into()));
    let seen = origin.only();
    for name in ["upgrade", "http2-settings"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn http_1_0_may_name_its_host_in_the_target() {
    let origin = Origin::answering("old").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    let response = client.ask("GET http://b.test/old HTTP/1.0\r\n\r\n").await;
    assert_eq!((response.status, response.text()), (200, "old".into()));
    let seen = origin.only();
    assert_eq!(seen.header("host"), Some("b.test"));
    assert_eq!(seen.target(), "/old");
}

#[tokio::test]
async fn http_1_0_is_never_sent_chunks() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /chunked/1000 HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let head = client.head().await.expect("a head");
    assert_eq!(head.header("transfer-encoding"), None);
    let whole = node.client().await.get("/bytes/1000").await.body;
    assert_eq!(client.exactly(1000).await, whole);
    client.closes_within(crate::harness::SOON).await;
}

#[tokio::test]
async fn cookie_crumbs_reach_an_http_1_origin_as_one_field() {
    let origin = Origin::answering("ok").await;
    let h2c = "address = \"@web\"\nprotocols = [\"http1\", \"h2c\"]";
    let config = PLAIN.replace("address = \"@web\"", h2c);
    let node = Node::serving(origin.address(), &config).await;
    let mut client = Http2::connect(node.at("web")).await;
    let mut request = client.request("GET", "/crumbs");
    for crumb in ["a=1", "b=2", "c=3"] {
        let value = http::HeaderValue::from_static(crumb);
        request.headers_mut().append(http::header::COOKIE, value);
    }
    let whole = client.ask(request, &[], None).await.expect("a response");
    assert_eq!(whole.head.status(), 200);
    let seen = origin.only();
    let cookies: Vec<&str> = seen
        .headers
        .iter()
        .filter(|(name, _)| name == "cookie")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

#[tokio::test]
async fn a_client_that_is_not_trusted_cannot_say_who_it_is() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    let fields = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\n";
    assert_eq!(client.get_with("/who", fields).await.status, 200);
    let seen = origin.only();
    let forged: Vec<_> = seen
        .headers
        .iter()
        .filter(|(_, value)| value.contains("10.0.0.1") || value == "evil.test" || value == "https")
        .collect();
    assert!(forged.is_empty(), "{forged:?}");
}
