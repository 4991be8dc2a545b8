//! Honest clients that do much: nothing of it is taken for abuse.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use super::{Over, Stand};
use crate::harness::frames::{CANCEL, Heard, PRIORITY, frame, get, open_window, reset};
use crate::harness::{Origin, Setup, free_address};

/// No connection was ended by us for what its client did.
async fn no_alarm(stand: &Stand) {
    for over in Over::BOTH {
        for reason in [
            "rapid_reset",
            "made_you_reset",
            "control_flood",
            "continuation_flood",
            "header_list",
            "data_flood",
            "malformed",
            "window",
            "protocol",
            "stalled",
        ] {
            let ends = stand.ends(over, reason).await;
            assert!(ends == 0.0, "{over:?} {reason}: {ends}");
        }
    }
}

async fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let limit = Duration::from_secs(120);
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} took longer than {limit:?}"));
    let output =
        output.unwrap_or_else(|error| panic!("{program} (./dev test installs it): {error}"));
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn responses_that_are_ready_together_leave_together() {
    const STREAMS: u32 = 40;
    let stand = Stand::new("").await;
    let mut frames = stand.frames(Over::Tls).await;
    let before = frames.until("settings", |heard| heard.acks > 0).await;
    let all: Vec<u8> = (0..STREAMS).flat_map(|n| get(2 * n + 1, "/here")).collect();
    assert!(frames.send(&all).await);
    let answered = |heard: &Heard| heard.answered == 40 && heard.data_bytes == 40 * 5;
    let after = frames.until("all answers", answered).await;
    // A worker may take requests over from the one that read them, so there may be more than one.
    let records = after.pieces - before.pieces;
    assert!(records < 20, "{records} records of TLS");
    // A lone request waits for nobody.
    assert!(frames.send(&get(2 * STREAMS + 1, "/here")).await);
    frames.until("one more", |heard| heard.answered == 41).await;
}

#[tokio::test]
async fn h2load_with_many_streams() {
    let stand = Stand::new("").await;
    for (over, scheme) in [(Over::Plain, "http"), (Over::Tls, "https")] {
        let url = format!("{scheme}://{}/here", stand.node.at(over.listener()));
        let host = ["-H", ":authority: a.test", "--connect-to"];
        let to = stand.node.at(over.listener()).to_string();
        let url_by_name = url.replace(&to, "a.test");
        let load = ["-n", "20000", "-c", "20", "-m", "100", "-t", "1"];
        let arguments = [&host[..], &[&to], &load, &[&url_by_name]].concat();
        let out = run("h2load", &arguments).await;
        assert!(out.contains("status codes: 20000 2xx"), "{over:?}: {out}");
    }
    no_alarm(&stand).await;
}

#[tokio::test]
async fn curl_with_many_transfers() {
    let stand = Stand::new("").await;
    let to = |over: Over| format!("a.test::{}", stand.node.at(over.listener()));
    let common = [
        "-s",
        "-k",
        "-o",
        "/dev/null",
        "-w",
        "%{http_version} %{http_code}\\n",
    ];
    let served = |out: String| out.lines().filter(|line| *line == "2 200").count();
    let secure = to(Over::Tls);
    let parallel = ["--http2", "--parallel", "--parallel-max", "100"];
    let url = ["--connect-to", &secure, "https://a.test/here?[1-300]"];
    let out = run("curl", &[&common[..], &parallel, &url].concat()).await;
    assert_eq!(served(out), 300);
    // With prior knowledge curl 7.88 cannot use a connection twice, whoever serves.
    let plain = to(Over::Plain);
    let url = [
        "--http2-prior-knowledge",
        "--connect-to",
        &plain,
        "http://a.test/here",
    ];
    for _ in 0..10 {
        let out = run("curl", &[&common[..], &url].concat()).await;
        assert_eq!(served(out), 1);
    }
    no_alarm(&stand).await;
}

/// Sends back what it gets, piece by piece.
async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut builder = h2::server::Builder::new();
            // Else the library gives up an origin's client for its small messages.
            builder.data_frame_budget(16 << 20);
            let mut connection = builder.handshake(stream).await.expect("handshake");
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                tokio::spawn(async move {
                    let response = http::Response::new(());
                    let mut out = respond.send_response(response, false).expect("send");
                    let mut body = request.into_body();
                    while let Some(Ok(piece)) = body.data().await {
                        let _ = body.flow_control().release_capacity(piece.len());
                        if out.send_data(piece, false).is_err() {
                            return;
                        }
                    }
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                    let _ = out.send_trailers(trailers);
                });
            }
        });
    }
}

