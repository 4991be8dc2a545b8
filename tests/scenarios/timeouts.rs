//! An endpoint that stalls, at each point where it can: the status, the reason, the Proxy-Status and
//! the time are the configured ones.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::PLAIN;
use crate::harness::{Node, Origin, Peer, about, address::own_ip, free_address};

const CONFIGURED: Duration = Duration::from_millis(400);

fn config(times: &str) -> String {
    format!("{PLAIN}timeouts = {{ {times} }}\nretry = {{ attempts = 1, on = [\"connect\"] }}\n")
}

/// Asks and checks all that a timeout leaves behind.
async fn times_out(node: &Node, request: &str, reason: &str, token: &str) {
    let mut client = node.client().await;
    let begun = Instant::now();
    let response = client.ask(request).await;
    about(begun.elapsed(), CONFIGURED, reason);
    assert_eq!(response.status, 504, "{reason}");
    let expected = format!("farmgate; error={token}");
    assert_eq!(response.header("proxy-status"), Some(expected.as_str()));
    assert_eq!(response.json()["detail"], reason);
    let target = request.split(' ').nth(1).expect("a target");
    let line = node.log.of(target).await;
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&reason.into(), &504.into())
    );
    let total = line["timings_ms"]["total"].as_f64().expect("a time");
    about(
        Duration::from_secs_f64(total / 1000.0),
        CONFIGURED,
        "the logged time",
    );
    let labels = [("route", "any"), ("reason", reason)];
    node.metric_is("farmgate_request_errors_total", &labels, 1.0)
        .await;
}

/// A listener whose queue is full: further connections are neither taken nor refused.
pub(super) struct Full {
    _listener: Socket,
    _queued: Vec<Socket>,
    pub(super) address: SocketAddr,
}

pub(super) fn full_listener() -> Full {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener
        .bind(&SocketAddr::new(own_ip(), 0).into())
        .expect("bind");
    listener.listen(0).expect("listen");
    let address = listener.local_addr().expect("an address");
    let queued = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("nonblocking");
            // In progress: it waits in the queue, or before it.
            let _ = socket.connect(&address);
            socket
        })
        .collect();
    Full {
        _listener: listener,
        _queued: queued,
        address: address.as_socket().expect("an address"),
    }
}

const GET: &str = "GET /stall HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test]
async fn connecting() {
    let full = full_listener();
    let node = Node::serving(
        full.address,
        &config("connect = \"400ms\", first_byte = \"5s\""),
    )
    .await;
    times_out(&node, GET, "upstream_connect_timeout", "connection_timeout").await;
}

#[tokio::test]
async fn waiting_for_the_head() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let node = Node::serving(
        origin.address(),
        &config("first_byte = \"400ms\", idle = \"5s\""),
    )
    .await;
    times_out(
        &node,
        GET,
        "upstream_first_byte_timeout",
        "http_response_timeout",
    )
    .await;
}

#[tokio::test]
async fn waiting_for_the_head_of_a_reused_connection() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.answer(200, "", "ok").await;
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let node = Node::serving(
        origin.address(),
        &config("first_byte = \"400ms\", idle = \"5s\""),
    )
    .await;
    assert_eq!(node.get("/first").await.status, 200);
    times_out(
        &node,
        GET,
        "upstream_first_byte_timeout",
        "http_response_timeout",
    )
    .await;
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_head_that_stops_in_the_middle() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Le").await;
        peer.gone().await;
    })
    .await;
    let node = Node::serving(
        origin.address(),
        &config("first_byte = \"400ms\", idle = \"5s\""),
    )
    .await;
    times_out(
        &node,
        GET,
        "upstream_first_byte_timeout",
        "http_response_timeout",
    )
    .await;
}

#[tokio::test]
async fn between_two_reads_of_the_body() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        peer.gone().await;
    })
    .await;
    // A first_byte shorter than the idle time must not end the body.
    let node = Node::serving(
        origin.address(),
        &config("first_byte = \"100ms\", idle = \"400ms\""),
    )
    .await;
    let mut client = node.client().await;
    client.send(GET).await;
    let begun = Instant::now();
    assert_eq!(client.head().await.expect("a head").status, 200);
    let (rest, ended) = client.rest(crate::harness::SOON).await;
    assert!(ended && rest == b"half");
    about(begun.elapsed(), CONFIGURED, "the idle time");
    let line = node.log.of("/stall").await;
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"upstream_idle_timeout".into(), &200.into())
    );
}

