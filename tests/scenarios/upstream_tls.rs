//! TLS towards endpoints: who is believed, and what a request meets when nobody is.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::websocket;
use crate::harness::authority::{Authority, Issued};
use crate::harness::tls_origin::{Front, Rules};
use crate::harness::{Demo, Node, Origin, Peer, Setup};

/// One upstream with TLS; `more` are further keys of `[upstream.tls]`, `keys` of the upstream.
pub(crate) fn config(keys: &str, more: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"

[[route]]
name = "any"
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["@origin"]
retry = {{ attempts = 1 }}
{keys}
[upstream.tls]
sni = "app.internal.test"
{more}
"#
    )
}

const CA: &str = "ca = \"ca.pem\"";

/// An authority, and a certificate of it for the name that is asked for.
pub(crate) fn issued() -> (Authority, Issued) {
    let authority = Authority::new("an authority");
    let issued = authority.simple(&["app.internal.test"]);
    (authority, issued)
}

/// A node whose upstream is `front`, with the authority in `ca.pem`.
pub(crate) async fn node(front: &Front, authority: &Authority, config: &str) -> Node {
    let setup = Setup::new().with("origin", front.address());
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    setup.start(config).await
}

/// Asks once and says status, reason and Proxy-Status.
pub(crate) async fn failing(node: &Node, target: &str) -> (u16, String) {
    let response = node.get(target).await;
    let line = node.log.of(target).await;
    assert_eq!(line["status"], response.status, "{line}");
    let reason = line["reason"].as_str().expect("a reason").to_owned();
    let labels = [("upstream", "app"), ("reason", &reason)];
    let counted = node.metric("farmgate_upstream_endpoint_errors_total", &labels);
    assert!(counted.await >= 1.0, "{reason} is counted");
    (response.status, reason)
}

#[tokio::test]
async fn a_verified_endpoint_is_reached_over_one_kept_connection() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    let front = Front::start(Rules::of(&issued), demo.address()).await;
    let node = node(&front, &authority, &config("", CA)).await;
    let mut client = node.client().await;
    for size in [0, 1, 1024, 16_384, 16_385, 300_000, 3_000_000] {
        let target = format!("/bytes/{size}");
        assert_eq!(client.get(&target).await.body.len(), size);
        assert_eq!(
            client.get(&format!("/chunked/{size}")).await.body.len(),
            size
        );
    }
    let body = "x".repeat(1_000_000);
    assert!(client.post("/echo", &body).await.text() == body);
    assert_eq!((front.accepted(), front.shaken()), (1, 1), "it is reused");
    assert_eq!(front.spoken(), ["TLSv1.3 -"]);
}

