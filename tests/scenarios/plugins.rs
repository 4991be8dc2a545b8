//! The plugin kinds of this build, through the whole proxy.

use crate::harness::{Node, Origin, Setup};

const PLUGINS: &str = r#"
[defaults]
plugins = ["tag"]

[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "tag"
kind = "headers"
request = { set = { "x-farm" = "1" }, remove = ["x-internal-token"] }
response = { set = { "x-served-by" = "farmgate" }, remove = ["server"] }

[[route]]
name = "old"
paths = ["/old/*"]
plugins = [{ kind = "redirect", to = "https://www.example.test/new/{rest}", status = 308 }]

[[route]]
name = "hello"
paths = ["/hello"]
plugins = [{ kind = "respond", status = 418, body = "short and stout\n", headers = { "x-pot" = "tea" } }]

[[route]]
name = "strip"
paths = ["/api/*"]
plugins = [{ kind = "rewrite", strip_prefix = "/api" }]
upstream = "app"

[[route]]
name = "plain"
paths = ["/plain"]
defaults = false
upstream = "app"

[[route]]
name = "office"
paths = ["/office"]
plugins = [{ kind = "access_control", allow = ["10.0.0.0/8"], status = 403 }]
upstream = "app"

[[route]]
name = "any"
upstream = "app"
"#;

async fn node() -> (Node, Origin) {
    let origin = Origin::raw(
        b"HTTP/1.1 200 OK\r\nServer: secret/1.2\r\nContent-Length: 2\r\nX-Origin: yes\r\n\r\nok",
    )
    .await;
    let node = Node::serving(origin.address(), PLUGINS).await;
    (node, origin)
}

#[tokio::test]
async fn headers_change_both_ways() {
    let (node, origin) = node().await;
    let mut client = node.client().await;
    let sent = "X-Internal-Token: t\r\nX-Farm: spoofed\r\n";
    let response = client.get_with("/x", sent).await;
    assert_eq!(response.all("x-served-by"), ["farmgate"]);
    assert_eq!(response.header("server"), None);
    assert_eq!(response.header("x-origin"), Some("yes"));
    let seen = origin.last();
    assert_eq!(seen.header("x-farm"), Some("1"));
    assert_eq!(seen.header("x-internal-token"), None);
    // `defaults = false` leaves them out.
    let response = client.get_with("/plain", sent).await;
    assert_eq!(response.header("x-served-by"), None);
    assert_eq!(origin.last().header("x-farm"), Some("spoofed"));
    // Replies of plugins and our own errors pass the response phase too.
    let response = client.get("/hello").await;
    assert_eq!(response.header("x-served-by"), Some("farmgate"));
}

#[tokio::test]
async fn redirect_keeps_the_query_and_says_so_in_the_log() {
    let (node, origin) = node().await;
    let response = node.get("/old/a/b?x=1&y=%20").await;
    assert_eq!(response.status, 308);
    let to = "https://www.example.test/new/a/b?x=1&y=%20";
    assert_eq!(response.header("location"), Some(to));
    let line = node.log.of("/old/a/b?x=1&y=%20").await;
    assert_eq!(line["reason"], "plugin_reply");
    assert_eq!(line["route"], "old");
    assert_eq!(line["upstream"], serde_json::Value::Null);
    assert!(origin.seen().is_empty());
    let labels = [("route", "old"), ("code", "3xx"), ("upstream", "none")];
    node.metric_is("farmgate_requests_total", &labels, 1.0)
        .await;
}

#[tokio::test]
async fn respond_answers_without_an_origin() {
    let (node, origin) = node().await;
    let mut client = node.client().await;
    let response = client.get("/hello").await;
    assert_eq!(
        (response.status, response.text()),
        (418, "short and stout\n".to_owned())
    );
    assert_eq!(response.header("x-pot"), Some("tea"));
    // A reply to HEAD has the length and no body, and the connection goes on.
    let head = client
        .ask("HEAD /hello HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (418, Some("16"))
    );
    // A small body that nobody reads does not end the connection either.
    assert_eq!(client.post("/hello", "ignored").await.status, 418);
    assert_eq!(client.get("/hello").await.status, 418);
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn rewrite_changes_what_the_origin_sees_only() {
    let (node, origin) = node().await;
    assert_eq!(node.get("/api/items?q=1").await.status, 200);
    assert_eq!(origin.last().target(), "/items?q=1");
    assert_eq!(node.get("/api").await.status, 200);
    assert_eq!(origin.last().target(), "/");
    let line = node.log.of("/api/items?q=1").await;
    assert_eq!(line["route"], "strip");
}

#[tokio::test]
async fn access_control_denies_who_is_not_allowed() {
    let (node, origin) = node().await;
    let response = node.get("/office").await;
    assert_eq!(response.status, 403);
    assert_eq!(response.header("x-served-by"), Some("farmgate"));
    assert_eq!(node.log.of("/office").await["reason"], "plugin_reply");
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_denied_connection_gets_nothing() {
    let origin = Origin::answering("ok").await;
    let config = r#"
[[listener]]
name = "web"
address = "@web"
plugins = ["bad"]
[[plugin]]
name = "bad"
kind = "access_control"
on = "connection"
deny = ["127.0.0.9/32"]
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[route]]
name = "any"
upstream = "app"
"#;
    let node = Node::serving(origin.address(), config).await;
    assert_eq!(node.get("/").await.status, 200);
    let mut client = crate::harness::Client::connect_from(node.at("web"), "127.0.0.9").await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(client.response().await.is_none());
    assert_eq!(origin.seen().len(), 1);
}

const LIMITED: &str = r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[plugin]]
name = "edge-limit"
kind = "rate_limit"
limits = [
  { key = "header:x-user", rate = 100, per = "1m", burst = 20 },
  { key = "client_ip", rate = 1000, per = "1m" },
]
[[route]]
name = "api"
plugins = ["edge-limit"]
upstream = "app"
"#;

#[tokio::test]
async fn rate_limit_lets_a_burst_of_20_pass_and_says_when_to_come_back() {
    let origin = Origin::answering("ok").await;
    let node = Setup::new()
        .with("origin", origin.address())
        .start(LIMITED)
        .await;
    let mut client = node.client().await;
    for n in 0..20 {
        let response = client.get_with(&format!("/{n}"), "X-User: u\r\n").await;
        assert_eq!(response.status, 200, "request {n}");
        let state = response.all("ratelimit").join(", ");
        assert!(state.contains(&format!("r={}", 19 - n)), "{n}: {state}");
        assert!(response.header("ratelimit-policy").is_some());
    }
    let response = client.get_with("/over", "X-User: u\r\n").await;
    assert_eq!(response.status, 429);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json")
    );
    let state = response.all("ratelimit").join(", ");
    assert!(state.contains("r=0"), "{state}");
    let problem = response.json();
    let line = node.log.of("/over").await;
    assert_eq!(problem["request_id"], line["request_id"]);
    assert_eq!(line["reason"], "plugin_reply");
    // Another user, and requests without the header, are not held back by it.
    assert_eq!(client.get_with("/other", "X-User: v\r\n").await.status, 200);
    assert_eq!(client.get("/none").await.status, 200);
    assert_eq!(origin.seen().len(), 22);
    let labels = [("plugin", "edge-limit")];
    node.metric_is("farmgate_plugin_replies_total", &labels, 1.0)
        .await;
}
