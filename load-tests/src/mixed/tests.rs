//! Servers that do right, and servers that do wrong: the clients must tell them apart.

use std::future::Future;
use std::net::Ipv4Addr;

use clap::Parser;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::kind::pattern;
use super::tally::Counts;
use super::*;

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    options: MixedOptions,
}

/// Long enough for some exchanges of each kind.
const LENGTH: Duration = Duration::from_millis(300);

/// What one kind counts against a server that is `serve` for each connection.
fn run_against<F>(words: &str, serve: impl Fn(TcpStream, u64) -> F) -> Counts
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime().unwrap().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let words = ["mixed", "--address", &address]
            .into_iter()
            .chain(words.split(' '));
        let options = Words::try_parse_from(words).unwrap().options;
        let accepting = async {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                tokio::spawn(serve(stream, number));
            }
            unreachable!("a listener does not end");
        };
        let report = tokio::select! {
            report = load(&options, LENGTH) => report.unwrap(),
            () = accepting => unreachable!(),
        };
        report.into_counts()
    })
}

/// The next request: its head, and the length it asks for.
async fn request(stream: &mut TcpStream) -> Option<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let (_, rest) = head.split_once("/bytes/")?;
    rest.split(' ').next()?.parse().ok()
}

async fn answer(stream: &mut TcpStream, headers: &str, body: &[u8]) {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n");
    // A client that has left is the run's end.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
}

/// Answers as it should, `requests` times; the last time with `last` among its headers.
async fn good(mut stream: TcpStream, requests: u64, last: &'static str) {
    for left in (0..requests).rev() {
        let Some(length) = request(&mut stream).await else {
            return;
        };
        let headers = if left == 0 { last } else { "" };
        answer(&mut stream, headers, &pattern(length)).await;
    }
}

#[test]
fn right_answers_are_no_failures() {
    for words in ["--keep-alive 3", "--fresh 3"] {
        let counts = run_against(words, |stream, _| good(stream, 1000, ""));
        assert!(counts.ok > 3 && counts.failed == 0, "{counts:?}");
    }
}

#[test]
fn an_announced_close_is_no_failure() {
    let counts = run_against("--keep-alive 2", |stream, _| {
        good(stream, 3, "connection: close\r\n")
    });
    assert!(counts.ok > 6 && counts.failed == 0, "{counts:?}");
    assert!(counts.connections >= counts.ok / 3, "{counts:?}");
    assert_eq!(counts.closed_idle, 0);
}

#[test]
fn a_close_that_meets_the_next_request_is_a_failure() {
    let serve = |stream, _| good(stream, 3, "");
    let counts = run_against("--keep-alive 2 --flight-ms 50", serve);
    assert!(counts.ok > 3 && counts.failed > 1, "{counts:?}");
    let reason = &counts.reasons[0].reason;
    assert_eq!(reason, "closed just as the next request was due");
    // Long before the next request it is none.
    let counts = run_against("--keep-alive 2 --pause-ms 60 --flight-ms 0", serve);
    assert!(counts.ok > 3 && counts.failed == 0, "{counts:?}");
    assert!(counts.closed_idle > 0, "{counts:?}");
}

#[test]
fn a_close_instead_of_an_answer_is_a_failure() {
    let counts = run_against("--keep-alive 1", |mut stream, _| async move {
        request(&mut stream).await;
    });
    assert!(counts.ok == 0 && counts.failed > 1, "{counts:?}");
    assert_eq!(counts.reasons[0].reason, "closed before an answer");
    assert_eq!(counts.not_connected, 0);
}

