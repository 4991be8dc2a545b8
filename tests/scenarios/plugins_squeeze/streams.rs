//! Nothing that streams is held back.

use std::io::Read;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::harness::{Node, Origin, soon};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[plugin]]
name = "squeeze"
kind = "compression"
max_concurrent = 1
[[route]]
name = "any"
plugins = ["squeeze"]
upstream = "app"
"#;

/// What can be read of a gzip stream that goes on.
fn readable(bytes: &[u8]) -> String {
    let mut out = vec![0; 4096];
    let mut length = 0;
    let mut reader = flate2::read::GzDecoder::new(bytes);
    while let Ok(read @ 1..) = reader.read(&mut out[length..]) {
        length += read;
    }
    String::from_utf8_lossy(&out[..length]).into_owned()
}

/// An origin that sends an event each time it may, and ends after the third.
async fn events() -> (Origin, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let may = Arc::clone(&go);
    let origin = Origin::start(move |mut peer| {
        let may = Arc::clone(&may);
        async move {
            while peer.request().await.is_some() {
                peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                for n in 1..=3 {
                    let Ok(permit) = may.acquire().await else {
                        return;
                    };
                    permit.forget();
                    peer.send(format!("9\r\ndata: {n}\n\n\r\n")).await;
                }
                peer.send("0\r\n\r\n").await;
            }
        }
    });
    (origin.await, go)
}

#[tokio::test]
async fn events_arrive_when_they_are_sent() {
    let (origin, go) = events().await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let mut client = node.client().await;
    let request = "GET /events HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n";
    client.send(request).await;
    go.add_permits(1);
    let head = client.head().await.expect("a head");
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    let mut bytes = Vec::new();
    let mut expected = String::new();
    for n in 1..=3 {
        expected.push_str(&format!("data: {n}\n\n"));
        // The origin sends no more before the client has read this.
        while readable(&bytes) != expected {
            let chunk = soon("an event", client.chunk()).await.expect("a chunk");
            bytes.extend(chunk.expect("not the end"));
        }
        go.add_permits(1);
    }
    while let Some(chunk) = client.chunk().await.expect("the end") {
        bytes.extend(chunk);
    }
    assert_eq!(super::decoded("gzip", &bytes), expected.as_bytes());
}

#[tokio::test]
async fn beyond_the_bound_answers_go_out_as_they_are() {
    let (origin, go) = events().await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let mut first = node.client().await;
    let request = "GET /events HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n";
    first.send(request).await;
    let head = first.head().await.expect("a head");
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    let mut second = node.client().await;
    second.send(request).await;
    let head = second.head().await.expect("a head");
    assert_eq!(head.header("content-encoding"), None);
    assert_eq!(head.header("vary"), Some("Accept-Encoding"));
    let ours = [("plugin", "squeeze")];
    let over = "farmgate_plugin_compression_over_limit_total";
    assert_eq!(node.metric(over, &ours).await, 1.0);
    // A client that leaves gives its place back.
    drop(first);
    go.add_permits(1);
    node.metric_is("farmgate_plugin_compression_active", &ours, 0.0)
        .await;
}
