//! Limits, experiments and contracts through the whole proxy.

use std::time::{Duration, Instant};

use crate::harness::{Client, Node, Origin, Setup, eventually};

const BASE: &str = r#"
[[listener]]
name = "web"
address = "@web"
plugins = ["button"]

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "button"
kind = "experiment"
key = "header:x-user"
variants = { old = 1, big = 1 }
salt = "scenario"
cookie = { name = "visitor" }
header = "x-button"
force = { header = "x-force", secret = "a-secret-of-testers" }

[[plugin]]
name = "gate"
kind = "rate_limit"
concurrency = [{ key = "header:x-user", most = 2 }]

[[plugin]]
name = "smooth"
kind = "rate_limit"
limits = [{ key = "global", rate = 20, per = "1s", burst = 1 }]
max_delay = "2s"

[[plugin]]
name = "few"
kind = "rate_limit"
limits = [{ key = "header:x-user", rate = 1, per = "1h" }]

[[plugin]]
name = "orders"
kind = "validate"
openapi = "orders.yaml"

[[route]]
name = "gated"
paths = ["/gated"]
plugins = ["gate"]
upstream = "app"

[[route]]
name = "smooth"
paths = ["/smooth"]
plugins = ["smooth"]
upstream = "app"

[[route]]
name = "few"
paths = ["/few"]
plugins = ["few"]
upstream = "app"

[[route]]
name = "orders"
paths = ["/orders", "/orders/*"]
plugins = ["orders"]
upstream = "app"

[[route]]
name = "big"
paths = ["/page"]
headers = { "x-button" = "big" }
plugins = [{ kind = "respond", body = "big" }]

[[route]]
name = "rest"
upstream = "app"
"#;

const ORDERS: &str = r#"
openapi: 3.1.0
paths:
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [sku, count]
              properties:
                sku: { type: string }
                count: { type: integer, minimum: 1 }
  /orders/{id}:
    get:
      parameters:
        - { name: id, in: path, required: true, schema: { type: integer } }
"#;

async fn node(origin: &Origin) -> Node {
    let setup = Setup::new().with("origin", origin.address());
    std::fs::write(setup.folder().join("orders.yaml"), ORDERS).expect("the document");
    setup.start(BASE).await
}

const ANN: &str = "X-User: ann\r\n";

/// Waits until the origin has seen so many requests.
async fn reached(origin: &Origin, requests: usize) {
    let look = || async { (origin.seen().len() >= requests).then_some(()) };
    eventually("the origin has the request", look).await;
}

async fn denied(node: &Node, plugin: &str) -> f64 {
    let labels = [("plugin", plugin)];
    node.metric("farmgate_plugin_rate_limit_denied_total", &labels)
        .await
}

#[tokio::test]
async fn places_in_flight_come_back_when_clients_leave() {
    let (origin, go) = Origin::held("ok").await;
    let node = node(&origin).await;
    let request = format!("GET /gated HTTP/1.1\r\nHost: a.test\r\n{ANN}\r\n");
    let mut held: Vec<Client> = Vec::new();
    for n in 0..2 {
        let mut client = node.client().await;
        client.send(&request).await;
        held.push(client);
        reached(&origin, n + 1).await;
    }
    let refused = node.client().await.get_with("/gated", ANN).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["detail"], "concurrency_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Somebody else is not held back; that client leaves too.
    let mut other = node.client().await;
    other
        .send("GET /gated HTTP/1.1\r\nHost: a.test\r\nX-User: bob\r\n\r\n")
        .await;
    reached(&origin, 3).await;
    drop(other);
    // The clients go away without an answer, and their places are there again.
    drop(held);
    let begun = Instant::now();
    let mut again = node.client().await;
    loop {
        let before = origin.seen().len();
        again.send(&request).await;
        // Either it reaches the origin, which holds it, or it is refused at once.
        let response = tokio::time::timeout(Duration::from_millis(300), again.response()).await;
        if response.is_err() {
            assert_eq!(origin.seen().len(), before + 1);
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "no place came back"
        );
    }
    go.send(true).expect("the origin waits");
    assert_eq!(again.response().await.expect("an answer").status, 200);
    // All answered: two at once pass again, one after the other as often as one likes.
    for _ in 0..5 {
        assert_eq!(again.get_with("/gated", ANN).await.status, 200);
    }
}

#[tokio::test]
async fn requests_over_the_pace_wait_for_their_turn() {
    let origin = Origin::answering("ok").await;
    let node = node(&origin).await;
    let begun = Instant::now();
    let mut all = Vec::new();
    for _ in 0..10 {
        let mut client = node.client().await;
        all.push(tokio::spawn(
            async move { client.get("/smooth").await.status },
        ));
    }
    for one in all {
        assert_eq!(one.await.expect("it ends"), 200);
    }
    // One at once, nine more at 50 ms each: never quicker, whatever the machine.
    assert!(
        begun.elapsed() >= Duration::from_millis(450),
        "{:?}",
        begun.elapsed()
    );
    let labels = [("plugin", "smooth")];
    assert!(
        node.metric("farmgate_plugin_rate_limit_delayed_total", &labels)
            .await
            >= 8.0
    );
    assert_eq!(denied(&node, "smooth").await, 0.0);
}

