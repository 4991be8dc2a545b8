//! The PROXY protocol before HTTP.

use std::time::Duration;

use crate::harness::{Client, Node, Origin, SOON, about, proxy_header};

const LISTENERS: &str = r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]
proxy_protocol = "optional"
trusted_proxies = ["127.0.0.1/32"]
timeouts = { header = "500ms" }

[[listener]]
name = "must"
address = "@must"
proxy_protocol = "required"
trusted_proxies = ["127.0.0.1/32"]
limits = { connections_per_ip = 2 }
timeouts = { header = "500ms" }

[[listener]]
name = "off"
address = "@off"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "any"
upstream = "app"
"#;

async fn node() -> (Node, Origin) {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), LISTENERS).await;
    (node, origin)
}

fn request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn trusted_headers_name_the_client() {
    let (node, origin) = node().await;
    let headers = [
        (
            "/v1",
            "203.0.113.7",
            proxy_header::v1("203.0.113.7", "192.0.2.1"),
        ),
        ("/v2", "203.0.113.8", {
            let source = "203.0.113.8:40000".parse().expect("an address");
            proxy_header::v2(source, "192.0.2.1:443".parse().expect("an address"))
        }),
        ("/local", "127.0.0.1", proxy_header::v2_local()),
        ("/unknown", "127.0.0.1", b"PROXY UNKNOWN\r\n".to_vec()),
        ("/none", "127.0.0.1", Vec::new()),
    ];
    for (target, client_ip, header) in headers {
        let mut client = node.client().await;
        client.send([header, request(target)].concat()).await;
        assert_eq!(client.response().await.expect(target).status, 200);
        assert_eq!(node.log.of(target).await["client"], client_ip, "{target}");
        assert_eq!(origin.last().header("x-forwarded-for"), Some(client_ip));
        // It is read once: a second one on the connection is no request.
        client.send(proxy_header::v1("1.2.3.4", "1.2.3.4")).await;
        let response = client.response().await.expect("an answer");
        assert_eq!(response.status, 400, "{target}");
    }
}

#[tokio::test]
async fn a_header_in_pieces_is_read() {
    let (node, _origin) = node().await;
    let mut client = node.client().await;
    for byte in proxy_header::v1("203.0.113.9", "192.0.2.1") {
        client.send([byte]).await;
    }
    client.send(request("/bytes")).await;
    assert_eq!(client.response().await.expect("a response").status, 200);
    assert_eq!(node.log.of("/bytes").await["client"], "203.0.113.9");
}

#[tokio::test]
async fn headers_of_strangers_are_refused_and_counted() {
    let (node, origin) = node().await;
    let mut client = Client::connect_from(node.at("web"), "127.0.0.2").await;
    let header = proxy_header::v1("203.0.113.7", "192.0.2.1");
    client.send([header, request("/x")].concat()).await;
    assert!(client.response().await.is_none());
    let labels = [("listener", "web"), ("reason", "proxy_protocol_untrusted")];
    node.metric_is("farmgate_connections_rejected_total", &labels, 1.0)
        .await;
    // Without one a stranger is served.
    let mut client = Client::connect_from(node.at("web"), "127.0.0.2").await;
    assert_eq!(client.get("/plain").await.status, 200);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn required_means_required() {
    let (node, origin) = node().await;
    let mut client = Client::connect(node.at("must")).await;
    client.send(request("/x")).await;
    assert!(client.response().await.is_none());
    let labels = [("listener", "must"), ("reason", "proxy_protocol_missing")];
    node.metric_is("farmgate_connections_rejected_total", &labels, 1.0)
        .await;
    let mut client = Client::connect(node.at("must")).await;
    let header = proxy_header::v1("203.0.113.7", "192.0.2.1");
    client.send([header, request("/y")].concat()).await;
    assert_eq!(client.response().await.expect("a response").status, 200);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn garbage_and_half_headers_end_in_time() {
    let (node, origin) = node().await;
    let mut broken_v2 = proxy_header::SIGNATURE.to_vec();
    broken_v2.extend([0x33, 0x11, 0, 0]);
    let cases: [&[u8]; 3] = [
        b"PROXY TCP4 nonsense\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
        &broken_v2,
    ];
    for bytes in cases {
        let mut client = node.client().await;
        client.send(bytes).await;
        assert!(client.response().await.is_none(), "{bytes:?}");
    }
    let mut client = node.client().await;
    client.send("PROXY TCP4 203.").await;
    let took = client.closes_within(SOON).await;
    about(took, Duration::from_millis(500), "half a header");
    let labels = [("listener", "web"), ("reason", "proxy_protocol_invalid")];
    node.metric_is("farmgate_connections_rejected_total", &labels, 4.0)
        .await;
    // Where it is off it is a malformed request.
    let mut client = Client::connect(node.at("off")).await;
    client
        .send(proxy_header::v1("203.0.113.7", "192.0.2.1"))
        .await;
    assert_eq!(client.response().await.expect("an answer").status, 400);
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn clients_behind_the_balancer_are_counted_not_the_balancer() {
    let (node, _origin) = node().await;
    let mut open = Vec::new();
    for n in 0..6 {
        let header = proxy_header::v1(&format!("203.0.113.{}", n / 2), "192.0.2.1");
        let mut client = Client::connect(node.at("must")).await;
        client.send([header, request("/n")].concat()).await;
        assert_eq!(
            client.response().await.expect("a response").status,
            200,
            "{n}"
        );
        open.push(client);
    }
    let mut third = Client::connect(node.at("must")).await;
    let header = proxy_header::v1("203.0.113.0", "192.0.2.1");
    third.send([header, request("/n")].concat()).await;
    assert!(third.response().await.is_none(), "the third of one client");
    let labels = [("listener", "must"), ("reason", "limit_connections_per_ip")];
    node.metric_is("farmgate_connections_rejected_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn http2_follows_a_proxy_header() {
    use tokio::io::AsyncWriteExt;
    let (node, _origin) = node().await;
    let mut stream = tokio::net::TcpStream::connect(node.at("web"))
        .await
        .expect("connect");
    let header = proxy_header::v1("203.0.113.10", "192.0.2.1");
    stream.write_all(&header).await.expect("the header");
    let mut client = crate::harness::http2::Http2::over(stream).await;
    assert_eq!(client.get("/h2").await.head.status(), 200);
    let line = node.log.of("/h2").await;
    assert_eq!(line["client"], "203.0.113.10");
    assert_eq!(line["protocol"], "HTTP/2.0");
}
