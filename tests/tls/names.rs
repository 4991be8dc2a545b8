//! Which certificate a client gets, and what it may ask for then.

use boring::ssl::SslVersion;

use super::{config, failed, serving};
use crate::harness::authority::{Authority, Wanted};
use crate::harness::tls::{TlsClient, shown};
use crate::harness::{Client, Setup};

const TWO: &str = r#"certificates = [
  { cert = "www.pem", key = "www.key" },
  { cert = "rsa.pem", key = "rsa.key" },
  { cert = "wild.pem", key = "wild.key" },
]"#;

#[tokio::test]
async fn exact_wildcard_and_both_kinds_of_keys() {
    let authority = Authority::new("root");
    let setup = Setup::new();
    let folder = setup.folder().to_owned();
    let www = authority.simple(&["www.example.test", "example.test"]);
    let wild = authority.simple(&["*.example.test"]);
    let rsa = authority.issue(&Wanted {
        names: &["www.example.test"],
        rsa: true,
        days: 10,
    });
    for (name, issued) in [("www", &www), ("wild", &wild), ("rsa", &rsa)] {
        issued.write(&folder, name);
    }
    let node = setup.start(&config(TWO)).await;
    let address = node.at("web");
    let der = |stream: &_| shown(stream).to_der().expect("DER");
    for (name, expected) in [
        ("www.example.test", &www),
        ("WWW.example.test", &www),
        ("example.test", &www),
        ("a.example.test", &wild),
    ] {
        let stream = TlsClient::new(&authority, name).connect(address).await;
        let stream = stream.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            der(&stream),
            expected.certificate.to_der().unwrap(),
            "{name}"
        );
    }
    // A client that verifies RSA alone, in both versions.
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let client = TlsClient::new(&authority, "www.example.test").version(version);
        let client = client.set(|it| it.set_sigalgs_list("rsa_pss_rsae_sha256").expect("list"));
        let stream = client.connect(address).await.expect("a handshake");
        assert_eq!(der(&stream), rsa.certificate.to_der().unwrap());
    }
    // A wildcard stands for one label, and nobody else is served.
    for name in ["a.b.example.test", "example.org"] {
        let refused = TlsClient::new(&authority, name).connect(address).await;
        let refused = refused.expect_err(name);
        assert!(refused.contains("UNRECOGNIZED_NAME"), "{name}: {refused}");
    }
    failed(&node, "unknown_server_name", 2.0).await;
    let refused = TlsClient::nameless()
        .connect(address)
        .await
        .expect_err("no name");
    assert!(refused.contains("UNRECOGNIZED_NAME"), "{refused}");
    failed(&node, "no_server_name", 1.0).await;
}

#[tokio::test]
async fn the_default_is_for_those_without_a_fitting_name() {
    let (authority, node) = serving("default = \"www.example.test\"").await;
    let address = node.at("web");
    let name = |stream: &_| shown(stream).subject_name().print_ex(0).expect("a name");
    let nameless = TlsClient::nameless().connect(address).await;
    assert_eq!(name(&nameless.expect("a handshake")), "CN=www.example.test");
    let other = TlsClient::new(&authority, "example.org").believing_all();
    let other = other.set(|it| it.set_verify(boring::ssl::SslVerifyMode::NONE));
    assert_eq!(
        name(&other.connect(address).await.expect("a handshake")),
        "CN=www.example.test"
    );
}

#[tokio::test]
async fn a_host_that_no_certificate_is_for_is_misdirected() {
    let (authority, node) = serving("").await;
    let address = node.at("web");
    let client = || TlsClient::new(&authority, "www.example.test");
    let mut http1 = client().http1(address).await;
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(http1.ask(&ask("www.example.test")).await.status, 200);
    assert_eq!(http1.ask(&ask("www.example.test:8443")).await.status, 200);
    let refused = http1.ask(&ask("example.org")).await;
    assert_eq!(refused.status, 421);
    assert_eq!(refused.json()["detail"], "misdirected");
    assert_eq!(http1.ask(&ask("WWW.Example.test")).await.status, 200);
    let mut http2 = client().http2(address).await;
    assert_eq!(http2.get("/").await.head.status(), 200);
    let stray = http::Request::get("https://example.org/").version(http::Version::HTTP_2);
    let stray = http2
        .ask(stray.body(()).expect("a request"), &[], None)
        .await;
    assert_eq!(stray.expect("an answer").head.status(), 421);
    node.metric_is("farmgate_tls_misdirected_total", &[("tls", "edge")], 2.0)
        .await;
}

#[tokio::test]
async fn an_address_in_a_certificate_counts_for_requests_to_it() {
    let authority = Authority::new("root");
    let setup = Setup::new();
    authority
        .simple(&["10.1.2.3", "a.test"])
        .write(setup.folder(), "www");
    let node = setup
        .start(&config(&format!("{}\ndefault = \"a.test\"", super::WWW)))
        .await;
    let mut client = TlsClient::nameless().http1(node.at("web")).await;
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(client.ask(&ask("10.1.2.3:443")).await.status, 200);
    assert_eq!(client.ask(&ask("10.1.2.4")).await.status, 421);
}

#[tokio::test]
async fn plain_http_is_told_where_it_is() {
    let (_authority, node) = serving("").await;
    let mut client = Client::connect(node.at("web")).await;
    let answer = client.get("/").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("HTTPS"), "{answer:?}");
    failed(&node, "not_tls", 1.0).await;
    node.metric_is(
        "farmgate_connections_rejected_total",
        &[("reason", "tls_handshake_failed")],
        1.0,
    )
    .await;
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_told_by_an_alert_alone() {
    let (_authority, node) = serving("").await;
    for spoken in [
        &b"SSH-2.0-client\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Client::connect(node.at("web")).await;
        client.send(spoken).await;
        let (said, _) = client.rest(std::time::Duration::from_secs(5)).await;
        assert_eq!(said.first(), Some(&21), "{said:?}");
        assert_eq!(said.len(), 7, "{said:?}");
    }
    failed(&node, "not_tls", 2.0).await;
}
