//! HTTP/2 on both sides: bodies of unknown length, no body at all, trailers.

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::net::TcpListener;

use super::decoded;
use crate::harness::http2::Http2;
use crate::harness::{Node, free_address};

const CONFIG: &str = r#"
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
plugins = [{ kind = "compression" }]
upstream = "app"
"#;

/// An origin that sends a page, with trailers on `/trailers`, and nothing on `/empty`.
async fn origin() -> std::net::SocketAddr {
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let path = request.uri().path().to_owned();
                    let response = Response::builder().header("content-type", "text/html");
                    let response = response.body(()).expect("a response");
                    let empty = path == "/empty";
                    let mut stream = respond.send_response(response, empty).expect("send");
                    if empty {
                        continue;
                    }
                    tokio::spawn(async move {
                        let page = Bytes::from("farm and gate\n".repeat(3000));
                        let last = path != "/trailers";
                        // Within the window that every client opens.
                        stream.send_data(page, last).expect("data");
                        if !last {
                            let mut trailers = HeaderMap::new();
                            trailers.insert("x-sum", "7".parse().expect("a value"));
                            stream.send_trailers(trailers).expect("trailers");
                        }
                    });
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn bodies_are_whole_whatever_ends_them() {
    let node = Node::serving(origin().await, CONFIG).await;
    let page = "farm and gate\n".repeat(3000);
    let mut client = Http2::connect(node.at("web")).await;
    for (target, trailer) in [("/page", None), ("/trailers", Some("7"))] {
        let mut request = client.request("GET", target);
        let fields = request.headers_mut();
        fields.insert("accept-encoding", "br".parse().expect("a value"));
        let whole = client.ask(request, &[], None).await.expect("an answer");
        assert_eq!(whole.head.headers()["content-encoding"], "br", "{target}");
        assert!(decoded("br", &whole.body) == page.as_bytes(), "{target}");
        let found = whole
            .trailers
            .as_ref()
            .map(|all| all["x-sum"].to_str().expect("text"));
        assert_eq!(found, trailer);
    }
    let mut client = node.client().await;
    for target in ["/page", "/trailers", "/empty", "/page"] {
        let response = client.get_with(target, "Accept-Encoding: gzip\r\n").await;
        if target == "/empty" {
            assert_eq!(response.header("content-encoding"), None);
            assert!(response.body.is_empty());
        } else {
            assert!(
                decoded("gzip", &response.body) == page.as_bytes(),
                "{target}"
            );
        }
    }
}
