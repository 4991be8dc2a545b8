//! Requests at a time: of an upstream, an endpoint, a route, a tenant; and the queue.

use super::node;
use crate::harness::node::joined;
use crate::harness::{Node, Origin, Setup, eventually};

async fn waiting(node: &Node, target: &'static str) -> tokio::task::JoinHandle<(u16, String)> {
    let mut client = node.client().await;
    tokio::spawn(async move {
        let response = client.get(target).await;
        (response.status, response.text())
    })
}

async fn reached(origin: &Origin, requests: usize) {
    eventually("they reach the origin", || async {
        (origin.seen().len() == requests).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_above_the_limit_waits_and_above_the_queue_is_turned_away() {
    let (origin, go) = Origin::held("served").await;
    let words = "limits = { in_flight = 2, queue = 1, queue_timeout = \"30s\" }";
    let node = node(&[origin.address()], words).await;
    let (first, second) = (waiting(&node, "/1").await, waiting(&node, "/2").await);
    reached(&origin, 2).await;
    let third = waiting(&node, "/3").await;
    let told = || async {
        let told = super::upstream(&node).await;
        (told["limits"]["waiting"]["default"] == 1).then_some(())
    };
    eventually("it waits", told).await;
    let response = node.get("/4").await;
    assert_eq!(response.status, 503);
    assert_eq!(response.json()["detail"], "upstream_queue_full");
    assert!(response.header("retry-after").is_some());
    assert_eq!(origin.seen().len(), 2, "exactly as many as may");
    go.send_replace(true);
    for task in [first, second, third] {
        assert_eq!(joined(task).await, (200, "served".to_owned()));
    }
    let line = node.log.of("/3").await;
    assert!(line["timings_ms"]["queue"].as_f64() > Some(0.0), "{line}");
}

#[tokio::test]
async fn a_wait_ends_in_time() {
    let (origin, go) = Origin::held("served").await;
    let words = "limits = { in_flight_per_endpoint = 1, queue = 8, queue_timeout = \"100ms\" }";
    let node = node(&[origin.address()], words).await;
    let first = waiting(&node, "/1").await;
    reached(&origin, 1).await;
    let response = node.get("/2").await;
    assert_eq!(response.json()["detail"], "upstream_queue_timeout");
    go.send_replace(true);
    assert_eq!(joined(first).await.0, 200);
}

#[tokio::test]
async fn one_who_waits_for_an_endpoint_gets_its_place() {
    let (origin, go) = Origin::held("served").await;
    let words = "limits = { in_flight_per_endpoint = 1, queue = 8, queue_timeout = \"30s\" }";
    let node = node(&[origin.address()], words).await;
    let tasks = [
        waiting(&node, "/1").await,
        waiting(&node, "/2").await,
        waiting(&node, "/3").await,
    ];
    reached(&origin, 1).await;
    go.send_replace(true);
    for task in tasks {
        assert_eq!(joined(task).await, (200, "served".to_owned()));
    }
}

#[tokio::test]
async fn a_route_and_a_tenant_have_their_own() {
    let (origin, go) = Origin::held("served").await;
    let config = r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[route]]
name = "any"
upstream = "app"
limits = { in_flight = 3, tenant = "header:x-tenant", in_flight_per_tenant = 1 }
"#;
    let node = Setup::new()
        .with("origin", origin.address())
        .start(config)
        .await;
    let ask = |tenant: &'static str| {
        let node = &node;
        #[expect(
            clippy::async_yields_async,
            reason = "the request goes on while others are made"
        )]
        async move {
            let mut client = node.client().await;
            tokio::spawn(async move {
                client
                    .get_with("/", &format!("X-Tenant: {tenant}\r\n"))
                    .await
                    .status
            })
        }
    };
    let (a, b) = (ask("a").await, ask("b").await);
    reached(&origin, 2).await;
    let again = node.client().await.get_with("/", "X-Tenant: a\r\n").await;
    assert_eq!(
        (again.status, again.json()["detail"].as_str()),
        (503, Some("tenant_limit"))
    );
    let c = ask("c").await;
    reached(&origin, 3).await;
    let more = node.client().await.get_with("/", "X-Tenant: d\r\n").await;
    assert_eq!(
        (more.status, more.json()["detail"].as_str()),
        (503, Some("route_limit"))
    );
    go.send_replace(true);
    for task in [a, b, c] {
        assert_eq!(joined(task).await, 200);
    }
    assert_eq!(node.get("/").await.status, 200, "the places are free again");
}
