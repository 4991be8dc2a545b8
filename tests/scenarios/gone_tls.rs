//! A client over TLS that goes away takes its request with it, as one without does (see `gone`).

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::harness::authority::Authority;
use crate::harness::tls::TlsClient;
use crate::harness::{Node, Origin, Peer, Setup, soon};

/// "At once": without any timer of ours, which are all longer than a second here.
const AT_ONCE: Duration = Duration::from_millis(500);

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
tls = "edge"
protocols = ["http1", "h2"]

[[tls]]
name = "edge"
certificates = [{ cert = "www.pem", key = "www.key" }]

[[route]]
name = "any"
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["@origin"]
"#;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// `close_notify`, then the end of the connection.
    Notify,
    /// The end of the connection alone.
    Close,
    /// A reset.
    Reset,
}

/// Takes a request, says that it is here, sends the beginning of an answer if wanted, and says when its connection ended.
async fn origin(answers: bool) -> (Origin, mpsc::Receiver<&'static str>) {
    let (tell, told) = mpsc::channel(16);
    let origin = Origin::start(move |mut peer: Peer| {
        let tell = tell.clone();
        async move {
            if peer.head().await.is_none() {
                return;
            }
            if answers {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
                    .await;
            }
            let _ = tell.send("here").await;
            peer.gone().await;
            let _ = tell.send("ended").await;
        }
    })
    .await;
    (origin, told)
}

async fn node(origin: &Origin) -> (Authority, Node) {
    let authority = Authority::new("root");
    let setup = Setup::new().with("origin", origin.address());
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "www");
    (authority, setup.start(CONFIG).await)
}

#[tokio::test]
async fn over_http1_the_origin_sees_the_end_at_once() {
    for answers in [false, true] {
        let (origin, mut told) = origin(answers).await;
        let (authority, node) = node(&origin).await;
        for leave in [Leave::Notify, Leave::Close, Leave::Reset] {
            let target = format!("/{leave:?}-{answers}");
            let stream = TcpStream::connect(node.at("web")).await.expect("connect");
            if leave == Leave::Reset {
                stream.set_zero_linger().expect("linger");
            }
            let client = TlsClient::new(&authority, "www.example.test").alpn(b"\x08http/1.1");
            let mut stream = client.over(stream).await.expect("a handshake");
            let head = format!("GET {target} HTTP/1.1\r\nHost: www.example.test\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("send");
            assert_eq!(soon("the request", told.recv()).await, Some("here"));
            let left = Instant::now();
            if leave == Leave::Notify {
                stream.shutdown().await.expect("close_notify");
            }
            drop(stream);
            ended(&node, &mut told, left, &target).await;
        }
        assert_eq!(origin.connections(), 3, "nobody tried again");
        let web = [("listener", "web")];
        node.metric_is("farmgate_requests_in_flight", &web, 0.0)
            .await;
    }
}

#[tokio::test]
async fn over_http2_the_origin_sees_the_end_at_once() {
    let (origin, mut told) = origin(false).await;
    let (authority, node) = node(&origin).await;
    for leave in [Leave::Notify, Leave::Reset] {
        let target = format!("/{leave:?}");
        let client = TlsClient::new(&authority, "www.example.test");
        let mut client = client.http2(node.at("web")).await;
        let request = client.request("GET", &target);
        let asking = tokio::spawn(async move { client.ask(request, &[], None).await });
        assert_eq!(soon("the request", told.recv()).await, Some("here"));
        let left = Instant::now();
        // Dropped with its stream, which is reset by that.
        asking.abort();
        ended(&node, &mut told, left, &target).await;
    }
}

async fn ended(node: &Node, told: &mut mpsc::Receiver<&'static str>, left: Instant, target: &str) {
    assert_eq!(soon(target, told.recv()).await, Some("ended"));
    let took = left.elapsed();
    assert!(took < AT_ONCE, "{target} took {took:?}");
    let line = node.log.of(target).await;
    let reason = line["reason"].as_str().expect("a reason");
    assert!(
        ["client_closed", "client_reset"].contains(&reason),
        "{line}"
    );
}
