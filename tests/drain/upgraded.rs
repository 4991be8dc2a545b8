//! The old process after an upgrade: it has no addresses any more, nobody is to turn away from the node, and what is
//! under way in it ends as in any drain.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{KEEPING, PATIENT, serving};
use crate::harness::{Demo, Node, Origin, SOON, eventually, soon};
use crate::scenarios::PLAIN;
use crate::scenarios::websocket::{echo, open};

/// `lb_grace` is for balancers that must turn away: here none must.
const GRACE: &str = r#"idle_grace = "9s", deadline = "60s", lb_grace = "50s""#;

/// What the process that serves knows of the old one.
async fn old(node: &Node) -> serde_json::Value {
    node.status().await["upgrade"]["draining"][0].clone()
}

#[tokio::test]
async fn who_thinks_between_two_requests_is_served_by_the_old_process() {
    let origin = Origin::answering("ok").await;
    let mut node = serving(GRACE, origin.address(), PLAIN).await;
    let mut thinking = Vec::new();
    for _ in 0..20 {
        let mut client = node.client().await;
        let answer = client.get("/before").await;
        assert_ne!(answer.header("connection"), Some("close"));
        thinking.push(client);
    }
    node.upgrade().await;
    // New connections are the new process's, and nobody tells them to go.
    assert_eq!(node.admin("/readyz").await.status, 200);
    let mut fresh = node.client().await;
    for _ in 0..2 {
        let answer = fresh.get("/new").await;
        assert_eq!(answer.status, 200);
        assert_ne!(answer.header("connection"), Some("close"));
    }
    eventually("20 connections of the old process", || async {
        (old(&node).await["connections"] == 20).then_some(())
    })
    .await;
    for client in &mut thinking {
        let answer = client.get("/after").await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
        client.closes_within(SOON).await;
    }
    let begun = Instant::now();
    assert_eq!(node.elder_exit().await, 0, "with its last connection");
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(!node.errors().contains("health checks fail"));
    let answer = fresh.get("/new").await;
    assert_ne!(answer.header("connection"), Some("close"));
    eventually("the old process forgotten", || async {
        old(&node).await.is_null().then_some(())
    })
    .await;
}

#[tokio::test]
async fn its_deadline_cuts_in_the_words_of_the_protocol() {
    let demo = Demo::start().await;
    let mut node = serving(KEEPING, demo.address(), PLAIN).await;
    let mut socket = open(&node).await;
    echo(&mut socket, "before").await;
    let mut slow = node.client().await;
    slow.send("GET /bytes/90000000 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(slow.head().await.expect("a head").status, 200);
    let old = node.process();
    node.upgrade().await;
    let last = soon("the last message", socket.next()).await;
    let Some(Ok(Message::Close(Some(close)))) = last else {
        panic!("{last:?}");
    };
    assert_eq!(close.code, CloseCode::Away);
    while soon("the end", socket.next()).await.is_some() {}
    let (rest, ended) = slow.rest(SOON).await;
    assert!(ended && rest.len() < 90_000_000, "{}", rest.len());
    assert_eq!(node.elder_exit().await, 0);
    let told = format!(
        "old process {old} has drained; 2 were cut at the end: 1 http1_response, 1 websocket"
    );
    eventually("the word of the new process", || async {
        node.errors().contains(&told).then_some(())
    })
    .await;
    // The new process is not concerned.
    let mut socket = open(&node).await;
    echo(&mut socket, "after").await;
}

/// Who stops the node stops the old process with it.
#[tokio::test]
async fn a_stop_waits_for_it_and_a_second_signal_does_not() {
    let demo = Demo::start().await;
    let mut node = serving(PATIENT, demo.address(), PLAIN).await;
    let mut socket = open(&node).await;
    let old_process = node.process();
    node.upgrade().await;
    let known = eventually("a tunnel of the old process", || async {
        let known = old(&node).await;
        (known["tunnels"] == 1).then_some(known)
    })
    .await;
    assert_eq!(
        (&known["connections"], &known["requests"]),
        (&1.into(), &0.into())
    );
    let text = node.run(&["status"]).await.expect(0).out;
    let line = format!("old process {old_process} drains: 1 connections, 0 requests, 1 tunnels, ");
    assert!(text.contains(&line), "{text}");
    node.signal("TERM");
    eventually("a closed door", || async {
        tokio::net::TcpStream::connect(node.at("web")).await.err()
    })
    .await;
    echo(&mut socket, "still served").await;
    assert_eq!(node.ended(), None);
    node.signal("TERM");
    let last = soon("the last message", socket.next()).await;
    assert!(
        matches!(&last, Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == 1001),
        "{last:?}"
    );
    while soon("the end", socket.next()).await.is_some() {}
    assert_eq!(node.elder_exit().await, 0);
    assert_eq!(node.exit().await, 0);
}

/// It has been going down since the upgrade: one signal is enough.
#[tokio::test]
async fn one_signal_ends_it() {
    let demo = Demo::start().await;
    let mut node = serving(PATIENT, demo.address(), PLAIN).await;
    let mut socket = open(&node).await;
    let old_process = node.process().to_string();
    node.upgrade().await;
    echo(&mut socket, "still served").await;
    let sent = std::process::Command::new("kill")
        .args(["-s", "TERM", &old_process])
        .status();
    assert!(sent.expect("kill").success());
    let last = soon("the last message", socket.next()).await;
    assert!(
        matches!(&last, Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == 1001),
        "{last:?}"
    );
    while soon("the end", socket.next()).await.is_some() {}
    assert_eq!(node.elder_exit().await, 0);
    assert!(node.errors().contains("a signal: stopping at once"));
    assert_eq!(node.admin("/readyz").await.status, 200);
}
