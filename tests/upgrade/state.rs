//! What the new process goes on with, and what the old one frees.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::harness::client::Response;
use crate::harness::node::joined;
use crate::harness::{Client, Node, Origin, Setup, eventually};
use crate::tls;

/// Clients find their connections open for as long as a busy machine may take to send the next request.
const PATIENT: &str = r#"idle_grace = "5s", deadline = "8s""#;

const PROXIED: &str = r#"
[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "all"
upstream = "app"
"#;

/// Sends requests until it is stopped; how many were answered. A connection is used until the node says that it closes.
async fn load(address: SocketAddr, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let mut client = Client::connect(address).await;
    while !stop.load(Ordering::SeqCst) {
        let response = client.get("/").await;
        assert_eq!(response.status, 200);
        done.fetch_add(1, Ordering::SeqCst);
        if response.header("connection") == Some("close") {
            client = Client::connect(address).await;
        }
    }
}

/// Every count that a scrape shows, by its series. Those of the process itself (`process_`) begin anew.
fn counts(response: &Response) -> BTreeMap<String, f64> {
    let text = response.text();
    let pairs = text.lines().filter_map(|line| line.rsplit_once(' '));
    let counted = pairs.filter(|(series, _)| {
        let name = series.split('{').next().unwrap_or_default();
        let ends = ["_total", "_bucket", "_sum", "_count"];
        name.starts_with("farmgate_") && ends.iter().any(|end| name.ends_with(end))
    });
    counted
        .map(|(series, value)| (series.to_owned(), value.parse().expect("a number")))
        .collect()
}

/// Scrapes without a pause, over one connection for as long as it is kept, and asserts that no count ever falls.
async fn scrape(address: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let (mut client, mut scrapes) = (Client::connect(address).await, 0);
    let mut before = BTreeMap::new();
    while !stop.load(Ordering::SeqCst) {
        client
            .send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        let Some(response) = client.response().await else {
            // Another process answers from now on.
            client = Client::connect(address).await;
            continue;
        };
        let now = counts(&response);
        for (series, value) in &before {
            let found = now.get(series).copied();
            assert!(
                found.is_some_and(|found| found >= *value),
                "{series} was {value}, is {found:?}"
            );
        }
        before = now;
        scrapes += 1;
    }
    scrapes
}

#[tokio::test]
async fn counters_never_fall_over_three_upgrades_and_count_every_request() {
    let origin = Origin::answering("ok").await;
    let mut node = Setup::new()
        .drain(PATIENT)
        .with("origin", origin.address())
        .start(PROXIED)
        .await;
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let (web, admin) = (node.at("web"), node.at("admin"));
    let clients: Vec<_> = (0..3)
        .map(|_| tokio::spawn(load(web, Arc::clone(&stop), Arc::clone(&done))))
        .collect();
    let scraper = tokio::spawn(scrape(admin, Arc::clone(&stop)));
    for _ in 0..3 {
        let begun = done.load(Ordering::SeqCst);
        eventually("requests", || async {
            (done.load(Ordering::SeqCst) > begun + 50).then_some(())
        })
        .await;
        node.upgrade().await;
    }
    let begun = done.load(Ordering::SeqCst);
    eventually("requests after the last upgrade", || async {
        (done.load(Ordering::SeqCst) > begun + 50).then_some(())
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        joined(client).await;
    }
    assert!(joined(scraper).await > 10);
    node.metric_is("farmgate_draining_processes", &[], 0.0)
        .await;
    let sent = done.load(Ordering::SeqCst) as f64;
    assert_eq!(origin.seen().len() as f64, sent);
    for (name, labels) in [
        (
            "farmgate_requests_total",
            &[("route", "all"), ("code", "2xx")][..],
        ),
        (
            "farmgate_request_duration_seconds_count",
            &[("route", "all")],
        ),
    ] {
        node.metric_is(name, labels, sent).await;
    }
    // An attempt more for each connection that closed as it was taken out of the pool.
    let attempts = node.metric("farmgate_upstream_requests_total", &[]).await;
    assert!(
        attempts >= sent && attempts < sent + 10.0,
        "{attempts} for {sent}"
    );
    node.metric_is("farmgate_upgrades_total", &[("result", "ok")], 3.0)
        .await;
    node.stop().await;
}

const LIMITED: &str = r#"
[[listener]]
name = "web"
address = "@web"

[[plugin]]
name = "limit"
kind = "rate_limit"
limits = [{ key = "header:x-user", rate = 3, per = "1h", burst = 3 }]

[[route]]
name = "all"
plugins = ["limit", { kind = "respond", status = 204 }]
"#;

async fn ask_as(node: &Node, user: &str) -> u16 {
    let mut client = node.client().await;
    client
        .get_with("/", &format!("X-User: {user}\r\n"))
        .await
        .status
}

#[tokio::test]
async fn a_limit_that_is_used_up_stays_so() {
    let mut node = Setup::new().start(LIMITED).await;
    // Under 16 bytes a key is kept as it is; longer ones as a hash, whose secret moves too.
    let long = "a-user-whose-name-is-longer-than-sixteen-bytes";
    for _ in 0..3 {
        assert_eq!(ask_as(&node, "alice").await, 204);
    }
    assert_eq!(ask_as(&node, long).await, 204);
    for left in [1, 0] {
        node.upgrade().await;
        assert_eq!(ask_as(&node, "alice").await, 429, "{}", node.errors());
        assert_eq!(ask_as(&node, long).await, 204, "{left} left");
    }
    assert_eq!(ask_as(&node, long).await, 429);
    assert_eq!(ask_as(&node, "somebody else").await, 204);
    assert!(!node.errors().contains("alice"), "{}", node.errors());
    let told = node.errors();
    assert_eq!(told.matches("not taken over: nothing").count(), 2, "{told}");
    // What no plugin keeps any more is left behind, and said.
    node.write(&LIMITED.replace("header:x-user", "header:x-tenant"));
    node.upgrade().await;
    let told = node.errors();
    assert!(
        told.contains("plugins 1 (no plugin here keeps them)"),
        "{told}"
    );
    assert_eq!(ask_as(&node, "alice").await, 204);
    node.stop().await;
}

const TWO: &str = r#"
[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "app"
endpoints = [
  { address = "@first", weight = 1 },
  { address = "@second", weight = 1 },
]

[[route]]
name = "all"
upstream = "app"
"#;

#[tokio::test]
async fn a_drained_endpoint_stays_drained_while_its_entry_is_the_same() {
    let first = Origin::answering("first").await;
    let second = Origin::answering("second").await;
    let mut node = Setup::new()
        .with("first", first.address())
        .with("second", second.address())
        .start(TWO)
        .await;
    let address = first.address().to_string();
    node.run(&["endpoint", "app", &address, "drain"])
        .await
        .expect(0);
    for _ in 0..2 {
        node.upgrade().await;
        for _ in 0..6 {
            assert_eq!(node.get("/").await.text(), "second");
        }
        let status = node.status().await;
        let endpoints = status["upstreams"][0]["endpoints"].as_array().cloned();
        let states: Vec<_> = endpoints
            .iter()
            .flatten()
            .map(|one| (one["address"].clone(), one["state"].clone()))
            .collect();
        let is_drained = (address.as_str().into(), "drained".into());
        assert!(states.contains(&is_drained), "{states:?}");
    }
    assert!(first.seen().is_empty());
    // What was known of the other one went along.
    let status = node.status().await;
    let endpoints = status["upstreams"][0]["endpoints"].as_array().cloned();
    let requests: u64 = endpoints
        .iter()
        .flatten()
        .filter_map(|one| one["requests"].as_u64())
        .sum();
    assert_eq!(requests, 12);
    // The entry is another one now: the change was made to the old one.
    node.write(&TWO.replace("\"@first\", weight = 1", "\"@first\", weight = 2"));
    node.upgrade().await;
    for _ in 0..6 {
        assert_eq!(node.get("/").await.status, 200);
    }
    assert!(!first.seen().is_empty());
    let told = node.errors();
    assert!(
        told.contains("not taken over: changes 1 (their entries are others here, or gone)"),
        "{told}"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_session_resumes_in_the_new_process_without_shared_secrets() {
    let (_authority, mut node) = tls::serving("").await;
    for version in ["-tls1_2", "-tls1_3"] {
        let session = node.folder().join(version);
        assert!(!resumes(&node, version, &session, true).await);
        for _ in 0..2 {
            node.upgrade().await;
            assert!(resumes(&node, version, &session, false).await, "{version}");
        }
    }
    // A reload there keeps them, too.
    let session = node.folder().join("-tls1_3");
    node.reload(&tls::config(tls::WWW)).await;
    assert!(resumes(&node, "-tls1_3", &session, false).await);
    node.stop().await;
}

/// A handshake by `openssl s_client`: true if it resumed the session of the file.
async fn resumes(node: &Node, version: &str, session: &Path, keep: bool) -> bool {
    let what = if keep { "-sess_out" } else { "-sess_in" };
    let session = session.to_str().expect("a UTF-8 path");
    let out = tls::s_client(node, &[version, what, session]).await;
    assert!(out.contains("hello"), "{out}");
    out.contains("Reused, ")
}

const SWITCHED: &str = r#"
[[listener]]
name = "web"
address = "@web"

[[plugin]]
name = "teapot"
kind = "respond"
status = 418

[[route]]
name = "all"
plugins = ["teapot", { kind = "respond", status = 204 }]
"#;

#[tokio::test]
async fn a_plugin_that_was_switched_off_stays_off() {
    let mut node = Setup::new().start(SWITCHED).await;
    assert_eq!(node.get("/").await.status, 418);
    node.run(&["plugin", "teapot", "off"]).await.expect(0);
    for _ in 0..2 {
        node.upgrade().await;
        assert_eq!(node.get("/").await.status, 204, "{}", node.errors());
        node.metric_is("farmgate_plugin_off", &[("plugin", "teapot")], 1.0)
            .await;
    }
    node.run(&["plugin", "teapot", "on"]).await.expect(0);
    node.upgrade().await;
    assert_eq!(node.get("/").await.status, 418);
    node.stop().await;
}

#[tokio::test]
async fn the_old_process_closes_idle_connections_to_endpoints_and_counts_to_its_end() {
    let (go, gone) = watch::channel(false);
    let closed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&closed);
    let origin = Origin::start(move |mut peer| {
        let (mut gone, closed) = (gone.clone(), Arc::clone(&counter));
        async move {
            while let Some(seen) = peer.request().await {
                if seen.target() == "/held" {
                    // A test that ended has no answer to wait for.
                    let _ = gone.wait_for(|go| *go).await;
                }
                peer.answer(200, "", "ok").await;
            }
            closed.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let mut node = Setup::new()
        .drain(PATIENT)
        .with("origin", origin.address())
        .start(PROXIED)
        .await;
    let mut held = node.client().await;
    held.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    eventually("the held request", || async {
        (!origin.seen().is_empty()).then_some(())
    })
    .await;
    assert_eq!(node.get("/quick").await.status, 200);
    assert_eq!(origin.connections(), 2);
    assert_eq!(closed.load(Ordering::SeqCst), 0);
    node.upgrade().await;
    eventually("the idle connection to close", || async {
        (closed.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    node.metric_is("farmgate_draining_processes", &[], 1.0)
        .await;
    let two_xx = [("route", "all"), ("code", "2xx")];
    node.metric_is("farmgate_requests_total", &two_xx, 1.0)
        .await;
    // The request that began before the upgrade ends in the old process, and is counted by the new one.
    go.send_replace(true);
    let response = held.response().await.expect("an answer");
    assert_eq!(response.text(), "ok");
    node.metric_is("farmgate_requests_total", &two_xx, 2.0)
        .await;
    assert_eq!(node.elder_exit().await, 0, "{}", node.errors());
    node.metric_is("farmgate_requests_total", &two_xx, 2.0)
        .await;
    node.stop().await;
}
