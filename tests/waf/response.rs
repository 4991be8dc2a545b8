//! Answers: refused, held back, cut, and looked at once for a cache.

use super::{ENGINE_ON, RULES, audit, before, config, write_rules};
use crate::harness::http2::Http2;
use crate::harness::{Node, Origin, Peer, Setup};

/// Length of a page: so long that its beginning is on its way before its end is seen.
const WHOLE: usize = 400 * 1024;

/// An origin that sends a page in two pieces: with `?evil` in the target the second has the word.
async fn pages() -> Origin {
    Origin::start(|mut peer: Peer| async move {
        while let Some(seen) = peer.request().await {
            let evil = seen.target().contains("evil");
            let leak = if seen.target().contains("leak") { "X-Leak: 1\r\n" } else { "" };
            let kind = if seen.target().contains("image") { "image/png" } else { "text/html" };
            let end = if evil { "evil-body" } else { "fine-body" };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: max-age=60\r\n{leak}Content-Length: {WHOLE}\r\n\r\n"
            );
            peer.send(head + &"a".repeat(WHOLE - 9)).await;
            peer.send(end).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_head_that_tells_too_much_is_replaced() {
    let origin = pages().await;
    let node = before(origin.address(), ENGINE_ON).await;
    let response = node.get("/leak").await;
    assert_eq!(response.status, 500);
    assert_eq!(response.header("x-leak"), None);
    assert_eq!(audit(&node, 1).await[0]["rules"][0]["phase"], 3);
}

#[tokio::test]
async fn a_late_match_cuts_the_answer() {
    let origin = pages().await;
    let node = before(origin.address(), ENGINE_ON).await;
    assert_eq!(node.get("/fine").await.body.len(), WHOLE);
    let mut client = node.client().await;
    client.send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (got, closed) = client.rest(crate::harness::SOON).await;
    let text = String::from_utf8_lossy(&got);
    assert!(closed && !text.contains("evil-body"), "{text}");
    let mut http2 = Http2::connect(node.at("web")).await;
    let request = http2.request("GET", "/evil");
    let error = http2.ask(request, &[], None).await.expect_err("a reset");
    assert!(error.is_reset(), "{error}");
    // The connection goes on.
    assert_eq!(http2.get("/fine").await.body.len(), WHOLE);
    let lines = audit(&node, 2).await;
    assert_eq!(lines[0]["verdict"], "reset");
    assert_eq!(lines[0]["rules"][0]["id"], 6);
    // Types that rules do not look at pass.
    assert_eq!(node.get("/image-evil").await.body.len(), WHOLE);
}

#[tokio::test]
async fn what_is_held_back_can_still_be_refused() {
    let origin = pages().await;
    let node = before(
        origin.address(),
        "engine = \"on\"\nresponse_body = { hold = true }",
    )
    .await;
    let mut http2 = Http2::connect(node.at("web")).await;
    for _ in 0..2 {
        let response = node.get("/fine").await;
        assert_eq!((response.status, response.body.len()), (200, WHOLE));
        assert!(response.body.ends_with(b"fine-body"));
        let response = node.get("/evil").await;
        assert_eq!(response.status, 403);
        assert_eq!(response.json()["detail"], "waf_blocked");
        assert!(!response.text().contains("aaaa"));
        let request = http2.request("GET", "/evil");
        let answer = http2.ask(request, &[], None).await.expect("an answer");
        assert_eq!(answer.head.status(), 403);
        assert_eq!(http2.get("/fine").await.body.len(), WHOLE);
    }
    let lines = audit(&node, 4).await;
    assert!(
        lines
            .iter()
            .all(|line| line["verdict"] == "blocked" && line["status"] == 403)
    );
    node.metric_is("farmgate_body_memory_bytes", &[], 0.0).await;
}

#[tokio::test]
async fn longer_answers_are_let_go_or_refused() {
    let origin = pages().await;
    let hold = "response_body = { hold = true, inspect = \"500B\", over_limit = ";
    let node = before(
        origin.address(),
        &format!("{ENGINE_ON}\n{hold}\"partial\" }}"),
    )
    .await;
    let response = node.get("/evil").await;
    assert_eq!(
        (response.status, response.body.len()),
        (200, WHOLE),
        "its end was not seen"
    );
    let node = before(
        origin.address(),
        &format!("{ENGINE_ON}\n{hold}\"reject\" }}"),
    )
    .await;
    let response = node.get("/fine").await;
    assert_eq!(response.status, 502);
    assert_eq!(response.json()["detail"], "waf_response_too_large");
}

#[tokio::test]
async fn detection_only_lets_answers_go() {
    let origin = pages().await;
    let words = "engine = \"detection_only\"\nresponse_body = { hold = true }";
    let node = before(origin.address(), words).await;
    let response = node.get("/evil-leak").await;
    assert_eq!((response.status, response.body.len()), (200, WHOLE));
    let lines = audit(&node, 1).await;
    assert_eq!(lines[0]["verdict"], "would_block");
    assert_eq!(lines[0]["rules"].as_array().map(Vec::len), Some(2));
}

async fn cached(origin: &Origin, words: &str) -> Node {
    let setup = Setup::new().with("origin", origin.address());
    write_rules(setup.folder(), RULES);
    let config = config(words).replace(
        "name = \"shop\"\nplugins",
        "name = \"shop\"\ncache = \"pages\"\nplugins",
    );
    let policy = "[cache]\nmemory = \"16MiB\"\n[[cache_policy]]\nname = \"pages\"\n";
    setup.start(&format!("{config}\n{policy}")).await
}

#[tokio::test]
async fn hits_are_judged_by_their_requests_and_fetches_by_their_answers() {
    let origin = pages().await;
    let node = cached(&origin, "engine = \"on\"\nresponse_body = { hold = true }").await;
    for _ in 0..2 {
        assert_eq!(node.get("/fine").await.status, 200);
    }
    assert_eq!(origin.seen().len(), 1, "the second came out of the cache");
    // The same object, asked for by a request that rules refuse.
    let mut client = node.client().await;
    let asked = client.get_with("/fine?a=points&b=points", "").await;
    assert_eq!(asked.status, 403);
    let before = origin.seen().len();
    for _ in 0..2 {
        let response = node.get("/evil").await;
        assert_eq!(response.status, 403);
    }
    assert_eq!(
        origin.seen().len(),
        before + 2,
        "what is refused is not stored"
    );
    let lines = audit(&node, 3).await;
    let fetched = lines.iter().find(|line| line["rules"][0]["id"] == 6);
    assert_eq!(fetched.map(|line| &line["status"]), Some(&0.into()));
}
