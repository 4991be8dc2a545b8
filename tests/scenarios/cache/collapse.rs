//! One fetch per key: who wants what is just being fetched reads it while it comes.

use std::time::{Duration, Instant};

use super::{Asked, Hand, asking, get, is_hit, node, status, waiting};
use crate::harness::{Node, node::joined, soon};

const KEEP: &str = "Cache-Control: max-age=600\r\n";

/// Between a head at the origin's socket and the first byte of the body at each client. The aim is 50 ms on a quiet
/// machine; a machine of tests runs several nodes on two cores, and a debug build. That the waiters stream at all is
/// not a matter of this bound: the origin sends the rest only after all have read the beginning.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// Sends a chunked head and the beginning of the body.
async fn begin(asked: &mut Asked, fields: &str, piece: &str) {
    let size = piece.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{size:x}\r\n{piece}\r\n"
    );
    asked.peer.send(head).await;
}

async fn end(mut asked: Asked, piece: &str) {
    let size = piece.len();
    let rest = format!("{size:x}\r\n{piece}\r\n0\r\n\r\n");
    asked.peer.send(rest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_five_clients_cost_one_fetch_and_stream() {
    let mut hand = Hand::start().await;
    let mut node = node(&hand.origin, "").await;
    let mut clients = Vec::new();
    for _ in 0..25 {
        clients.push(asking(&node, "/slow", "").await);
    }
    let mut asked = hand.next().await;
    waiting(&node, 25).await;
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let head = client.head().await.expect("a head");
                let first = client.chunk().await.expect("a body").expect("a piece");
                (client, head, first, Instant::now())
            })
        })
        .collect();
    let sent = Instant::now();
    begin(&mut asked, KEEP, "begin").await;
    let mut clients = Vec::new();
    let mut collapsed = 0;
    for reader in readers {
        let (client, head, first, at) = joined(reader).await;
        assert_eq!((head.status, first), (200, b"begin".to_vec()));
        let took = at.saturating_duration_since(sent);
        assert!(took <= FIRST_BYTE, "the first byte came after {took:?}");
        collapsed += usize::from(status(&head).contains("; collapsed"));
        clients.push(client);
    }
    assert_eq!(collapsed, 24, "all but the first waited");
    // One that comes late reads what is there, and then with the others.
    let mut late = asking(&node, "/slow", "").await;
    let head = late.head().await.expect("a head");
    assert_eq!(head.status, 200);
    assert_eq!(late.chunk().await, Some(Some(b"begin".to_vec())));
    clients.push(late);
    end(asked, " and end").await;
    for mut client in clients {
        assert_eq!(client.chunk().await, Some(Some(b" and end".to_vec())));
        assert_eq!(client.chunk().await, Some(None));
    }
    assert_eq!(hand.times(), 1);
    let hit = get(&node, "/slow", "").await;
    assert!(is_hit(&hit), "{hit:?}");
    assert_eq!(hit.text(), "begin and end");
    node.stop().await;
}

#[tokio::test]
async fn a_first_client_that_leaves_harms_nobody() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    // Before the head.
    let first = asking(&node, "/head", "").await;
    let asked = hand.next().await;
    let mut second = asking(&node, "/head", "").await;
    waiting(&node, 2).await;
    drop(first);
    asked.answer(200, KEEP, "whole").await;
    let response = second.response().await.expect("a response");
    assert_eq!(response.text(), "whole");
    assert!(status(&response).contains("collapsed"), "{response:?}");
    // In the middle of the body.
    let mut first = asking(&node, "/body", "").await;
    let mut asked = hand.next().await;
    let mut second = asking(&node, "/body", "").await;
    waiting(&node, 2).await;
    begin(&mut asked, KEEP, "begin").await;
    assert!(first.head().await.is_some());
    assert!(second.head().await.is_some());
    drop(first);
    assert_eq!(second.chunk().await, Some(Some(b"begin".to_vec())));
    end(asked, "end").await;
    assert_eq!(second.chunk().await, Some(Some(b"end".to_vec())));
    assert_eq!(second.chunk().await, Some(None));
    assert_eq!(hand.times(), 2);
    for target in ["/head", "/body"] {
        assert!(is_hit(&get(&node, target, "").await), "{target}");
    }
}

/// Asserts that this many requests are at the origin at once, and answers them.
async fn all_at_once(hand: &mut Hand, requests: usize, fields: &str) {
    let mut there = Vec::new();
    for _ in 0..requests {
        there.push(hand.next().await);
    }
    for asked in there {
        asked.answer(200, fields, "private").await;
    }
}

