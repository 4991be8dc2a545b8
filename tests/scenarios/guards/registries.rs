//! Registries that lie, hang, die and come back, and what a node goes on with. The name service is in `names`.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::discovery::document;
use crate::harness::authority::{Authority, Issued};
use crate::harness::etcd::Etcd;
use crate::harness::tls_origin::{Front, Rules};
use crate::harness::{Node, Origin, Peer, Setup, eventually};

/// One upstream a source, `app` first: the words of each.
fn config(sources: &[(&str, &str)]) -> String {
    let mut out = "[[listener]]\nname = \"web\"\naddress = \"@web\"\n".to_owned();
    for (name, words) in sources {
        out += &format!(
            "[[route]]\nname = \"{name}\"\npaths = [\"/{name}\"]\nupstream = \"{name}\"\n\
             [[upstream]]\nname = \"{name}\"\n[upstream.discovery]\n{words}\n"
        );
    }
    out
}

async fn answers(node: &Node, target: &str, wanted: &str) {
    eventually(&format!("{wanted} at {target}"), || async {
        (node.get(target).await.text() == wanted).then_some(())
    })
    .await;
}

/// Waits until the source of an upstream has failed once more.
async fn fails(node: &Node, upstream: &str) {
    let labels = [("upstream", upstream)];
    let name = "farmgate_discovery_failures_total";
    let before = node.metric(name, &labels).await;
    eventually(&format!("a failure of {upstream}"), || async {
        (node.metric(name, &labels).await > before).then_some(())
    })
    .await;
}

/// What the source of an upstream says went wrong.
async fn error(node: &Node, upstream: &str) -> String {
    let told = node.run(&["status", "--json"]).await.expect(0).json();
    let all = told["upstreams"].as_array().expect("upstreams");
    let one = all.iter().find(|one| one["name"] == upstream);
    let error = &one.expect("the upstream")["discovery"]["error"];
    error.as_str().unwrap_or_default().to_owned()
}

/// TLS at a place where another one was: it is free in a moment.
async fn instead(place: SocketAddr, issued: &Issued, origin: &Origin) -> Front {
    eventually("the place is free", || async {
        std::net::TcpListener::bind(place).ok().map(drop)
    })
    .await;
    Front::start_at(place, Rules::of(issued), origin.address()).await
}

/// Serves a document that the test changes.
async fn registry(text: String) -> (Origin, Arc<Mutex<String>>) {
    let text = Arc::new(Mutex::new(text));
    let told = Arc::clone(&text);
    let origin = Origin::start(move |mut peer: Peer| {
        let told = Arc::clone(&told);
        async move {
            while peer.request().await.is_some() {
                let text = told.lock().clone();
                peer.answer(200, "Content-Type: application/json\r\n", &text)
                    .await;
            }
        }
    })
    .await;
    (origin, text)
}

#[tokio::test]
async fn a_registry_is_believed_by_its_certificate_only() {
    let (authority, stranger) = (Authority::new("an authority"), Authority::new("a stranger"));
    let (first, second, evil) = (
        Origin::answering("first").await,
        Origin::answering("second").await,
        Origin::answering("evil").await,
    );
    let (good, text) = registry(document(&[first.address()])).await;
    let (bad, _) = registry(document(&[evil.address()])).await;
    let issued = authority.simple(&["localhost"]);
    let any = "127.0.0.1:0".parse().expect("an address");
    let front = Front::start_at(any, Rules::of(&issued), good.address()).await;
    let place = front.address();
    let setup = Setup::new();
    let bundle = setup.folder().join("system.pem");
    fs::write(&bundle, authority.pem()).expect("write");
    let setup = setup.env("SSL_CERT_FILE", bundle.to_str().expect("UTF-8"));
    let port = place.port();
    let words = format!(
        "kind = \"http\"\nurl = \"https://localhost:{port}/orders.json\"\ninterval = \"1s\"\n\
         authorization = \"Bearer secret\"\nallow = [\"127.0.0.0/8\"]"
    );
    let mut node = setup.start(&config(&[("app", &words)])).await;
    answers(&node, "/app", "first").await;
    assert_eq!(good.last().header("authorization"), Some("Bearer secret"));
    drop(front);
    // The right name of a wrong authority, and the right authority for a wrong name.
    for (issued, why) in [
        (stranger.simple(&["localhost"]), "issuer"),
        (authority.simple(&["other.test"]), "other.test"),
    ] {
        let front = instead(place, &issued, &bad).await;
        eventually(why, || async {
            error(&node, "app").await.contains(why).then_some(())
        })
        .await;
        for _ in 0..3 {
            assert_eq!(node.get("/app").await.text(), "first");
        }
        assert!(
            front.accepted() > 0 && front.bytes() == 0,
            "no secret is told"
        );
    }
    assert!(bad.seen().is_empty() && evil.seen().is_empty());
    // A node that begins now begins with what was kept.
    let front = instead(place, &stranger.simple(&["localhost"]), &bad).await;
    node.stop().await;
    node.spawn();
    node.ready().await;
    answers(&node, "/app", "first").await;
    drop(front);
    *text.lock() = document(&[second.address()]);
    let _front = instead(place, &issued, &good).await;
    answers(&node, "/app", "second").await;
    assert!(evil.seen().is_empty());
}

