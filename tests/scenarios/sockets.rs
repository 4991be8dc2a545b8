//! Unix sockets and IPv6 on both sides, names as endpoints.

use std::os::unix::fs::FileTypeExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::harness::{Client, Node, Origin, Setup, address::has_ipv6, client::find};

#[tokio::test]
async fn unix_sockets_on_both_sides() {
    let setup = Setup::new();
    let path = setup.folder().join("origin.sock");
    let listener = UnixListener::bind(&path).expect("bind the origin");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut have = Vec::new();
                while find(&have, b"\r\n\r\n").is_none() {
                    if stream.read_buf(&mut have).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    let mut node = setup
        .start(
            r#"
[[listener]]
name = "web"
address = "unix:run/web.sock"
[[listener]]
name = "tcp"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["unix:origin.sock"]
[[route]]
name = "any"
upstream = "app"
"#,
        )
        .await;
    let socket = node.folder().join("run/web.sock");
    let mut client = Client::connect_unix(&socket).await;
    let response = client.get("/one").await;
    assert_eq!((response.status, response.text()), (200, "unix".to_owned()));
    let line = node.log.of("/one").await;
    assert_eq!(line["listener"], "web");
    assert!(
        line["endpoint"]
            .as_str()
            .unwrap_or_default()
            .contains("origin.sock"),
        "{line}"
    );
    assert_eq!(node.get("/two").await.text(), "unix");
    node.stop().await;
    assert!(!socket.exists(), "the socket is removed at the end");
    // One that a killed process left behind does not stand in the way.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a stale socket"));
    let kind = std::fs::metadata(&socket)
        .expect("the stale socket")
        .file_type();
    assert!(kind.is_socket());
    node.spawn();
    node.ready().await;
    assert_eq!(
        Client::connect_unix(&socket)
            .await
            .get("/three")
            .await
            .text(),
        "unix"
    );
}

#[tokio::test]
async fn ipv6_on_both_sides() {
    if !has_ipv6() {
        eprintln!("no IPv6 on this machine: nothing to test");
        return;
    }
    let origin = Origin::start_at(
        "[::1]:0".parse().expect("an address"),
        |mut peer| async move {
            while peer.request().await.is_some() {
                peer.answer(200, "", "six").await;
            }
        },
    )
    .await;
    let free = std::net::TcpListener::bind("[::1]:0").expect("a free port");
    let web = free.local_addr().expect("its address");
    drop(free);
    let setup = Setup::new()
        .with("web", web)
        .with("origin", origin.address());
    let node = setup.start(super::PLAIN).await;
    assert_eq!(node.get("/six").await.text(), "six");
    assert_eq!(node.log.of("/six").await["client"], "::1");
    assert_eq!(origin.last().header("x-forwarded-for"), Some("::1"));
    assert_eq!(
        origin.last().header("forwarded"),
        Some("for=\"[::1]\";proto=http;host=\"a.test\"")
    );
}

#[tokio::test]
async fn names_are_resolved_in_the_background() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let origin = Origin::start_at(address, |mut peer| async move {
        while peer.request().await.is_some() {
            peer.answer(200, "", "named").await;
        }
    })
    .await;
    let config = super::PLAIN.replace(
        "\"@origin\"",
        &format!("\"localhost:{}\"", origin.address().port()),
    );
    let node: Node = Setup::new().start(&config).await;
    crate::harness::eventually("the name to be resolved", || async {
        (node.get("/name").await.status == 200).then_some(())
    })
    .await;
}
