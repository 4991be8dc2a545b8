//! The cache over upgrades: what is stored is found by the new process, and one process writes the folders at a time.

mod hits;
mod memory;
mod purges;
mod taken_back;

use std::fmt::Write as _;

use crate::harness::{Client, Node, Origin, Setup};

/// A cache in memory and in a folder.
const CACHE: &str = r#"
[cache]
memory = "64MiB"
disk = [{ path = "run/cache", size = "512MiB" }]

[[cache_policy]]
name = "all"
tags = ["cache-tag"]

[[listener]]
name = "web"
address = "@web"

[[route]]
name = "any"
upstream = "app"
cache = "all"
purge = { from = ["127.0.0.0/8"], scopes = ["url", "tag"] }

[[upstream]]
name = "app"
endpoints = ["@origin"]
"#;

/// What stands for a request's target, of this many bytes and not all the same.
fn body_of(target: &str, bytes: usize) -> String {
    let mut body = String::with_capacity(bytes + 64);
    let mut line = 0_u32;
    while body.len() < bytes {
        let _ = writeln!(body, "{target} {line}");
        line += 1;
    }
    body.truncate(bytes);
    body
}

/// An origin whose answers may be kept for an hour. `/BYTES/NAME` has so many bytes; after a POST its answers are others.
async fn origin() -> Origin {
    Origin::start(|mut peer| async move {
        while let Some(seen) = peer.request().await {
            let target = seen.target().to_owned();
            let mut parts = target.split('/').skip(1);
            let bytes = parts.next().and_then(|bytes| bytes.parse().ok());
            let body = body_of(&target, bytes.unwrap_or(100));
            let fields = "Cache-Control: max-age=3600\r\nCache-Tag: every\r\n";
            peer.answer(200, fields, &body).await;
        }
    })
    .await
}

async fn node(origin: &Origin) -> Node {
    // Old processes live as long as they have something under way, which the tests decide.
    node_with(origin, r#"idle_grace = "50ms", deadline = "60s""#).await
}

async fn node_with(origin: &Origin, drain: &'static str) -> Node {
    let setup = Setup::new().with("origin", origin.address());
    setup.drain(drain).start(CACHE).await
}

/// Old processes live as long as one of their clients is idle, and each of these is served once more.
const PATIENT: &str = r#"idle_grace = "60s", deadline = "60s""#;

/// Asks on a connection that is kept until the other side does not want it any more.
async fn ask(node: &Node, client: &mut Client, target: &str) {
    let response = client.get(target).await;
    let bytes = target
        .split('/')
        .nth(1)
        .and_then(|bytes| bytes.parse().ok());
    let whole = body_of(target, bytes.unwrap_or(100));
    assert_eq!(response.status, 200, "{target}");
    assert!(response.text() == whole, "{target} is another one");
    if response.header("connection") == Some("close") {
        *client = node.client().await;
    }
}

/// Asks for each of these so many times.
async fn fill(node: &Node, targets: &[String], times: usize) {
    let mut client = node.client().await;
    for _ in 0..times {
        for target in targets {
            ask(node, &mut client, target).await;
        }
    }
}

/// Requests that came to the origin, but for those of health checks.
fn fetched(origin: &Origin) -> usize {
    origin.seen().len()
}
