//! Answers of an HTTP/2 origin that end with trailers: their end is seen all the same.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::net::TcpListener;

use super::{ENGINE_ON, RULES, audit, config, write_rules};
use crate::harness::http2::Http2;
use crate::harness::{Node, Setup, free_address};

/// A page in two pieces and trailers; with `evil` in the target the second piece has the word.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let evil = request.uri().path().contains("evil");
                    let response = http::Response::builder()
                        .header("content-type", "text/html")
                        .header("cache-control", "max-age=60")
                        .body(())
                        .expect("a head");
                    let mut body = respond.send_response(response, false).expect("send");
                    let end = if evil { "evil-body" } else { "fine-body" };
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-sum", HeaderValue::from_static("1"));
                    // Who refuses the answer has reset the stream by then.
                    let _ = body.send_data(Bytes::from_static(b"page "), false);
                    let _ = body.send_data(Bytes::from_static(end.as_bytes()), false);
                    let _ = body.send_trailers(trailers);
                }
            });
        }
    });
    address
}

async fn node(words: &str, cache: bool) -> Node {
    let setup = Setup::new().with("origin", origin().await);
    write_rules(setup.folder(), RULES);
    let mut text = config(words).replace(
        "endpoints = [\"@origin\"]",
        "endpoints = [\"@origin\"]\nprotocol = \"h2\"",
    );
    if cache {
        text = text.replace("name = \"shop\"\n", "name = \"shop\"\ncache = \"pages\"\n");
        text.push_str("[cache]\nmemory = \"16MiB\"\n[[cache_policy]]\nname = \"pages\"\n");
    }
    setup.start(&text).await
}

#[tokio::test]
async fn what_is_held_back_is_judged() {
    for cache in [false, true] {
        let words = "engine = \"on\"\nresponse_body = { hold = true }";
        let node = node(words, cache).await;
        let fine = node.get("/fine").await;
        assert_eq!(
            (fine.status, fine.text()),
            (200, "page fine-body".to_owned())
        );
        for _ in 0..2 {
            let evil = node.get("/evil").await;
            assert_eq!(evil.status, 403, "cache: {cache}");
            assert_eq!(evil.json()["detail"], "waf_blocked");
        }
        let mut http2 = Http2::connect(node.at("web")).await;
        let fine = http2.get("/fine").await;
        assert_eq!(
            (fine.head.status().as_u16(), &fine.body[..]),
            (200, &b"page fine-body"[..])
        );
        let request = http2.request("GET", "/evil");
        let evil = http2.ask(request, &[], None).await.expect("an answer");
        assert_eq!(evil.head.status(), 403);
        assert_eq!(audit(&node, 3).await[0]["verdict"], "blocked");
    }
}

#[tokio::test]
async fn a_late_match_cuts_or_replaces_the_answer() {
    let node = node(ENGINE_ON, false).await;
    let mut http2 = Http2::connect(node.at("web")).await;
    let fine = http2.get("/fine").await;
    assert_eq!(&fine.body[..], b"page fine-body");
    assert_eq!(fine.trailers.expect("trailers")["x-sum"], "1");
    let request = http2.request("GET", "/evil");
    // What has not left by then is replaced.
    match http2.ask(request, &[], None).await {
        Ok(evil) => assert_eq!(evil.head.status(), 403),
        Err(error) => assert!(error.is_reset(), "{error}"),
    }
    assert_eq!(audit(&node, 1).await[0]["rules"][0]["id"], 6);
}
