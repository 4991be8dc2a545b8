//! Orders that fail: what is served goes on, the reason is told, and it is tried again.

use std::time::Duration;

use farmgate::tls::acme::{AcmeError, AcmeEvent, Asked, Challenge, Stage, settings as checked};

use super::node::{Node, now, settings};
use super::pebble::Pebble;
use super::responder::Responder;

fn failure(event: &AcmeEvent) -> Option<(AcmeError, u32)> {
    match event {
        AcmeEvent::Failed { error, failures } => Some((error.clone(), *failures)),
        _ => None,
    }
}

#[tokio::test]
async fn a_failed_validation_is_told_noted_and_tried_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let asked = settings(&pebble, &storage, Challenge::Http01, &["auto.example.test"]);
    let node = Node::start(asked.clone(), "n1");
    let (error, failures) = node.hears("a failure", failure).await;
    assert_eq!((error.stage, failures), (Stage::Validation, 1), "{error}");
    assert!(error.message.contains("auto.example.test"), "{error}");
    assert!(
        error
            .message
            .contains("urn:ietf:params:acme:error:connection"),
        "{error}"
    );
    let next = node.rests().await;
    assert!((50..=70).contains(&(next - now())), "{next}");
    // Another node, or this one after a restart, keeps to it.
    let other = Node::start(asked, "n2");
    assert_eq!(other.rests().await, next);
    assert!(other.events().iter().all(|event| failure(event).is_none()));
    let _responder = Responder::http01(pebble.http, node.challenges());
    node.ahead(Duration::from_secs(120));
    let served = node.ordered().await;
    other
        .hears("the other node's certificate", |event| {
            matches!(event, AcmeEvent::Loaded { .. }).then_some(())
        })
        .await;
    assert_eq!(other.served().unwrap().fingerprint(), served.fingerprint());
    node.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_old_one_serving() {
    let folder = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let asked = settings(
        &pebble,
        &storage,
        Challenge::TlsAlpn01,
        &["auto.example.test"],
    );
    let node = Node::start(asked, "n1");
    let _responder = Responder::tls_alpn01(pebble.tls, node.challenges());
    let first = node.ordered().await;
    node.rests().await;
    pebble.stop();
    node.ahead(Duration::from_secs(4 * 365 * 86_400));
    // A question about renewal may have failed before it.
    let failed = |event: &AcmeEvent| failure(event).filter(|(_, failures)| *failures == 1);
    let (error, _) = node.hears("a failure", failed).await;
    assert_eq!(error.stage, Stage::Directory, "{error}");
    assert!(error.message.contains("Connection refused"), "{error}");
    assert_eq!(node.served().unwrap().fingerprint(), first.fingerprint());
    // The authority comes back and knows nothing of us: another account is made, and the order goes on.
    pebble.forget().await;
    node.ahead(Duration::from_secs(120));
    let renewed = |event: &AcmeEvent| matches!(event, AcmeEvent::Renewed { .. }).then_some(());
    node.hears("a renewal", renewed).await;
    assert_ne!(node.served().unwrap().fingerprint(), first.fingerprint());
    assert_eq!(pebble.issued(), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_directory_that_is_not_believed_is_asked_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let directory = pebble.directory();
    // Its own certificate is no authority, and the system knows none that made it.
    let (leaf, _) = pebble.identity();
    for ca in [Some(leaf.as_path()), None] {
        let asked = Asked {
            directory: &directory,
            ca,
            email: None,
            terms_agreed: true,
            domains: vec!["auto.example.test"],
            challenge: Challenge::Http01,
            storage: &storage,
        };
        let node = Node::start(checked::check(&asked).unwrap(), "n1");
        let (error, _) = node.hears("a failure", failure).await;
        assert_eq!(error.stage, Stage::Directory, "{error}");
        let is_told =
            error.message.contains("is not believed") || error.message.contains("write `ca`");
        assert!(is_told, "{error}");
        node.stop().await;
    }
    assert_eq!(pebble.count("POST"), 0);
}

#[tokio::test]
async fn names_that_the_authority_refuses_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let domains = ["auto.example.test", "blocked.example.test"];
    let asked = settings(&pebble, &storage, Challenge::Http01, &domains);
    let node = Node::start(asked, "n1");
    let (error, _) = node.hears("a failure", failure).await;
    assert_eq!(error.stage, Stage::Order, "{error}");
    assert!(error.message.contains("blocked.example.test"), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn an_order_that_is_stopped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    // Nobody listens for tls-alpn-01, and half a second passes before the authority asks.
    let asked = settings(
        &pebble,
        &storage,
        Challenge::TlsAlpn01,
        &["auto.example.test"],
    );
    let node = Node::start(asked.clone(), "n1");
    let pending = storage.join("challenges");
    crate::harness::eventually("a pending challenge", || async {
        std::fs::read_dir(&pending).ok()?.next().map(|_| ())
    })
    .await;
    node.stop().await;
    // What was being written then is taken back a moment later.
    crate::harness::eventually("no pending challenge", || async {
        let left = std::fs::read_dir(&pending).unwrap().count();
        (left == 0).then_some(())
    })
    .await;
    // The lease is free at once: no term of two seconds passes.
    let begin = std::time::Instant::now();
    let node = Node::start(asked, "n2");
    let _responder = Responder::tls_alpn01(pebble.tls, node.challenges());
    node.ordered().await;
    let events = node.stop().await;
    let waited = events
        .iter()
        .any(|event| matches!(event, AcmeEvent::WaitingForOtherNode { .. }));
    assert!(!waited, "{events:?} after {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_storage_that_was_removed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let domains = ["auto.example.test"];
    let asked = settings(&pebble, &storage, Challenge::TlsAlpn01, &domains);
    let node = Node::start(asked, "n1");
    let _responder = Responder::tls_alpn01(pebble.tls, node.challenges());
    node.ordered().await;
    node.rests().await;
    std::fs::remove_dir_all(&storage).unwrap();
    node.ahead(Duration::from_secs(4 * 365 * 86_400));
    let renewed = |event: &AcmeEvent| matches!(event, AcmeEvent::Renewed { .. }).then_some(());
    node.hears("a renewal", renewed).await;
    node.stop().await;
}

#[tokio::test]
async fn what_another_node_mended_is_told_as_fine() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let domains = ["auto.example.test"];
    let asked = settings(&pebble, &storage, Challenge::Http01, &domains);
    let node = Node::start(asked.clone(), "n1");
    node.hears("a failure", failure).await;
    node.rests().await;
    let _responder = Responder::http01(pebble.http, node.challenges());
    let other = Node::start_ahead(asked, "n2", 120);
    other.ordered().await;
    let fine = |event: &AcmeEvent| (*event == AcmeEvent::Fine).then_some(());
    node.hears("that all is fine", fine).await;
    node.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_storage_that_comes_late_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let domains = ["auto.example.test"];
    let asked = settings(&pebble, &storage, Challenge::TlsAlpn01, &domains);
    // What stands in its place is no folder.
    std::fs::write(&storage, "").unwrap();
    let node = Node::start(asked, "n1");
    let (error, failures) = node.hears("a failure", failure).await;
    assert_eq!((error.stage, failures), (Stage::Storage, 0), "{error}");
    std::fs::remove_file(&storage).unwrap();
    let _responder = Responder::tls_alpn01(pebble.tls, node.challenges());
    node.ordered().await;
    node.stop().await;
}
