//! Whole nodes that order their certificates: what clients see before, after, and when it fails.

use crate::harness::tls::TlsClient;
use crate::harness::{Client, Node, Setup, eventually};

use super::pebble::Pebble;

/// The listeners that pebble asks, a `[[tls]]` that orders, and one certificate from files beside it.
fn config(pebble: &Pebble, challenge: &str, storage: &str) -> String {
    format!(
        r#"
[[listener]]
name = "plain"
address = "@plain"

[[listener]]
name = "secure"
address = "@secure"
tls = "auto"

[[route]]
name = "all"
plugins = [{{ kind = "respond", status = 200, body = "hello" }}]

[[tls]]
name = "auto"
certificates = [{{ cert = "www.pem", key = "www.key" }}]
[tls.acme]
directory = "{}"
ca = "{}"
terms_agreed = true
domains = ["auto.example.test", "other.example.test"]
challenge = "{challenge}"
storage = "{storage}"
"#,
        pebble.directory(),
        pebble.ca().display(),
    )
}

struct Place {
    pebble: Pebble,
    authority: crate::harness::authority::Authority,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            pebble: Pebble::start(folder.path()).await,
            authority: crate::harness::authority::Authority::new("root"),
            _folder: folder,
        }
    }

    /// A node that pebble asks.
    fn setup(&self) -> Setup {
        let setup = Setup::new();
        self.authority
            .simple(&["www.example.test"])
            .write(setup.folder(), "www");
        setup
            .with("plain", self.pebble.http)
            .with("secure", self.pebble.tls)
    }
}

/// The names a client is shown that asks for this one; none when it is refused.
async fn names(node: &Node, name: &str) -> Option<Vec<String>> {
    let client = TlsClient::named(name).believing_all();
    let stream = client.connect(node.at("secure")).await.ok()?;
    let shown = crate::harness::tls::shown(&stream);
    let names = shown.subject_alt_names().expect("names");
    let names = names.iter().filter_map(|name| name.dnsname());
    Some(names.map(str::to_owned).collect())
}

async fn has_ordered(node: &Node) {
    eventually("the ordered certificate", || async {
        names(node, "auto.example.test").await
    })
    .await;
}

#[tokio::test]
async fn both_challenges_order_and_serve() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let place = Place::new().await;
        let node = place
            .setup()
            .start(&config(&place.pebble, challenge, "acme"))
            .await;
        // What is there serves meanwhile.
        assert!(names(&node, "www.example.test").await.is_some());
        has_ordered(&node).await;
        let both = names(&node, "other.example.test")
            .await
            .expect("a certificate");
        assert_eq!(both.len(), 2, "{challenge}: {both:?}");
        assert_eq!(names(&node, "third.example.test").await, None);
        node.metric_is("farmgate_acme_orders_total", &[("kind", "first")], 1.0)
            .await;
        let mut client = TlsClient::named("auto.example.test")
            .believing_all()
            .http1(node.at("secure"))
            .await;
        let request = "GET / HTTP/1.1\r\nHost: auto.example.test\r\n\r\n";
        assert_eq!(client.ask(request).await.text(), "hello");
        let status = node.run(&["status"]).await.expect(0).out;
        assert!(status.contains("auto.example.test"), "{status}");
        // The key is nobody else's.
        let keys = walk(&node.folder().join("acme"));
        assert!(
            keys.iter().any(|(path, _)| path.contains("key")),
            "{keys:?}"
        );
        for (path, mode) in keys {
            assert_eq!(mode & 0o077, 0, "{path} {mode:o}");
        }
    }
}

/// Every file with its mode.
fn walk(folder: &std::path::Path) -> Vec<(String, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(walk(&path));
        } else {
            let mode = entry.metadata().expect("metadata").permissions().mode();
            out.push((path.display().to_string(), mode));
        }
    }
    out
}

#[tokio::test]
async fn a_restart_and_a_reload_serve_what_is_stored_from_the_first_connection() {
    let mut place = Place::new().await;
    let config = config(&place.pebble, "http-01", "acme");
    let mut node = place.setup().start(&config).await;
    has_ordered(&node).await;
    place.pebble.stop();
    node.reload(&config).await;
    assert!(names(&node, "auto.example.test").await.is_some());
    node.stop().await;
    node.spawn();
    node.ready().await;
    assert!(names(&node, "auto.example.test").await.is_some());
    let ordered = node.metric("farmgate_acme_orders_total", &[]).await;
    assert_eq!(ordered, 0.0);
}

#[tokio::test]
async fn an_authority_that_is_away_is_visible_and_hurts_nobody() {
    let mut place = Place::new().await;
    place.pebble.stop();
    let node = place
        .setup()
        .start(&config(&place.pebble, "http-01", "acme"))
        .await;
    node.metric_is(
        "farmgate_acme_failures_total",
        &[("stage", "directory")],
        1.0,
    )
    .await;
    assert!(names(&node, "www.example.test").await.is_some());
    assert_eq!(names(&node, "auto.example.test").await, None);
    let status = node.run(&["status"]).await.expect(0).out;
    assert!(status.contains("PROBLEM acme: directory"), "{status}");
    assert!(
        node.errors().contains("acme: directory"),
        "{}",
        node.errors()
    );
    let next = node
        .metric("farmgate_acme_next_order_timestamp_seconds", &[])
        .await;
    assert!(next > 1.0e9, "{next}");
}

#[tokio::test]
async fn a_question_for_another_goes_to_the_routes_and_none_leads_out() {
    let place = Place::new().await;
    let node = place
        .setup()
        .start(&config(&place.pebble, "http-01", "acme"))
        .await;
    has_ordered(&node).await;
    let mut client = Client::connect(node.at("plain")).await;
    for target in [
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/nobodys-token-nobodys-token",
        "/.well-known/acme-challenge/..%2f..%2faccount.json",
        "/.well-known/acme-challenge/../../www.key",
    ] {
        let answer = client.get(target).await;
        assert_eq!(answer.text(), "hello", "{target}");
    }
}

#[tokio::test]
async fn two_nodes_on_one_storage_order_once() {
    let place = Place::new().await;
    let storage = tempfile::tempdir().expect("a folder");
    let storage = storage.path().to_str().expect("a UTF-8 path");
    let words = config(&place.pebble, "http-01", storage);
    // Pebble asks the first one, whoever orders.
    let first = place.setup();
    let second = Setup::new();
    place
        .authority
        .simple(&["www.example.test"])
        .write(second.folder(), "www");
    let (first, second) = tokio::join!(first.start(&words), second.start(&words));
    has_ordered(&first).await;
    // Its look at the storage is up to thirty seconds away; a reload looks at once.
    eventually("the other node's certificate", || async {
        second.run(&["reload"]).await;
        names(&second, "auto.example.test").await
    })
    .await;
    assert_eq!(place.pebble.issued(), 1, "{}", place.pebble.log());
}
