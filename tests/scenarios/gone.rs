//! A client that goes away takes its request with it: the origin sees the end at once, at every point of a request.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::harness::{Node, Origin, Peer, free_address, soon};

/// An origin that can send nothing for so long has filled every buffer on the way.
const FULL: Duration = Duration::from_millis(200);

/// "At once": without any timer of ours, which are all longer than a second here.
const AT_ONCE: Duration = Duration::from_millis(500);

fn config(keys: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]

[[route]]
name = "any"
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["@origin"]
{keys}
"#
    )
}

/// Where the request stands when its client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The origin has the request and says nothing.
    BeforeHead,
    /// It has a part of the request's body.
    InRequestBody,
    /// The client has the head and a part of the body; nothing more comes.
    InBody,
    /// More comes all the time.
    Flowing,
}

const STAGES: [Stage; 4] = [
    Stage::BeforeHead,
    Stage::InRequestBody,
    Stage::InBody,
    Stage::Flowing,
];

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// It closes an HTTP/1 connection.
    Http1Close,
    /// It resets one.
    Http1Reset,
    /// It resets the stream.
    Http2Stream,
    /// It closes the connection.
    Http2Close,
}

const LEAVES: [Leave; 4] = [
    Leave::Http1Close,
    Leave::Http1Reset,
    Leave::Http2Stream,
    Leave::Http2Close,
];

/// What an origin tells a test.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It has the request, as far as it comes.
    Here,
    /// It can send no more: nobody takes it.
    Full,
    /// The attempt was ended.
    Ended,
}

/// Sends until the connection ends, and tells once when nobody takes anything any more: every buffer on the way is full.
async fn flow(peer: &mut Peer, tell: &mpsc::Sender<Told>) {
    let mut is_told = false;
    loop {
        let write = peer.stream.write_all(&[b'x'; 4096]);
        let mut write = std::pin::pin!(write);
        let written = match tokio::time::timeout(FULL, &mut write).await {
            Ok(written) => written,
            Err(_) => {
                if !std::mem::replace(&mut is_told, true) {
                    let _ = tell.send(Told::Full).await;
                }
                write.await
            }
        };
        if written.is_err() {
            return;
        }
    }
}

/// What is told next, but for full buffers.
async fn next(told: &mut mpsc::Receiver<Told>) -> Option<Told> {
    loop {
        match told.recv().await {
            Some(Told::Full) => {}
            other => return other,
        }
    }
}

/// An HTTP/1 origin that brings requests to `stage` and waits for their end.
async fn http1(stage: Stage) -> (Origin, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel(64);
    let origin = Origin::start(move |mut peer: Peer| {
        let tell = tell.clone();
        async move {
            if peer.head().await.is_none() {
                return;
            }
            if stage == Stage::InRequestBody {
                assert!(peer.bytes(&mut [0; 4]).await);
            }
            let _ = tell.send(Told::Here).await;
            if matches!(stage, Stage::InBody | Stage::Flowing) {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nhalf")
                    .await;
            }
            if stage == Stage::Flowing {
                flow(&mut peer, &tell).await;
            } else {
                peer.gone().await;
            }
            let _ = tell.send(Told::Ended).await;
        }
    })
    .await;
    (origin, told)
}

/// The same over HTTP/2, where the end is that of a stream.
async fn http2(stage: Stage) -> (std::net::SocketAddr, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel(64);
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
            let tell = tell.clone();
            tokio::spawn(async move {
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(stream_to(stage, request, respond, tell.clone()));
                }
            });
        }
    });
    (address, told)
}

async fn stream_to(
    stage: Stage,
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    tell: mpsc::Sender<Told>,
) {
    if request.uri().path() == "/fine" {
        let response = http::Response::new(());
        let mut body = respond.send_response(response, false).expect("send");
        body.send_data(Bytes::from_static(b"fine"), true)
            .expect("send");
        return;
    }
    let mut body = request.into_body();
    if stage == Stage::InRequestBody {
        let piece = body.data().await.expect("a piece").expect("a piece");
        assert!(!piece.is_empty());
    }
    let _ = tell.send(Told::Here).await;
    let reason = match stage {
        Stage::BeforeHead | Stage::InRequestBody => {
            std::future::poll_fn(|cx| respond.poll_reset(cx)).await
        }
        Stage::InBody | Stage::Flowing => {
            let response = http::Response::new(());
            let mut out = respond.send_response(response, false).expect("send");
            out.send_data(Bytes::from_static(b"half"), false)
                .expect("send");
            let flows = || stage == Stage::Flowing;
            while flows() {
                out.reserve_capacity(4096);
                let Some(Ok(_)) = std::future::poll_fn(|cx| out.poll_capacity(cx)).await else {
                    break;
                };
                let room = out.capacity();
                if out.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
                    break;
                }
            }
            std::future::poll_fn(|cx| out.poll_reset(cx)).await
        }
    };
    assert_eq!(reason.expect("a reset"), h2::Reason::CANCEL);
    let _ = tell.send(Told::Ended).await;
}

