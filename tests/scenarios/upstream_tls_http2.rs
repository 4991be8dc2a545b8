//! HTTP/2 to endpoints by ALPN: many requests on few connections, gRPC end to end, `auto`.

use bytes::Bytes;

use super::grpc;
use super::upstream_tls::{config, failing, issued, node};
use super::websocket;
use crate::harness::http2::Http2;
use crate::harness::tls_origin::{Front, Rules};
use crate::harness::{Demo, Node, node::joined};

const CA: &str = "ca = \"ca.pem\"";
const H2: &[u8] = b"\x02h2";
const HTTP1: &[u8] = b"\x08http/1.1";
const BOTH: &[u8] = b"\x02h2\x08http/1.1";

fn h2c(config: &str) -> String {
    config.replace(
        "address = \"@web\"",
        "address = \"@web\"\nprotocols = [\"http1\", \"h2c\"]",
    )
}

async fn opened(node: &Node) -> f64 {
    let app = [("upstream", "app")];
    node.metric("farmgate_upstream_connections_opened_total", &app)
        .await
}

#[tokio::test]
async fn fifty_calls_at_once_share_few_connections() {
    let (authority, issued) = issued();
    let origin = grpc::origin().await;
    let front = Front::start(Rules::of(&issued).alpn(H2), origin).await;
    let config = h2c(&config("protocol = \"h2\"", CA));
    let mut node = node(&front, &authority, &config).await;
    let client = Http2::connect(node.at("web")).await;
    for round in 0..4 {
        let mut calls = Vec::new();
        for n in 0..50 {
            let mut client = client.again();
            calls.push(tokio::spawn(async move {
                let target = format!("/helloworld.Greeter/M{round}x{n}");
                let mut request = client.request("POST", &target);
                let te = "trailers".parse().expect("a value");
                request.headers_mut().insert("te", te);
                let body = [Bytes::from(format!("{n}").repeat(1000))];
                let response = client.ask(request, &body, None).await.expect("a response");
                assert!(response.body == body.concat(), "stream {n}");
                assert_eq!(response.head.headers()["x-te"], "trailers");
                assert_eq!(response.head.headers()["x-scheme"], "https");
                assert_eq!(response.trailers.expect("trailers")["grpc-status"], "0");
            }));
        }
        for call in calls {
            joined(call).await;
        }
    }
    // One, but for the moments in which a thread sees the pool without it.
    let opened = opened(&node).await;
    assert!(opened <= 4.0, "{opened} connections for 200 calls");
    assert_eq!(front.shaken() as f64, opened);
    assert!(front.spoken().iter().all(|spoken| spoken == "TLSv1.3 h2"));
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let (authority, issued) = issued();
    let origin = grpc::origin().await;
    let front = Front::start(Rules::of(&issued).alpn(H2), origin).await;
    let keys = "protocol = \"h2\"\npool = { idle_timeout = \"200ms\" }";
    let node = node(&front, &authority, &h2c(&config(keys, CA))).await;
    many(&node, "/helloworld.Greeter/One").await;
    let app = [("upstream", "app")];
    node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
        .await;
    many(&node, "/helloworld.Greeter/Two").await;
}

#[tokio::test]
async fn h2_must_be_agreed_on() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    for rules in [Rules::of(&issued), Rules::of(&issued).alpn(HTTP1)] {
        let front = Front::start(rules, demo.address()).await;
        let node = node(&front, &authority, &config("protocol = \"h2\"", CA)).await;
        let (status, reason) = failing(&node, "/bytes/1").await;
        assert_eq!((status, &*reason), (502, "upstream_protocol"));
        assert!(
            node.errors()
                .contains("does not speak the configured protocol")
        );
    }
    // And the other way round.
    let front = Front::start(Rules::of(&issued).alpn(H2), demo.address()).await;
    let node = node(&front, &authority, &config("", CA)).await;
    let (status, reason) = failing(&node, "/bytes/1").await;
    assert_eq!((status, &*reason), (502, "upstream_protocol"));
}

#[tokio::test]
async fn auto_speaks_what_the_endpoint_speaks() {
    let (authority, issued) = issued();
    let auto = h2c(&config("protocol = \"auto\"", CA));
    let grpc_origin = grpc::origin().await;
    let front = Front::start(Rules::of(&issued).alpn(BOTH), grpc_origin).await;
    let h2 = node(&front, &authority, &auto).await;
    many(&h2, "/helloworld.Greeter/One").await;
    assert!(front.spoken().iter().all(|spoken| spoken == "TLSv1.3 h2"));
    assert!(opened(&h2).await <= 4.0, "{}", opened(&h2).await);

    let demo = Demo::start().await;
    for rules in [Rules::of(&issued), Rules::of(&issued).alpn(HTTP1)] {
        let front = Front::start(rules, demo.address()).await;
        let http1 = node(&front, &authority, &auto).await;
        many(&http1, "/bytes/10").await;
        assert!(!front.spoken().iter().any(|spoken| spoken.ends_with("h2")));
        let before = front.shaken();
        let mut client = http1.client().await;
        for _ in 0..5 {
            assert_eq!(client.get("/bytes/10").await.status, 200);
        }
        assert_eq!(front.shaken(), before, "idle connections are used again");
        let mut socket = websocket::open(&http1).await;
        websocket::echo(&mut socket, "hello").await;
    }
}

/// Forty requests at once.
async fn many(node: &Node, target: &'static str) {
    let client = Http2::connect(node.at("web")).await;
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let mut client = client.again();
            tokio::spawn(async move { client.get(target).await.head.status() })
        })
        .collect();
    for call in calls {
        assert_eq!(joined(call).await, 200);
    }
}

#[tokio::test]
async fn an_endpoint_may_change_its_mind() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    let grpc_origin = grpc::origin().await;
    let auto = h2c(&config("protocol = \"auto\"", CA));
    let first = Front::start(Rules::of(&issued).alpn(BOTH), grpc_origin).await;
    let address = first.address();
    let node = node(&first, &authority, &auto).await;
    many(&node, "/helloworld.Greeter/One").await;
    drop(first);
    let second = crate::harness::eventually("the port", || async {
        let free = std::net::TcpListener::bind(address).ok();
        free.map(drop)
    });
    second.await;
    let second = Front::start_at(address, Rules::of(&issued).alpn(HTTP1), demo.address()).await;
    node.metric_is(
        "farmgate_upstream_connections_open",
        &[("upstream", "app")],
        0.0,
    )
    .await;
    many(&node, "/bytes/3").await;
    assert!(
        second
            .spoken()
            .iter()
            .all(|spoken| spoken == "TLSv1.3 http/1.1")
    );
}
