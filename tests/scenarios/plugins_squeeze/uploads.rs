//! Request bodies that come compressed.

use std::io::Write;

use crate::harness::client::Response;
use crate::harness::{Node, Origin};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[route]]
name = "any"
plugins = [{ kind = "compression", requests = { encodings = ["gzip", "br"], max_size = "1MiB" } }]
upstream = "app"
"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).expect("memory");
    writer.finish().expect("memory")
}

/// Sends a body, whole or in chunks.
async fn post(node: &Node, encoding: &str, body: &[u8], chunked: bool) -> Response {
    let mut client = node.client().await;
    let frame = match chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", body.len()),
    };
    let head = format!(
        "POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Encoding: {encoding}\r\n{frame}\r\n\r\n"
    );
    client.send(head).await;
    if chunked {
        for chunk in body.chunks(1000) {
            let size = format!("{:x}\r\n", chunk.len());
            client
                .send([size.as_bytes(), chunk, b"\r\n"].concat())
                .await;
        }
        client.send("0\r\n\r\n").await;
    } else {
        client.send(body).await;
    }
    client.response().await.expect("a response")
}

#[tokio::test]
async fn origins_get_them_plain() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let text = super::page();
    for chunked in [false, true] {
        let body = gzip(text.as_bytes());
        assert_eq!(post(&node, "gzip", &body, chunked).await.status, 200);
        let seen = origin.last();
        assert!(seen.body == text.as_bytes());
        assert_eq!(seen.header("content-encoding"), None);
        assert_eq!(
            seen.header("content-length"),
            Some(&*text.len().to_string())
        );
        assert_eq!(seen.header("transfer-encoding"), None);
    }
    // Plain ones pass as ever.
    assert_eq!(post(&node, "identity", b"abc", false).await.status, 200);
    assert_eq!(origin.last().body, b"abc");
}

#[tokio::test]
async fn what_cannot_be_taken_never_reaches_an_origin() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let bomb = gzip(&vec![0; 32 << 20]);
    let broken = &gzip(b"abc")[..10];
    for (encoding, body, status) in [
        ("zstd", &b"abc"[..], 415),
        ("gzip, gzip", b"abc", 415),
        ("gzip", &bomb, 413),
        ("gzip", broken, 400),
    ] {
        let response = post(&node, encoding, body, false).await;
        assert_eq!(response.status, status, "{encoding}");
        if status == 415 {
            assert_eq!(response.header("accept-encoding"), Some("gzip, br"));
        }
    }
    assert!(origin.seen().is_empty());
    let refused = "farmgate_plugin_compression_refused_requests_total";
    assert_eq!(node.metric(refused, &[("reason", "too_large")]).await, 1.0);
}