#[tokio::test]
async fn who_is_not_believed_gets_no_request() {
    let (authority, good) = issued();
    let stranger = Authority::new("a stranger");
    let demo = Demo::start().await;
    let cases = [
        (
            stranger.simple(&["app.internal.test"]),
            CA,
            "unable to get local issuer",
        ),
        (
            authority.simple(&["other.internal.test"]),
            CA,
            "it is for other.internal.test",
        ),
        (authority.simple(&["*.test"]), CA, "it is for *.test"),
        (
            authority.simple_until(&["app.internal.test"], -1),
            CA,
            "certificate has expired",
        ),
        (
            stranger.simple(&["app.internal.test"]),
            "",
            "unable to get local issuer",
        ),
        (
            good,
            "ca = \"ca.pem\"\nsan = [\"db.internal.test\"]",
            "it is for app.internal.test",
        ),
    ];
    for (issued, more, why) in cases {
        let front = Front::start(Rules::of(&issued), demo.address()).await;
        let node = node(&front, &authority, &config("", more)).await;
        let (status, reason) = failing(&node, "/bytes/1").await;
        assert_eq!(
            (status, &*reason),
            (502, "upstream_certificate_invalid"),
            "{why}"
        );
        assert!(front.accepted() > 0 && front.bytes() == 0);
        let errors = node.errors();
        assert!(
            errors.contains("upstream app: no TLS with endpoint 127."),
            "{errors}"
        );
        assert!(errors.contains(why), "{why}: {errors}");
        let said = node.get("/bytes/1").await;
        let said = said.header("proxy-status").unwrap_or_default().to_owned();
        assert!(
            said.is_empty() || said.contains("tls_certificate_error"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn names_and_authorities_as_written() {
    let (authority, plain) = issued();
    let wild = authority.simple(&["*.internal.test"]);
    let spiffe = authority.simple(&["spiffe://farm/app"]);
    let stranger = Authority::new("a stranger").simple(&["who.test"]);
    let demo = Demo::start().await;
    for (issued, more) in [
        (&wild, CA),
        (
            &plain,
            "ca = \"ca.pem\"\nsan = [\"x.test\", \"*.internal.test\"]",
        ),
        (&spiffe, "ca = \"ca.pem\"\nsan = [\"spiffe://farm/*\"]"),
        (&stranger, "verify = false"),
    ] {
        let front = Front::start(Rules::of(issued), demo.address()).await;
        let node = node(&front, &authority, &config("", more)).await;
        assert_eq!(node.get("/bytes/5").await.body.len(), 5, "{more}");
        let warned = crate::harness::cli::check(node.config()).expect(0);
        assert_eq!(warned.out.contains("E-TLS-104"), more.contains("verify"));
    }
    // Without `ca` the system's authorities, which this variable names elsewhere.
    let front = Front::start(Rules::of(&plain), demo.address()).await;
    let setup = Setup::new().with("origin", front.address());
    let bundle = setup.folder().join("system.pem");
    std::fs::write(&bundle, authority.pem()).expect("write");
    let setup = setup.env("SSL_CERT_FILE", bundle.to_str().expect("UTF-8"));
    let node = setup.start(&config("", "")).await;
    assert_eq!(node.get("/bytes/5").await.status, 200);
}

#[tokio::test]
async fn another_endpoint_is_tried_after_a_failed_handshake() {
    let (authority, good) = issued();
    let bad = authority.simple(&["other.test"]);
    let demo = Demo::start().await;
    let bad = Front::start(Rules::of(&bad), demo.address()).await;
    let good = Front::start(Rules::of(&good), demo.address()).await;
    let config = config("", CA)
        .replace("[\"@origin\"]", "[\"@bad\", \"@good\"]")
        .replace("attempts = 1", "attempts = 2");
    let setup = Setup::new().with("bad", bad.address());
    let setup = setup.with("good", good.address());
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let node = setup.start(&config).await;
    for n in 0..6 {
        // A body is no hindrance: nothing of it was sent.
        let body = format!("body {n}");
        let mut client = node.client().await;
        assert_eq!(client.post("/echo", &body).await.text(), body);
    }
    assert!(bad.accepted() > 0 && bad.bytes() == 0);
    assert_eq!(good.shaken(), 1);
}

#[tokio::test]
async fn different_authorities_never_share_a_connection() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    let front = Front::start(Rules::of(&issued), demo.address()).await;
    let second = "\n[[upstream]]\nname = \"other\"\nendpoints = [\"@origin\"]\nretry = { attempts = 1 }\n[upstream.tls]\nsni = \"app.internal.test\"\nca = \"other.pem\"\n[[route]]\nname = \"other\"\npaths = [\"/status/*\"]\nupstream = \"other\"\n";
    let config = config("", CA) + second;
    let setup = Setup::new().with("origin", front.address());
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let stranger = Authority::new("a stranger");
    std::fs::write(setup.folder().join("other.pem"), stranger.pem()).expect("write");
    let mut node = setup.start(&config).await;
    let mut client = node.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/bytes/1").await.status, 200);
        assert_eq!(node.get("/status/200").await.status, 502);
    }
    assert_eq!(front.shaken(), 1);
    // The same upstream with another authority: what was verified before counts no more.
    std::fs::write(node.folder().join("ca.pem"), stranger.pem()).expect("write");
    node.reload(&config).await;
    assert_eq!(node.get("/bytes/1").await.status, 502);
    std::fs::write(node.folder().join("ca.pem"), authority.pem()).expect("write");
    node.reload(&config).await;
    let shaken = front.shaken();
    assert_eq!(node.get("/bytes/1").await.status, 200);
    node.reload(&config).await;
    assert_eq!(node.get("/bytes/1").await.status, 200);
    assert!(
        front.shaken() <= shaken + 1,
        "an unchanged one keeps its connections"
    );
}

#[tokio::test]
async fn changed_authorities_hold_without_a_command_and_bad_ones_never() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    let front = Front::start(Rules::of(&issued), demo.address()).await;
    let node = node(&front, &authority, &config("", CA)).await;
    assert_eq!(node.get("/bytes/1").await.status, 200);
    let write = |pem: &[u8]| std::fs::write(node.folder().join("ca.pem"), pem).expect("write");
    write(b"half");
    node.metric_is("farmgate_upstream_tls_stale_files", &[], 1.0)
        .await;
    assert_eq!(node.get("/bytes/1").await.status, 200);
    let status = node.run(&["status"]).await.expect(0).out;
    assert!(status.contains("PROBLEM"), "{status}");
    write(&Authority::new("a stranger").pem());
    node.metric_is(
        "farmgate_upstream_tls_refreshes_total",
        &[("result", "ok")],
        1.0,
    )
    .await;
    assert_eq!(node.get("/bytes/1").await.status, 502);
    write(&authority.pem());
    node.metric_is(
        "farmgate_upstream_tls_refreshes_total",
        &[("result", "ok")],
        2.0,
    )
    .await;
    assert_eq!(node.get("/bytes/1").await.status, 200);
}

#[tokio::test]
async fn a_tunnel_runs_over_tls() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    for (alpn, keys) in [
        (&b"\x08http/1.1"[..], ""),
        // Where HTTP/2 is agreed on for requests, a tunnel gets a connection of its own.
        (&b"\x08http/1.1"[..], "protocol = \"auto\""),
    ] {
        let front = Front::start(Rules::of(&issued).alpn(alpn), demo.address()).await;
        let node = node(&front, &authority, &config(keys, CA)).await;
        let mut socket = websocket::open(&node).await;
        websocket::echo(&mut socket, "hello").await;
        websocket::echo(&mut socket, &"x".repeat(300_000)).await;
        socket.send(Message::Close(None)).await.expect("close");
        while socket.next().await.is_some() {}
        assert_eq!(front.spoken(), ["TLSv1.3 http/1.1"]);
    }
}

