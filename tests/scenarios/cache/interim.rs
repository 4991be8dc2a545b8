//! Interim responses (RFC 9110 section 15.2) of a response that is being stored.

use super::{Hand, asking, get, is_hit, node, waiting};
use crate::harness::http2::Http2;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
const FINAL: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\npage";

#[tokio::test]
async fn hints_reach_the_client_of_a_miss_and_are_not_stored() {
    for together in [true, false] {
        let mut hand = Hand::start().await;
        let node = node(&hand.origin, "").await;
        let mut client = asking(&node, "/page", "").await;
        let mut asked = hand.next().await;
        if together {
            asked.peer.send(format!("{HINTS}{FINAL}")).await;
        } else {
            asked.peer.send(HINTS).await;
        }
        let hints = client.head().await.expect("hints");
        assert_eq!(hints.status, 103, "together: {together}");
        assert_eq!(hints.header("link"), Some("</a.css>; rel=preload"));
        if !together {
            asked.peer.send(FINAL).await;
        }
        let response = client.head().await.expect("the final head");
        assert_eq!((response.status, response.header("link")), (200, None));
        assert_eq!(client.exactly(4).await, b"page");
        // From the store: the final response alone.
        let mut again = asking(&node, "/page", "").await;
        let head = again.head().await.expect("a head");
        assert_eq!((head.status, head.header("link")), (200, None));
        assert!(is_hit(&head), "{head:?}");
        assert_eq!(hand.times(), 1);
    }
}

#[tokio::test]
async fn hints_of_what_is_not_stored_pass_too_and_http10_gets_none() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut client = asking(&node, "/passed", "").await;
    let mut asked = hand.next().await;
    let passed = FINAL.replace("max-age=600", "no-store");
    asked.peer.send(format!("{HINTS}{passed}")).await;
    assert_eq!(client.head().await.expect("hints").status, 103);
    assert_eq!(client.head().await.expect("the final head").status, 200);
    let mut old = node.client().await;
    old.send("GET /old HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let mut asked = hand.next().await;
    asked.peer.send(format!("{HINTS}{FINAL}")).await;
    assert_eq!(old.head().await.expect("a head").status, 200);
}

#[tokio::test]
async fn hints_are_for_the_one_who_asked() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut first = asking(&node, "/page", "").await;
    let mut asked = hand.next().await;
    let mut second = asking(&node, "/page", "").await;
    waiting(&node, 2).await;
    asked.peer.send(format!("{HINTS}{HINTS}{FINAL}")).await;
    for status in [103, 103, 200] {
        assert_eq!(first.head().await.expect("a head").status, status);
    }
    assert_eq!(second.head().await.expect("a head").status, 200);
    let mut h2 = Http2::connect(node.at("web")).await;
    assert_eq!(h2.get("/page").await.body, b"page");
    assert_eq!(get(&node, "/page", "").await.text(), "page");
    assert_eq!(hand.times(), 1);
}
