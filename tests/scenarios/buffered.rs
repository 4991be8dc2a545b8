//! Plugins that want the whole body first, and plugins that misbehave. The kind `probe` does both on
//! demand; the node has it because its environment says so.

use bytes::Bytes;

use crate::harness::{Demo, Node, Origin, Peer, Setup, free_address, http2::Http2};

fn config(endpoints: &str, probe: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]
[[upstream]]
name = "app"
endpoints = [{endpoints}]
[[route]]
name = "any"
plugins = ["it"]
upstream = "app"
[[plugin]]
name = "it"
kind = "probe"
{probe}
"#
    )
}

async fn node(setup: Setup, endpoints: &str, probe: &str) -> Node {
    let setup = setup.env("FARMGATE_TEST_PLUGINS", "1");
    setup.start(&config(endpoints, probe)).await
}

/// Nothing, what Pingora holds by itself, one byte more, and much more.
const SIZES: [usize; 4] = [0, 64 * 1024, 64 * 1024 + 1, 1024 * 1024];
const BUFFERING: &str = "buffer = \"1MiB\"";

fn body(size: usize) -> String {
    (0..size)
        .map(|n| char::from(b'a' + (n % 23) as u8))
        .collect()
}

fn chunked(target: &str, method: &str, body: &str) -> String {
    let mut out =
        format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.as_bytes().chunks(10_000) {
        out += &format!(
            "{:x}\r\n{}\r\n",
            piece.len(),
            String::from_utf8_lossy(piece)
        );
    }
    out + "0\r\n\r\n"
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let demo = Demo::start().await;
    let node = node(
        Setup::new().with("origin", demo.address()),
        "\"@origin\"",
        BUFFERING,
    )
    .await;
    let mut client = node.client().await;
    let mut second = Http2::connect(node.at("web")).await;
    for size in SIZES {
        let body = body(size);
        let response = client.post("/echo", &body).await;
        assert_eq!(response.status, 200);
        assert!(response.text() == body, "{size} with a length");
        let response = client.ask(&chunked("/echo", "POST", &body)).await;
        assert!(response.text() == body, "{size} in chunks");
        let mut request = second.request("POST", "/echo");
        request.headers_mut().insert("content-length", size.into());
        let sent = [Bytes::from(body.clone())];
        let response = second.ask(request, &sent, None).await.expect("a response");
        assert!(
            response.body == body.as_bytes(),
            "{size} over h2 with a length"
        );
        let request = second.request("POST", "/echo");
        let response = second.ask(request, &sent, None).await.expect("a response");
        assert!(response.body == body.as_bytes(), "{size} over h2");
    }
}

#[tokio::test]
async fn the_origin_gets_the_length_that_was_read() {
    let origin = Origin::answering("ok").await;
    let node = node(
        Setup::new().with("origin", origin.address()),
        "\"@origin\"",
        BUFFERING,
    )
    .await;
    for size in SIZES {
        let body = body(size);
        let response = node
            .client()
            .await
            .ask(&chunked("/chunks", "POST", &body))
            .await;
        assert_eq!(response.status, 200);
        let seen = origin.last();
        assert!(seen.body == body.as_bytes(), "{size}");
        assert_eq!(
            seen.header("x-probe-buffered"),
            Some(size.to_string().as_str())
        );
        let both =
            seen.header("content-length").is_some() && seen.header("transfer-encoding").is_some();
        assert!(!both, "{seen:?}");
    }
}

