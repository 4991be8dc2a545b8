//! Sessions that resume: on this node, after its restart, on another one, and nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{WWW, config, s_client, serving};
use crate::harness::authority::Authority;
use crate::harness::cli::Ran;
use crate::harness::{Node, Setup};

const SECRET: &str = "session_tickets = { secrets = \"ticket.secrets\", rotate = \"12h\" }";

fn secrets(folder: &Path, text: &str) {
    let path = folder.join("ticket.secrets");
    std::fs::write(&path, text).expect("write");
    let owner = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, owner).expect("mode");
}

/// A handshake by `openssl s_client`: true if it resumed the session of the file.
async fn resumes(node: &Node, version: &str, session: &Path, keep: bool) -> bool {
    let what = if keep { "-sess_out" } else { "-sess_in" };
    let session = session.to_str().expect("a UTF-8 path");
    let out = s_client(node, &[version, what, session]).await;
    assert!(out.contains("hello"), "{out}");
    let reused = out.contains("Reused, ");
    assert!(reused || out.contains("New, "), "{out}");
    reused
}

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

#[tokio::test]
async fn a_session_outlives_restarts_and_moves_between_nodes() {
    let authority = Authority::new("root");
    let mut nodes = Vec::new();
    let secret = "0123456789abcdef0123456789abcdef\n";
    for _ in 0..2 {
        let setup = Setup::new();
        authority
            .simple(&["www.example.test"])
            .write(setup.folder(), "www");
        secrets(setup.folder(), secret);
        nodes.push(setup.start(&config(&format!("{WWW}\n{SECRET}"))).await);
    }
    for version in VERSIONS {
        let session = nodes[0].folder().join("session");
        assert!(!resumes(&nodes[0], version, &session, true).await);
        assert!(resumes(&nodes[0], version, &session, false).await);
        assert!(
            resumes(&nodes[1], version, &session, false).await,
            "{version}"
        );
        nodes[0].stop().await;
        nodes[0].spawn();
        nodes[0].ready().await;
        assert!(
            resumes(&nodes[0], version, &session, false).await,
            "{version}"
        );
    }
    let resumed = [("resumed", "true")];
    nodes[1]
        .metric_is("farmgate_tls_handshakes_total", &resumed, 2.0)
        .await;
    // A new secret on the first line: sessions of the old one go on; without it they do not.
    let session = nodes[0].folder().join("session");
    let both = format!("fedcba9876543210fedcba9876543210\n{secret}");
    secrets(nodes[1].folder(), &both);
    nodes[1]
        .metric_is("farmgate_tls_refreshes_total", &[("result", "ok")], 1.0)
        .await;
    assert!(resumes(&nodes[1], "-tls1_3", &session, false).await);
    secrets(nodes[1].folder(), "fedcba9876543210fedcba9876543210\n");
    nodes[1]
        .metric_is("farmgate_tls_refreshes_total", &[("result", "ok")], 2.0)
        .await;
    assert!(!resumes(&nodes[1], "-tls1_3", &session, false).await);
}

#[tokio::test]
async fn without_secrets_a_session_outlives_a_reload_only() {
    let (_authority, mut node) = serving("").await;
    let session = node.folder().join("session");
    for version in VERSIONS {
        assert!(!resumes(&node, version, &session, true).await);
        node.reload(&config(WWW)).await;
        assert!(resumes(&node, version, &session, false).await, "{version}");
        node.stop().await;
        node.spawn();
        node.ready().await;
        assert!(!resumes(&node, version, &session, false).await, "{version}");
    }
}

#[tokio::test]
async fn a_session_never_crosses_to_another_tls() {
    let authority = Authority::new("root");
    let setup = Setup::new();
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "www");
    secrets(setup.folder(), "0123456789abcdef0123456789abcdef\n");
    let words = format!("{WWW}\n{SECRET}");
    let edge = config(&words);
    let partners = edge.replace("\"edge\"", "\"partners\"");
    let mut node = setup.start(&edge).await;
    for version in VERSIONS {
        let session = node.folder().join("session");
        node.reload(&edge).await;
        assert!(!resumes(&node, version, &session, true).await);
        // The same address, certificate and secrets under another name.
        node.reload(&partners).await;
        assert!(!resumes(&node, version, &session, false).await, "{version}");
    }
}

#[tokio::test]
async fn a_bad_file_of_secrets_leaves_the_old_ones() {
    let authority = Authority::new("root");
    let setup = Setup::new();
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "www");
    secrets(setup.folder(), "0123456789abcdef0123456789abcdef\n");
    let node = setup.start(&config(&format!("{WWW}\n{SECRET}"))).await;
    let session = node.folder().join("session");
    assert!(!resumes(&node, "-tls1_3", &session, true).await);
    secrets(node.folder(), "short\n");
    node.metric_is("farmgate_tls_stale_files", &[], 1.0).await;
    let told = node.errors();
    assert!(
        told.contains("ticket.secrets line 1: under 32 bytes"),
        "{told}"
    );
    assert!(!told.contains("short"), "{told}");
    assert!(resumes(&node, "-tls1_3", &session, false).await);
    let others = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(node.folder().join("ticket.secrets"), others).expect("mode");
    let ran: Ran = node.run(&["reload"]).await;
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("E-TLS-005"), "{ran:?}");
}