async fn answered(clients: Vec<crate::harness::Client>) -> Vec<String> {
    let mut seen = Vec::new();
    for mut client in clients {
        let response = client.response().await.expect("a response");
        assert_eq!(response.text(), "private");
        seen.push(status(&response).to_owned());
    }
    seen
}

async fn several(node: &Node, target: &str, clients: usize) -> Vec<crate::harness::Client> {
    let mut asking_now = Vec::new();
    for _ in 0..clients {
        asking_now.push(asking(node, target, "").await);
    }
    asking_now
}

#[tokio::test]
async fn what_is_not_stored_queues_nobody_twice() {
    const NEVER: &str = "Cache-Control: no-store\r\n";
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let clients = several(&node, "/private", 6).await;
    let first = hand.next().await;
    waiting(&node, 6).await;
    hand.idle();
    first.answer(200, NEVER, "private").await;
    // They have queued once. Now each has a request of its own, all under way together.
    all_at_once(&mut hand, 5, NEVER).await;
    let said = answered(clients).await;
    let queued = said.iter().filter(|said| said.contains("unshared"));
    assert_eq!(queued.count(), 5, "{said:?}");
    // Who comes later does not queue at all.
    let clients = several(&node, "/private", 6).await;
    all_at_once(&mut hand, 6, NEVER).await;
    let said = answered(clients).await;
    assert!(
        said.iter().all(|said| said.contains("detail=no-store")),
        "{said:?}"
    );
    assert_eq!(hand.times(), 12);
    // Once it may be stored again, the answer after that is.
    let client = several(&node, "/private", 1).await;
    all_at_once(&mut hand, 1, KEEP).await;
    answered(client).await;
    let client = several(&node, "/private", 1).await;
    all_at_once(&mut hand, 1, KEEP).await;
    answered(client).await;
    assert!(is_hit(&get(&node, "/private", "").await));
}

#[tokio::test]
async fn who_waited_long_enough_asks_for_itself() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "lock = { wait = \"200ms\" }").await;
    let mut first = asking(&node, "/stuck", "").await;
    let stuck = hand.next().await;
    let begun = Instant::now();
    let mut second = asking(&node, "/stuck", "").await;
    let own = hand.next().await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    own.answer(200, KEEP, "own").await;
    let response = second.response().await.expect("a response");
    assert_eq!(response.text(), "own");
    assert!(status(&response).contains("lock-timeout"), "{response:?}");
    stuck.answer(200, KEEP, "first").await;
    assert_eq!(first.response().await.expect("one").text(), "first");
    assert_eq!(hand.times(), 2);
}

#[tokio::test]
async fn an_origin_that_fails_fails_once_for_all() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let clients = several(&node, "/broken", 8).await;
    let asked = hand.next().await;
    waiting(&node, 8).await;
    asked.peer.reset();
    let mut reasons = Vec::new();
    for mut client in clients {
        let response = soon("an answer", client.response()).await.expect("one");
        assert_eq!(response.status, 502, "{response:?}");
        reasons.push(response.json()["detail"].clone());
    }
    assert!(
        reasons.iter().all(|reason| reason == "upstream_reset"),
        "{reasons:?}"
    );
    assert_eq!(hand.times(), 1);
    hand.idle();
    // An error is not remembered.
    let mut next = asking(&node, "/broken", "").await;
    hand.next().await.answer(200, KEEP, "well").await;
    assert_eq!(next.response().await.expect("one").text(), "well");
}

#[tokio::test]
async fn one_that_may_not_share_does_not_wait() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut first = asking(&node, "/shared", "").await;
    let leading = hand.next().await;
    let mut known = asking(&node, "/shared", "Authorization: Basic YTpi\r\n").await;
    let mut reload = asking(&node, "/shared", "Cache-Control: no-store\r\n").await;
    // Both are there although the first one is not answered.
    for _ in 0..2 {
        hand.next().await.answer(200, KEEP, "own").await;
    }
    assert_eq!(known.response().await.expect("one").text(), "own");
    assert_eq!(reload.response().await.expect("one").text(), "own");
    leading.answer(200, KEEP, "all").await;
    assert_eq!(first.response().await.expect("one").text(), "all");
    assert_eq!(get(&node, "/shared", "").await.text(), "all");
}
