//! Header fields that the proxy writes, passes and takes away.

use crate::harness::{Client, Node, Origin};

const TRUSTING: &str = r#"
[[listener]]
name = "web"
address = "@web"
trusted_proxies = ["127.0.0.1/32", "192.0.2.0/24"]

[[listener]]
name = "open"
address = "@open"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[upstream]]
name = "named"
endpoints = ["@origin"]
host = "app.internal"

[[upstream]]
name = "addressed"
endpoints = ["@origin"]
host = "endpoint"

[[route]]
name = "named"
paths = ["/named"]
upstream = "named"

[[route]]
name = "addressed"
paths = ["/addressed"]
upstream = "addressed"

[[route]]
name = "any"
upstream = "app"
"#;

#[tokio::test]
async fn forwarding_fields_are_ours() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), TRUSTING).await;
    let mut client = Client::connect(node.at("open")).await;
    let response = client.get("/plain").await;
    assert_eq!(response.header("via"), Some("1.1 farmgate"));
    let seen = origin.last();
    assert_eq!(seen.header("host"), Some("a.test"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("a.test"));
    assert_eq!(
        seen.header("forwarded"),
        Some("for=127.0.0.1;proto=http;host=\"a.test\"")
    );
    assert_eq!(seen.header("via"), Some("1.1 farmgate"));
    let line = node.log.of("/plain").await;
    let id = line["request_id"].as_str().expect("an id");
    assert!(id.len() >= 16, "{id}");
    assert_eq!(seen.header("x-request-id"), Some(id));
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["upstream"], "app");
    assert_eq!(line["endpoint"], origin.address().to_string());
    assert_eq!(line["attempt"], 1);
    assert_eq!(line["reason"], "ok");
    assert_eq!(line["bytes_out"], 2);
    assert_eq!(line["listener"], "open");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["host"], "a.test");
    assert_eq!(line["protocol"], "HTTP/1.1");
    for time in ["connect", "first_byte", "total"] {
        assert!(line["timings_ms"][time].is_number(), "{time}: {line}");
    }
}

#[tokio::test]
async fn what_strangers_claim_is_dropped() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), TRUSTING).await;
    let mut client = Client::connect(node.at("open")).await;
    let claims = "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\nX-Request-Id: mine\r\n";
    assert_eq!(client.get_with("/spoof", claims).await.status, 200);
    let seen = origin.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("a.test"));
    assert_eq!(seen.header("x-forwarded-port"), None);
    assert!(
        !seen
            .header("forwarded")
            .unwrap_or_default()
            .contains("9.9.9.9")
    );
    assert_ne!(seen.header("x-request-id"), Some("mine"));
    assert_eq!(node.log.of("/spoof").await["client"], "127.0.0.1");
}

#[tokio::test]
async fn trusted_hops_are_walked_from_the_right() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), TRUSTING).await;
    let mut client = node.client().await;
    // 203.0.113.5 is the first that nobody vouches for; what is left of it is a claim.
    let hops = "X-Forwarded-For: 9.9.9.9, 203.0.113.5, 192.0.2.7\r\n";
    assert_eq!(client.get_with("/walk", hops).await.status, 200);
    assert_eq!(node.log.of("/walk").await["client"], "203.0.113.5");
    let seen = origin.last();
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("9.9.9.9, 203.0.113.5, 192.0.2.7, 127.0.0.1")
    );
    let hops = "Forwarded: for=203.0.113.6;proto=https, for=192.0.2.7\r\n";
    assert_eq!(client.get_with("/walk2", hops).await.status, 200);
    assert_eq!(node.log.of("/walk2").await["client"], "203.0.113.6");
}

#[tokio::test]
async fn hop_by_hop_fields_end_here() {
    let origin = Origin::raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, x-origin-hop\r\nKeep-Alive: timeout=5\r\nX-Origin-Hop: 1\r\nProxy-Connection: keep-alive\r\nUpgrade: h3\r\nX-End: 1\r\n\r\nok",
    )
    .await;
    let node = Node::serving(origin.address(), TRUSTING).await;
    let mut client = node.client().await;
    let fields = "Connection: keep-alive, X-Client-Hop\r\nX-Client-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, gzip\r\nProxy-Authorization: Basic abc\r\nX-Client-End: 1\r\n";
    let response = client.get_with("/hop", fields).await;
    assert_eq!(response.status, 200);
    for name in ["keep-alive", "x-origin-hop", "proxy-connection", "upgrade"] {
        assert_eq!(response.header(name), None, "{name} to the client");
    }
    assert_eq!(response.header("x-end"), Some("1"));
    let seen = origin.last();
    for name in [
        "x-client-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
    ] {
        assert_eq!(seen.header(name), None, "{name} to the origin");
    }
    assert_ne!(seen.header("te"), Some("trailers, gzip"));
    assert_eq!(seen.header("x-client-end"), Some("1"));
    // A client may not have a field of ours removed by naming it.
    let fields = "Connection: x-request-id, via, forwarded\r\n";
    assert_eq!(client.get_with("/strip", fields).await.status, 200);
    let seen = origin.last();
    for name in ["x-request-id", "via", "forwarded"] {
        assert!(seen.header(name).is_some(), "{name} is ours to write");
    }
    assert_eq!(
        client.get_with("/", "Connection: host\r\n").await.status,
        400
    );
}

#[tokio::test]
async fn the_host_is_what_the_upstream_says() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), TRUSTING).await;
    let mut client = node.client().await;
    client.get("/kept").await;
    assert_eq!(origin.last().header("host"), Some("a.test"));
    client.get("/named").await;
    assert_eq!(origin.last().header("host"), Some("app.internal"));
    assert_eq!(origin.last().header("x-forwarded-host"), Some("a.test"));
    client.get("/addressed").await;
    let address = origin.address().to_string();
    assert_eq!(origin.last().header("host"), Some(address.as_str()));
}

#[tokio::test]
async fn trace_context_passes_and_is_logged() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), TRUSTING).await;
    let mut client = node.client().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let fields = format!("Traceparent: {trace}\r\nTracestate: a=1\r\n");
    client.get_with("/traced", &fields).await;
    assert_eq!(origin.last().header("traceparent"), Some(trace));
    assert_eq!(origin.last().header("tracestate"), Some("a=1"));
    let line = node.log.of("/traced").await;
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn secrets_stay_out_of_the_log() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), TRUSTING).await;
    let mut client = node.client().await;
    let fields = "Authorization: Bearer topsecret\r\nCookie: session=topsecret\r\nReferer: http://x.test/?access_token=topsecret\r\nX-Mark: mark\r\nUser-Agent: mark\r\n";
    client
        .get_with(
            "/secret?access_token=topsecret&password=topsecret&a=b",
            fields,
        )
        .await;
    assert_eq!(
        origin.last().header("authorization"),
        Some("Bearer topsecret")
    );
    let line = node.log.with("user_agent", "mark").await.to_string();
    assert!(!line.contains("topsecret"), "{line}");
    assert!(line.contains("a=b"), "{line}");
}
