//! forward_auth, mirror and fault through the whole proxy, against services that are dead, slow or lie.

use std::net::SocketAddr;

use crate::harness::{Node, Origin, Setup};

mod auth;
mod fault;
mod mirror;

/// A listener, an app at `@origin`, and one route with this plugin and further tables.
fn config(plugin: &str, more: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
limits = {{ body_bytes = "200MiB" }}

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "it"
{plugin}

[[route]]
name = "any"
plugins = ["it"]
upstream = "app"
{more}
"#
    )
}

/// A node with this plugin, and its app.
async fn node(plugin: &str, other: SocketAddr, more: &str) -> (Node, Origin) {
    let app = Origin::answering("app").await;
    let setup = Setup::new()
        .with("origin", app.address())
        .with("other", other);
    let node = setup.start(&config(plugin, more)).await;
    (node, app)
}
