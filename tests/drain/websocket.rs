//! WebSockets at the deadline: 1001 where a frame of ours can stand, an end without a word where it cannot.

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{QUICK, drain, serving};
use crate::harness::{Client, Demo, Node, Origin, Peer, SOON, eventually, soon};
use crate::scenarios::PLAIN;
use crate::scenarios::websocket::{echo, open};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A raw client behind a handshake with this node.
async fn raw(node: &Node) -> Client {
    let mut client = node.client().await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.expect("a head").status, 101);
    client
}

#[tokio::test]
async fn a_client_is_told_that_the_server_goes_away() {
    let demo = Demo::start().await;
    let mut node = serving(QUICK, demo.address(), PLAIN).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(open(&node).await);
    }
    for socket in &mut sockets {
        echo(socket, "before").await;
    }
    let draining = drain(&node);
    for socket in &mut sockets {
        echo(socket, "served while draining").await;
    }
    for socket in &mut sockets {
        let last = soon("the last message", socket.next()).await;
        let Some(Ok(Message::Close(Some(close)))) = last else {
            panic!("{last:?}");
        };
        assert_eq!(close.code, CloseCode::Away);
        assert_eq!(close.reason.as_str(), "the proxy is going down");
        while soon("the end", socket.next()).await.is_some() {}
    }
    draining.cut(&mut node, &[("websocket", 5)]).await;
    let line = node.log.of("/ws").await;
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&101.into(), &"draining".into())
    );
}

/// A frame that its origin does not finish cannot be followed by one of ours.
#[tokio::test]
async fn inside_a_frame_nothing_is_said() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.head().await;
        peer.send(SWITCHED).await;
        peer.send([0x82, 10, b'h', b'a', b'l', b'f']).await;
        peer.gone().await;
    })
    .await;
    let mut node = serving(QUICK, origin.address(), PLAIN).await;
    let mut client = raw(&node).await;
    assert_eq!(client.exactly(6).await, [0x82, 10, b'h', b'a', b'l', b'f']);
    let draining = drain(&node);
    client.closes_within(SOON).await;
    draining.cut(&mut node, &[("tunnel", 1)]).await;
}

/// A busy origin is nearly always inside a frame: it may finish that one.
#[tokio::test]
async fn a_busy_stream_ends_between_two_frames() {
    const PAYLOAD: usize = 300_000;
    let mut frame = vec![0x82, 127];
    frame.extend(u64::try_from(PAYLOAD).expect("a length").to_be_bytes());
    frame.resize(frame.len() + PAYLOAD, b'x');
    let length = frame.len();
    let origin = Origin::start(move |mut peer: Peer| {
        let frame = frame.clone();
        async move {
            peer.head().await;
            peer.send(SWITCHED).await;
            use tokio::io::AsyncWriteExt;
            while peer.stream.write_all(&frame).await.is_ok() {}
        }
    })
    .await;
    let mut node = serving(QUICK, origin.address(), PLAIN).await;
    let mut client = raw(&node).await;
    client.exactly(length).await;
    let draining = drain(&node);
    let mut frames = 0;
    loop {
        let head = client.exactly(2).await;
        if head[0] == 0x88 {
            let rest = client.exactly(usize::from(head[1])).await;
            assert_eq!(rest[..2], 1001_u16.to_be_bytes());
            break;
        }
        assert_eq!(head, [0x82, 127], "after {frames} frames");
        client.exactly(length - 2).await;
        frames += 1;
    }
    client.closes_within(SOON).await;
    assert!(frames > 0);
    draining.cut(&mut node, &[("websocket", 1)]).await;
}

/// After a Close of the origin nothing may follow.
#[tokio::test]
async fn a_close_of_the_origin_stands() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.head().await;
        peer.send(SWITCHED).await;
        peer.send([0x88, 2, 0x03, 0xe8]).await;
        peer.gone().await;
    })
    .await;
    let mut node = serving(QUICK, origin.address(), PLAIN).await;
    let mut client = raw(&node).await;
    assert_eq!(client.exactly(4).await, [0x88, 2, 0x03, 0xe8]);
    let draining = drain(&node);
    client.closes_within(SOON).await;
    draining.cut(&mut node, &[("websocket", 1)]).await;
}

/// What is no WebSocket has no word for it.
#[tokio::test]
async fn another_protocol_just_ends() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.head().await;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nhello")
            .await;
        peer.gone().await;
    })
    .await;
    let mut node = serving(QUICK, origin.address(), PLAIN).await;
    let mut client = raw(&node).await;
    assert_eq!(client.exactly(5).await, b"hello");
    client.send("world").await;
    eventually("the answer at the origin", || async {
        origin.bytes().ends_with(b"world").then_some(())
    })
    .await;
    let draining = drain(&node);
    client.closes_within(SOON).await;
    draining.cut(&mut node, &[("tunnel", 1)]).await;
}
