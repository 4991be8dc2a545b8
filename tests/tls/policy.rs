//! Versions and ciphers.

use boring::ssl::SslVersion;

use super::{failed, serving};
use crate::harness::tls::TlsClient;

#[tokio::test]
async fn modern_speaks_one_version_and_intermediate_two() {
    for (policy, versions) in [
        ("modern", &[SslVersion::TLS1_3][..]),
        ("intermediate", &[SslVersion::TLS1_2, SslVersion::TLS1_3]),
    ] {
        let (authority, node) = serving(&format!("policy = \"{policy}\"")).await;
        let mut refused = 0.0;
        for version in [
            SslVersion::TLS1,
            SslVersion::TLS1_1,
            SslVersion::TLS1_2,
            SslVersion::TLS1_3,
        ] {
            let client = TlsClient::new(&authority, "www.example.test").version(version);
            let met = client.connect(node.at("web")).await;
            if versions.contains(&version) {
                assert!(met.is_ok(), "{policy} {version:?}: {met:?}");
            } else {
                let error = met.expect_err("an old version");
                assert!(
                    error.contains("PROTOCOL_VERSION"),
                    "{policy} {version:?}: {error}"
                );
                refused += 1.0;
            }
        }
        failed(&node, "version", refused).await;
    }
}

#[tokio::test]
async fn no_common_cipher_is_told() {
    let (authority, node) = serving("").await;
    for cipher in ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"] {
        let client = TlsClient::new(&authority, "www.example.test").version(SslVersion::TLS1_2);
        let client = client.set(|it| it.set_cipher_list(cipher).expect("a list"));
        let error = client.connect(node.at("web")).await.expect_err(cipher);
        assert!(error.contains("HANDSHAKE_FAILURE"), "{cipher}: {error}");
    }
    failed(&node, "cipher", 3.0).await;
}

#[tokio::test]
async fn the_hybrid_key_exchange_comes_first() {
    let (authority, node) = serving("").await;
    let client = || TlsClient::new(&authority, "www.example.test");
    for (groups, expected) in [
        ("P-256:X25519:X25519MLKEM768", "X25519MLKEM768"),
        ("P-256:X25519", "X25519"),
        ("P-384:P-256", "P-256"),
    ] {
        let client = client().set(|it| it.set_curves_list(groups).expect("groups"));
        let stream = client.connect(node.at("web")).await.expect("a handshake");
        assert_eq!(stream.ssl().curve_name(), Some(expected), "{groups}");
        node.metric_is("farmgate_tls_groups_total", &[("group", expected)], 1.0)
            .await;
    }
}
