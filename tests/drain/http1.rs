//! HTTP/1 at the deadline: cut so that the client can tell, answered where nothing was said, closed where nothing was
//! under way.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{KEEPING, PATIENT, QUICK, drain, serving};
use crate::harness::authority::Authority;
use crate::harness::{Demo, Node, Origin, Peer, SOON, Setup, eventually, soon};
use crate::scenarios::PLAIN;
use crate::tls::s_client_says;

/// An origin that sends this for an answer and then nothing more.
async fn half(response: &'static str) -> Origin {
    Origin::start(move |mut peer: Peer| async move {
        peer.request().await;
        peer.send(response).await;
        peer.gone().await;
    })
    .await
}

/// The request has reached the origin.
async fn arrived(origin: &Origin) {
    eventually("the request at the origin", || async {
        (!origin.seen().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_download_is_cut_and_seen_to_be() {
    for (response, body) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun",
            &b"begun"[..],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
            b"5\r\nbegun\r\n",
        ),
    ] {
        let origin = half(response).await;
        let mut node = serving(QUICK, origin.address(), PLAIN).await;
        let mut client = node.client().await;
        client
            .send("GET /long HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        assert_eq!(client.head().await.expect("a head").status, 200);
        let draining = drain(&node);
        let (rest, ended) = client.rest(SOON).await;
        assert_eq!((rest.as_slice(), ended), (body, true), "and no end");
        draining.cut(&mut node, &[("http1_response", 1)]).await;
        let line = node.log.of("/long").await;
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&200.into(), &"draining".into())
        );
        let said = node.errors();
        assert!(
            said.contains("1 were cut at the end: 1 http1_response"),
            "{said}"
        );
    }
}

/// Where only the end of the connection ends a response, the end itself must not look like one.
#[tokio::test]
async fn a_download_without_a_length_ends_in_a_reset() {
    let origin = half("HTTP/1.1 200 OK\r\n\r\nbegun").await;
    let mut node = serving(QUICK, origin.address(), PLAIN).await;
    let mut stream = TcpStream::connect(node.at("web")).await.expect("connect");
    stream
        .write_all(b"GET /old HTTP/1.0\r\nHost: a.test\r\n\r\n")
        .await
        .expect("send");
    let mut came = Vec::new();
    while !came.ends_with(b"begun") {
        let read = soon("the beginning", stream.read_buf(&mut came)).await;
        assert_ne!(read.expect("bytes"), 0);
    }
    let head = String::from_utf8_lossy(&came).to_lowercase();
    assert!(!head.contains("content-length") && !head.contains("chunked"));
    let draining = drain(&node);
    let end = soon("the end", stream.read_buf(&mut came)).await;
    let end = end.expect_err("a reset, not an end");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    draining.cut(&mut node, &[("http1_response", 1)]).await;
}

/// What is not polled for reading, since the client takes nothing, ends all the same.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let demo = Demo::start().await;
    let mut node = serving(QUICK, demo.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /bytes/50000000 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("a head").status, 200);
    drain(&node).cut(&mut node, &[("http1_response", 1)]).await;
    let (rest, ended) = client.rest(SOON).await;
    assert!(ended && rest.len() < 50_000_000, "{}", rest.len());
}

#[tokio::test]
async fn a_request_without_an_answer_gets_503() {
    let (origin, _go) = Origin::held("late").await;
    let mut node = serving(QUICK, origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /late HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    arrived(&origin).await;
    let draining = drain(&node);
    let answer = client.response().await.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("connection")),
        (503, Some("close"))
    );
    assert_eq!(answer.json()["detail"], "draining");
    client.closes_within(SOON).await;
    draining.cut(&mut node, &[("http1_request", 1)]).await;
    let line = node.log.of("/late").await;
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&503.into(), &"draining".into())
    );
}

/// The engine hears nothing while an upload stands still: its stream answers when the request is dropped.
#[tokio::test]
async fn an_upload_that_stands_still_gets_503_too() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let config = PLAIN.replace(
        "name = \"web\"",
        "name = \"web\"\nlimits = { body_bytes = \"200MiB\" }",
    );
    let mut node = serving(QUICK, origin.address(), &config).await;
    let mut client = node.client().await;
    client
        .send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let (mut reader, sender) = client.split();
    let sending = tokio::spawn(sender.send_forever());
    node.metric_is("farmgate_requests_in_flight", &[("listener", "web")], 1.0)
        .await;
    let draining = drain(&node);
    let answer = soon("an answer", reader.response()).await;
    sending.abort();
    assert_eq!(answer.expect("an answer").status, 503);
    draining.cut(&mut node, &[("http1_request", 1)]).await;
    let line = node.log.of("/up").await;
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&503.into(), &"draining".into())
    );
}