/// A client that can leave.
enum Visitor {
    Http1(TcpStream),
    Http2 {
        sender: SendRequest<Bytes>,
        connection: JoinHandle<()>,
        stream: Option<(ResponseFuture, h2::SendStream<Bytes>)>,
    },
}

impl Visitor {
    async fn connect(node: &Node, leave: Leave) -> Self {
        let stream = TcpStream::connect(node.at("web")).await.expect("connect");
        if matches!(leave, Leave::Http1Close | Leave::Http1Reset) {
            return Self::Http1(stream);
        }
        let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self::Http2 {
            sender,
            connection,
            stream: None,
        }
    }

    /// Sends a request, or a part of one.
    async fn ask(&mut self, target: &str, stage: Stage) {
        let partial = stage == Stage::InRequestBody;
        match self {
            Self::Http1(stream) => {
                let head = match partial {
                    true => format!(
                        "POST {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf"
                    ),
                    false => format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
                };
                stream.write_all(head.as_bytes()).await.expect("send");
            }
            Self::Http2 { sender, stream, .. } => {
                let mut ready = sender.clone().ready().await.expect("ready");
                let method = if partial { "POST" } else { "GET" };
                let uri = format!("http://a.test{target}");
                let request = Request::builder().method(method).uri(uri).body(());
                let sent = ready.send_request(request.expect("a request"), !partial);
                let (response, mut body) = sent.expect("send");
                if partial {
                    body.send_data(Bytes::from_static(b"half"), false)
                        .expect("send");
                }
                *stream = Some((response, body));
            }
        }
    }

    /// Waits until a part of the answer is here.
    async fn half(&mut self) {
        match self {
            Self::Http1(stream) => {
                let mut have = Vec::new();
                while !have.ends_with(b"half") {
                    let mut byte = [0; 1];
                    let read = tokio::io::AsyncReadExt::read_exact(stream, &mut byte);
                    soon("the answer", read).await.expect("a byte");
                    have.extend(byte);
                }
            }
            Self::Http2 { stream, .. } => {
                let (response, _) = stream.as_mut().expect("a stream");
                let response = soon("the head", response).await.expect("a response");
                let mut body = response.into_body();
                let piece = soon("a piece", body.data()).await.expect("a piece");
                assert!(piece.expect("a piece").starts_with(b"half"));
                // Dropped with the stream: it would be reset by that alone.
                std::mem::forget(body);
            }
        }
    }

    fn leave(self, leave: Leave) {
        match self {
            Self::Http1(stream) => {
                if leave == Leave::Http1Reset {
                    stream.set_zero_linger().expect("linger");
                }
            }
            Self::Http2 {
                sender,
                connection,
                stream,
            } => match (leave, stream) {
                (Leave::Http2Stream, Some((response, mut body))) => {
                    body.send_reset(h2::Reason::CANCEL);
                    drop(response);
                    // The connection lives on.
                    tokio::spawn(async move {
                        let _sender = sender;
                        let _ = connection.await;
                    });
                }
                _ => connection.abort(),
            },
        }
    }
}

/// Brings a request to `stage`, leaves, and sees how long the origin's end takes.
async fn leaves(
    node: &Node,
    told: &mut mpsc::Receiver<Told>,
    stage: Stage,
    leave: Leave,
    target: &str,
) {
    let mut visitor = Visitor::connect(node, leave).await;
    visitor.ask(target, stage).await;
    assert_eq!(soon("the request", told.recv()).await, Some(Told::Here));
    if matches!(stage, Stage::InBody | Stage::Flowing) {
        visitor.half().await;
    }
    let left = Instant::now();
    visitor.leave(leave);
    let ended = soon(&format!("{stage:?} {leave:?}"), next(told)).await;
    let took = left.elapsed();
    assert_eq!(ended, Some(Told::Ended));
    assert!(took < AT_ONCE, "{stage:?} {leave:?} took {took:?}");
    let line = node.log.of(target).await;
    let reason = line["reason"].as_str().expect("a reason");
    assert!(
        ["client_closed", "client_reset"].contains(&reason),
        "{stage:?} {leave:?}: {line}"
    );
    let status = if matches!(stage, Stage::InBody | Stage::Flowing) {
        200
    } else {
        499
    };
    assert_eq!(line["status"], status, "{stage:?} {leave:?}: {line}");
}

