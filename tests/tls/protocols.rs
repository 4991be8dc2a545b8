//! ALPN, and what comes before and after the handshake.

use std::time::{Duration, Instant};

use super::{failed, serving};
use crate::harness::proxy_header;
use crate::harness::tls::TlsClient;
use crate::harness::{Client, Setup, about, authority::Authority};

#[tokio::test]
async fn alpn_chooses_http2_then_http1() {
    let (authority, node) = serving("").await;
    let client = || TlsClient::new(&authority, "www.example.test");
    for (offered, expected) in [
        (&b"\x08http/1.1\x02h2"[..], Some(&b"h2"[..])),
        (b"\x08http/1.1", Some(b"http/1.1")),
        (b"\x08http/1.0\x08http/1.1", Some(b"http/1.1")),
    ] {
        let stream = client().alpn(offered).connect(node.at("web")).await;
        let stream = stream.expect("a handshake");
        assert_eq!(stream.ssl().selected_alpn_protocol(), expected);
    }
    let none = client().connect(node.at("web")).await.expect("a handshake");
    let mut plain = Client::on(Box::new(none));
    let answer = plain
        .ask("GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let odd = client().alpn(b"\x04smtp").connect(node.at("web")).await;
    let odd = odd.expect_err("no common protocol");
    assert!(odd.contains("NO_APPLICATION_PROTOCOL"), "{odd}");
    failed(&node, "alpn", 1.0).await;
}

#[tokio::test]
async fn a_listener_of_http2_alone_takes_nothing_else() {
    let authority = Authority::new("root");
    let setup = Setup::new();
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "www");
    let words = super::config(super::WWW).replacen("tls =", "protocols = [\"h2\"]\ntls =", 1);
    let node = setup.start(&words).await;
    let client = || TlsClient::new(&authority, "www.example.test");
    let mut http2 = client().http2(node.at("web")).await;
    assert_eq!(http2.get("/").await.body, b"hello");
    let http1 = client().alpn(b"\x08http/1.1").connect(node.at("web")).await;
    assert!(
        http1
            .expect_err("HTTP/1")
            .contains("NO_APPLICATION_PROTOCOL")
    );
    // Without ALPN the handshake succeeds, but nothing can be spoken.
    let silent = client().connect(node.at("web")).await.expect("a handshake");
    Client::on(Box::new(silent))
        .closes_within(crate::harness::SOON)
        .await;
    failed(&node, "alpn", 2.0).await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let (authority, node) = serving("handshake = { timeout = \"300ms\" }").await;
    let mut client = TlsClient::new(&authority, "www.example.test")
        .http1(node.at("web"))
        .await;
    let begun = Instant::now();
    let mut silent = Client::connect(node.at("web")).await;
    silent.closes_within(crate::harness::SOON).await;
    about(begun.elapsed(), Duration::from_millis(300), "the handshake");
    failed(&node, "timeout", 1.0).await;
    // It bounds the handshake, not what follows.
    let answer = client
        .ask("GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn handshakes_of_one_address_are_bounded() {
    let words = "handshake = { per_ip = { rate = 3, per = \"1h\" } }";
    let (authority, node) = serving(words).await;
    let client = || TlsClient::new(&authority, "www.example.test");
    for _ in 0..3 {
        client().connect(node.at("web")).await.expect("a handshake");
    }
    client()
        .connect(node.at("web"))
        .await
        .expect_err("one too many");
    failed(&node, "rate", 1.0).await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.77:0".parse().expect("an address"))
        .expect("bind");
    let other = socket.connect(node.at("web")).await.expect("connect");
    client().over(other).await.expect("another address");
}

#[tokio::test]
async fn tls_follows_a_proxy_header() {
    let authority = Authority::new("root");
    let setup = Setup::new();
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "www");
    let extra = "proxy_protocol = \"required\"\ntrusted_proxies = [\"127.0.0.1\"]\ntls =";
    let rate = "handshake = { per_ip = { rate = 2, per = \"1h\" } }";
    let words = super::config(&format!("{}\n{rate}", super::WWW)).replacen("tls =", extra, 1);
    let node = setup.start(&words).await;
    let through = |source: &'static str| {
        let client = TlsClient::new(&authority, "www.example.test").alpn(b"\x08http/1.1");
        let address = node.at("web");
        async move {
            let mut stream = tokio::net::TcpStream::connect(address)
                .await
                .expect("connect");
            let std::net::SocketAddr::V4(to) = address else {
                panic!("an IPv4 address");
            };
            let header = proxy_header::v2(source.parse().expect("an address"), to);
            tokio::io::AsyncWriteExt::write_all(&mut stream, &header)
                .await
                .expect("send");
            client.over(stream).await
        }
    };
    // The proxy itself is not counted, its clients are.
    for source in [
        "192.0.2.1:1000",
        "192.0.2.2:1000",
        "192.0.2.3:1000",
        "192.0.2.1:1001",
    ] {
        let stream = through(source).await.expect("a handshake");
        let mut client = Client::on(Box::new(stream));
        let answer = client
            .ask("GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
            .await;
        assert_eq!(answer.status, 200);
    }
    through("192.0.2.1:1002").await.expect_err("one too many");
    failed(&node, "rate", 1.0).await;
}
