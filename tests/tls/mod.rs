//! TLS with clients, by real handshakes.

mod clients;
mod ends;
mod files;
mod names;
mod peers;
mod policy;
mod protocols;
mod standing;
mod staples;
mod tickets;

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::harness::authority::Authority;
use crate::harness::{Node, Setup, soon};

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

/// A request by `openssl s_client` with these arguments; what it says.
pub(crate) async fn s_client(node: &Node, arguments: &[&str]) -> String {
    let request = "GET / HTTP/1.1\r\nHost: www.example.test\r\nConnection: close\r\n\r\n";
    s_client_says(node, arguments, request).await
}

/// The same with another request.
pub(crate) async fn s_client_says(node: &Node, arguments: &[&str], request: &str) -> String {
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_client", "-connect", &node.at("web").to_string()]);
    command
        .args(["-servername", "www.example.test", "-ign_eof"])
        .args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().expect("openssl");
    // The answer comes behind the server's tickets.
    let mut stdin = child.stdin.take().expect("stdin");
    // It may have ended already.
    let _ = stdin.write_all(request.as_bytes()).await;
    let output = soon("openssl", child.wait_with_output())
        .await
        .expect("openssl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