#[test]
fn wrong_short_and_foreign_bodies_are_failures() {
    let cases: [(&str, &str); 5] = [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nA",
            "content-length 1",
        ),
        (
            "HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy",
            "status 503: busy",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nAX\r\n",
            "other bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nAB\r\n0\r\n\r\n",
            "after 2 of",
        ),
        ("SSH-2.0\r\n\r\n", "no answer of HTTP"),
    ];
    for (text, expected) in cases {
        let counts = run_against("--keep-alive 1", move |mut stream, _| async move {
            if request(&mut stream).await.is_some() {
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        assert!(counts.ok == 0 && counts.failed > 1, "{counts:?}");
        let reason = &counts.reasons[0].reason;
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn nobody_there_is_counted_apart() {
    let runtime = runtime().unwrap();
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let address = listener.unwrap().local_addr().unwrap().to_string();
    let words = ["mixed", "--address", &address, "--fresh", "1", "--h2", "1"];
    let options = Words::try_parse_from(words).unwrap().options;
    let report = runtime.block_on(load(&options, LENGTH)).unwrap();
    assert!(report.failed > 1 && report.failed == report.not_connected);
    assert!(!report.is_good());
}

/// An HTTP/2 server that takes `streams` streams of a connection and then says goodbye with `reason`,
/// without an answer to the last.
async fn goes_away(stream: TcpStream, streams: u32, reason: h2::Reason) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut taken = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        taken += 1;
        let path = request.uri().path().to_owned();
        let small = path.strip_prefix("/bytes/").map(|n| n.parse().unwrap());
        let body = small.map_or_else(|| super::kind::slow(4, 0).1, pattern);
        if taken > streams {
            connection.abrupt_shutdown(reason);
            // It is sent by whoever waits for the next stream.
            let _ = tokio::time::timeout(LENGTH / 10, connection.accept()).await;
            return;
        }
        let head = http::Response::new(());
        let mut answer = respond.send_response(head, false).unwrap();
        let _ = answer.send_data(body, true);
    }
}

#[test]
fn an_error_in_a_goaway_is_a_failure() {
    let counts = run_against("--h2 1", |stream, _| {
        goes_away(stream, 8, h2::Reason::INTERNAL_ERROR)
    });
    assert!(counts.ok > 3 && counts.failed > 1, "{counts:?}");
}

#[test]
fn streams_that_were_not_begun_are_counted_apart() {
    // A goodbye that names no stream at all: the three that wait were not begun.
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let counts = run_against("--h2 1", move |mut stream: TcpStream, _| async move {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        stream.write_all(&settings).await.unwrap();
        // The client's first streams are there once its headers are: type 1.
        let mut seen = Vec::new();
        while seen.len() < 64 {
            seen.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(&goaway).await.unwrap();
        let _ = stream.read_to_end(&mut seen).await;
    });
    assert!(counts.refused > 1, "{counts:?}");
    assert_eq!((counts.ok, counts.failed), (0, 0), "{counts:?}");
}

/// Echoes three messages; then it closes with 1001, or ends.
async fn echoes(stream: TcpStream, tells: bool) {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    for _ in 0..3 {
        let Some(Ok(message)) = socket.next().await else {
            return;
        };
        futures_util::SinkExt::send(&mut socket, message)
            .await
            .unwrap();
    }
    if tells {
        let frame = CloseFrame {
            code: CloseCode::Away,
            reason: "".into(),
        };
        let _ = socket.close(Some(frame)).await;
        while let Some(Ok(message)) = socket.next().await {
            assert!(!matches!(message, Message::Binary(_)));
        }
    }
}

#[test]
fn a_websocket_that_is_told_to_go_has_not_failed() {
    let counts = run_against("--websocket 1", |stream, _| echoes(stream, true));
    assert!(counts.ok >= 3 && counts.told > 0, "{counts:?}");
    assert_eq!(counts.failed, 0, "{counts:?}");
    let counts = run_against("--websocket 1", |stream, _| echoes(stream, false));
    assert!(counts.ok >= 3 && counts.failed > 0, "{counts:?}");
    assert_eq!(counts.told, 0, "{counts:?}");
}

#[test]
fn only_loopback_and_never_without_clients() {
    let check = |words: &[&str]| {
        let options = Words::try_parse_from([&["mixed"], words].concat()).unwrap();
        options.options.check()
    };
    let elsewhere = check(&["--address", "192.0.2.1:80", "--fresh", "1"]);
    assert!(elsewhere.unwrap_err().contains("not a loopback"));
    let nobody = check(&["--address", "127.0.0.1:80"]);
    assert!(nobody.unwrap_err().contains("no clients"));
    assert!(Words::try_parse_from(["mixed", "--address", "[::1]:80", "--fresh", "1001"]).is_err());
}
