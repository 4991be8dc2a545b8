//! The origin over real sockets: raw bytes for what happens on the wire,
//! hyper's client for HTTP/2, tungstenite's for WebSocket.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::page::TARGETS;
use super::{OriginOptions, bind, pattern_byte};

/// No test may hang: an answer takes milliseconds, this is the end of patience.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start() -> Running {
    let origin = bind(OriginOptions {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        public: false,
        workers: None,
    })
    .await
    .unwrap();
    let address = origin.local_addr();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(origin.run(stopped));
    Running {
        address,
        stop,
        task,
    }
}

async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("no answer in time")
}

/// Sends raw bytes on a new connection and reads to its end.
async fn raw(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    patiently(stream.read_to_end(&mut answer)).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// GET over HTTP/1.1 with close, as text: head and body.
async fn get(address: SocketAddr, target: &str) -> String {
    raw(
        address,
        &format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"),
    )
    .await
    .unwrap()
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(body_of(answer)).expect("JSON")
}

/// One request over HTTP/2 with prior knowledge: status, body, trailers.
async fn h2(address: SocketAddr, target: &str, body: &'static [u8]) -> hyper::Result<H2Answer> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://{address}{target}"))
        .body(Full::new(Bytes::from_static(body)))
        .unwrap();
    let response = patiently(sender.send_request(request)).await?;
    let status = response.status();
    let collected = patiently(response.into_body().collect()).await?;
    let trailers = collected.trailers().cloned();
    Ok((status, collected.to_bytes(), trailers))
}

type H2Answer = (StatusCode, Bytes, Option<HeaderMap>);

#[tokio::test]
async fn refuses_other_than_loopback_unless_public() {
    let options = |public| OriginOptions {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        public,
        workers: None,
    };
    let refused = bind(options(false)).await.err().unwrap();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("--public"));
    assert!(bind(options(true)).await.is_ok());
}

#[tokio::test]
async fn every_listed_target_answers_as_itself() {
    let origin = start().await;
    for (target, _) in TARGETS {
        let answer = raw(
            origin.address,
            &format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"),
        )
        .await;
        let is_hello = answer.as_ref().is_ok_and(|a| a.contains("Hello from"));
        assert_eq!(is_hello, *target == "/", "{target}: {answer:?}");
        assert_eq!(answer.is_err(), *target == "/reset", "{target}: {answer:?}");
    }
    let other = get(origin.address, "/some/where?x=1").await;
    assert!(other.contains("GET /some/where?x=1 HTTP/1.1"), "{other}");
}

#[tokio::test]
async fn shows_the_head_with_repeated_headers() {
    let origin = start().await;
    let request = "PUT /headers?a=b HTTP/1.1\r\nHost: t\r\nX-Two: 1\r\nX-Two: 2\r\n\
                   Content-Length: 0\r\nConnection: close\r\n\r\n";
    let seen = json_of(&raw(origin.address, request).await.unwrap());
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["target"], "/headers?a=b");
    assert_eq!(seen["version"], "HTTP/1.1");
    let headers = seen["headers"].as_array().unwrap();
    for value in ["1", "2"] {
        assert!(headers.contains(&serde_json::json!(["x-two", value])));
    }
}

#[tokio::test]
async fn echoes_bodies_and_counts_them() {
    let origin = start().await;
    let chunked = |target: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: t\r\nContent-Type: text/x\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
    };
    let echoed = raw(origin.address, &chunked("/echo")).await.unwrap();
    assert!(echoed.contains("content-type: text/x"), "{echoed}");
    assert!(body_of(&echoed).contains("hello"), "{echoed}");
    let seen = json_of(
        &raw(origin.address, &chunked("/echo?headers=1"))
            .await
            .unwrap(),
    );
    assert_eq!(seen["body_bytes"], 5);
    assert_eq!(seen["body_complete"], true);
    let (status, body, _) = h2(origin.address, "/echo", b"over h2").await.unwrap();
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"over h2"[..]));
}

#[tokio::test]
async fn sends_the_pattern_with_and_without_length() {
    let origin = start().await;
    let bytes = 200_000;
    let sized = get(origin.address, &format!("/bytes/{bytes}")).await;
    assert!(sized.contains("content-length: 200000\r\n"));
    let body = body_of(&sized).as_bytes();
    assert_eq!(body.len(), bytes);
    let follows = |(at, byte): (usize, &u8)| *byte == pattern_byte(at as u64);
    assert!(body.iter().enumerate().all(follows));
    for target in ["/chunked/3", "/chunked/0"] {
        let chunked = get(origin.address, target).await;
        assert!(chunked.contains("transfer-encoding: chunked"), "{chunked}");
        assert!(chunked.ends_with("0\r\n\r\n"), "{chunked}");
    }
    let (_, body, _) = h2(origin.address, "/chunked/200000", b"").await.unwrap();
    assert_eq!(body.len(), bytes);
    for bad in ["/bytes/1073741825", "/bytes/x", "/bytes"] {
        assert!(get(origin.address, bad).await.starts_with("HTTP/1.1 400"));
    }
}