#[tokio::test]
async fn one_that_hangs_or_says_half_costs_itself_only() {
    let first = Origin::answering("first").await;
    let (well, text) = registry(document(&[first.address()])).await;
    // Takes the question and says nothing more.
    let hanging = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let whole = document(&[first.address()]);
    let half = Origin::start(move |mut peer: Peer| {
        let whole = whole.clone();
        async move {
            peer.request().await;
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{whole}",
                whole.len() + 1
            ))
            .await;
        }
    })
    .await;
    let words = |origin: &Origin| {
        format!(
            "kind = \"http\"\nurl = \"http://{}/x.json\"\ninterval = \"1s\"\ntimeout = \"200ms\"",
            origin.address()
        )
    };
    let sources = [
        ("app", words(&well)),
        ("hangs", words(&hanging)),
        ("half", words(&half)),
    ];
    let sources: Vec<_> = sources
        .iter()
        .map(|(name, words)| (*name, &**words))
        .collect();
    let node = Setup::new().start(&config(&sources)).await;
    for (name, why) in [("hangs", "200ms"), ("half", "half an answer")] {
        fails(&node, name).await;
        let error = error(&node, name).await;
        assert!(error.contains(why), "{name}: {error}");
        let response = node.get(&format!("/{name}")).await;
        assert_eq!(response.status, 503, "{name}");
        assert_eq!(response.json()["detail"], "upstream_no_endpoint");
        assert_eq!(node.get("/app").await.text(), "first");
    }
    // One that answered before it says nonsense or nothing of use.
    for nonsense in [
        "{\"endpoints\": [{\"address\": \"127.0.0.1:1\", \"weight\": 0}]}",
        "<html>",
    ] {
        *text.lock() = nonsense.to_owned();
        fails(&node, "app").await;
        assert_eq!(node.get("/app").await.text(), "first", "{nonsense}");
    }
}

#[tokio::test]
async fn five_hundred_endpoints_at_once_are_one_change() {
    let any = "0.0.0.0:0".parse().expect("an address");
    let origin = Origin::start_at(any, |mut peer: Peer| async move {
        while peer.request().await.is_some() {
            peer.answer(200, "", "ok").await;
        }
    })
    .await;
    let port = origin.address().port();
    let all = |count: u16| -> Vec<SocketAddr> {
        let address = |n: u16| {
            let [high, low] = n.to_be_bytes();
            SocketAddr::from(([127, 1, high, low], port))
        };
        (1..=count).map(address).collect()
    };
    let setup = Setup::new();
    let file = setup.folder().join("many.json");
    fs::write(&file, document(&all(1))).expect("a file");
    let config = config(&[("app", "kind = \"file\"\npath = \"many.json\"")]);
    let node = setup.start(&config).await;
    answers(&node, "/app", "ok").await;
    let whole = setup_file(&file, &document(&all(500)));
    fs::rename(whole, &file).expect("renamed");
    let app = [("upstream", "app")];
    node.metric_is("farmgate_upstream_endpoints", &app, 500.0)
        .await;
    let added = [("upstream", "app"), ("change", "added")];
    node.metric_is("farmgate_discovery_changes_total", &added, 500.0)
        .await;
    let told = super::upstream(&node).await;
    assert_eq!(
        told["discovery"]["updates"], 2,
        "the first, and one for all"
    );
    // All of them get requests: 600 in turn leave none out.
    let mut client = node.client().await;
    for _ in 0..600 {
        assert_eq!(client.get("/app").await.status, 200);
    }
    let told = super::upstream(&node).await;
    let endpoints = told["endpoints"].as_array().expect("endpoints");
    assert_eq!(endpoints.len(), 500);
    assert!(origin.connections() >= 500, "{}", origin.connections());
}

/// Writes beside the file, so that it can be renamed over it.
fn setup_file(file: &std::path::Path, text: &str) -> std::path::PathBuf {
    let beside = file.with_extension("next");
    fs::write(&beside, text).expect("a file");
    beside
}

#[tokio::test]
async fn etcd_is_watched_and_may_die() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let (first, second) = (
        Origin::answering("first").await,
        Origin::answering("second").await,
    );
    etcd.put("/orders/a", &first.address().to_string()).await;
    let words = format!(
        "kind = \"etcd\"\nmembers = [\"http://{}\"]\nprefix = \"/orders/\"\ntimeout = \"1s\"",
        etcd.address()
    );
    let mut node = Setup::new().start(&config(&[("app", &words)])).await;
    answers(&node, "/app", "first").await;
    // A change of keys is heard, not asked for.
    let entry = format!("{{\"address\": \"{}\", \"weight\": 3}}", second.address());
    etcd.put("/orders/b", &entry).await;
    etcd.delete("/orders/a").await;
    answers(&node, "/app", "second").await;
    etcd.kill();
    fails(&node, "app").await;
    for _ in 0..3 {
        assert_eq!(node.get("/app").await.text(), "second");
    }
    // A node that starts meanwhile has what was kept.
    node.stop().await;
    node.spawn();
    node.ready().await;
    answers(&node, "/app", "second").await;
    assert_eq!(super::upstream(&node).await["discovery"]["from"], "kept");
    etcd.start_again().await;
    etcd.put("/orders/b", &first.address().to_string()).await;
    answers(&node, "/app", "first").await;
    assert_eq!(super::upstream(&node).await["discovery"]["from"], "source");
}
