//! Connections that carry many requests, on both sides.

use std::time::Duration;

use super::PLAIN;
use crate::harness::{Node, Origin, SOON, eventually};

#[tokio::test]
async fn one_connection_on_each_side_carries_many_requests() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    for n in 0..50 {
        assert_eq!(client.get(&format!("/{n}")).await.status, 200);
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.seen().len(), 50);
    let web = [("listener", "web")];
    node.metric_is("farmgate_keepalive_requests_total", &web, 49.0)
        .await;
    node.metric_is("farmgate_connections_total", &web, 1.0)
        .await;
    node.metric_is("farmgate_connections_open", &web, 1.0).await;
    let reused = [("upstream", "app"), ("reused", "true")];
    node.metric_is("farmgate_upstream_requests_total", &reused, 49.0)
        .await;
    let app = [("upstream", "app")];
    node.metric_is("farmgate_upstream_connections_opened_total", &app, 1.0)
        .await;
    node.metric_is("farmgate_upstream_connections_open", &app, 1.0)
        .await;
    drop(client);
    node.metric_is("farmgate_connections_open", &web, 0.0).await;
    node.metric_is("farmgate_requests_in_flight", &web, 0.0)
        .await;
    node.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|mut peer| async move {
        while let Some(seen) = peer.request().await {
            let target = seen.target().to_owned();
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            peer.answer(200, "", &format!("{target}{body}")).await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    let mut all = String::new();
    for n in 0..20 {
        all += &match n % 3 {
            0 => format!("GET /{n} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n+l"),
            _ => format!(
                "POST /{n} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n+\r\n1\r\nc\r\n0\r\n\r\n"
            ),
        };
    }
    client.send(all).await;
    for n in 0..20 {
        let tail = ["", "+l", "+c"][n % 3];
        let response = client.response().await.expect("a response");
        assert_eq!(response.text(), format!("/{n}{tail}"));
    }
    assert_eq!(origin.seen().len(), 20);
}

#[tokio::test]
async fn close_is_honoured() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    let response = client.get_with("/", "Connection: close\r\n").await;
    assert_eq!(response.status, 200);
    client.closes_within(SOON).await;
    // HTTP/1.0 without keep-alive too; a body after it is nobody's request.
    let mut client = node.client().await;
    client
        .send("GET /old HTTP/1.0\r\n\r\nGET /never HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(client.response().await.expect("a response").status, 200);
    client.closes_within(SOON).await;
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_silence() {
    let origin = Origin::answering("ok").await;
    let config = PLAIN.replace(
        "name = \"web\"",
        "name = \"web\"\ntimeouts = { keepalive = \"300ms\" }",
    );
    let node = Node::serving(origin.address(), &config).await;
    let mut client = node.client().await;
    client.get("/").await;
    let took = client.closes_within(SOON).await;
    crate::harness::about(took, Duration::from_millis(300), "the idle connection");
}

#[tokio::test]
async fn a_pooled_connection_that_the_origin_closed_is_replaced() {
    // Every connection serves one request, says nothing of closing, and closes.
    let origin = Origin::start(|mut peer| async move {
        if peer.request().await.is_some() {
            peer.answer(200, "", "ok").await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    for n in 0..20 {
        assert_eq!(
            client.get(&format!("/{n}")).await.status,
            200,
            "request {n}"
        );
        assert_eq!(
            client.post(&format!("/post/{n}"), "body").await.status,
            200,
            "post {n}"
        );
    }
    assert_eq!(origin.seen().len(), 40);
    let app = [("upstream", "app")];
    node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
        .await;
}

#[tokio::test]
async fn the_pool_holds_no_more_than_it_may() {
    let origin = Origin::answering("ok").await;
    let config = format!("{PLAIN}pool = {{ idle = 2, idle_timeout = \"400ms\" }}\n");
    let node = Node::serving(origin.address(), &config).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(node.client().await);
    }
    for client in &mut clients {
        client
            .send("GET /many HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
    }
    for client in &mut clients {
        assert_eq!(client.response().await.expect("a response").status, 200);
    }
    let app = [("upstream", "app")];
    eventually("a pool of at most two", || async {
        let open = node
            .metric("farmgate_upstream_connections_open", &app)
            .await;
        (open <= 2.0).then_some(())
    })
    .await;
    node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
        .await;
}

#[tokio::test]
async fn connections_retire_by_requests() {
    let origin = Origin::answering("ok").await;
    let config = format!("{PLAIN}pool = {{ max_requests = 5 }}\n");
    let node = Node::serving(origin.address(), &config).await;
    let mut client = node.client().await;
    for n in 0..20 {
        assert_eq!(client.get(&format!("/{n}")).await.status, 200);
    }
    assert_eq!(origin.connections(), 4);
}