/// Ten thousand messages each way, windows of 2 KiB, a PING for every hundred messages that come.
async fn messages(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
) {
    const MESSAGES: usize = 10_000;
    const MESSAGE: &[u8] = b"\x00\x00\x00\x00\x0fhello, message!";
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(2048);
    let made = builder.handshake::<_, Bytes>(stream).await;
    let (sender, mut connection) = made.expect("handshake");
    let mut pings = connection.ping_pong().expect("PING");
    tokio::spawn(async move {
        // Its end is seen by the stream.
        let _ = connection.await;
    });
    let request = http::Request::post("https://a.test/echo.Echo/All")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let mut sender = sender.ready().await.expect("ready");
    let (response, mut out) = sender
        .send_request(request.body(()).expect("a request"), false)
        .expect("send");
    let sending = async {
        for n in 0..MESSAGES {
            out.reserve_capacity(MESSAGE.len());
            let mut free = 0;
            while free < MESSAGE.len() {
                let more = std::future::poll_fn(|cx| out.poll_capacity(cx)).await;
                free = more.expect("a stream").expect("a window");
            }
            let message = Bytes::from_static(MESSAGE);
            out.send_data(message, n + 1 == MESSAGES).expect("send");
        }
    };
    let reading = async {
        let mut body = response.await.expect("an answer").into_body();
        let (mut bytes, mut pieces) = (0, 0);
        while let Some(piece) = body.data().await {
            let piece = piece.expect("a piece");
            let _ = body.flow_control().release_capacity(piece.len());
            bytes += piece.len();
            pieces += 1;
            if pieces % 100 == 0 {
                pings.ping(h2::Ping::opaque()).await.expect("a PONG");
            }
        }
        let trailers = body.trailers().await.expect("the end");
        assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
        bytes
    };
    let both = async { tokio::join!(sending, reading) };
    let done = tokio::time::timeout(Duration::from_secs(60), both).await;
    assert_eq!(done.expect("in time").1, MESSAGES * MESSAGE.len());
}

#[tokio::test]
async fn a_grpc_stream_of_many_small_messages() {
    let address = free_address();
    let listener = TcpListener::bind(address).await.expect("bind");
    let origin = tokio::spawn(echo(listener));
    let http1 = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", http1.address());
    let stand = Stand::prepared(setup.with("grpc", address), http1, "").await;
    let stream = TcpStream::connect(stand.node.at("plain")).await;
    messages(stream.expect("connect")).await;
    messages(stand.wire(Over::Tls).await).await;
    no_alarm(&stand).await;
    origin.abort();
}

/// A page is opened, its hundred parts are asked for, and thirty are taken back when it is left.
#[tokio::test]
async fn a_browser_that_cancels_thirty_of_a_hundred() {
    let stand = Stand::new("").await;
    for over in Over::BOTH {
        let mut client = stand.frames(over).await;
        let mut begin = open_window(0, 12_517_377);
        for stream in [3, 5, 7, 9, 11] {
            begin.extend(frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 200]));
        }
        client.send(&begin).await;
        for page in 0..3 {
            let first = 13 + page * 200;
            let mut asked = Vec::new();
            for n in 0..100 {
                let stream = first + 2 * n;
                let path = if n % 10 < 3 { "/hold" } else { "/here" };
                asked.extend(get(stream, path));
                asked.extend(frame(PRIORITY, 0, stream, &[0, 0, 0, 3, 22]));
                asked.extend(open_window(stream, 12_451_840));
            }
            client.send(&asked).await;
            let left: Vec<u8> = (0..100)
                .filter(|n| n % 10 < 3)
                .flat_map(|n| reset(first + 2 * n, CANCEL))
                .collect();
            client.send(&left).await;
            let answered = 70 * (page as usize + 1);
            let heard = client
                .until("seventy answers", |heard| heard.answered == answered)
                .await;
            assert!(heard.goaways.is_empty(), "{heard:?}");
        }
    }
    no_alarm(&stand).await;
}