/// Ends every connection after an answer that promised to go on.
async fn closing() -> Origin {
    Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.answer(200, "", "once").await;
    })
    .await
}

#[tokio::test]
async fn a_connection_closed_while_idle_gets_no_request() {
    let (authority, issued) = issued();
    let origin = closing().await;
    let front = Front::start(Rules::of(&issued), origin.address()).await;
    let node = node(&front, &authority, &config("", CA)).await;
    let mut client = node.client().await;
    for n in 1..=5 {
        let response = client.post("/x", "not to be sent twice").await;
        assert_eq!((response.status, response.text()), (200, "once".to_owned()));
        let open = [("upstream", "app")];
        node.metric_is("farmgate_upstream_connections_open", &open, 0.0)
            .await;
        assert_eq!(front.shaken(), n);
    }
    assert_eq!(origin.seen().len(), 5);
}

#[tokio::test]
async fn a_response_without_length_is_whole_only_after_close_notify() {
    let (authority, issued) = issued();
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 Told\r\n\r\nwhole").await;
    })
    .await;
    // The front says close_notify when the origin has ended.
    let front = Front::start(Rules::of(&issued), origin.address()).await;
    let told = node(&front, &authority, &config("", CA)).await;
    assert_eq!(told.get("/x").await.text(), "whole");
    assert_eq!(told.log.of("/x").await["reason"], "ok");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_the_handshake_is_given_up() {
    let silent = Origin::start(|mut peer: Peer| async move { peer.gone().await }).await;
    let keys = "timeouts = { connect = \"200ms\" }";
    let setup = Setup::new().with("origin", silent.address());
    let authority = Authority::new("an authority");
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let node = setup.start(&config(keys, CA)).await;
    let (status, reason) = failing(&node, "/x").await;
    assert_eq!((status, &*reason), (504, "upstream_tls_timeout"));
    let broken = Origin::raw(b"HTTP/1.1 400 This is not TLS\r\n\r\n").await;
    let setup = Setup::new().with("origin", broken.address());
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let node = setup.start(&config("", CA)).await;
    // What is no TLS is never answered in the clear.
    let (status, reason) = failing(&node, "/secret").await;
    assert!(matches!(
        (status, &*reason),
        (502, "upstream_tls_failed") | (504, "upstream_tls_timeout")
    ));
    assert!(!String::from_utf8_lossy(&broken.bytes()).contains("/secret"));
}

#[tokio::test]
async fn a_unix_socket_carries_tls_too() {
    let (authority, issued) = issued();
    let demo = Demo::start().await;
    let front = Front::start(Rules::of(&issued), demo.address()).await;
    let setup = Setup::new();
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let path = setup.folder().join("origin.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("bind");
    let to = front.address();
    tokio::spawn(async move {
        while let Ok((mut unix, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut tcp = tokio::net::TcpStream::connect(to).await.expect("connect");
                let _ = tokio::io::copy_bidirectional(&mut unix, &mut tcp).await;
            });
        }
    });
    let socket = format!("[\"unix:{}\"]", path.display());
    let node = setup
        .start(&config("", CA).replace("[\"@origin\"]", &socket))
        .await;
    let mut client = node.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/bytes/7").await.body.len(), 7);
    }
    assert_eq!(front.shaken(), 1);
}
