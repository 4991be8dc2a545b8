//! HTTP/2 without TLS, end to end, as gRPC uses it.

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::net::TcpListener;

use crate::harness::{Demo, Node, Setup, free_address, http2::Http2};

const GRPC: &str = r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]

[[upstream]]
name = "grpc"
endpoints = ["@origin"]
protocol = "h2"

[[upstream]]
name = "plain"
endpoints = ["@demo"]

[[route]]
name = "greeter"
paths = ["/helloworld.Greeter/*"]
upstream = "grpc"

[[route]]
name = "any"
upstream = "plain"
"#;

/// An HTTP/2 origin that sends the body back with trailers; what it saw goes into fields.
pub(crate) async fn origin() -> std::net::SocketAddr {
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(serve(request, respond));
                }
            });
        }
    });
    address
}

async fn serve(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) {
    let reset = match request.uri().path() {
        "/helloworld.Greeter/Refuse" => Some(h2::Reason::REFUSED_STREAM),
        "/helloworld.Greeter/Break" => Some(h2::Reason::INTERNAL_ERROR),
        _ => None,
    };
    if let Some(reason) = reset {
        respond.send_reset(reason);
        return;
    }
    let te = request.headers().get("te").cloned();
    let mut response = Response::builder()
        .header("content-type", "application/grpc")
        .header(
            "x-authority",
            request.uri().authority().map_or("", |a| a.as_str()),
        );
    if let Some(te) = te {
        response = response.header("x-te", te);
    }
    if let Some(scheme) = request.uri().scheme_str() {
        response = response.header("x-scheme", scheme);
    }
    let response = response.body(()).expect("a response");
    let mut stream = respond.send_response(response, false).expect("send");
    let mut body = request.into_body();
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
        if stream.send_data(chunk, false).is_err() {
            return;
        }
    }
    let mut trailers = body.trailers().await.ok().flatten().unwrap_or_default();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    let _ = stream.send_trailers(trailers);
}

async fn node() -> (Node, Demo) {
    let demo = Demo::start().await;
    let setup = Setup::new()
        .with("origin", origin().await)
        .with("demo", demo.address());
    (setup.start(GRPC).await, demo)
}

#[tokio::test]
async fn a_call_passes_with_its_trailers() {
    let (mut node, _demo) = node().await;
    let mut client = Http2::connect(node.at("web")).await;
    let mut request = client.request("POST", "/helloworld.Greeter/SayHello");
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().expect("a value"));
    headers.insert("te", "trailers".parse().expect("a value"));
    let body = [
        Bytes::from_static(b"\0\0\0\0\x02hi"),
        Bytes::from_static(b"\0\0\0\0\x02yo"),
    ];
    let response = client.ask(request, &body, None).await.expect("a response");
    assert_eq!(response.head.status(), 200);
    assert_eq!(response.head.headers()["content-type"], "application/grpc");
    assert_eq!(
        response.head.headers()["x-te"],
        "trailers",
        "gRPC servers insist on it"
    );
    assert_eq!(response.head.headers()["x-authority"], "a.test");
    assert_eq!(response.body, body.concat());
    let trailers = response.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    let line = node.log.of("/helloworld.Greeter/SayHello").await;
    assert_eq!(line["protocol"], "HTTP/2.0");
    assert_eq!(line["route"], "greeter");
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&200.into(), &"ok".into())
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_refused_stream_is_told_from_a_broken_one() {
    let (node, _demo) = node().await;
    let mut client = Http2::connect(node.at("web")).await;
    for (method, reason) in [
        ("Refuse", "upstream_refused_stream"),
        ("Break", "upstream_reset"),
    ] {
        let path = format!("/helloworld.Greeter/{method}");
        let request = client.request("POST", &path);
        let response = client.ask(request, &[], None).await.expect("an answer");
        assert_eq!(response.head.status(), 502, "{method}");
        assert_eq!(node.log.of(&path).await["reason"], reason);
    }
}

