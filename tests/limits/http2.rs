//! The same bounds for HTTP/2, whose streams share a connection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config;
use crate::harness::{Client, Node, Origin, Peer, SOON, Setup, about, http2::Http2, soon};

async fn node(words: &str) -> (Node, Origin) {
    let origin = Origin::answering("ok").await;
    let words = format!("protocols = [\"http1\", \"h2c\"]\n{words}");
    let setup = Setup::new().with("origin", origin.address());
    (setup.start(&config(&words)).await, origin)
}

#[tokio::test]
async fn a_body_that_never_ends_is_a_408() {
    let (node, origin) = node("timeouts = { body_idle = \"400ms\" }").await;
    let stream = TcpStream::connect(node.at("web")).await.expect("connect");
    let (sender, connection) = h2::client::handshake(stream).await.expect("handshake");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut sender = sender.ready().await.expect("ready");
    let request = http::Request::post("http://a.test/pause")
        .body(())
        .expect("a request");
    let begun = Instant::now();
    let (response, mut body) = sender.send_request(request, false).expect("send");
    body.send_data(Bytes::from_static(b"half"), false)
        .expect("send");
    let answer = soon("an answer", response).await;
    about(begun.elapsed(), Duration::from_millis(400), "the pause");
    assert_eq!(answer.expect("an answer").status(), 408);
    let line = node.log.of("/pause").await;
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"body_timeout".into(), &408.into())
    );
    assert!(origin.seen().is_empty());
    // The connection and its other streams go on.
    let mut client = Http2::connect(node.at("web")).await;
    assert_eq!(client.get("/next").await.head.status(), 200);
}

#[tokio::test]
async fn a_body_that_only_drips_is_cut_and_a_quick_one_passes() {
    let words =
        "timeouts = { body_idle = \"300ms\" }\nmin_body_rate = { rate = \"1KiB\", per = \"1s\" }";
    let (node, _origin) = node(words).await;
    let stream = TcpStream::connect(node.at("web")).await.expect("connect");
    let (sender, connection) = h2::client::handshake(stream).await.expect("handshake");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut sender = sender.ready().await.expect("ready");
    let request = http::Request::post("http://a.test/drip")
        .body(())
        .expect("a request");
    let begun = Instant::now();
    let (answer, mut body) = sender.send_request(request, false).expect("send");
    let mut answer = std::pin::pin!(answer);
    // Twenty bytes a second never pause for 300 ms.
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            _ = &mut answer => break,
            _ = tick.tick() => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "never refused");
        if body.send_data(Bytes::from_static(b"x"), false).is_err() {
            break;
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let line = node.log.of("/drip").await;
    assert_eq!(line["reason"], "body_rate_too_low");
    assert!(line["bytes_in"].as_u64() > Some(2), "{line}");
    let mut client = Http2::connect(node.at("web")).await;
    let quick = client.request("POST", "/quick");
    let pieces = [
        Bytes::from(vec![b'x'; 50_000]),
        Bytes::from(vec![b'x'; 50_000]),
    ];
    let response = client.ask(quick, &pieces, None).await.expect("an answer");
    assert_eq!(response.head.status(), 200);
}

#[tokio::test]
async fn the_request_time_holds() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let words = "protocols = [\"h2c\"]\ntimeouts = { request = \"400ms\" }";
    let setup = Setup::new().with("origin", origin.address());
    let node = setup.start(&config(words)).await;
    let mut client = Http2::connect(node.at("web")).await;
    let begun = Instant::now();
    let response = client.get("/stall").await;
    about(begun.elapsed(), Duration::from_millis(400), "the request");
    assert_eq!(response.head.status(), 504);
    assert_eq!(
        response.head.headers()["proxy-status"],
        "farmgate; error=http_response_timeout"
    );
    assert_eq!(node.log.of("/stall").await["reason"], "request_timeout");
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_goaway() {
    let (node, _origin) = node("timeouts = { keepalive = \"300ms\" }").await;
    let stream = TcpStream::connect(node.at("web")).await.expect("connect");
    let (sender, connection) = h2::client::handshake(stream).await.expect("handshake");
    let begun = Instant::now();
    let ended = soon("the end", connection).await;
    assert!(ended.is_ok(), "a GOAWAY without an error: {ended:?}");
    about(begun.elapsed(), Duration::from_millis(300), "the idle time");
    drop(sender);
}

#[tokio::test]
async fn half_a_preface_ends_in_time() {
    let (node, origin) = node("timeouts = { header = \"400ms\" }").await;
    let mut stream = TcpStream::connect(node.at("web")).await.expect("connect");
    let begun = Instant::now();
    stream.write_all(b"PRI * HT").await.expect("send");
    let mut rest = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "never closed");
    about(
        begun.elapsed(),
        Duration::from_millis(400),
        "half a preface",
    );
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn too_many_fields_and_long_targets_have_their_statuses() {
    let (node, origin) = node("limits = { headers = 10, uri_bytes = \"256B\" }").await;
    let mut client = Http2::connect(node.at("web")).await;
    let mut request = client.request("GET", "/many");
    for n in 0..20 {
        let name = http::HeaderName::try_from(format!("x-{n}")).expect("a name");
        request
            .headers_mut()
            .insert(name, "1".parse().expect("a value"));
    }
    let response = client.ask(request, &[], None).await.expect("a response");
    assert_eq!(response.head.status(), 431);
    let long = format!("/{}", "x".repeat(300));
    assert_eq!(client.get(&long).await.head.status(), 414);
    assert_eq!(client.get("/fits").await.head.status(), 200);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn streams_over_the_limit_wait_or_are_refused_and_nothing_breaks() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let origin = Origin::start(move |mut peer: Peer| {
        let mut gone = gone.clone();
        async move {
            while peer.request().await.is_some() {
                let _ = gone.wait_for(|go| *go).await;
                peer.answer(200, "", "ok").await;
            }
        }
    })
    .await;
    let words = "protocols = [\"h2c\"]\nlimits = { streams = 4 }";
    let setup = Setup::new().with("origin", origin.address());
    let node = setup.start(&config(words)).await;
    let client = Http2::connect(node.at("web")).await;
    let calls: Vec<_> = (0..12)
        .map(|n| {
            let mut client = client.again();
            tokio::spawn(async move {
                let request = client.request("GET", &format!("/{n}"));
                match client.ask(request, &[], None).await {
                    Ok(whole) => Some(whole.head.status().as_u16()),
                    // Sent before the client knew of the limit.
                    Err(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => None,
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    crate::harness::eventually("four requests at the origin", || async {
        (origin.seen().len() >= 4).then_some(())
    })
    .await;
    assert!(origin.seen().len() <= 4, "{}", origin.seen().len());
    go.send(true).expect("the origin");
    let mut served = 0;
    for call in calls {
        match crate::harness::node::joined(call).await {
            Some(status) => {
                assert_eq!(status, 200);
                served += 1;
            }
            None => assert!(served >= 4, "only streams over the limit are refused"),
        }
    }
    assert!(served >= 4);
}

#[tokio::test]
async fn plain_http1_on_a_listener_for_http2_only_is_refused() {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    let node = setup.start(&config("protocols = [\"h2c\"]")).await;
    let mut client = Client::connect(node.at("web")).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let (_, ended) = client.rest(SOON).await;
    assert!(ended, "the connection is closed");
    assert!(origin.seen().is_empty());
}