#[tokio::test]
async fn half_a_head_gets_503() {
    let origin = Origin::answering("ok").await;
    let mut node = serving(QUICK, origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client.send("GET /half HT").await;
    node.metric_is("farmgate_connections_open", &[("listener", "web")], 1.0)
        .await;
    let draining = drain(&node);
    let answer = client.response().await.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("connection")),
        (503, Some("close"))
    );
    draining.cut(&mut node, &[("http1_request", 1)]).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_silence_and_no_loss() {
    let origin = Origin::answering("ok").await;
    let mut node = serving(KEEPING, origin.address(), PLAIN).await;
    let mut client = node.client().await;
    assert_eq!(client.get("/").await.status, 200);
    let draining = drain(&node);
    client.closes_within(SOON).await;
    let answer = draining.ended(&mut node).await;
    assert_eq!(
        (&answer["cut"], &answer["idle"]),
        (&0.into(), &1.into()),
        "{answer}"
    );
    assert_eq!(answer["kinds"]["http1_idle"], 1);
}

/// A client that thinks between two requests must not meet a closed connection: its next request is served, and told
/// that it was the last.
#[tokio::test]
async fn who_thinks_between_two_requests_is_served_once_more() {
    let origin = Origin::answering("ok").await;
    let mut node = serving(PATIENT, origin.address(), PLAIN).await;
    let mut thinking = Vec::new();
    for _ in 0..20 {
        let mut client = node.client().await;
        let answer = client.get("/before").await;
        assert_eq!(answer.status, 200);
        assert_ne!(answer.header("connection"), Some("close"));
        thinking.push(client);
    }
    let draining = drain(&node);
    eventually("a closed door", || async {
        TcpStream::connect(node.at("web")).await.err()
    })
    .await;
    let mut think = tokio::time::interval(std::time::Duration::from_millis(50));
    for client in &mut thinking {
        think.tick().await;
        let answer = client.get("/after").await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
        client.closes_within(SOON).await;
    }
    draining.cut(&mut node, &[]).await;
}

/// A node with TLS at `@web`, and a certificate that its clients believe.
async fn secure(words: &'static str, origin: &Origin) -> (Node, Authority) {
    let authority = Authority::new("root");
    let setup = Setup::new().with("origin", origin.address()).drain(words);
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "a");
    let config = PLAIN.replace("name = \"web\"", "name = \"web\"\ntls = \"edge\"");
    let config = format!(
        "{config}\n[[tls]]\nname = \"edge\"\ncertificates = [{{ cert = \"a.pem\", key = \"a.key\" }}]\n"
    );
    (setup.start(&config).await, authority)
}

/// Over TLS the word that nothing more comes stands for a whole end, and only for that. OpenSSL takes an end without it
/// for an error.
#[tokio::test]
async fn tls_says_an_end_only_where_it_is_one() {
    const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole";
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun";
    let origin = Origin::start(|mut peer: Peer| async move {
        while let Some(seen) = peer.request().await {
            let half = seen.target() == "/long";
            peer.send(if half { HALF } else { WHOLE }).await;
        }
    })
    .await;
    let (mut node, _authority) = secure(KEEPING, &origin).await;
    // Says nothing at all: its handshake is never complete.
    let mut silent = node.client().await;
    let (cut, idle, draining) = tokio::join!(
        s_client_says(
            &node,
            &[],
            "GET /long HTTP/1.1\r\nHost: www.example.test\r\n\r\n"
        ),
        s_client_says(
            &node,
            &[],
            "GET /short HTTP/1.1\r\nHost: www.example.test\r\n\r\n"
        ),
        async {
            eventually("both answers", || async {
                let answered = node.metric("farmgate_requests_total", &[("code", "2xx")]);
                let under_way = node.metric("farmgate_requests_in_flight", &[]);
                // The silent one is taken too: what waits in the queue is none of a drain's.
                let open = node.metric("farmgate_connections_open", &[]);
                let settled = answered.await == 1.0 && under_way.await == 1.0;
                (settled && open.await == 3.0 && origin.seen().len() == 2).then_some(())
            })
            .await;
            drain(&node)
        }
    );
    const NO_WORD: &str = "unexpected eof";
    assert!(
        cut.contains("\r\n\r\nbegun") && cut.contains(NO_WORD),
        "{cut}"
    );
    assert!(
        idle.contains("\r\n\r\nwhole") && !idle.contains(NO_WORD),
        "{idle}"
    );
    silent.closes_within(SOON).await;
    let kinds = [("handshake", 1), ("http1_idle", 1), ("http1_response", 1)];
    draining.cut(&mut node, &kinds).await;
}