#[tokio::test]
async fn many_streams_share_both_connections() {
    let (node, _demo) = node().await;
    let client = Http2::connect(node.at("web")).await;
    let mut calls = Vec::new();
    for n in 0..50 {
        let mut client = client.again();
        calls.push(tokio::spawn(async move {
            let request = client.request("POST", &format!("/helloworld.Greeter/M{n}"));
            let body = [Bytes::from(format!("{n}").repeat(1000))];
            let response = client.ask(request, &body, None).await.expect("a response");
            assert!(response.body == body.concat(), "stream {n}");
            assert_eq!(response.trailers.expect("trailers")["grpc-status"], "0");
        }));
    }
    for call in calls {
        crate::harness::node::joined(call).await;
    }
    node.metric_is("farmgate_connections_total", &[("listener", "web")], 1.0)
        .await;
    let opened = node.metric(
        "farmgate_upstream_connections_opened_total",
        &[("upstream", "grpc")],
    );
    assert!(opened.await <= 4.0);
}

#[tokio::test]
async fn request_trailers_pass_or_are_dropped_cleanly() {
    let (node, _demo) = node().await;
    let mut client = Http2::connect(node.at("web")).await;
    let request = client.request("POST", "/helloworld.Greeter/Trailers");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().expect("a value"));
    let body = [Bytes::from_static(b"data")];
    let response = client
        .ask(request, &body, Some(trailers))
        .await
        .expect("a response");
    assert_eq!(response.body, b"data");
    assert_eq!(response.trailers.expect("trailers")["grpc-status"], "0");
}

#[tokio::test]
async fn an_http1_origin_serves_http2_clients() {
    let (node, _demo) = node().await;
    let mut client = Http2::connect(node.at("web")).await;
    for size in [0_usize, 1, 65_536, 300_000] {
        assert_eq!(client.get(&format!("/bytes/{size}")).await.body.len(), size);
        assert_eq!(
            client.get(&format!("/chunked/{size}")).await.body.len(),
            size
        );
        let body = vec![b'x'; size];
        let mut request = client.request("POST", "/echo");
        request.headers_mut().insert("content-length", size.into());
        let response = client
            .ask(request, &[Bytes::from(body.clone())], None)
            .await;
        assert!(
            response.expect("a response").body == body,
            "{size} with a length"
        );
        let request = client.request("POST", "/echo");
        let response = client
            .ask(request, &[Bytes::from(body.clone())], None)
            .await;
        assert!(response.expect("a response").body == body, "{size} without");
    }
    let seen = client.get("/headers").await;
    let seen: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(seen["version"], "HTTP/1.1");
    let headers = seen["headers"].to_string();
    assert!(headers.contains(r#"["host","a.test"]"#), "{headers}");
    assert!(headers.contains(r#"["via","2 farmgate"]"#), "{headers}");
    assert_eq!(client.get("/status/204").await.head.status(), 204);
    assert_eq!(
        client.get("/none/x").await.head.headers()["via"],
        "2 farmgate"
    );
}

#[tokio::test]
async fn an_http2_origin_serves_http1_clients() {
    let (node, _demo) = node().await;
    let mut client = node.client().await;
    let response = client.post("/helloworld.Greeter/One", "hello").await;
    assert_eq!(
        (response.status, response.text()),
        (200, "hello".to_owned())
    );
    assert_eq!(client.get("/helloworld.Greeter/Two").await.status, 200);
}

#[tokio::test]
async fn limits_hold_for_http2_too() {
    let demo = Demo::start().await;
    let config = r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["h2c"]
limits = { body_bytes = "10KiB", uri_bytes = "256B" }
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[route]]
name = "any"
upstream = "app"
"#;
    let node = Node::serving(demo.address(), config).await;
    let mut client = Http2::connect(node.at("web")).await;
    let mut request = client.request("POST", "/echo?declared");
    request
        .headers_mut()
        .insert("content-length", 20_000.into());
    let body = [Bytes::from(vec![b'x'; 20_000])];
    let response = client.ask(request, &body, None).await.expect("a response");
    assert_eq!(response.head.status(), 413);
    let request = client.request("POST", "/echo?streamed");
    // The answer may be cut by the reset of a stream whose head is out; never is all of it echoed.
    if let Ok(response) = client.ask(request, &body, None).await {
        assert!(response.head.status() == 413 || response.body.len() < 20_000);
    }
    let line = node.log.of("/echo?streamed").await;
    assert_eq!(line["reason"], "body_too_large");
    let long = client.get(&format!("/{}", "x".repeat(400))).await;
    assert_eq!(long.head.status(), 414);
    assert_eq!(client.get("/bytes/5").await.head.status(), 200);
    let missing = client.get("/status/404").await;
    assert_eq!(missing.head.status(), 404);
}
