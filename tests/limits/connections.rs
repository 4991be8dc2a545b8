//! How many connections, and how fast.

use super::config;
use crate::harness::{Client, Node, Origin, Setup};

async fn node(words: &str) -> (Node, Origin) {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    (setup.start(&config(words)).await, origin)
}

async fn open(node: &Node, from: &str) -> Option<Client> {
    let mut client = Client::connect_from(node.at("web"), from).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    client.response().await.map(|_| client)
}

#[tokio::test]
async fn per_listener() {
    let (node, _origin) = node("limits = { connections = 3 }").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(open(&node, "127.0.0.1").await.expect("a place"));
    }
    assert!(open(&node, "127.0.0.1").await.is_none());
    let labels = [("listener", "web"), ("reason", "limit_connections")];
    node.metric_is("farmgate_connections_rejected_total", &labels, 1.0)
        .await;
    held.pop();
    node.metric_is("farmgate_connections_open", &[("listener", "web")], 2.0)
        .await;
    assert!(
        open(&node, "127.0.0.1").await.is_some(),
        "a place is free again"
    );
}

#[tokio::test]
async fn per_address() {
    let (node, _origin) = node("limits = { connections_per_ip = 2 }").await;
    let _one = open(&node, "127.0.0.1").await.expect("a place");
    let _two = open(&node, "127.0.0.1").await.expect("a place");
    assert!(open(&node, "127.0.0.1").await.is_none());
    assert!(open(&node, "127.0.0.2").await.is_some(), "another address");
    let labels = [("listener", "web"), ("reason", "limit_connections_per_ip")];
    node.metric_is("farmgate_connections_rejected_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn trusted_proxies_are_not_counted() {
    let words = "limits = { connections_per_ip = 1 }\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let (node, _origin) = node(words).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(open(&node, "127.0.0.1").await.expect("a place"));
    }
    let _other = open(&node, "127.0.0.2").await.expect("a place");
    assert!(open(&node, "127.0.0.2").await.is_none());
}

#[tokio::test]
async fn per_time() {
    let words = "limits = { connection_rate = { rate = 3, per = \"1h\" } }";
    let (node, _origin) = node(words).await;
    for _ in 0..3 {
        assert!(open(&node, "127.0.0.1").await.is_some());
    }
    assert!(open(&node, "127.0.0.1").await.is_none());
    let labels = [("listener", "web"), ("reason", "connection_rate")];
    node.metric_is("farmgate_connections_rejected_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn per_time_and_address() {
    let words = "limits = { connection_rate_per_ip = { rate = 2, per = \"1h\" } }";
    let (node, _origin) = node(words).await;
    for _ in 0..2 {
        assert!(open(&node, "127.0.0.1").await.is_some());
    }
    assert!(open(&node, "127.0.0.1").await.is_none());
    assert!(open(&node, "127.0.0.2").await.is_some());
}