#[tokio::test]
async fn status_and_explain_tell_who_is_limited_without_the_key() {
    let origin = Origin::answering("ok").await;
    let node = node(&origin).await;
    let mut client = node.client().await;
    for status in [200, 429, 429, 429] {
        let response = client.get_with("/few", "X-User: key-of-ann\r\n").await;
        assert_eq!(response.status, status);
    }
    let told = node.run(&["status"]).await.expect(0).out;
    let line = told
        .lines()
        .find(|line| line.contains("limited of late: header:x-user #"));
    let line = line.unwrap_or_else(|| panic!("{told}"));
    assert!(line.ends_with(", 3 times"), "{told}");
    let tag = line
        .split(' ')
        .find(|word| word.starts_with('#'))
        .expect("a tag");
    let tag = tag.trim_end_matches(',');
    let lines = node.log.count("/few", 4).await;
    let refused = lines
        .iter()
        .find(|line| line["status"] == 429)
        .expect("a refusal");
    let id = refused["request_id"].as_str().expect("an id");
    let told = node.run(&["explain", id]).await.expect(0).out;
    assert!(
        told.contains(&format!("limited by header:x-user {tag}")),
        "{told}"
    );
    assert!(!told.contains("key-of-ann"), "{told}");
    let by = [("plugin", "few"), ("limit", "header:x-user")];
    node.metric_is("farmgate_plugin_rate_limit_denied_by_total", &by, 3.0)
        .await;
}

#[tokio::test]
async fn variants_stick_and_routes_match_on_them() {
    let origin = Origin::answering("old").await;
    let node = node(&origin).await;
    let mut client = node.client().await;
    let (mut big, mut old) = (0, 0);
    for n in 0..40 {
        let user = format!("X-User: user-{n}\r\nX-Button: big\r\n");
        let page = client.get_with("/page", &user).await.text();
        assert_eq!(client.get_with("/page", &user).await.text(), page);
        if page == "big" {
            big += 1;
        } else {
            old += 1;
            assert_eq!(origin.last().header("x-button"), Some("old"));
        }
    }
    assert!(big > 5 && old > 5, "{big} big, {old} old");
    // Testers choose, with the secret only; it goes no further.
    let (mut chosen, mut refused) = (0, 0);
    for n in 0..40 {
        let user = format!("X-User: user-{n}\r\n");
        let forced = format!("{user}X-Force: old a-secret-of-testers\r\n");
        chosen += usize::from(client.get_with("/page", &forced).await.text() == "old");
        assert_eq!(origin.last().header("x-force"), None);
        let forged = format!("{user}X-Force: old a-secret-of-others\r\n");
        refused += usize::from(client.get_with("/page", &forged).await.text() == "big");
    }
    assert_eq!((chosen, refused), (40, big));
    // Without a key the cookie tells.
    let first = client.get("/page").await;
    let cookie = first.header("set-cookie").expect("a cookie").to_owned();
    let pair = cookie.split(';').next().expect("a pair");
    for _ in 0..3 {
        let again = client
            .get_with("/page", &format!("Cookie: {pair}\r\n"))
            .await;
        assert_eq!(again.text(), first.text());
        assert_eq!(again.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn requests_are_as_the_document_says_or_do_not_arrive() {
    let origin = Origin::answering("ok").await;
    let node = node(&origin).await;
    let mut client = node.client().await;
    let mut post = async |kind: &str, body: &str| {
        let length = body.len();
        client
            .ask(&format!(
                "POST /orders HTTP/1.1\r\nHost: a.test\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await
    };
    let good = r#"{"sku":"a","count":2}"#;
    assert_eq!(post("application/json", good).await.status, 200);
    assert_eq!(origin.last().body, good.as_bytes());
    let refused = post("application/json", r#"{"sku":1,"count":0}"#).await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (400, Some("application/problem+json"))
    );
    let problem = refused.json();
    assert_eq!(problem["detail"], "body_invalid");
    let mut pointers: Vec<_> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|one| one["pointer"].as_str().expect("a pointer"))
        .collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["#/count", "#/sku"]);
    let line = node
        .log
        .with("request_id", problem["request_id"].as_str().expect("an id"))
        .await;
    assert_eq!(line["reason"], "plugin_reply");
    assert_eq!(post("text/plain", good).await.status, 415);
    assert_eq!(
        post("application/json", "").await.json()["detail"],
        "body_missing"
    );
    assert_eq!(
        post("application/json", r#"{"sku":"a","sku":"b","count":1}"#)
            .await
            .json()["detail"],
        "body_duplicate_key"
    );
    assert_eq!(
        post("application/json", &"[".repeat(50_000)).await.json()["detail"],
        "body_too_deep"
    );
    // More than is looked at on the spot.
    let long = format!(r#"{{"sku":"{}","count":1}}"#, "x".repeat(100_000));
    assert_eq!(post("application/json", &long).await.status, 200);
    assert_eq!(origin.last().body.len(), long.len());
    assert_eq!(
        post("application/json", &long.replace(":1}", ":0}"))
            .await
            .status,
        400
    );
    let huge = format!(r#"{{"sku":"{}","count":1}}"#, "x".repeat(2 << 20));
    assert_eq!(post("application/json", &huge).await.status, 413);
    assert_eq!(origin.seen().len(), 2);
    // In pieces, without a length.
    let mut client = node.client().await;
    let chunked = "POST /orders HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = client
        .ask(&format!(
            "{chunked}8\r\n{{\"sku\":1\r\n1\r\n}}\r\n0\r\n\r\n"
        ))
        .await;
    assert_eq!(response.status, 400);
    let mut client = node.client().await;
    assert_eq!(
        client.get("/orders/x").await.json()["detail"],
        "parameter_invalid"
    );
    assert_eq!(client.get("/orders/7").await.status, 200);
    let wrong = client
        .ask("DELETE /orders/7 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
    assert_eq!(client.get("/orders/7/x").await.status, 404);
}
