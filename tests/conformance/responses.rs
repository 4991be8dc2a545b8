//! Responses whose framing an origin gets wrong: the client never sees one response as two.

use crate::harness::{Node, Origin, Peer, SOON};
use crate::scenarios::PLAIN;

/// Sends these bytes for the first request of a connection and then answers `next`.
async fn origin(bytes: &'static [u8]) -> Origin {
    Origin::start(move |mut peer: Peer| async move {
        if peer.request().await.is_some() {
            peer.send(bytes).await;
        }
        while peer.request().await.is_some() {
            peer.answer(200, "", "next").await;
        }
    })
    .await
}

#[tokio::test]
async fn what_follows_a_response_is_not_the_next_one() {
    let cases: [&'static [u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ];
    for bytes in cases {
        let origin = origin(bytes).await;
        let node = Node::serving(origin.address(), PLAIN).await;
        let mut client = node.client().await;
        let first = client.get("/first").await;
        assert!(first.status < 400 && !first.text().contains("evil"));
        let second = client.get("/second").await;
        assert_ne!(second.text(), "evil", "{}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn framing_that_says_two_things_is_refused_or_made_one() {
    let cases: [&'static [u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    ];
    for bytes in cases {
        let origin = origin(bytes).await;
        let node = Node::serving(origin.address(), PLAIN).await;
        let mut client = node.client().await;
        client
            .send("GET /two HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        let head = crate::harness::soon("an answer", client.head())
            .await
            .expect("an answer");
        let both =
            head.header("content-length").is_some() && head.header("transfer-encoding").is_some();
        assert!(!both, "{}: {head:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn broken_chunks_end_the_response_visibly() {
    let origin = origin(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nZZ\r\nbroken\r\n0\r\n\r\n",
    )
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /broken HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    let (received, ended) = client.rest(SOON).await;
    assert!(ended, "the connection is not kept");
    assert!(
        !received.ends_with(b"0\r\n\r\n"),
        "the client must see that it is not whole"
    );
    let line = node.log.of("/broken").await;
    assert_ne!(line["reason"], "ok");
}
