//! TLS with clients, by real handshakes.

mod files;
mod names;
mod peers;
mod policy;
mod protocols;
mod tickets;

use crate::harness::authority::Authority;
use crate::harness::{Node, Setup};

/// A listener `web` with the `[[tls]]` called `edge`, whose certificates stand in the folder, and a route that answers.
pub(crate) fn config(words: &str) -> String {
    format!(
        r#"
[[listener]]
name = "web"
address = "@web"
tls = "edge"

[[route]]
name = "all"
plugins = [{{ kind = "respond", status = 200, body = "hello" }}]

[[tls]]
name = "edge"
{words}
"#
    )
}

/// One certificate, `www`, for `www.example.test`.
pub(crate) const WWW: &str = r#"certificates = [{ cert = "www.pem", key = "www.key" }]"#;

/// An authority, and a node that serves a certificate of it for `www.example.test`. `words` stand in its `[[tls]]`.
pub(crate) async fn serving(words: &str) -> (Authority, Node) {
    let authority = Authority::new("root");
    let setup = Setup::new();
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "www");
    let node = setup.start(&config(&format!("{WWW}\n{words}"))).await;
    (authority, node)
}

/// Waits until so many handshakes failed for this reason.
pub(crate) async fn failed(node: &Node, reason: &str, times: f64) {
    let name = "farmgate_tls_handshake_failures_total";
    node.metric_is(name, &[("reason", reason)], times).await;
}
