//! Upgraded connections.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::PLAIN;
use crate::harness::{Demo, Node, Origin, Peer, about, soon};

/// Opens a WebSocket through the node.
pub(crate) async fn open(node: &Node) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(node.at("web")).await.expect("connect");
    let opened = soon("the handshake", client_async("ws://a.test/ws", stream)).await;
    opened.expect("a handshake").0
}

/// Sends a text and expects it back.
pub(crate) async fn echo(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(Message::text(text)).await.expect("send");
    let back = soon("the echo", socket.next()).await;
    let back = back.expect("a message").expect("a message");
    assert_eq!(back.into_text().expect("text").as_str(), text);
}

fn timed(times: &str) -> String {
    let word = format!("name = \"web\"\ntimeouts = {{ {times} }}");
    PLAIN.replace("name = \"web\"", &word)
}

#[tokio::test]
async fn messages_pass_both_ways_and_large_ones_too() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), PLAIN).await;
    let mut socket = open(&node).await;
    for n in 0..10 {
        echo(&mut socket, &format!("message {n}")).await;
    }
    echo(&mut socket, &"x".repeat(300_000)).await;
    let web = [("listener", "web")];
    node.metric_is("farmgate_requests_in_flight", &web, 1.0)
        .await;
    socket.close(None).await.expect("close");
    while soon("the end", socket.next()).await.is_some() {}
    let line = node.log.of("/ws").await;
    assert_eq!(line["status"], 101);
    assert_eq!(line["reason"], "ok");
    node.metric_is("farmgate_requests_in_flight", &web, 0.0)
        .await;
}

#[tokio::test]
async fn silence_ends_a_tunnel_and_traffic_keeps_it() {
    let demo = Demo::start().await;
    // The request's time ends with the head of the response and does not hold a tunnel.
    let node = Node::serving(
        demo.address(),
        &timed("upgrade_idle = \"500ms\", request = \"300ms\", body_idle = \"200ms\""),
    )
    .await;
    let mut socket = open(&node).await;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    for n in 0..6 {
        tick.tick().await;
        echo(&mut socket, &format!("{n}")).await;
    }
    let silent = Instant::now();
    while let Some(Ok(_)) = soon("the end", socket.next()).await {}
    about(silent.elapsed(), Duration::from_millis(500), "the silence");
    let line = node.log.of("/ws").await;
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&101.into(), &"upgrade_idle_timeout".into())
    );
}

#[tokio::test]
async fn age_ends_a_busy_tunnel() {
    let demo = Demo::start().await;
    let node = Node::serving(demo.address(), &timed("upgrade_max_age = \"600ms\"")).await;
    let begun = Instant::now();
    let mut socket = open(&node).await;
    while socket.send(Message::text("busy")).await.is_ok() {
        match soon("an echo or the end", socket.next()).await {
            Some(Ok(Message::Text(_))) => {}
            _ => break,
        }
    }
    about(begun.elapsed(), Duration::from_millis(600), "the age");
    let line = node.log.of("/ws").await;
    assert_eq!(line["reason"], "upgrade_max_age");
}

#[tokio::test]
async fn an_upgrade_that_the_origin_refuses_is_an_ordinary_response() {
    let origin = Origin::start(|mut peer: Peer| async move {
        while peer.request().await.is_some() {
            peer.answer(426, "", "no").await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(client.get_with("/ws", upgrade).await.status, 426);
    let seen = origin.last();
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert!(
        seen.header("connection")
            .unwrap_or_default()
            .eq_ignore_ascii_case("upgrade")
    );
    assert_eq!(
        client.get("/next").await.status,
        426,
        "the connection goes on"
    );
}

#[tokio::test]
async fn bytes_right_behind_the_handshake_are_not_lost() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.head().await;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst").await;
        peer.gone().await;
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client.send("GET /raw HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly").await;
    assert_eq!(client.head().await.expect("a head").status, 101);
    assert_eq!(client.exactly(5).await, b"first");
    crate::harness::eventually("the early bytes at the origin", || async {
        origin.bytes().ends_with(b"early").then_some(())
    })
    .await;
}

/// An origin that answers before the engine has told it that the request has no body: that end belongs
/// to the request, not to the tunnel.
#[tokio::test]
async fn a_quick_origin_does_not_end_the_tunnel() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .await;
        peer.head().await;
        let mut piece = [0; 4];
        while peer.bytes(&mut piece).await {
            peer.send(piece).await;
        }
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let upgrade = "GET /quick HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for n in 0..20 {
        let mut client = node.client().await;
        client.send(upgrade).await;
        assert_eq!(client.head().await.expect("a head").status, 101);
        for _ in 0..3 {
            assert!(client.send("ping").await);
            let back = client.take(|have| (have.len() >= 4).then_some(4)).await;
            assert_eq!(back.as_deref(), Some(&b"ping"[..]), "tunnel {n}");
        }
    }
}
