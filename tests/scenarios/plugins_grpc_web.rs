//! gRPC-Web as browsers frame it, against the HTTP/2 origin of [`super::grpc`].

use bytes::Bytes;

use super::grpc::origin;
use crate::harness::http2::Http2;
use crate::harness::{Node, Setup};

const GRPC_WEB: &str = r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]

[[upstream]]
name = "grpc"
endpoints = ["@origin"]
protocol = "h2"

[[route]]
name = "greeter"
paths = ["/helloworld.Greeter/*"]
plugins = [{ kind = "grpc_web" }]
upstream = "grpc"
"#;

/// A message: not compressed, five bytes long.
const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";

async fn node() -> Node {
    let setup = Setup::new().with("origin", origin().await);
    setup.start(GRPC_WEB).await
}

/// The frames of a body: their first byte and what they hold.
fn frames(mut body: &[u8]) -> Vec<(u8, String)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let (content, rest) = rest.split_at(usize::try_from(length).expect("a length"));
        frames.push((head[0], String::from_utf8_lossy(content).into_owned()));
        body = rest;
    }
    assert!(body.is_empty(), "bytes behind the last frame: {body:?}");
    frames
}

#[tokio::test]
async fn a_call_over_http1_gets_its_trailers_in_the_body() {
    let node = node().await;
    for content_type in ["application/grpc-web", "application/grpc-web+proto"] {
        let mut client = node.client().await;
        let head = format!(
            "POST /helloworld.Greeter/SayHello HTTP/1.1\r\nHost: a.test\r\nContent-Type: {content_type}\r\n\
             X-Grpc-Web: 1\r\nContent-Length: {}\r\n\r\n",
            MESSAGE.len()
        );
        client.send([head.as_bytes(), MESSAGE].concat()).await;
        let response = client.response().await.expect("a response");
        assert_eq!(response.status, 200);
        assert_eq!(
            response.header("content-type"),
            Some("application/grpc-web")
        );
        assert_eq!(
            response.header("x-te"),
            Some("trailers"),
            "the origin got gRPC"
        );
        let frames = frames(&response.body);
        assert_eq!(frames[0], (0, "hello".to_owned()));
        assert_eq!(frames[1].0, 0x80, "the trailers' frame");
        assert!(frames[1].1.contains("grpc-status:0\r\n"), "{frames:?}");
        assert_eq!(frames.len(), 2);
        // The connection goes on.
        assert_eq!(client.get("/none").await.status, 404);
    }
    node.metric_is("farmgate_plugin_grpc_web_bridged_total", &[], 2.0)
        .await;
}

#[tokio::test]
async fn a_call_over_http2_does_too_and_grpc_itself_is_left_alone() {
    let node = node().await;
    let mut client = Http2::connect(node.at("web")).await;
    let body = [Bytes::from_static(MESSAGE), Bytes::from_static(MESSAGE)];
    let mut request = client.request("POST", "/helloworld.Greeter/SayHello");
    let web = "application/grpc-web+proto".parse().expect("a value");
    request.headers_mut().insert("content-type", web);
    let response = client.ask(request, &body, None).await.expect("a response");
    assert_eq!(
        response.head.headers()["content-type"],
        "application/grpc-web"
    );
    assert!(!response.head.headers().contains_key("transfer-encoding"));
    let frames = frames(&response.body);
    assert_eq!(frames.len(), 3);
    assert_eq!((frames[0].0, frames[1].0, frames[2].0), (0, 0, 0x80));
    assert!(frames[2].1.contains("grpc-status:0\r\n"), "{frames:?}");
    assert!(response.trailers.is_none(), "they are in the body");

    let mut request = client.request("POST", "/helloworld.Greeter/SayHello");
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().expect("a value"));
    headers.insert("te", "trailers".parse().expect("a value"));
    let response = client.ask(request, &body, None).await.expect("a response");
    assert_eq!(response.head.headers()["content-type"], "application/grpc");
    assert_eq!(response.body, body.concat());
    assert_eq!(response.trailers.expect("trailers")["grpc-status"], "0");
}

#[tokio::test]
async fn the_text_form_is_refused_and_a_dead_origin_is_told() {
    let node = node().await;
    let mut client = node.client().await;
    let ask = |path: &str, content_type: &str| {
        format!(
            "POST /helloworld.Greeter/{path} HTTP/1.1\r\nHost: a.test\r\nContent-Type: {content_type}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    let text = ask("Text", "application/grpc-web-text");
    let response = client.ask(&text).await;
    assert_eq!(response.status, 415);
    assert_eq!(response.json()["detail"], "grpc_web_text");
    // Our own errors are no gRPC: the client's library reads the status.
    let response = client.ask(&ask("Break", "application/grpc-web")).await;
    assert_eq!(response.status, 502);
    assert_ne!(
        response.header("content-type"),
        Some("application/grpc-web")
    );
    // A call without a message, on a connection of its own: an error may have closed the other.
    let mut client = node.client().await;
    let response = client.ask(&ask("Empty", "application/grpc-web")).await;
    let frames = frames(&response.body);
    assert_eq!((frames.len(), frames[0].0), (1, 0x80), "{frames:?}");
}
