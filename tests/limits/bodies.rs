//! Request bodies: how large, how slow.

use std::time::{Duration, Instant};

use super::config;
use crate::harness::{Client, Node, Origin, SOON, Setup, about};

async fn node(words: &str) -> (Node, Origin) {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    (setup.start(&config(words)).await, origin)
}

const SMALL: &str = "limits = { body_bytes = \"1KiB\" }";

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_at_once() {
    let (node, origin) = node(SMALL).await;
    let mut client = node.client().await;
    // Not a byte of the body is sent.
    client
        .send("POST /declared HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1025\r\n\r\n")
        .await;
    let response = client.response().await.expect("an answer");
    assert_eq!(response.status, 413);
    assert_eq!(response.json()["detail"], "body_too_large");
    client.closes_within(SOON).await;
    assert_eq!(node.log.of("/declared").await["reason"], "body_too_large");
    assert!(origin.seen().is_empty());
    assert_eq!(
        node.client()
            .await
            .post("/fits", &"x".repeat(1024))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_chunked_body_is_cut_at_the_limit() {
    let (node, origin) = node(SMALL).await;
    let mut client = node.client().await;
    client
        .send("POST /chunked HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..5 {
        client.send(format!("100\r\n{}\r\n", "x".repeat(256))).await;
    }
    let response = client.response().await.expect("an answer");
    assert_eq!(response.status, 413);
    let line = node.log.of("/chunked").await;
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"body_too_large".into(), &413.into())
    );
    client.closes_within(SOON).await;
    assert!(origin.seen().is_empty(), "the origin never sees it whole");
    let fits = format!(
        "POST /fits HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n{}\r\n0\r\n\r\n",
        "x".repeat(1024)
    );
    assert_eq!(node.client().await.ask(&fits).await.status, 200);
}

#[tokio::test]
async fn a_route_narrows_and_widens_the_limit() {
    let words = config(SMALL).replace(
        "[[route]]",
        "[[route]]\nname = \"wide\"\npaths = [\"/wide\"]\nlimits = { body_bytes = \"4KiB\" }\nupstream = \"app\"\n\n[[route]]\nname = \"none\"\npaths = [\"/none\"]\nlimits = { body_bytes = \"0B\" }\nupstream = \"app\"\n\n[[route]]",
    );
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    let node = setup.start(&words).await;
    let body = "x".repeat(4096);
    assert_eq!(node.client().await.post("/wide", &body).await.status, 200);
    assert_eq!(node.client().await.post("/other", &body).await.status, 413);
    assert_eq!(node.client().await.post("/none", "x").await.status, 413);
    assert_eq!(node.get("/none").await.status, 200);
}

#[tokio::test]
async fn a_body_that_pauses_too_long_is_a_408() {
    let (node, origin) = node("timeouts = { body_idle = \"400ms\" }").await;
    for (target, head) in [
        ("/length", "Content-Length: 10\r\n\r\nhalf"),
        ("/chunks", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ] {
        let mut client = node.client().await;
        let begun = Instant::now();
        client
            .send(format!("POST {target} HTTP/1.1\r\nHost: a.test\r\n{head}"))
            .await;
        let response = client.response().await.expect("an answer");
        about(begun.elapsed(), Duration::from_millis(400), "the pause");
        assert_eq!(response.status, 408, "{target}");
        let line = node.log.of(target).await;
        assert_eq!(
            (&line["reason"], &line["status"]),
            (&"body_timeout".into(), &408.into())
        );
        client.closes_within(SOON).await;
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_body_that_only_drips_is_a_408() {
    let words =
        "timeouts = { body_idle = \"300ms\" }\nmin_body_rate = { rate = \"1KiB\", per = \"1s\" }";
    let (node, origin) = node(words).await;
    let mut client = node.client().await;
    client
        .send("POST /drip HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n")
        .await;
    let begun = Instant::now();
    // Twenty bytes a second never pause for 300 ms.
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !client.has_input().await {
        tick.tick().await;
        assert!(begun.elapsed() < Duration::from_secs(3), "never refused");
        if !client.send("x").await {
            break;
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let response = client.response().await.expect("an answer");
    assert_eq!(response.status, 408);
    assert_eq!(node.log.of("/drip").await["reason"], "body_rate_too_low");
    assert!(origin.seen().is_empty());
    // A quick body of any size passes.
    assert_eq!(
        node.client()
            .await
            .post("/quick", &"x".repeat(100_000))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_client_that_leaves_in_its_body_is_logged() {
    let (node, origin) = node("").await;
    let mut client: Client = node.client().await;
    client
        .send("POST /left HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    drop(client);
    let line = node.log.of("/left").await;
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"client_closed".into(), &499.into())
    );
    assert!(origin.seen().is_empty());
}
