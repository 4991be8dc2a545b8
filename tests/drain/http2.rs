//! HTTP/2 at the deadline: each stream is told what its client understands, and then the connection goes.

use bytes::Bytes;
use http::Response;
use tokio::net::{TcpListener, TcpStream};

use super::{KEEPING, PATIENT, QUICK, drain, serving};
use crate::harness::frames::{self, Frames};
use crate::harness::http2::Http2;
use crate::harness::node::joined;
use crate::harness::{Demo, Node, Origin, eventually, free_address};

const H2C: &str = r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]

[[upstream]]
name = "app"
endpoints = ["@origin"]
protocol = "h2"

[[route]]
name = "any"
upstream = "app"
"#;

/// An origin whose responses begin and do not end; `/silent` does not even begin.
async fn endless() -> std::net::SocketAddr {
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(begin(request, respond));
                }
            });
        }
    });
    address
}

async fn begin(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) {
    let kind = match request.uri().path() {
        "/silent" => return std::future::pending().await,
        "/grpc" => "application/grpc+proto",
        "/flood" => "application/octet-stream",
        _ => "text/plain",
    };
    let response = Response::builder().header("content-type", kind).body(());
    let response = response.expect("a response");
    let mut stream = respond.send_response(response, false).expect("send");
    let message = Bytes::from_static(b"\0\0\0\0\x02hi");
    stream.send_data(message, false).expect("send");
    while request.uri().path() == "/flood" {
        stream.reserve_capacity(16 * 1024);
        match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(room)) if room > 0 => {
                let _ = stream.send_data(Bytes::from(vec![b'x'; room]), false);
            }
            _ => return,
        }
    }
    std::future::pending::<()>().await;
}

async fn in_flight(node: &Node, count: f64) {
    node.metric_is("farmgate_requests_in_flight", &[("listener", "web")], count)
        .await;
}

#[tokio::test]
async fn grpc_hears_unavailable_and_others_a_reset() {
    let mut node = serving(QUICK, endless().await, H2C).await;
    let client = Http2::connect(node.at("web")).await;
    let ask = |path: &'static str| {
        let mut client = client.again();
        tokio::spawn(async move {
            let request = client.request("POST", path);
            client.ask(request, &[], None).await
        })
    };
    let (grpc, plain, silent) = (ask("/grpc"), ask("/plain"), ask("/silent"));
    in_flight(&node, 3.0).await;
    for path in ["/grpc", "/plain"] {
        let phase = [("upstream", "app"), ("phase", "first_byte")];
        let _ = path;
        eventually("two responses begun", || async {
            let begun = node.metric("farmgate_request_phase_seconds_count", &phase);
            (begun.await >= 2.0).then_some(())
        })
        .await;
    }
    let draining = drain(&node);
    let grpc = joined(grpc).await.expect("a whole response");
    assert_eq!(grpc.head.status(), 200);
    assert_eq!(grpc.body, b"\0\0\0\0\x02hi");
    let trailers = grpc.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "14");
    assert_eq!(trailers["grpc-message"], "the proxy is going down");
    let reset = joined(plain).await.expect_err("a response that was cut");
    assert_eq!(reset.reason(), Some(h2::Reason::INTERNAL_ERROR), "{reset}");
    let silent = joined(silent).await.expect("an answer");
    assert_eq!(silent.head.status(), 503);
    let kinds = [("http2_request", 1), ("http2_response", 2)];
    draining.cut(&mut node, &kinds).await;
    for (path, status) in [("/grpc", 200), ("/plain", 200), ("/silent", 503)] {
        let line = node.log.of(path).await;
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&status.into(), &"draining".into()),
            "{path}"
        );
    }
}

/// A client that opens no window cannot be sent trailers: the end of the connection tells it, not a reset of the
/// stream, which gRPC would not take for UNAVAILABLE.
#[tokio::test]
async fn a_client_that_takes_nothing_hears_goaway() {
    let mut node = serving(QUICK, endless().await, H2C).await;
    let wire = TcpStream::connect(node.at("web")).await.expect("connect");
    let mut client = Frames::open(Box::new(wire), &[]).await;
    assert!(client.send(&frames::get(1, "/flood")).await);
    client
        .until("a window full", |heard| heard.data_bytes >= 65_535)
        .await;
    let draining = drain(&node);
    let heard = client.ended().await;
    assert_eq!(heard.code(), Some(frames::NO_ERROR));
    // The first two said that it will, the last one that it does.
    assert!(heard.goaways.len() >= 2, "{:?}", heard.goaways);
    assert!(heard.resets.is_empty(), "{:?}", heard.resets);
    draining.cut(&mut node, &[("http2_response", 1)]).await;
}

