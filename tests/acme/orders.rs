//! Orders that succeed: by either challenge, by one of several nodes, again in time, and not again after a restart.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farmgate::tls::acme::{AcmeEvent, Challenge, Challenges, Storage};

use super::node::{Node, now, settings};
use super::pebble::Pebble;
use super::responder::Responder;
use crate::harness::eventually;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn http01_is_answered_and_the_certificate_served_and_stored() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("run/acme");
    let domains = ["auto.example.test", "www.auto.example.test"];
    let node = Node::start(
        settings(&pebble, &storage, Challenge::Http01, &domains),
        "n1",
    );
    let _responder = Responder::http01(pebble.http, node.challenges());
    let served = node.ordered().await;
    let mut names = served.names().to_vec();
    names.sort();
    assert_eq!(names, domains);
    assert_eq!(served.chain().len(), 1);
    assert!(served.not_after() > now() + 86_400);
    // Two thirds of pebble's five years.
    let next = node.rests().await;
    let third = (served.not_after() - now()) / 3;
    assert!((next - now() - 2 * third).abs() < third / 5, "{next}");
    assert_eq!(pebble.issued(), 1);
    // Nobody else may read a key, nothing is left of the challenges, and no draft of a file.
    assert_eq!(fs::read_dir(storage.join("challenges")).unwrap().count(), 0);
    for file in files(&storage) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
        assert!(!file.file_name().unwrap().to_string_lossy().starts_with('.'));
    }
    let account = files(&storage.join("accounts"));
    assert_eq!(account.len(), 1);
    assert!(
        fs::read_to_string(&account[0])
            .unwrap()
            .contains("ops@example.test")
    );
    node.stop().await;
}

#[tokio::test]
async fn tls_alpn01_is_answered_by_a_node_that_does_not_order() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let domains = ["a.example.test", "b.example.test", "c.example.test"];
    let other = Challenges::new(
        &Storage::open(&storage).unwrap(),
        &domains.map(str::to_owned),
    );
    let _responder = Responder::tls_alpn01(pebble.tls, &Arc::new(other));
    let node = Node::start(
        settings(&pebble, &storage, Challenge::TlsAlpn01, &domains),
        "n1",
    );
    let served = node.ordered().await;
    assert_eq!(served.names().len(), 3);
    assert_eq!(fs::read_dir(storage.join("challenges")).unwrap().count(), 0);
    node.stop().await;
}

#[tokio::test]
async fn of_several_nodes_one_orders_and_all_serve() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let domains = ["auto.example.test"];
    let asked = settings(&pebble, &storage, Challenge::Http01, &domains);
    // The balancer sends every question of the authority to a node that never orders.
    let other = Challenges::new(
        &Storage::open(&storage).unwrap(),
        &domains.map(str::to_owned),
    );
    let _responder = Responder::http01(pebble.http, &Arc::new(other));
    let nodes: Vec<Node> = (0..5)
        .map(|number| Node::start(asked.clone(), &format!("n{number}")))
        .collect();
    for node in &nodes {
        eventually("a certificate on every node", || async { node.served() }).await;
    }
    let first = nodes[0].served().unwrap();
    let mut ordered = 0;
    for node in &nodes {
        assert_eq!(node.served().unwrap().fingerprint(), first.fingerprint());
        node.rests().await;
        let events = node.events();
        ordered += events
            .iter()
            .filter(|event| matches!(event, AcmeEvent::Ordered { .. }))
            .count();
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, AcmeEvent::Failed { .. })),
            "{events:?}"
        );
    }
    assert_eq!(ordered, 1);
    assert_eq!(pebble.issued(), 1);
    assert_eq!(pebble.count("There are now 1 accounts in memory"), 1);
    assert_eq!(
        pebble.count("There are now 2 accounts"),
        0,
        "{}",
        pebble.log()
    );
    // The same again when it is due on all of them.
    for node in &nodes {
        node.ahead(4 * YEAR);
    }
    for node in &nodes {
        eventually("the renewed certificate on every node", || async {
            let served = node.served().unwrap();
            (served.fingerprint() != first.fingerprint()).then_some(())
        })
        .await;
    }
    let second = nodes[0].served().unwrap();
    for node in nodes {
        assert_eq!(node.served().unwrap().fingerprint(), second.fingerprint());
        node.stop().await;
    }
}

#[tokio::test]
async fn a_restart_serves_what_is_stored_and_orders_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let asked = settings(&pebble, &storage, Challenge::Http01, &["auto.example.test"]);
    let node = Node::start(asked.clone(), "n1");
    let responder = Responder::http01(pebble.http, node.challenges());
    let first = node.ordered().await;
    node.stop().await;
    drop(responder);
    // Not even the authority is there.
    pebble.stop();
    let node = Node::start(asked, "n1");
    let not_after = node
        .hears("what is stored", |event| match event {
            AcmeEvent::Loaded { not_after } => Some(*not_after),
            _ => None,
        })
        .await;
    assert_eq!(not_after, first.not_after());
    assert_eq!(node.served().unwrap().fingerprint(), first.fingerprint());
    node.rests().await;
    let events = node.stop().await;
    let is_order = |event: &&AcmeEvent| {
        matches!(
            event,
            AcmeEvent::Ordered { .. } | AcmeEvent::WaitingForOtherNode { .. }
        )
    };
    assert_eq!(events.iter().filter(is_order).count(), 0, "{events:?}");
}

#[tokio::test]
async fn a_certificate_is_renewed_when_it_is_due_with_a_key_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let asked = settings(&pebble, &storage, Challenge::Http01, &["auto.example.test"]);
    let node = Node::start(asked, "n1");
    let _responder = Responder::http01(pebble.http, node.challenges());
    let first = node.ordered().await;
    node.rests().await;
    node.ahead(3 * YEAR);
    node.ahead(YEAR);
    let renewed = |event: &AcmeEvent| matches!(event, AcmeEvent::Renewed { .. }).then_some(());
    node.hears("a renewal", renewed).await;
    let second = node.served().unwrap();
    assert_ne!(second.fingerprint(), first.fingerprint());
    assert!(!second.key().public_eq(first.key()));
    node.stop().await;
}

#[tokio::test]
async fn other_names_are_another_order_and_the_old_one_serves_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let storage = folder.path().join("acme");
    let few = settings(&pebble, &storage, Challenge::Http01, &["a.example.test"]);
    let other = Challenges::new(&Storage::open(&storage).unwrap(), &[]);
    let _responder = Responder::http01(pebble.http, &Arc::new(other));
    let node = Node::start(few, "n1");
    let first = node.ordered().await;
    node.stop().await;
    let more = settings(
        &pebble,
        &storage,
        Challenge::Http01,
        &["a.example.test", "b.example.test"],
    );
    let node = Node::start(more, "n1");
    let borrowed = |event: &AcmeEvent| matches!(event, AcmeEvent::Borrowed { .. }).then_some(());
    node.hears("the old certificate", borrowed).await;
    let second = node.ordered().await;
    assert_eq!(second.names().len(), 2);
    assert_eq!(
        node.all_served().first().unwrap().fingerprint(),
        first.fingerprint()
    );
    assert_eq!(pebble.count("There are now 2 accounts"), 0);
    node.stop().await;
}
