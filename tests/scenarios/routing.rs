//! Routes by everything a route can match on.

use crate::harness::{Client, Node, Origin};

const ROUTES: &str = r#"
[[listener]]
name = "web"
address = "@web"
trusted_proxies = ["127.0.0.0/8"]

[[listener]]
name = "second"
address = "@second"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "exact-host"
hosts = ["api.example.test"]
upstream = "app"

[[route]]
name = "wild-host"
hosts = ["*.example.test"]
upstream = "app"

[[route]]
name = "prefix"
paths = ["/v1/*"]
upstream = "app"

[[route]]
name = "pattern"
paths = ["/v1/users/{id}/orders"]
upstream = "app"

[[route]]
name = "literal"
paths = ["/v1/users/me/orders"]
upstream = "app"

[[route]]
name = "method"
paths = ["/m"]
methods = ["PUT", "DELETE"]
upstream = "app"

[[route]]
name = "header"
paths = ["/m"]
headers = { "x-tenant" = "a" }
upstream = "app"

[[route]]
name = "header-regex"
paths = ["/m"]
headers = { "x-version" = { regex = "v[0-9]+" } }
upstream = "app"

[[route]]
name = "query"
paths = ["/q"]
query = { "debug" = { present = true } }
upstream = "app"

[[route]]
name = "cookie"
paths = ["/q"]
cookies = { "side" = "blue" }
upstream = "app"

[[route]]
name = "source"
paths = ["/s"]
sources = ["10.0.0.0/8"]
upstream = "app"

[[route]]
name = "listener"
paths = ["/s"]
listeners = ["second"]
upstream = "app"

[[route]]
name = "any"
paths = ["/m", "/q", "/s"]
upstream = "app"
"#;

/// Asks, and gives the route that the log names ("" for none).
async fn route(
    node: &Node,
    client: &mut Client,
    target: &str,
    fields: &str,
    status: u16,
) -> String {
    let response = client
        .ask(&format!("{target} HTTP/1.1\r\n{fields}\r\n"))
        .await;
    assert_eq!(response.status, status, "{target} {fields}");
    let path = target.split(' ').nth(1).expect("a target");
    let line = node.log.of(path).await;
    line["route"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_condition_chooses_its_route() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), ROUTES).await;
    let client = &mut node.client().await;
    // Each target is used once, since it finds the log line: an ignored query tells them apart.
    let cases = [
        ("GET /?1", "Host: api.example.test\r\n", "exact-host"),
        ("GET /?2", "Host: API.Example.TEST:8080\r\n", "exact-host"),
        ("GET /?3", "Host: www.example.test\r\n", "wild-host"),
        ("GET /?4", "Host: a.b.example.test\r\n", "wild-host"),
        ("GET /v1/x?5", "Host: a.test\r\n", "prefix"),
        ("GET /v1?6", "Host: a.test\r\n", "prefix"),
        ("GET /v1/users/7/orders?7", "Host: a.test\r\n", "pattern"),
        ("GET /v1/users/me/orders?8", "Host: a.test\r\n", "literal"),
        ("GET /v1/users/7?9", "Host: a.test\r\n", "prefix"),
        ("DELETE /m?10", "Host: a.test\r\n", "method"),
        ("GET /m?11", "Host: a.test\r\nX-Tenant: a\r\n", "header"),
        ("GET /m?12", "Host: a.test\r\nX-Tenant: ab\r\n", "any"),
        (
            "GET /m?13",
            "Host: a.test\r\nX-Version: v12\r\n",
            "header-regex",
        ),
        ("GET /m?14", "Host: a.test\r\nX-Version: v12x\r\n", "any"),
        ("GET /q?debug", "Host: a.test\r\n", "query"),
        ("GET /q?debug=&15", "Host: a.test\r\n", "query"),
        ("GET /q?nodebug=1&16", "Host: a.test\r\n", "any"),
        (
            "GET /q?17",
            "Host: a.test\r\nCookie: x=1; side=blue\r\n",
            "cookie",
        ),
        ("GET /q?18", "Host: a.test\r\nCookie: side=red\r\n", "any"),
        (
            "GET /s?19",
            "Host: a.test\r\nX-Forwarded-For: 10.1.2.3\r\n",
            "source",
        ),
        (
            "GET /s?20",
            "Host: a.test\r\nX-Forwarded-For: 11.1.2.3\r\n",
            "any",
        ),
    ];
    for (target, fields, expected) in cases {
        assert_eq!(
            route(&node, client, target, fields, 200).await,
            expected,
            "{target} {fields}"
        );
    }
    let second = &mut Client::connect(node.at("second")).await;
    assert_eq!(
        route(&node, second, "GET /s?21", "Host: a.test\r\n", 200).await,
        "listener"
    );
    assert_eq!(
        route(&node, client, "GET /none", "Host: a.test\r\n", 404).await,
        ""
    );
    for (name, least) in [("any", 4.0), ("prefix", 3.0), ("exact-host", 2.0)] {
        let labels = [
            ("route", name),
            ("code", "2xx"),
            ("upstream", "app"),
            ("listener", "web"),
        ];
        let counted = node.metric("farmgate_requests_total", &labels).await;
        assert!(counted >= least, "{name}: {counted}");
    }
}

#[tokio::test]
async fn no_route_is_a_404_that_explains_itself() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), ROUTES).await;
    let response = node.get("/nowhere").await;
    assert_eq!(response.status, 404);
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        response.header("proxy-status"),
        Some("farmgate; error=destination_not_found")
    );
    let problem = response.json();
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["detail"], "no_route");
    let line = node.log.of("/nowhere").await;
    assert_eq!(line["reason"], "no_route");
    assert_eq!(line["status"], 404);
    assert_eq!(line["request_id"], problem["request_id"]);
    assert_eq!(line["attempt"], 0);
    let labels = [("route", "none"), ("reason", "no_route")];
    node.metric_is("farmgate_request_errors_total", &labels, 1.0)
        .await;
    assert!(origin.seen().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn one_normalised_form_for_router_and_origin() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), ROUTES).await;
    let cases = [
        ("/v1/./a/../b", "/v1/b", "prefix"),
        ("/../../v1", "/v1", "prefix"),
        ("//v1//x", "/v1/x", "prefix"),
        ("/%76%31/x", "/v1/x", "prefix"),
        ("/v1/a%2Fb", "/v1/a%2Fb", "prefix"),
        ("/v1/%7euser", "/v1/~user", "prefix"),
        ("http://a.test/v1/abs", "/v1/abs", "prefix"),
    ];
    for (sent, expected, route) in cases {
        assert_eq!(node.get(sent).await.status, 200, "{sent}");
        assert_eq!(origin.last().target(), expected, "{sent}");
        let line = node.log.of(sent).await;
        assert_eq!(
            line["route"], route,
            "the log keeps the target as received: {sent}"
        );
    }
    // Bytes from 0x80 on pass, percent-escaped towards the origin.
    let mut client = node.client().await;
    client
        .send(b"GET /v1/\xc3\xa4 HTTP/1.1\r\nHost: a.test\r\nx_y.z: 1\r\n\r\n")
        .await;
    assert_eq!(client.response().await.expect("a response").status, 200);
    assert_eq!(origin.last().target(), "/v1/%C3%A4");
    assert_eq!(origin.last().header("x_y.z"), Some("1"));
}
