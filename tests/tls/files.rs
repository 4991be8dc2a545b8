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

/// A node whose files all stand in a folder of their own, `own` below its own.
async fn apart() -> (Authority, Node) {
    let authority = Authority::new("root");
    let setup = Setup::new();
    let own = setup.folder().join("own");
    std::fs::create_dir(&own).expect("a folder");
    authority.simple(&["www.example.test"]).write(&own, "www");
    authority.write(&own, "ca.pem");
    let secrets = own.join("secrets");
    std::fs::write(&secrets, "0123456789abcdef".repeat(4)).expect("write");
    let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secrets, owner).expect("mode");
    let words = r#"certificates = [{ cert = "own/www.pem", key = "own/www.key" }]
session_tickets = { secrets = "own/secrets" }
client_auth = { mode = "optional", ca = "own/ca.pem" }"#;
    (authority, setup.start(&config(words)).await)
}

#[tokio::test]
async fn pipes_and_devices_stop_neither_the_watch_nor_a_reload() {
    let (authority, node) = apart().await;
    let file = |name: &str| node.folder().join("own").join(name);
    let before = serial(&authority, &node).await;
    for name in ["www.key", "secrets", "ca.pem"] {
        std::fs::remove_file(file(name)).expect("remove");
    }
    let made = std::process::Command::new("mkfifo")
        .arg(file("www.key"))
        .status();
    assert!(made.expect("mkfifo").success());
    for name in ["secrets", "ca.pem"] {
        std::os::unix::fs::symlink("/dev/zero", file(name)).expect("a link");
    }
    node.metric_is("farmgate_tls_stale_files", &[("tls", "edge")], 3.0)
        .await;
    assert_eq!(serial(&authority, &node).await, before);
    let refused = node.run(&["reload"]).await.expect(1).text();
    assert!(
        refused.contains("own/www.key: cannot be read: it is no regular file"),
        "{refused}"
    );
    let next = authority.simple(&["www.example.test"]);
    std::fs::remove_file(file("www.key")).expect("remove");
    next.write(&node.folder().join("own"), "www");
    serves(&authority, &node, &number(&next)).await;
}

#[tokio::test]
async fn a_folder_that_was_away_is_fine_again() {
    let (_authority, node) = apart().await;
    let (own, away) = (node.folder().join("own"), node.folder().join("away"));
    // Young files are read again anyway.
    eventually("old files", || async {
        let seen = std::fs::metadata(own.join("secrets")).expect("a file");
        let age = seen.modified().expect("a time").elapsed();
        (age.unwrap_or_default() > Duration::from_secs(4)).then_some(())
    })
    .await;
    std::fs::rename(&own, &away).expect("rename");
    node.metric_is("farmgate_tls_stale_files", &[("tls", "edge")], 3.0)
        .await;
    std::fs::rename(&away, &own).expect("rename");
    node.metric_is("farmgate_tls_stale_files", &[("tls", "edge")], 0.0)
        .await;
}
