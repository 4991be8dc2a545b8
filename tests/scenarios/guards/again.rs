//! Attempts that did nothing and are made again: HTTP/2 streams that an endpoint refuses, and connections that turned out
//! to be dead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::node;
use crate::harness::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, NO_ERROR, PING,
    REFUSED_STREAM, SETTINGS, frame, reset,
};
use crate::harness::{Origin, Peer, free_address};

const INTERNAL_ERROR: u32 = 2;

/// What is done with the first whole request; later ones are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The stream is reset with this code.
    Reset(u32),
    /// GOAWAY with this code leaves the stream out, and the connection stays open.
    Leaves(u32),
    /// GOAWAY lets the stream in, and then the connection ends.
    Includes,
}

/// An HTTP/2 origin without TLS, frame by frame, and how many whole requests came.
async fn origin(act: Act) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                // It ends when the other side does.
                let _ = play(stream, act, &counted).await;
            });
        }
    });
    (address, requests)
}

async fn play(mut stream: TcpStream, act: Act, requests: &AtomicUsize) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        let id = u32::from_be_bytes(id);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
            }
            PING if flags & ACK == 0 => {
                stream.write_all(&frame(PING, ACK, 0, &payload)).await?;
            }
            HEADERS | DATA if flags & END_STREAM != 0 => {
                let first = requests.fetch_add(1, Ordering::SeqCst) == 0;
                let away = |last: u32, code: u32| {
                    frame(
                        GOAWAY,
                        0,
                        0,
                        &[last.to_be_bytes(), code.to_be_bytes()].concat(),
                    )
                };
                let said = match act {
                    // `:status: 200`.
                    _ if !first => frame(HEADERS, END_STREAM | END_HEADERS, id, &[0x88]),
                    Act::Reset(code) => reset(id, code),
                    Act::Leaves(code) => away(id.saturating_sub(2), code),
                    Act::Includes => away(id, NO_ERROR),
                };
                stream.write_all(&said).await?;
                if first && act == Act::Includes {
                    return stream.shutdown().await;
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_its_method() {
    let refused = "upstream_refused_stream";
    for (act, method, status, requests, reason) in [
        (Act::Reset(REFUSED_STREAM), "POST", 200, 2, refused),
        (Act::Leaves(NO_ERROR), "POST", 200, 2, refused),
        (Act::Leaves(ENHANCE_YOUR_CALM), "POST", 200, 2, refused),
        (Act::Leaves(INTERNAL_ERROR), "GET", 200, 2, refused),
        // It may have been done.
        (Act::Includes, "POST", 502, 1, ""),
        (Act::Reset(INTERNAL_ERROR), "POST", 502, 1, ""),
        (Act::Reset(INTERNAL_ERROR), "GET", 200, 2, "upstream_reset"),
    ] {
        let (address, seen) = origin(act).await;
        let node = node(&[address], "protocol = \"h2\"").await;
        let body = if method == "POST" { "pay" } else { "" };
        let length = body.len();
        let request = format!(
            "{method} /once HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let response = node.client().await.ask(&request).await;
        assert_eq!(response.status, status, "{act:?} {method}");
        assert_eq!(seen.load(Ordering::SeqCst), requests, "{act:?} {method}");
        if status == 200 {
            let labels = [("upstream", "app"), ("reason", reason)];
            let retries = node
                .metric("farmgate_upstream_retries_total", &labels)
                .await;
            assert_eq!(retries, 1.0, "{act:?} {method}");
            assert_eq!(node.log.of("/once").await["attempt"], 2);
        }
    }
}

#[tokio::test]
async fn a_refused_stream_is_no_licence_to_go_on() {
    let (address, seen) = origin(Act::Reset(REFUSED_STREAM)).await;
    let node = node(&[address], "protocol = \"h2\"\nretry = { attempts = 1 }").await;
    let response = node.client().await.post("/once", "pay").await;
    assert_eq!(response.status, 502);
    assert_eq!(response.json()["detail"], "upstream_refused_stream");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refused_post_may_go_to_another_upstream() {
    let (address, seen) = origin(Act::Reset(REFUSED_STREAM)).await;
    let second = Origin::answering("backup").await;
    let words = format!(
        "protocol = \"h2\"\nretry = {{ attempts = 1 }}\n[[upstream.fallback]]\nupstream = \"backup\"\n\
         [[upstream]]\nname = \"backup\"\nendpoints = [\"{}\"]\n",
        second.address()
    );
    let node = node(&[address], &words).await;
    let response = node.client().await.post("/once", "pay").await;
    assert_eq!(
        (response.status, response.text()),
        (200, "backup".to_owned())
    );
    assert_eq!(second.only().body, b"pay");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// Each connection answers once and is reset with the second request it carries: most likely by an origin that fails under
/// its load.
#[tokio::test]
async fn connections_that_die_with_their_second_request_do_not_double_the_load() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.answer(200, "", "ok").await;
        if peer.request().await.is_some() {
            peer.reset();
        }
    })
    .await;
    let words = "retry = { attempts = 1, budget = { share = \"20%\", min_per_second = 1 } }";
    let node = node(&[origin.address()], words).await;
    for _ in 0..100 {
        let status = node.get("/").await.status;
        assert!([200, 502].contains(&status), "{status}");
    }
    let attempts = origin.seen().len();
    // A fifth of the requests, and one a second over ten seconds.
    assert!((115..=131).contains(&attempts), "{attempts}");
    let labels = [("upstream", "app"), ("why", "budget")];
    let refused = node
        .metric("farmgate_upstream_retries_refused_total", &labels)
        .await;
    assert!(refused >= 1.0, "{refused}");
}