/// GOAWAY twice (RFC 9113 section 6.8): the first takes nothing away, since requests may be on their way; the second
/// names the last one that was served, once the client has shown that it heard the first.
async fn two_goaways(upgraded: bool) {
    let (origin, go) = Origin::held("late").await;
    let config = H2C.replace("protocol = \"h2\"\n", "");
    let mut node = serving(PATIENT, origin.address(), &config).await;
    let wire = TcpStream::connect(node.at("web")).await.expect("connect");
    let mut client = Frames::open(Box::new(wire), &[]).await;
    assert!(client.send(&frames::get(1, "/late")).await);
    in_flight(&node, 1.0).await;
    match upgraded {
        true => node.upgrade().await,
        false => node.signal("TERM"),
    }
    let heard = client
        .until("the first GOAWAY", |heard| !heard.pings.is_empty())
        .await;
    assert_eq!(heard.goaways, [(frames::NO_ERROR, String::new())]);
    assert_eq!(heard.last_streams, [(1 << 31) - 1]);
    // This one crossed it on the way.
    assert!(client.send(&frames::get(3, "/late")).await);
    let ping = heard.pings.last().expect("a PING");
    let pong = frames::frame(frames::PING, frames::ACK, 0, ping);
    assert!(client.send(&pong).await);
    let heard = client
        .until("the second GOAWAY", |heard| heard.goaways.len() == 2)
        .await;
    assert_eq!(heard.last_streams, [(1 << 31) - 1, 3]);
    assert_eq!((heard.answered, heard.ended), (0, false));
    eventually("both requests at the origin", || async {
        (origin.seen().len() == 2).then_some(())
    })
    .await;
    go.send(true).expect("the origin");
    let heard = client.ended().await;
    assert_eq!((heard.answered, heard.code()), (2, Some(frames::NO_ERROR)));
    assert!(heard.resets.is_empty(), "{:?}", heard.resets);
    drop(client);
    let code = match upgraded {
        true => node.elder_exit().await,
        false => node.exit().await,
    };
    assert_eq!(code, 0);
}

#[tokio::test]
async fn a_stop_says_goaway_twice() {
    two_goaways(false).await;
}

#[tokio::test]
async fn an_upgrade_says_goaway_twice() {
    two_goaways(true).await;
}

/// Nor does this one, whose response under way fills its line; it asks again all the same. Once its time is over it is
/// told in the word that lets it ask elsewhere (RFC 9113 section 8.7).
#[tokio::test]
async fn who_asks_too_late_may_ask_elsewhere() {
    let (origin, go) = Origin::held("late").await;
    let config = H2C.replace("protocol = \"h2\"\n", "");
    let mut node = serving(PATIENT, origin.address(), &config).await;
    let wire = TcpStream::connect(node.at("web")).await.expect("connect");
    let mut client = Frames::open(Box::new(wire), &[]).await;
    assert!(client.send(&frames::get(1, "/late")).await);
    in_flight(&node, 1.0).await;
    node.signal("TERM");
    client
        .until("the first GOAWAY", |heard| !heard.pings.is_empty())
        .await;
    let mut stream = 3;
    while client.heard().resets.is_empty() && stream < 100 {
        assert!(client.send(&frames::get(stream, "/late")).await);
        stream += 2;
        // tidy: waits for a condition
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    let resets = client.heard().resets;
    let codes: Vec<_> = resets.keys().copied().collect();
    assert_eq!(codes, [frames::REFUSED_STREAM], "{resets:?}");
    go.send(true).expect("the origin");
    assert_eq!(client.ended().await.code(), Some(frames::NO_ERROR));
    assert_eq!(node.exit().await, 0);
}

/// This client never answers the PING by which we learn that it has heard.
#[tokio::test]
async fn an_idle_connection_that_does_not_go_is_closed() {
    let demo = Demo::start().await;
    let config = H2C.replace("protocol = \"h2\"\n", "");
    let mut node = serving(KEEPING, demo.address(), &config).await;
    let wire = TcpStream::connect(node.at("web")).await.expect("connect");
    let mut client = Frames::open(Box::new(wire), &[]).await;
    assert!(client.send(&frames::get(1, "/bytes/10")).await);
    client
        .until("the answer", |heard| heard.answered == 1)
        .await;
    let draining = drain(&node);
    let heard = client.ended().await;
    assert_eq!(heard.code(), Some(frames::NO_ERROR));
    assert!(heard.goaways.len() >= 2, "{:?}", heard.goaways);
    draining.cut(&mut node, &[("http2_idle", 1)]).await;
}

/// What begins and ends before the deadline is not touched.
#[tokio::test]
async fn streams_that_end_in_time_end_well() {
    let demo = Demo::start().await;
    let config = H2C.replace("protocol = \"h2\"\n", "");
    let mut node = serving(QUICK, demo.address(), &config).await;
    let client = Http2::connect(node.at("web")).await;
    let asked: Vec<_> = (0..10)
        .map(|n| {
            let mut client = client.again();
            tokio::spawn(async move { client.get(&format!("/delay/200?{n}")).await })
        })
        .collect();
    in_flight(&node, 10.0).await;
    let draining = drain(&node);
    for one in asked {
        assert_eq!(joined(one).await.head.status(), 200);
    }
    draining.cut(&mut node, &[]).await;
}
