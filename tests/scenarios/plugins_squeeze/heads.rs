//! CORS and careful headers on what origins, plugins and we ourselves answer.

use crate::harness::{Node, Origin};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
plugins = [{ kind = "security_headers", csp = "default-src 'self'" }]
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[plugin]]
name = "cors"
kind = "cors"
origins = ["https://app.example.test", "https://*.example.test"]
methods = ["GET", "POST"]
headers = ["content-type", "authorization"]
credentials = true
max_age = "1h"
[[route]]
name = "open"
paths = ["/open"]
plugins = ["cors"]
upstream = "app"
[[route]]
name = "closed"
paths = ["/closed"]
plugins = ["cors", { kind = "access_control", deny = ["127.0.0.0/8"] }]
upstream = "app"
"#;

async fn node() -> (Node, Origin) {
    let origin = Origin::raw(
        b"HTTP/1.1 200 OK\r\nServer: secret/1.2\r\nX-Powered-By: PHP/4\r\nReferrer-Policy: origin\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let node = Node::serving(origin.address(), CONFIG).await;
    (node, origin)
}

#[tokio::test]
async fn preflights_pass_what_refuses() {
    let (node, origin) = node().await;
    let mut client = node.client().await;
    let preflight = "OPTIONS /closed HTTP/1.1\r\nHost: a.test\r\nOrigin: https://app.example.test\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n";
    let response = client.ask(preflight).await;
    assert_eq!(response.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example.test"),
        ("access-control-allow-methods", "GET, POST"),
        (
            "access-control-allow-headers",
            "content-type, authorization",
        ),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "3600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(response.all(name), [value], "{name}");
    }
    assert_eq!(response.header("content-length"), None);
    // The request itself is refused, and the script may read that.
    let fields = "Origin: https://app.example.test\r\n";
    let refused = client.get_with("/closed", fields).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.all("access-control-allow-origin"),
        ["https://app.example.test"]
    );
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn answers_are_for_those_who_may_read_them() {
    let (node, _origin) = node().await;
    let mut client = node.client().await;
    let allowed = client
        .get_with("/open", "Origin: https://a.b.example.test\r\n")
        .await;
    assert_eq!(
        allowed.all("access-control-allow-origin"),
        ["https://a.b.example.test"]
    );
    let other = client
        .get_with("/open", "Origin: https://evil.test\r\n")
        .await;
    assert_eq!((other.status, other.text()), (200, "ok".to_owned()));
    assert!(other.all("access-control-allow-origin").is_empty());
    assert_eq!(other.all("vary"), ["Origin"]);
}

#[tokio::test]
async fn browsers_are_told_to_be_careful() {
    let (node, _origin) = node().await;
    let mut client = node.client().await;
    let response = client.get("/open").await;
    for (name, value) in [
        ("content-security-policy", "default-src 'self'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        // The origin's own word stays.
        ("referrer-policy", "origin"),
    ] {
        assert_eq!(response.all(name), [value], "{name}");
    }
    for gone in ["server", "x-powered-by", "strict-transport-security"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    // A 404 for want of a route too.
    let none = client.get("/nowhere").await;
    assert_eq!(
        (none.status, none.header("x-content-type-options")),
        (404, Some("nosniff"))
    );
}
