//! Certificates that change under the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{WWW, config, serving};
use crate::harness::authority::{Authority, Wanted};
use crate::harness::tls::{TlsClient, shown};
use crate::harness::{Node, Setup, eventually};

async fn serial(authority: &Authority, node: &Node) -> Vec<u8> {
    let client = TlsClient::new(authority, "www.example.test");
    let stream = client.connect(node.at("web")).await.expect("a handshake");
    let number = shown(&stream).serial_number().to_bn().expect("a number");
    number.to_vec()
}

fn number(issued: &crate::harness::authority::Issued) -> Vec<u8> {
    issued
        .certificate
        .serial_number()
        .to_bn()
        .expect("a number")
        .to_vec()
}

async fn serves(authority: &Authority, node: &Node, expected: &[u8]) {
    eventually("the new certificate", || async {
        (serial(authority, node).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_command() {
    let (authority, node) = serving("").await;
    let before = serial(&authority, &node).await;
    let next = authority.issue(&Wanted {
        names: &["www.example.test"],
        rsa: false,
        days: 20,
    });
    next.write(node.folder(), "www");
    serves(&authority, &node, &number(&next)).await;
    assert_ne!(before, number(&next));
    node.metric_is("farmgate_tls_refreshes_total", &[("result", "ok")], 1.0)
        .await;
    let until = node
        .metric("farmgate_tls_certificate_not_after_seconds", &[])
        .await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let days = (until - now.expect("a clock").as_secs_f64()) / 86_400.0;
    assert!((19.9..20.1).contains(&days), "{days}");
}

#[tokio::test]
async fn a_bad_certificate_leaves_the_old_one_and_is_told() {
    let (authority, node) = serving("").await;
    let before = serial(&authority, &node).await;
    let next = authority.simple(&["www.example.test"]);
    let pem = next.certificate.to_pem().expect("PEM");
    std::fs::write(node.folder().join("www.pem"), &pem[..pem.len() / 2]).expect("write");
    node.metric_is("farmgate_tls_stale_files", &[("tls", "edge")], 1.0)
        .await;
    node.metric_is(
        "farmgate_tls_refreshes_total",
        &[("result", "refused")],
        1.0,
    )
    .await;
    let told = node.errors();
    assert!(
        told.contains("www.pem: holds no readable certificate in PEM form"),
        "{told}"
    );
    assert_eq!(serial(&authority, &node).await, before);
    let status = node.run(&["status"]).await.expect(0).out;
    assert!(
        status.contains("PROBLEM") && status.contains("9 days left"),
        "{status}"
    );
    // A key that does not fit, then both.
    std::fs::write(node.folder().join("www.pem"), &pem).expect("write");
    eventually("the other fault", || async {
        node.errors()
            .contains("www.key: the key does not fit")
            .then_some(())
    })
    .await;
    assert_eq!(serial(&authority, &node).await, before);
    next.write(node.folder(), "www");
    serves(&authority, &node, &number(&next)).await;
    node.metric_is("farmgate_tls_stale_files", &[("tls", "edge")], 0.0)
        .await;
}

#[tokio::test]
async fn an_expired_certificate_does_not_replace_a_valid_one() {
    let (authority, mut node) = serving("").await;
    let before = serial(&authority, &node).await;
    let old = authority.issue(&Wanted {
        names: &["www.example.test"],
        rsa: false,
        days: -1,
    });
    old.write(node.folder(), "www");
    node.metric_is("farmgate_tls_stale_files", &[("tls", "edge")], 1.0)
        .await;
    // A reload does not bring it in either, but says so.
    node.write(&config(WWW));
    let reload = node.run(&["reload"]).await.expect(0);
    assert!(
        reload
            .out
            .contains("the one that was read before is served on"),
        "{reload:?}"
    );
    assert_eq!(serial(&authority, &node).await, before);
}

#[tokio::test]
async fn a_swapped_symbolic_link_is_seen() {
    let authority = Authority::new("root");
    let setup = Setup::new();
    let folder = setup.folder().to_owned();
    let (one, two) = (
        authority.simple(&["www.example.test"]),
        authority.simple(&["www.example.test"]),
    );
    for (name, issued) in [("one", &one), ("two", &two)] {
        std::fs::create_dir(folder.join(name)).expect("a folder");
        issued.write(&folder.join(name), "www");
    }
    let link = |to: &str| {
        std::os::unix::fs::symlink(to, folder.join("next")).expect("a link");
        std::fs::rename(folder.join("next"), folder.join("live")).expect("rename");
    };
    link("one");
    let words = r#"certificates = [{ cert = "live/www.pem", key = "live/www.key" }]"#;
    let node = setup.start(&config(words)).await;
    assert_eq!(serial(&authority, &node).await, number(&one));
    link("two");
    serves(&authority, &node, &number(&two)).await;
}

/// A certificate is renewed every second for 30 seconds while four clients make handshakes: none fails, each gets a
/// certificate of the authority, and the last one is served in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_rotations_under_handshakes() {
    let (authority, node) = serving("").await;
    let authority = Arc::new(authority);
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (authority, stop, count) = (
                Arc::clone(&authority),
                Arc::clone(&stop),
                Arc::clone(&count),
            );
            let address = node.at("web");
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let client = TlsClient::new(&authority, "www.example.test");
                    let mut client = client.http1(address).await;
                    let answer = client
                        .ask(
                            "GET / HTTP/1.1\r\nHost: www.example.test\r\nConnection: close\r\n\r\n",
                        )
                        .await;
                    assert_eq!(answer.status, 200);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let mut last = Vec::new();
    for round in 1..=30_u64 {
        let next = authority.simple(&["www.example.test"]);
        next.write(node.folder(), "www");
        last = number(&next);
        let at = begun + Duration::from_secs(round);
        // tidy: the rotation's own rhythm
        tokio::time::sleep_until(at.into()).await;
    }
    serves(&authority, &node, &last).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        crate::harness::node::joined(client).await;
    }
    let done = count.load(Ordering::Relaxed);
    assert!(done >= 100, "{done} handshakes");
    let failures = node
        .metric("farmgate_tls_handshake_failures_total", &[])
        .await;
    assert_eq!(failures, 0.0);
    let refreshed = node
        .metric("farmgate_tls_refreshes_total", &[("result", "ok")])
        .await;
    assert!(refreshed >= 15.0, "{refreshed} rotations seen");
}
