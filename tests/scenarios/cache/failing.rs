//! A fill that dies is a visible cut for each of its readers, and is not stored.

use super::{Asked, Hand, asking, get, node, waiting};
use crate::harness::http2::Http2;
use crate::harness::{SOON, node::joined};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=600\r\n\r\n5\r\nbegin\r\n";
const LENGTH: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=600\r\n\r\nbegin";

/// How an origin ends in the middle.
#[derive(Clone, Copy, Debug)]
enum Death {
    Close,
    Reset,
}

fn die(asked: Asked, death: Death) {
    match death {
        Death::Close => drop(asked),
        Death::Reset => asked.peer.reset(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reader_sees_the_cut() {
    for head in [CHUNKED, LENGTH] {
        for death in [Death::Close, Death::Reset] {
            let mut hand = Hand::start().await;
            let node = node(&hand.origin, "").await;
            let mut leader = asking(&node, "/cut", "").await;
            let mut asked = hand.next().await;
            let mut waiter = asking(&node, "/cut", "").await;
            let mut h2 = Http2::connect(node.at("web")).await;
            let request = h2.request("GET", "/cut");
            let h2 = tokio::spawn(async move { h2.ask(request, &[], None).await });
            waiting(&node, 3).await;
            asked.peer.send(head).await;
            for client in [&mut leader, &mut waiter] {
                let head = client.head().await.expect("a head");
                assert_eq!(head.status, 200);
                assert_eq!(
                    head.header("cache-status").map(|s| s.contains("hit")),
                    Some(false)
                );
            }
            let mut late = asking(&node, "/cut", "").await;
            assert_eq!(late.head().await.expect("a head").status, 200);
            die(asked, death);
            for client in [&mut leader, &mut waiter, &mut late] {
                let (got, ended) = client.rest(SOON).await;
                let text = String::from_utf8_lossy(&got);
                assert!(ended, "{death:?}: the connection is not kept");
                assert!(
                    !text.ends_with("0\r\n\r\n"),
                    "{death:?}: a clean end: {text:?}"
                );
                assert!(got.len() < 100, "{death:?}: {text:?}");
            }
            let whole = joined(h2).await;
            let error = whole.expect_err("a body that was cut");
            assert!(error.is_reset(), "{death:?}: {error:?}");
            assert_eq!(hand.times(), 1, "{death:?}");
            // The next one asks again, and gets the whole.
            let mut next = asking(&node, "/cut", "").await;
            let again = hand.next().await;
            again
                .answer(200, "Cache-Control: max-age=600\r\n", "whole")
                .await;
            let response = next.response().await.expect("a response");
            assert_eq!(response.text(), "whole");
            assert_eq!(get(&node, "/cut", "").await.text(), "whole");
            assert_eq!(hand.times(), 2);
        }
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_an_error_for_all() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(asking(&node, "/head", "").await);
    }
    let mut asked = hand.next().await;
    waiting(&node, 4).await;
    asked.peer.send("HTTP/1.1 200 OK\r\nCache-Con").await;
    drop(asked);
    for mut client in clients {
        let response = client.response().await.expect("an answer");
        assert_eq!(response.status, 502, "{response:?}");
    }
    assert_eq!(hand.times(), 1);
}
