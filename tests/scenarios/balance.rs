//! Which endpoint and which side of a split a request goes to.

use std::collections::{BTreeMap, HashSet};

use crate::harness::{Node, Origin, Setup};

async fn three() -> (Setup, Vec<Origin>) {
    let mut setup = Setup::new();
    let mut origins = Vec::new();
    for (name, body) in [("one", "1"), ("two", "2"), ("three", "3")] {
        let origin = Origin::answering(body).await;
        setup = setup.with(name, origin.address());
        origins.push(origin);
    }
    (setup, origins)
}

#[tokio::test]
async fn round_robin_keeps_the_weights() {
    let (setup, _origins) = three().await;
    let node = setup
        .start(
            r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@one", { address = "@two", weight = 3 }, { address = "@three", weight = 0 }]
[[route]]
name = "any"
upstream = "app"
"#,
        )
        .await;
    let mut client = node.client().await;
    let mut counts = BTreeMap::new();
    for _ in 0..40 {
        *counts.entry(client.get("/").await.text()).or_insert(0) += 1;
    }
    let expected = [("1".to_owned(), 10), ("2".to_owned(), 30)];
    assert_eq!(counts, BTreeMap::from(expected));
}

#[tokio::test]
async fn one_key_goes_to_one_endpoint() {
    let (setup, _origins) = three().await;
    let node = setup
        .start(
            r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@one", "@two", "@three"]
balance = { kind = "consistent_hash", key = "header:x-user" }
[[route]]
name = "any"
upstream = "app"
"#,
        )
        .await;
    let mut client = node.client().await;
    let mut used = HashSet::new();
    for user in 0..30 {
        let field = format!("X-User: user-{user}\r\n");
        let first = client.get_with("/", &field).await.text();
        for _ in 0..3 {
            assert_eq!(
                client.get_with("/", &field).await.text(),
                first,
                "user {user}"
            );
        }
        used.insert(first);
    }
    assert_eq!(used.len(), 3, "30 users reach all endpoints");
    // Without the key the client's address decides: one endpoint for this client.
    let without = client.get("/").await.text();
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), without);
    }
}

#[tokio::test]
async fn least_request_avoids_the_busy_endpoint() {
    let busy = Origin::start(|mut peer| async move {
        // Takes the request and never answers.
        peer.request().await;
        peer.gone().await;
    })
    .await;
    let idle = Origin::answering("idle").await;
    let node = Setup::new()
        .with("busy", busy.address())
        .with("idle", idle.address())
        .start(
            r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["@busy", "@idle"]
balance = "least_request"
retry = { attempts = 1, on = ["connect"] }
[[route]]
name = "any"
upstream = "app"
"#,
        )
        .await;
    let mut stuck = Vec::new();
    // Until the busy one has a request; then every further one goes to the other.
    while busy.seen().is_empty() {
        let mut client = node.client().await;
        client
            .send("GET /stuck HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        crate::harness::eventually("the request to arrive", || async {
            let arrived = busy.seen().len() + idle.seen().len() > stuck.len();
            arrived.then_some(())
        })
        .await;
        stuck.push(client);
    }
    let mut client = node.client().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "idle");
    }
    assert_eq!(busy.seen().len(), 1);
}

#[tokio::test]
async fn higher_priority_numbers_wait_in_reserve() {
    let (setup, origins) = three().await;
    let node = setup
        .start(
            r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = [{ address = "@one", priority = 1 }, { address = "@two" }]
[[route]]
name = "any"
upstream = "app"
"#,
        )
        .await;
    let mut client = node.client().await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.text(), "2");
    }
    assert!(origins[0].seen().is_empty());
}

const SPLIT: &str = r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "stable"
endpoints = ["@one"]
[[upstream]]
name = "canary"
endpoints = ["@two"]
[[route]]
name = "split"
paths = ["/checkout/*"]
upstream = [{ name = "stable", weight = 80 }, { name = "canary", weight = 20 }]
sticky = "cookie:exp"
[[route]]
name = "free"
upstream = [{ name = "stable", weight = 50 }, { name = "canary", weight = 50 }]
"#;

#[tokio::test]
async fn a_split_keeps_its_shares_and_its_users() {
    let (setup, _origins) = three().await;
    let node: Node = setup.start(SPLIT).await;
    let mut client = node.client().await;
    let mut sides: BTreeMap<String, u32> = BTreeMap::new();
    let mut cookies: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..500 {
        let response = client.get("/checkout/x").await;
        let cookie = response.header("set-cookie").expect("a cookie").to_owned();
        assert!(cookie.starts_with("exp="), "{cookie}");
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
            "{cookie}"
        );
        assert!(!cookie.contains("Secure"), "this is plain HTTP: {cookie}");
        *sides.entry(response.text()).or_default() += 1;
        let pair = cookie.split(';').next().unwrap_or_default().to_owned();
        cookies.insert(response.text(), pair);
    }
    // 80% of 500 is 400; six standard deviations are 54.
    let stable = sides.get("1").copied().unwrap_or_default();
    assert!((346..=454).contains(&stable), "{sides:?}");
    for (side, cookie) in &cookies {
        for _ in 0..20 {
            let field = format!("Cookie: a=b; {cookie}\r\n");
            let response = client.get_with("/checkout/x", &field).await;
            assert_eq!(&response.text(), side);
            assert_eq!(response.header("set-cookie"), None, "the side is known");
        }
    }
    // A cookie that means nothing is replaced.
    let response = client
        .get_with("/checkout/x", "Cookie: exp=nonsense\r\n")
        .await;
    assert!(response.header("set-cookie").is_some());
    let response = client.get("/free").await;
    assert_eq!(response.header("set-cookie"), None);
    let line = node.log.of("/free").await;
    let upstream = if response.text() == "1" {
        "stable"
    } else {
        "canary"
    };
    assert_eq!(line["upstream"], upstream);
}
