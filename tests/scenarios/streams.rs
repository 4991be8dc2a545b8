//! Bodies that pass as they come: large ones, slow ones, and both ways at once.

use std::time::Duration;

use super::PLAIN;
use crate::harness::{Demo, Node, Origin, Peer, soon};

const MIB: usize = 1024 * 1024;
/// What may lie in the buffers of one request, both directions, and what the process grows by itself.
const BOUND: u64 = 24 * MIB as u64;

fn wide() -> String {
    PLAIN.replace(
        "name = \"web\"",
        "name = \"web\"\nlimits = { body_bytes = \"200MiB\" }",
    )
}

#[tokio::test]
async fn a_large_response_passes_in_bounded_memory() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), &wide()).await;
    assert_eq!(node.get("/bytes/1000").await.status, 200);
    let before = node.resident_bytes();
    let mut client = node.client().await;
    let size = 100 * MIB;
    client
        .send(format!(
            "GET /bytes/{size} HTTP/1.1\r\nHost: a.test\r\n\r\n"
        ))
        .await;
    assert_eq!(client.head().await.expect("a head").status, 200);
    let mut peak = 0;
    for _ in 0..100 {
        client.exactly(MIB).await;
        peak = peak.max(node.resident_bytes());
    }
    assert!(peak < before + BOUND, "from {before} to {peak}");
    let line = node.log.of(&format!("/bytes/{size}")).await;
    assert_eq!(line["bytes_out"], size);
}

#[tokio::test]
async fn a_large_request_passes_in_bounded_memory() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), &wide()).await;
    assert_eq!(node.get("/bytes/1000").await.status, 200);
    let before = node.resident_bytes();
    let mut client = node.client().await;
    let size = 100 * MIB;
    client
        .send(format!(
            "POST /echo?headers=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n"
        ))
        .await;
    let block = vec![b'x'; MIB];
    let mut peak = 0;
    for _ in 0..100 {
        assert!(client.send(&block).await);
        peak = peak.max(node.resident_bytes());
    }
    let response = client.response().await.expect("a response");
    assert_eq!(response.json()["body_bytes"], size);
    assert!(peak < before + BOUND, "from {before} to {peak}");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_origin_back() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), &wide()).await;
    assert_eq!(node.get("/bytes/1000").await.status, 200);
    let before = node.resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = node.client().await;
        client
            .send(format!(
                "GET /bytes/{} HTTP/1.1\r\nHost: a.test\r\n\r\n",
                50 * MIB
            ))
            .await;
        assert_eq!(client.head().await.expect("a head").status, 200);
        clients.push(client);
    }
    // The heads are here; each stream now fills its buffers and stops.
    let growth = node.resident_bytes().saturating_sub(before);
    assert!(growth < 2 * BOUND, "{growth} bytes for 20 silent clients");
    drop(clients);
    node.metric_is("farmgate_requests_in_flight", &[("listener", "web")], 0.0)
        .await;
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    // Each event is sent only when the test has seen the one before.
    let (go, gone) = tokio::sync::mpsc::channel::<()>(1);
    let gone = std::sync::Arc::new(tokio::sync::Mutex::new(gone));
    let origin = Origin::start(move |mut peer: Peer| {
        let gone = std::sync::Arc::clone(&gone);
        async move {
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let mut number = 0;
            while gone.lock().await.recv().await.is_some() {
                let event = format!("data: {number}\n\n");
                peer.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
                number += 1;
            }
            peer.send("0\r\n\r\n").await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /sse HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let head = client
        .head()
        .await
        .expect("the head comes before any event");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    for number in 0..5 {
        go.send(()).await.expect("the origin");
        let chunk = client.chunk().await.expect("a chunk").expect("an event");
        assert_eq!(chunk, format!("data: {number}\n\n").as_bytes());
    }
    drop(go);
    assert_eq!(client.chunk().await, Some(None));
}

#[tokio::test]
async fn request_chunks_arrive_one_by_one() {
    let origin = Origin::start(|mut peer: Peer| async move {
        let head = peer.head().await.expect("a head");
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        while let Some(Some(chunk)) = peer.chunk().await {
            peer.send(format!("{:x}\r\n", chunk.len())).await;
            peer.send(&chunk).await;
            peer.send("\r\n").await;
        }
        peer.send("0\r\n\r\n").await;
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("POST /both HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.send("3\r\none\r\n").await;
    assert_eq!(client.head().await.expect("a head").status, 200);
    // The answer to each piece comes while the request goes on.
    assert_eq!(client.chunk().await, Some(Some(b"one".to_vec())));
    for piece in ["two", "three", "four"] {
        client
            .send(format!("{:x}\r\n{piece}\r\n", piece.len()))
            .await;
        assert_eq!(client.chunk().await, Some(Some(piece.as_bytes().to_vec())));
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, Some(None));
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.head().await;
        peer.answer(403, "Connection: close\r\n", "enough").await;
        peer.gone().await;
    })
    .await;
    let node = Node::serving(origin.address(), &wide()).await;
    let mut client = node.client().await;
    let size = 50 * MIB;
    client
        .send(format!(
            "POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n"
        ))
        .await;
    let (mut reader, sender) = client.split();
    let sending = tokio::spawn(sender.send_forever());
    let response = soon("the early answer", reader.response())
        .await
        .expect("an answer");
    sending.abort();
    assert_eq!(
        (response.status, response.text()),
        (403, "enough".to_owned())
    );
}

#[tokio::test]
async fn nothing_of_a_body_is_lost_when_it_comes_byte_by_byte() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut client = node.client().await;
    let request = b"POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for byte in request {
        tick.tick().await;
        client.send([*byte]).await;
    }
    assert_eq!(
        client.response().await.expect("a response").text(),
        "hello world"
    );
}

#[tokio::test]
async fn what_has_come_is_delivered_before_the_next_piece() {
    // A body with a length, in two pieces: the second is sent when the first has arrived.
    let (go, gone) = tokio::sync::watch::channel(0);
    let origin = Origin::start(move |mut peer: Peer| {
        let mut gone = gone.clone();
        async move {
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
                .await;
            let _ = gone.wait_for(|step| *step >= 1).await;
            peer.send("half").await;
            let _ = gone.wait_for(|step| *step >= 2).await;
            peer.send("half").await;
            peer.gone().await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /pieces HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("the head at once").status, 200);
    go.send(1).expect("the origin");
    assert_eq!(client.exactly(4).await, b"half");
    go.send(2).expect("the origin");
    assert_eq!(client.exactly(4).await, b"half");
}