#[tokio::test]
async fn an_http1_origin_sees_its_connection_end_at_once() {
    for stage in STAGES {
        let (origin, mut told) = http1(stage).await;
        let node = Node::serving(origin.address(), &config("")).await;
        for leave in LEAVES {
            let target = format!("/{stage:?}-{leave:?}");
            leaves(&node, &mut told, stage, leave, &target).await;
        }
        let app = [("upstream", "app")];
        node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
            .await;
        let web = [("listener", "web")];
        node.metric_is("farmgate_requests_in_flight", &web, 0.0)
            .await;
        // Nobody tried again on behalf of a client that is gone.
        assert_eq!(origin.connections(), LEAVES.len());
    }
}

#[tokio::test]
async fn an_http2_origin_sees_its_stream_reset_at_once_and_the_connection_stays() {
    for stage in STAGES {
        let (address, mut told) = http2(stage).await;
        let node = Node::serving(address, &config("protocol = \"h2\"")).await;
        for leave in LEAVES {
            let target = format!("/{stage:?}-{leave:?}");
            leaves(&node, &mut told, stage, leave, &target).await;
            assert_eq!(node.get("/fine").await.text(), "fine");
        }
        let web = [("listener", "web")];
        node.metric_is("farmgate_requests_in_flight", &web, 0.0)
            .await;
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_and_leaves_is_noticed_too() {
    let (origin, mut told) = http1(Stage::Flowing).await;
    let node = Node::serving(origin.address(), &config("")).await;
    for leave in LEAVES {
        let target = format!("/deaf-{leave:?}");
        let mut visitor = Visitor::connect(&node, leave).await;
        visitor.ask(&target, Stage::Flowing).await;
        assert_eq!(soon("the request", told.recv()).await, Some(Told::Here));
        assert_eq!(soon("full buffers", told.recv()).await, Some(Told::Full));
        let left = Instant::now();
        visitor.leave(leave);
        assert_eq!(soon("the end", told.recv()).await, Some(Told::Ended));
        let took = left.elapsed();
        assert!(took < AT_ONCE, "{leave:?} took {took:?}");
    }
}

#[tokio::test]
async fn who_leaves_the_queue_leaves_it_at_once_and_is_never_asked_for() {
    for leave in LEAVES {
        let (origin, go) = Origin::held("ok").await;
        let limits = "limits = { in_flight = 1, queue = 8, queue_timeout = \"8s\" }";
        let node = Node::serving(origin.address(), &config(limits)).await;
        let mut first = node.client().await;
        first
            .send("GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        crate::harness::eventually("the first at the origin", || async {
            (origin.seen().len() == 1).then_some(())
        })
        .await;
        let mut visitor = Visitor::connect(&node, leave).await;
        visitor.ask("/queued", Stage::BeforeHead).await;
        let web = [("listener", "web")];
        node.metric_is("farmgate_requests_in_flight", &web, 2.0)
            .await;
        let left = Instant::now();
        visitor.leave(leave);
        // Its place in the queue is free while the first is still waited for.
        let line = node.log.of("/queued").await;
        let took = left.elapsed();
        assert!(took < AT_ONCE, "{leave:?} took {took:?}");
        assert_eq!(line["status"], 499, "{leave:?}: {line}");
        node.metric_is("farmgate_requests_in_flight", &web, 1.0)
            .await;
        go.send(true).expect("the origin");
        assert_eq!(first.response().await.expect("an answer").status, 200);
        assert_eq!(node.get("/last").await.status, 200);
        let seen: Vec<_> = origin
            .seen()
            .iter()
            .map(|s| s.target().to_owned())
            .collect();
        assert_eq!(seen, ["/first", "/last"], "{leave:?}");
    }
}

#[tokio::test]
async fn who_leaves_in_the_pause_before_another_attempt_is_not_tried_again() {
    for leave in LEAVES {
        let (tell, mut told) = mpsc::channel(64);
        let origin = Origin::start(move |mut peer: Peer| {
            let tell = tell.clone();
            async move {
                peer.head().await;
                let _ = tell.send(Told::Here).await;
                peer.answer(503, "Retry-After: 10\r\n", "").await;
            }
        })
        .await;
        let retry = "retry = { attempts = 2, on = [\"5xx\"] }";
        let node = Node::serving(origin.address(), &config(retry)).await;
        let mut visitor = Visitor::connect(&node, leave).await;
        visitor.ask("/paused", Stage::BeforeHead).await;
        assert_eq!(soon("the request", told.recv()).await, Some(Told::Here));
        let app = [("upstream", "app")];
        node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
            .await;
        let left = Instant::now();
        visitor.leave(leave);
        let line = node.log.of("/paused").await;
        let took = left.elapsed();
        assert!(took < AT_ONCE, "{leave:?} took {took:?}");
        assert_eq!(line["status"], 499, "{leave:?}: {line}");
        assert_eq!(origin.connections(), 1);
    }
}
