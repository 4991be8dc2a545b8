//! Statuses, methods and body forms that need care in the middle.

use super::PLAIN;
use crate::harness::{Demo, Node, Origin};

#[tokio::test]
async fn bodies_pass_by_length_and_in_chunks() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    for size in [0, 1, 1000, 65_536, 65_537, 1_000_000] {
        let sized = client.get(&format!("/bytes/{size}")).await;
        let length = size.to_string();
        assert_eq!(sized.header("content-length"), Some(length.as_str()));
        let chunked = client.get(&format!("/chunked/{size}")).await;
        assert_eq!(chunked.header("content-length"), None);
        assert_eq!(sized.body.len(), size);
        assert!(sized.body == chunked.body, "{size} bytes");
        let body = "x".repeat(size);
        assert_eq!(client.post("/echo", &body).await.text(), body);
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            match size {
                0 => String::new(),
                n => format!("{n:x}\r\n{body}\r\n"),
            }
        );
        assert!(
            client.ask(&request).await.text() == body,
            "{size} bytes in a chunk"
        );
    }
    let line = node.log.of("/bytes/65537").await;
    assert_eq!(line["bytes_out"], 65_537);
    let posts = node.log.count("/echo", 12).await;
    assert!(posts.iter().any(|line| line["bytes_in"] == 1_000_000));
}

#[tokio::test]
async fn responses_without_bodies_do_not_stall() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    assert_eq!(client.get("/status/204").await.status, 204);
    assert_eq!(client.get("/status/304").await.status, 304);
    let head = client
        .ask("HEAD /bytes/100 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("100"))
    );
    let head = client
        .ask("HEAD /chunked/100 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(head.status, 200);
    // The connection is still in step.
    assert_eq!(client.get("/bytes/3").await.body.len(), 3);
    assert_eq!(node.log.of("/status/204").await["bytes_out"], 0);
}

#[tokio::test]
async fn every_status_of_the_origin_passes() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    for status in [200, 201, 301, 400, 404, 429, 500, 502, 503, 599] {
        let target = format!("/status/{status}");
        assert_eq!(client.get(&target).await.status, status);
        let line = node.log.of(&target).await;
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&status.into(), &"ok".into())
        );
    }
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    for n in 0..3 {
        let mut client = node.client().await;
        client
            .send("POST /echo?headers=1 HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await;
        let head = client.head().await.expect("an interim response");
        assert_eq!(head.status, 100, "request {n}");
        client.send("hello").await;
        let response = client.response().await.expect("a response");
        assert_eq!(
            (response.status, &response.json()["body_bytes"]),
            (200, &5.into())
        );
    }
}

#[tokio::test]
async fn an_origin_may_answer_before_it_asks_for_the_body() {
    // The demo origin's echo sends its head, with a length, before it reads anything.
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("POST /echo HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let head = client.head().await.expect("a head");
    assert!(matches!(head.status, 100 | 200), "{}", head.status);
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
}

#[tokio::test]
async fn expect_continue_may_be_refused_without_the_body() {
    let origin = Origin::start(|mut peer| async move {
        if peer.head().await.is_some() {
            peer.answer(417, "Connection: close\r\n", "no").await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("POST /no HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let response = client.response().await.expect("a response");
    assert_eq!(response.status, 417);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    let response = client
        .get_with("/trailers", "TE: trailers\r\nConnection: TE\r\n")
        .await;
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), "trailers follow\n");
    // The connection is in step whether or not trailers were passed on.
    assert_eq!(client.get("/bytes/3").await.body.len(), 3);
}

#[tokio::test]
async fn interim_responses_pass_to_a_client_that_knows_them() {
    let origin = Origin::start(|mut peer| async move {
        while peer.request().await.is_some() {
            peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
                .await;
            peer.answer(200, "", "ok").await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    for _ in 0..3 {
        let response = client.get("/hints").await;
        assert_eq!((response.status, response.text()), (200, "ok".to_owned()));
    }
    assert_eq!(node.log.of("/hints").await["status"], 200);
}

#[tokio::test]
async fn a_response_until_close_is_delivered_whole() {
    let origin = Origin::start(|mut peer| async move {
        if peer.request().await.is_some() {
            peer.send("HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    for _ in 0..2 {
        let response = node.get("/close").await;
        assert_eq!(
            (response.status, response.text()),
            (200, "until the end".to_owned())
        );
    }
}

#[tokio::test]
async fn health_is_answered_before_routing() {
    let origin = Origin::answering("ok").await;
    let config = PLAIN.replace(
        "name = \"web\"",
        "name = \"web\"\nhealth_path = \"/farmgate/ready\"",
    );
    let node = Node::serving(origin.address(), &config).await;
    let response = node.get("/farmgate/ready").await;
    assert_eq!(
        (response.status, response.text()),
        (200, "ready\n".to_owned())
    );
    assert!(origin.seen().is_empty());
    assert_eq!(node.get("/farmgate/ready2").await.text(), "ok");
}