#[tokio::test]
async fn a_retry_sends_the_whole_body_again() {
    for size in SIZES {
        let broken = Origin::start(|mut peer: Peer| async move {
            peer.request().await;
            peer.reset();
        })
        .await;
        let good = Origin::answering("ok").await;
        let setup = Setup::new()
            .with("bad", broken.address())
            .with("good", good.address());
        let node = node(setup, "\"@bad\", \"@good\"", BUFFERING).await;
        let body = body(size);
        for request in [
            format!("PUT /put HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n{body}"),
            chunked("/put", "PUT", &body),
        ] {
            // Twice, so that the broken endpoint is the first choice once.
            for _ in 0..2 {
                let response = node.client().await.ask(&request).await;
                assert_eq!(response.status, 200, "{size}");
                assert!(good.last().body == body.as_bytes(), "{size}");
            }
        }
        assert!(!broken.seen().is_empty());
        assert!(
            broken
                .seen()
                .iter()
                .all(|seen| seen.body == body.as_bytes())
        );
        let lines = node.log.count("/put", 4).await;
        assert!(lines.iter().any(|line| line["attempt"] == 2), "{lines:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_costs_nothing_of_the_body() {
    let good = Origin::answering("ok").await;
    let setup = Setup::new()
        .with("down", free_address())
        .with("good", good.address());
    let node = node(setup, "\"@down\", \"@good\"", BUFFERING).await;
    for size in SIZES {
        let body = body(size);
        for _ in 0..2 {
            assert_eq!(node.client().await.post("/post", &body).await.status, 200);
            assert!(good.last().body == body.as_bytes(), "{size}");
        }
    }
}

#[tokio::test]
async fn expect_continue_is_answered_by_the_one_who_buffers() {
    let origin = Origin::answering("ok").await;
    let node = node(
        Setup::new().with("origin", origin.address()),
        "\"@origin\"",
        BUFFERING,
    )
    .await;
    for size in SIZES.into_iter().skip(1) {
        let mut client = node.client().await;
        client
            .send(format!("POST /expect HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n"))
            .await;
        assert_eq!(
            client.head().await.expect("an interim response").status,
            100
        );
        let body = body(size);
        client.send(&body).await;
        assert_eq!(client.response().await.expect("a response").status, 200);
        assert!(origin.last().body == body.as_bytes(), "{size}");
    }
}

#[tokio::test]
async fn over_the_limit_is_refused_or_streamed_on() {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    let refusing = node(setup, "\"@origin\"", "buffer = \"64KiB\"").await;
    let over = body(64 * 1024 + 1);
    for request in [
        format!(
            "POST /over HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{over}",
            over.len()
        ),
        chunked("/over", "POST", &over),
    ] {
        let response = refusing.client().await.ask(&request).await;
        assert_eq!(response.status, 413);
    }
    assert_eq!(
        refusing
            .client()
            .await
            .post("/fits", &body(64 * 1024))
            .await
            .status,
        200
    );
    assert_eq!(origin.seen().len(), 1);
    let setup = Setup::new().with("origin", origin.address());
    let partial = node(
        setup,
        "\"@origin\"",
        "buffer = \"64KiB\"\nover = \"partial\"",
    )
    .await;
    for size in [64 * 1024, 64 * 1024 + 1, 1024 * 1024] {
        let body = body(size);
        assert_eq!(
            partial.client().await.post("/partial", &body).await.status,
            200
        );
        assert!(
            origin.last().body == body.as_bytes(),
            "{size} with a length"
        );
        let request = chunked("/partial", "POST", &body);
        assert_eq!(partial.client().await.ask(&request).await.status, 200);
        assert!(origin.last().body == body.as_bytes(), "{size} in chunks");
    }
}

#[tokio::test]
async fn a_replaced_body_has_its_own_length() {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    let probe = "buffer = \"1MiB\"\nreplace_body = \"another\"";
    let node = node(setup, "\"@origin\"", probe).await;
    for request in [
        "POST /r HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nold".to_owned(),
        chunked("/r", "POST", &body(100_000)),
    ] {
        assert_eq!(node.client().await.ask(&request).await.status, 200);
        assert_eq!(origin.last().body, b"another");
    }
}

#[tokio::test]
async fn a_panic_is_caught_counted_and_follows_fail() {
    let demo = Demo::start().await;
    for phase in [
        "request_head",
        "request_body",
        "upstream_request",
        "request_chunk",
        "origin_head",
        "response_head",
    ] {
        for (word, count) in [("panic_in", "panic"), ("error_in", "error")] {
            for fail in ["closed", "open"] {
                let mut probe = format!("fail = \"{fail}\"\n{word} = \"{phase}\"");
                if phase == "request_body" {
                    probe += "\nbuffer = \"1MiB\"";
                }
                let setup = Setup::new().with("origin", demo.address());
                let node = node(setup, "\"@origin\"", &probe).await;
                let response = node.client().await.post("/echo", "hello").await;
                let what = format!("{word} {phase} {fail}");
                match fail {
                    "open" => assert_eq!(
                        (response.status, response.text().as_str()),
                        (200, "hello"),
                        "{what}"
                    ),
                    _ => {
                        assert_eq!(response.status, 500, "{what}");
                        let line = node.log.of("/echo").await;
                        assert_eq!(line["reason"], format!("plugin_{count}"), "{what}");
                    }
                }
                let labels = [("plugin", "it"), ("kind", count)];
                assert!(
                    node.metric("farmgate_plugin_errors_total", &labels).await >= 1.0,
                    "{what}"
                );
                // The node goes on.
                let next = node.get("/status/204").await.status;
                assert_eq!(next, if fail == "open" { 204 } else { 500 }, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_plugin_may_wait_but_not_past_the_request() {
    let demo = Demo::start().await;
    let setup = Setup::new().with("origin", demo.address());
    let waits = node(setup, "\"@origin\"", "wait = \"200ms\"").await;
    let begun = std::time::Instant::now();
    assert_eq!(waits.get("/status/200").await.status, 200);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(200));
    let setup = Setup::new()
        .with("origin", demo.address())
        .env("FARMGATE_TEST_PLUGINS", "1");
    let config = config("\"@origin\"", "wait = \"5s\"").replace(
        "name = \"any\"",
        "name = \"any\"\ntimeouts = { request = \"300ms\" }",
    );
    let node = setup.start(&config).await;
    let begun = std::time::Instant::now();
    let response = node.get("/status/200").await;
    crate::harness::about(
        begun.elapsed(),
        std::time::Duration::from_millis(300),
        "the wait",
    );
    assert!(response.status >= 500, "{}", response.status);
}

#[tokio::test]
async fn fields_of_a_plugin_are_bounded() {
    let demo = Demo::start().await;
    let setup = Setup::new().with("origin", demo.address());
    let node = node(setup, "\"@origin\"", "add_response_headers = 5000").await;
    let response = node.get("/status/200").await;
    assert_eq!(response.status, 200);
    let added = response
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-probe-"))
        .count();
    assert!((1..=200).contains(&added), "{added}");
}
