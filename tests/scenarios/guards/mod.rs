//! What protects upstreams: statuses that are tried again, breaker, fallbacks, limits, ejection, checks, discovery.

mod again;
mod breaker;
mod discovery;
mod fallback;
mod health;
mod limits;
mod names;
mod outlier;
mod overload;
mod registries;
mod statuses;

use std::net::SocketAddr;

use crate::harness::{Node, Origin, Peer, Setup};

/// An upstream `app` of these endpoints with these words, and a route that takes everything.
async fn node(endpoints: &[SocketAddr], words: &str) -> Node {
    Setup::new().start(&config(endpoints, words)).await
}

fn config(endpoints: &[SocketAddr], words: &str) -> String {
    let list: Vec<String> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    let list = list.join(", ");
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
[[route]]
name = "any"
upstream = "app"
[[upstream]]
name = "app"
endpoints = [{list}]
{words}
"#
    )
}

/// Answers every request with this status and body.
async fn status(status: u16, fields: &'static str, body: &'static str) -> Origin {
    Origin::start(move |mut peer: Peer| async move {
        while peer.request().await.is_some() {
            peer.answer(status, fields, body).await;
        }
    })
    .await
}

/// Of the only upstream, as `farmgate status` tells.
async fn upstream(node: &Node) -> serde_json::Value {
    let told = node.run(&["status", "--json"]).await.expect(0).json();
    told["upstreams"][0].clone()
}
