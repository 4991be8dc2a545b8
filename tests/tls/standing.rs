//! Connections that are open while the rules about client certificates change.

use super::{WWW, config, failed};
use crate::harness::Setup;
use crate::harness::authority::Authority;
use crate::harness::tls::TlsClient;

const AUTH: &str =
    r#"client_auth = { mode = "require", ca = "partners.pem", crl = "partners.crl" }"#;

/// An authority of ours, one of partners, and what a node needs of both.
fn prepared() -> (Authority, Authority, Setup) {
    let (root, partners) = (Authority::new("root"), Authority::new("partners"));
    let setup = Setup::new();
    root.simple(&["www.example.test"])
        .write(setup.folder(), "www");
    partners.write(setup.folder(), "partners.pem");
    partners.revoke(setup.folder(), "partners.crl", &[]);
    (root, partners, setup)
}

fn client(root: &Authority) -> TlsClient {
    TlsClient::new(root, "www.example.test")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n";

#[tokio::test]
async fn a_reload_that_asks_for_certificates_asks_open_connections_too() {
    let (root, partners, setup) = prepared();
    let mut node = setup.start(&config(WWW)).await;
    let mut open = client(&root).http1(node.at("web")).await;
    let mut open_h2 = client(&root).http2(node.at("web")).await;
    assert_eq!(open.ask(GET).await.status, 200);
    assert_eq!(open_h2.get("/").await.head.status(), 200);
    node.write(&config(&format!("{WWW}\n{AUTH}")));
    node.run(&["reload"]).await.expect(0);
    let refused = open.ask(GET).await;
    assert_eq!(refused.status, 421, "{refused:?}");
    assert!(refused.text().contains("client_certificate"), "{refused:?}");
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(open_h2.get("/").await.head.status(), 421);
    let issued = partners.simple(&["api.partner.test"]);
    let mut known = client(&root)
        .with_certificate(&issued)
        .http1(node.at("web"))
        .await;
    assert_eq!(known.ask(GET).await.status, 200);
    // A reload that changes nothing about it changes nothing for open connections.
    node.run(&["reload"]).await.expect(0);
    assert_eq!(known.ask(GET).await.status, 200);
}

#[tokio::test]
async fn a_revocation_ends_open_connections() {
    let (root, partners, setup) = prepared();
    let node = setup.start(&config(&format!("{WWW}\n{AUTH}"))).await;
    let fine = partners.simple(&["api.partner.test"]);
    let gone = partners.simple(&["gone.partner.test"]);
    let mut fine = client(&root)
        .with_certificate(&fine)
        .http1(node.at("web"))
        .await;
    let mut revoked = client(&root)
        .with_certificate(&gone)
        .http1(node.at("web"))
        .await;
    assert_eq!(fine.ask(GET).await.status, 200);
    assert_eq!(revoked.ask(GET).await.status, 200);
    partners.revoke(node.folder(), "partners.crl", &[&gone]);
    node.metric_is("farmgate_tls_refreshes_total", &[("result", "ok")], 1.0)
        .await;
    assert_eq!(revoked.ask(GET).await.status, 421);
    assert_eq!(fine.ask(GET).await.status, 200);
    // The next connection hears why.
    let again = client(&root).with_certificate(&gone);
    let _ = again.connect(node.at("web")).await;
    failed(&node, "certificate_revoked", 1.0).await;
}