#[tokio::test]
async fn a_slow_body_that_moves_is_not_cut() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
            .await;
        let mut tick = tokio::time::interval(Duration::from_millis(150));
        for _ in 0..8 {
            tick.tick().await;
            peer.send("x").await;
        }
    })
    .await;
    let times = "first_byte = \"400ms\", idle = \"400ms\"";
    let config = config(times).replace(
        "name = \"web\"",
        "name = \"web\"\ntimeouts = { request = \"600ms\" }",
    );
    let node = Node::serving(origin.address(), &config).await;
    // 1050 ms in all: longer than first_byte, idle and the request's time, none of which it hits.
    assert_eq!(node.get("/slow").await.text(), "xxxxxxxx");
}

#[tokio::test]
async fn a_request_that_is_sent_slowly_is_waited_for_over_http2_too() {
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut bytes = 0;
                while let Some(Ok(piece)) = body.data().await {
                    bytes += piece.len();
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                // It answers once it has read everything, as most origins do.
                let response = http::Response::builder().header("x-bytes", bytes);
                let response = response.body(()).expect("a response");
                respond.send_response(response, true).expect("send");
            });
        }
    });
    let config = format!("{}protocol = \"h2\"\n", config("first_byte = \"400ms\""));
    let node = Node::serving(address, &config).await;
    let mut client = node.client().await;
    client
        .send("POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\n")
        .await;
    let mut tick = tokio::time::interval(Duration::from_millis(150));
    for _ in 0..8 {
        tick.tick().await;
        client.send("x").await;
    }
    // 1050 ms in all, none of them without something sent for 400 ms.
    let response = client.response().await.expect("an answer");
    assert_eq!(
        (response.status, response.header("x-bytes")),
        (200, Some("8"))
    );
}

#[tokio::test]
async fn an_origin_that_does_not_read() {
    let origin = Origin::start(|peer: Peer| async move {
        // Holds the socket without reading from it until the test ends.
        let _peer = peer;
        std::future::pending::<()>().await;
    })
    .await;
    let node = Node::serving(
        origin.address(),
        &config("write = \"400ms\", first_byte = \"5s\""),
    )
    .await;
    let mut client = node.client().await;
    let size = 64 * 1024 * 1024;
    let head = format!("POST /deaf HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n");
    client.send(head).await;
    // The client sends until its own buffers are full too.
    let (mut response, sender) = client.split();
    let sending = tokio::spawn(sender.send_forever());
    let begun = Instant::now();
    let response = crate::harness::soon("the answer", response.response()).await;
    let response = response.expect("an answer");
    sending.abort();
    // The buffers of three sockets are filled first.
    let took = begun.elapsed();
    assert!(took < 2 * CONFIGURED, "{took:?}");
    assert_eq!(response.status, 504);
    assert_eq!(
        response.header("proxy-status"),
        Some("farmgate; error=connection_write_timeout")
    );
    assert_eq!(
        node.log.of("/deaf").await["reason"],
        "upstream_write_timeout"
    );
}

#[tokio::test]
async fn the_whole_request() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let config = config("first_byte = \"5s\"").replace(
        "name = \"web\"",
        "name = \"web\"\ntimeouts = { request = \"400ms\" }",
    );
    let node = Node::serving(origin.address(), &config).await;
    times_out(&node, GET, "request_timeout", "http_response_timeout").await;
}

#[tokio::test]
async fn a_route_has_times_of_its_own() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let config = config("first_byte = \"5s\"").replace(
        "name = \"any\"",
        "name = \"any\"\ntimeouts = { first_byte = \"400ms\" }",
    );
    let node = Node::serving(origin.address(), &config).await;
    times_out(
        &node,
        GET,
        "upstream_first_byte_timeout",
        "http_response_timeout",
    )
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_is_a_499_in_the_log_only() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /left HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    crate::harness::eventually("the request at the origin", || async {
        (origin.seen().len() == 1).then_some(())
    })
    .await;
    drop(client);
    let line = node.log.of("/left").await;
    assert_eq!(line["status"], 499);
    assert_eq!(line["reason"], "client_closed");
    // The origin's connection is given up, not kept.
    let app = [("upstream", "app")];
    node.metric_is("farmgate_upstream_connections_open", &app, 0.0)
        .await;
    let web = [("listener", "web")];
    node.metric_is("farmgate_requests_in_flight", &web, 0.0)
        .await;
}
