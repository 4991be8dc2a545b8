//! OCSP responses in handshakes, from files and from a responder.

use super::config;
use crate::harness::authority::{Authority, Issued};
use crate::harness::tls::TlsClient;
use crate::harness::{Node, Setup, eventually, free_address};

fn prepared() -> (Authority, Issued, Setup) {
    let authority = Authority::new("root");
    let setup = Setup::new();
    let issued = authority.simple(&["www.example.test"]);
    issued.write_chain(setup.folder(), "www", &authority);
    (authority, issued, setup)
}

/// The response a client is given that asks for one.
async fn staple(authority: &Authority, node: &Node) -> Option<Vec<u8>> {
    let client = TlsClient::new(authority, "www.example.test");
    let client = client.set(|builder| builder.enable_ocsp_stapling());
    let stream = client.connect(node.at("web")).await.expect("a handshake");
    stream.ssl().ocsp_status().map(<[u8]>::to_vec)
}

#[tokio::test]
async fn a_file_is_stapled_and_followed() {
    let (authority, issued, setup) = prepared();
    let file = authority.vouch(setup.folder(), "www.ocsp", &issued);
    let words =
        r#"certificates = [{ cert = "www.pem", key = "www.key", ocsp_response = "www.ocsp" }]"#;
    let node = setup.start(&config(words)).await;
    let first = std::fs::read(&file).expect("the response");
    assert_eq!(staple(&authority, &node).await, Some(first.clone()));
    // Nobody else is sent it.
    let plain = TlsClient::new(&authority, "www.example.test")
        .connect(node.at("web"))
        .await;
    assert_eq!(plain.expect("a handshake").ssl().ocsp_status(), None);
    node.metric_is("farmgate_tls_stapled_certificates", &[], 1.0)
        .await;
    // About another certificate: the old one stays, and it is told.
    let other = authority.simple(&["www.example.test"]);
    authority.vouch(node.folder(), "www.ocsp", &other);
    node.metric_is("farmgate_tls_stale_files", &[], 1.0).await;
    assert!(
        node.errors()
            .contains("www.ocsp says nothing about this certificate")
    );
    assert_eq!(staple(&authority, &node).await, Some(first));
    // The certificate it is about arrives, as in a renewal.
    other.write_chain(node.folder(), "www", &authority);
    node.metric_is("farmgate_tls_stale_files", &[], 0.0).await;
    let second = std::fs::read(&file).expect("the response");
    assert_eq!(staple(&authority, &node).await, Some(second));
}

#[tokio::test]
async fn a_responder_is_asked() {
    let (authority, issued, setup) = prepared();
    // It listens on every address of the port, so the port must be one that no other test counts to.
    let address = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = address.local_addr().expect("an address").port();
    drop(address);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let responder = authority.responder(address.port(), &issued);
    // It ends when a connection brings no question, so nobody connects to see whether it is there.
    let port = format!(":{:04X} ", address.port());
    eventually("the responder", || async {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
        let mut lines = tables.iter().flatten().flat_map(|table| table.lines());
        lines
            .any(|line| line.contains(&port) && line.contains(" 0A "))
            .then_some(())
    })
    .await;
    let words = format!(
        "certificates = [{{ cert = \"www.pem\", key = \"www.key\", ocsp_responder = \"http://{address}/\" }}]"
    );
    let node = setup.start(&config(&words)).await;
    eventually("the staple", || async { staple(&authority, &node).await }).await;
    node.metric_is("farmgate_tls_stapled_certificates", &[], 1.0)
        .await;
    drop(responder);
    assert!(staple(&authority, &node).await.is_some());
}

#[tokio::test]
async fn a_responder_that_is_away_is_told_and_hurts_nobody() {
    let (authority, _issued, setup) = prepared();
    let away = free_address();
    let words = format!(
        "certificates = [{{ cert = \"www.pem\", key = \"www.key\", ocsp_responder = \"http://{away}/\" }}]"
    );
    let node = setup.start(&config(&words)).await;
    node.metric_is("farmgate_tls_stale_files", &[], 1.0).await;
    assert!(
        node.errors().contains("the connection was refused"),
        "{}",
        node.errors()
    );
    assert_eq!(staple(&authority, &node).await, None);
}