#[tokio::test]
async fn answers_statuses_redirects_and_cookies() {
    let origin = start().await;
    for code in ["200", "204", "304", "404", "503", "599"] {
        let answer = get(origin.address, &format!("/status/{code}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
    }
    assert!(
        get(origin.address, "/status/101")
            .await
            .starts_with("HTTP/1.1 400")
    );
    let moved = get(origin.address, "/redirect?to=%2Fx%3Fa%3D1&status=308").await;
    assert!(moved.starts_with("HTTP/1.1 308") && moved.contains("location: /x?a=1\r\n"));
    let split = get(origin.address, "/redirect?to=%0d%0aevil:1").await;
    assert!(split.starts_with("HTTP/1.1 400"), "{split}");
    let request = "GET /cookie?name=n&value=v HTTP/1.1\r\nHost: t\r\nCookie: a=1; b=2\r\nConnection: close\r\n\r\n";
    let answer = raw(origin.address, request).await.unwrap();
    assert!(answer.contains("set-cookie: n=v; Path=/"), "{answer}");
    let received = &json_of(&answer)["received"];
    assert_eq!(*received, serde_json::json!([["a", "1"], ["b", "2"]]));
}

#[tokio::test]
async fn waits_as_long_as_asked() {
    let origin = start().await;
    let begun = Instant::now();
    assert!(
        get(origin.address, "/delay/30")
            .await
            .ends_with("waited 30 ms\n")
    );
    assert!(begun.elapsed() >= Duration::from_millis(30));
    let begun = Instant::now();
    let target = "/slow-body?chunks=3&size=4&interval_ms=20";
    let slow = get(origin.address, target).await;
    assert!(begun.elapsed() >= Duration::from_millis(40));
    assert_eq!(body_of(&slow).matches("4\r\nABCD\r\n").count(), 3, "{slow}");
    let events = get(origin.address, "/sse?count=2&interval_ms=1").await;
    assert!(events.contains("content-type: text/event-stream"));
    assert!(events.contains("id: 1\nevent: tick\ndata: {\"n\":1}\n\n"));
}

#[tokio::test]
async fn sends_trailers_over_both_protocols() {
    let origin = start().await;
    let request = "GET /trailers HTTP/1.1\r\nHost: t\r\nTE: trailers\r\nConnection: close\r\n\r\n";
    let answer = raw(origin.address, request).await.unwrap();
    assert!(answer.contains("trailer: x-body-bytes, x-end"), "{answer}");
    assert!(
        answer.ends_with("0\r\nx-body-bytes: 16\r\nx-end: complete\r\n\r\n"),
        "{answer}"
    );
    let (_, body, trailers) = h2(origin.address, "/trailers", b"").await.unwrap();
    assert_eq!(&body[..], b"trailers follow\n");
    assert_eq!(trailers.unwrap()["x-end"], "complete");
}

#[tokio::test]
async fn resets_and_cuts_connections() {
    let origin = start().await;
    let request = "GET /reset HTTP/1.1\r\nHost: t\r\n\r\n";
    let error = raw(origin.address, request).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(h2(origin.address, "/reset", b"").await.is_err());
    // No `Connection: close` here: the origin closes because it cannot keep its word.
    let request = "GET /close-mid?size=100 HTTP/1.1\r\nHost: t\r\n\r\n";
    let cut = raw(origin.address, request).await.unwrap();
    assert!(cut.contains("content-length: 100\r\n"), "{cut}");
    assert_eq!(body_of(&cut).len(), 50);
}

#[tokio::test]
async fn counts_requests_and_connections() {
    let origin = start().await;
    get(origin.address, "/").await;
    let twice = "GET / HTTP/1.1\r\nHost: t\r\n\r\n\
                 GET /count HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    let answer = raw(origin.address, twice).await.unwrap();
    let counts: Value = serde_json::from_str(answer.rsplit_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(counts["requests"], 3);
    assert_eq!(counts["connections"], 2);
    assert_eq!(counts["requests_on_this_connection"], 2);
}

#[tokio::test]
async fn echoes_websocket_messages_and_says_goodbye() {
    let origin = start().await;
    let url = format!("ws://{}/ws", origin.address);
    let (mut socket, _) = patiently(tokio_tungstenite::connect_async(url))
        .await
        .unwrap();
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(patiently(socket.next()).await.unwrap().unwrap(), message);
    }
    origin.stop.send(()).unwrap();
    let last = patiently(socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(frame)) = last else {
        panic!("a close frame, not {last:?}")
    };
    assert_eq!(u16::from(frame.code), 1001);
    // Answering the close frame lets the origin go at once.
    while let Some(Ok(_)) = patiently(socket.next()).await {}
    patiently(origin.task).await.unwrap();
}

#[tokio::test]
async fn a_stop_lets_open_requests_finish() {
    let origin = start().await;
    let mut idle = TcpStream::connect(origin.address).await.unwrap();
    let mut busy = TcpStream::connect(origin.address).await.unwrap();
    let request = b"GET /slow-body?chunks=3&size=4&interval_ms=50 HTTP/1.1\r\nHost: t\r\n\r\n";
    busy.write_all(request).await.unwrap();
    let mut first = [0; 1];
    patiently(busy.read_exact(&mut first)).await.unwrap();
    origin.stop.send(()).unwrap();
    let mut rest = String::new();
    patiently(busy.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(patiently(idle.read(&mut first)).await.unwrap(), 0);
    patiently(origin.task).await.unwrap();
    assert!(TcpStream::connect(origin.address).await.is_err());
}
