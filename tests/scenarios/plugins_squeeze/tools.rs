//! What goes out is read by others' tools, byte for byte.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{decoded, page};
use crate::harness::{Node, Origin, soon};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[route]]
name = "any"
plugins = [{ kind = "compression" }]
upstream = "app"
"#;

/// An origin whose page has a length, comes in chunks of odd sizes, or ends with the connection.
async fn origin() -> Origin {
    Origin::start(|mut peer| async move {
        let page = page();
        let fields = "Content-Type: text/html\r\nETag: \"p\"\r\nAccept-Ranges: bytes\r\n";
        while let Some(seen) = peer.request().await {
            match seen.target() {
                "/length" => peer.answer(200, fields, &page).await,
                "/chunks" => {
                    let head =
                        format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
                    peer.send(head).await;
                    let sizes = [1, 7, 4096, 16_384, 65_537, 3].iter().cycle();
                    let mut rest = page.as_bytes();
                    for size in sizes {
                        let (chunk, after) = rest.split_at((*size).min(rest.len()));
                        let head = format!("{:x}\r\n", chunk.len());
                        peer.send([head.as_bytes(), chunk, b"\r\n"].concat()).await;
                        rest = after;
                        if rest.is_empty() {
                            break;
                        }
                    }
                    peer.send("0\r\n\r\n").await;
                }
                _ => {
                    peer.send(format!(
                        "HTTP/1.1 200 OK\r\n{fields}Connection: close\r\n\r\n{page}"
                    ))
                    .await;
                    return;
                }
            }
        }
    })
    .await
}

/// What a program makes of its input.
async fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!("{program}: {error}; install the packages gzip, brotli, zstd, curl and python3")
    });
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writing = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = soon(program, child.wait_with_output()).await;
    let output = output.expect("its output");
    assert!(output.status.success(), "{program} {arguments:?}");
    writing.await.expect("the writer").expect("all is written");
    output.stdout
}

#[tokio::test]
async fn every_tool_reads_every_body() {
    let origin = origin().await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let page = page();
    let mut client = node.client().await;
    for (coding, program, arguments) in [
        ("gzip", "gzip", &["-dc"][..]),
        ("br", "brotli", &["-dc"]),
        ("zstd", "zstd", &["-dcq"]),
    ] {
        for target in ["/length", "/chunks", "/close"] {
            let what = format!("{coding} {target}");
            let fields = format!("Accept-Encoding: {coding}\r\n");
            let response = client.get_with(target, &fields).await;
            assert_eq!(response.header("content-encoding"), Some(coding), "{what}");
            assert_eq!(
                response.header("transfer-encoding"),
                Some("chunked"),
                "{what}"
            );
            assert_eq!(response.header("content-length"), None, "{what}");
            assert_eq!(response.header("etag"), Some("W/\"p\""), "{what}");
            assert_eq!(response.header("accept-ranges"), None, "{what}");
            assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{what}");
            assert!(response.body.len() < page.len() / 3, "{what}");
            let read = through(program, arguments, &response.body).await;
            assert!(read == page.as_bytes(), "{what}");
        }
    }
    let response = client
        .get_with("/length", "Accept-Encoding: gzip\r\n")
        .await;
    let program =
        "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    let read = through("python3", &["-c", program], &response.body).await;
    assert!(read == page.as_bytes());
    // Who takes none of them gets it as it came, on the same connection.
    let plain = client.get("/length").await;
    assert!(plain.text() == page);
    assert_eq!(
        plain.header("content-length"),
        Some(&*page.len().to_string())
    );
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    let sum = node.metric("farmgate_plugin_compression_br_responses_total", &[]);
    assert_eq!(sum.await, 3.0);
    node.metric_is("farmgate_plugin_compression_active", &[], 0.0)
        .await;
}

#[tokio::test]
async fn curl_reads_what_it_asks_for() {
    let origin = origin().await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let page = page();
    for target in ["length", "chunks", "close"] {
        for version in ["--http1.1", "--http2-prior-knowledge", "--http1.0"] {
            let url = format!("http://{}/{target}", node.at("web"));
            let arguments = ["-sS", "--compressed", version, "--fail", &url];
            let read = through("curl", &arguments, b"").await;
            assert!(read == page.as_bytes(), "{version} {target}");
        }
    }
    let ours = [("plugin", "any/compression#0")];
    let count = node.metric("farmgate_plugin_compression_plain_bytes_total", &ours);
    // HTTP/1.0 gets it plain.
    assert_eq!(count.await, 6.0 * page.len() as f64);
}

#[tokio::test]
async fn weights_decide() {
    let origin = origin().await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let mut client = node.client().await;
    for (accepts, coding) in [
        ("gzip;q=0.9, br;q=0.8", Some("gzip")),
        ("zstd;q=0, *", Some("br")),
        ("gzip;q=0.5, identity", None),
        ("deflate", None),
    ] {
        let fields = format!("Accept-Encoding: {accepts}\r\n");
        let response = client.get_with("/length", &fields).await;
        assert_eq!(response.header("content-encoding"), coding, "{accepts}");
        if let Some(coding) = coding {
            assert!(decoded(coding, &response.body) == page().as_bytes());
        }
    }
    let head = "HEAD /length HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n";
    // An origin that answers a HEAD with a body would confuse everybody: this one is asked for none.
    let origin =
        Origin::raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n")
            .await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let response = node.client().await.ask(head).await;
    assert_eq!(response.header("content-encoding"), None);
    assert_eq!(response.header("content-length"), Some("5000"));
    assert_eq!(response.header("vary"), Some("Accept-Encoding"));
}
