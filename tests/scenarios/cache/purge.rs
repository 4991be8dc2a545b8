//! PURGE, what it reaches, and what unsafe requests invalidate.

use super::{Hand, ask, asking, config, get, is_hit, node, numbering, stored, telling, waiting};
use crate::harness::{Client, Node, Origin, Setup};

/// Fills the store with these targets.
async fn filled(node: &Node, targets: &[&str]) {
    for target in targets {
        get(node, target, "").await;
        stored(node, target).await;
    }
}

/// Which of them still are there. Does not fetch.
async fn there<'t>(node: &Node, targets: &[&'t str]) -> Vec<&'t str> {
    let mut found = Vec::new();
    for target in targets {
        let response = get(node, target, "Cache-Control: only-if-cached\r\n").await;
        match response.status {
            200 => found.push(*target),
            504 => {}
            _ => panic!("{target}: {response:?}"),
        }
    }
    found
}

async fn purged(node: &Node, target: &str, fields: &str) {
    let response = ask(node, "PURGE", target, fields).await;
    assert_eq!(response.status, 200, "{response:?}");
}

#[tokio::test]
async fn each_scope_takes_what_it_names() {
    let origin = telling(|seen, number| {
        let tag = match seen.target() {
            "/a/one" => "Cache-Tag: red, blue\r\n",
            "/b" => "Cache-Tag: blue\r\n",
            _ => "",
        };
        (
            200,
            format!("Cache-Control: max-age=600\r\n{tag}"),
            format!("n{number}"),
        )
    })
    .await;
    let node = node(&origin, "tags = [\"cache-tag\"]").await;
    let all = ["/a", "/a/one", "/a/one?q=1", "/a/two/deep", "/ab", "/b"];
    let cases: [(&str, &str, &[&str]); 10] = [
        (
            "/a/one",
            "",
            &["/a", "/a/one?q=1", "/a/two/deep", "/ab", "/b"],
        ),
        (
            "/a/one?q=1",
            "Purge-Scope: url\r\n",
            &["/a", "/a/one", "/a/two/deep", "/ab", "/b"],
        ),
        ("/a/", "Purge-Scope: prefix\r\n", &["/a", "/ab", "/b"]),
        ("/a", "Purge-Scope: prefix\r\n", &["/a", "/ab", "/b"]),
        (
            "/a/two",
            "Purge-Scope: prefix\r\n",
            &["/a", "/a/one", "/a/one?q=1", "/ab", "/b"],
        ),
        (
            "/",
            "Purge-Tag: red\r\n",
            &["/a", "/a/one?q=1", "/a/two/deep", "/ab", "/b"],
        ),
        (
            "/",
            "Purge-Tag: green, blue\r\n",
            &["/a", "/a/one?q=1", "/a/two/deep", "/ab"],
        ),
        ("/", "Purge-Scope: prefix\r\n", &[]),
        ("/x", "Purge-Scope: host\r\n", &[]),
        ("/x", "Purge-Scope: all\r\n", &[]),
    ];
    for (target, fields, left) in cases {
        filled(&node, &all).await;
        purged(&node, target, fields).await;
        assert_eq!(there(&node, &all).await, left, "{target} {fields}");
    }
    // None of it was the origin's to see.
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| !seen.line.starts_with("PURGE"))
    );
}

#[tokio::test]
async fn a_url_goes_with_all_its_variants_and_another_host_stays() {
    let origin = numbering("Cache-Control: max-age=600\r\nVary: X-Shade\r\n").await;
    let node = node(&origin, "").await;
    let shades = ["X-Shade: red\r\n", "X-Shade: blue\r\n", ""];
    for shade in shades {
        get(&node, "/v", shade).await;
        assert!(is_hit(&get(&node, "/v", shade).await));
    }
    let other = async || {
        let request = "GET /v HTTP/1.1\r\nHost: b.test\r\n\r\n";
        node.client().await.ask(request).await
    };
    other().await;
    purged(&node, "/v", "").await;
    for shade in shades {
        assert!(!is_hit(&get(&node, "/v", shade).await), "{shade}");
    }
    assert!(is_hit(&other().await));
    purged(&node, "/", "Purge-Scope: host\r\n").await;
    assert!(is_hit(&other().await), "another host");
    for shade in shades {
        assert!(!is_hit(&get(&node, "/v", shade).await), "{shade}");
    }
}

#[tokio::test]
async fn a_soft_purge_makes_stale() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "stale_if_error = \"1h\"").await;
    const FIELDS: &str = "Cache-Control: max-age=600\r\nETag: \"one\"\r\n";
    let mut client = asking(&node, "/", "").await;
    hand.next().await.answer(200, FIELDS, "old").await;
    client.response().await.expect("one");
    purged(&node, "/", "Purge-Soft: 1\r\n").await;
    // The origin fails: it stands in.
    let mut client = asking(&node, "/", "").await;
    let asked = hand.next().await;
    assert_eq!(asked.seen.header("if-none-match"), Some("\"one\""));
    asked.peer.reset();
    assert_eq!(client.response().await.expect("one").text(), "old");
    // The origin confirms: it is fresh again.
    let mut client = asking(&node, "/", "").await;
    let mut asked = hand.next().await;
    asked
        .peer
        .send("HTTP/1.1 304 Not Modified\r\nConnection: close\r\nCache-Control: max-age=600\r\nETag: \"one\"\r\n\r\n")
        .await;
    assert_eq!(client.response().await.expect("one").text(), "old");
    assert!(is_hit(&get(&node, "/", "").await));
    // A hard one leaves nothing to confirm.
    purged(&node, "/", "").await;
    let mut client = asking(&node, "/", "").await;
    let asked = hand.next().await;
    assert_eq!(asked.seen.header("if-none-match"), None);
    asked.answer(200, FIELDS, "new").await;
    assert_eq!(client.response().await.expect("one").text(), "new");
}

#[tokio::test]
async fn it_is_for_allowed_addresses_and_never_forwarded() {
    let origin = numbering("Cache-Control: max-age=600\r\n").await;
    let node = node(&origin, "").await;
    get(&node, "/p", "").await;
    stored(&node, "/p").await;
    let mut stranger = Client::connect_from(node.at("web"), "127.9.9.9").await;
    let refused = stranger
        .ask("PURGE /p HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(refused.status, 405, "{refused:?}");
    assert!(refused.header("allow").is_some());
    assert!(is_hit(&get(&node, "/p", "").await));
    for fields in [
        "Purge-Scope: everything\r\n",
        "Purge-Tag: ,\r\n",
        &format!("Purge-Tag: {}\r\n", "x".repeat(2000)),
    ] {
        let broken = ask(&node, "PURGE", "/p", fields).await;
        assert_eq!(broken.status, 400, "{fields}: {broken:?}");
    }
    assert!(is_hit(&get(&node, "/p", "").await));
    assert_eq!(origin.seen().len(), 1);
}

const KEEP: &str = "Cache-Control: max-age=600\r\n";

/// Asserts that the new version is stored and the origin was asked twice.
async fn new_one_stays(hand: &Hand, node: &Node) {
    for _ in 0..3 {
        let response = get(node, "/", "").await;
        let seen = (is_hit(&response), response.text());
        assert_eq!(seen, (true, "new".to_owned()), "{response:?}");
    }
    assert_eq!(hand.times(), 2);
}

#[tokio::test]
async fn a_purge_takes_what_was_asked_for_before_it() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut first = asking(&node, "/", "").await;
    let old = hand.next().await;
    purged(&node, "/", "").await;
    // Who comes now waits for the fetch that is under way, and takes nothing from it.
    let mut second = asking(&node, "/", "").await;
    waiting(&node, 2).await;
    old.answer(200, KEEP, "old").await;
    hand.next().await.answer(200, KEEP, "new").await;
    assert_eq!(first.response().await.expect("one").text(), "old");
    assert_eq!(second.response().await.expect("one").text(), "new");
    new_one_stays(&hand, &node).await;
}

#[tokio::test]
async fn a_purge_takes_what_is_just_coming() {
    for fields in [
        "",
        "Purge-Scope: prefix\r\n",
        "Purge-Scope: host\r\n",
        "Purge-Scope: all\r\n",
    ] {
        let mut hand = Hand::start().await;
        let node = node(&hand.origin, "").await;
        let mut first = asking(&node, "/", "").await;
        let mut old = hand.next().await;
        let head =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{KEEP}Content-Length: 6\r\n\r\nold");
        old.peer.send(head).await;
        assert_eq!(first.head().await.expect("a head").status, 200);
        purged(&node, "/", fields).await;
        // Who comes now has an answer of its own, though the old one has not ended.
        let mut second = asking(&node, "/", "").await;
        hand.next().await.answer(200, KEEP, "new").await;
        assert_eq!(second.response().await.expect("one").text(), "new");
        old.peer.send("old").await;
        assert_eq!(first.exactly(6).await, b"oldold", "{fields}");
        new_one_stays(&hand, &node).await;
    }
}

/// A node whose methods take different routes.
async fn split(origin: &Origin) -> Node {
    let more = r#"
[[route]]
name = "writes"
paths = ["/p/*"]
methods = ["POST", "PUT", "DELETE", "PATCH"]
upstream = "app"

[[route]]
name = "elsewhere"
paths = ["/elsewhere/*"]
upstream = "app"
cache = "all"
"#;
    let setup = Setup::new().with("origin", origin.address());
    setup.start(&config("", more)).await
}

#[tokio::test]
async fn an_accepted_unsafe_request_invalidates_across_routes() {
    let origin = telling(|seen, number| {
        let method = seen.line.split(' ').next().unwrap_or_default();
        let (status, fields) = match (method, seen.header("x-case").unwrap_or_default()) {
            ("GET", _) => (200, "Cache-Control: max-age=600\r\n"),
            (_, "refused") => (403, ""),
            (_, "location") => (
                201,
                "Location: http://a.test/elsewhere/l\r\nContent-Location: ../q/c\r\n",
            ),
            (_, "foreign") => (303, "Location: http://b.test/q/c\r\n"),
            _ => (200, ""),
        };
        (status, fields.to_owned(), format!("n{number}"))
    })
    .await;
    let node = split(&origin).await;
    let all = ["/p/1", "/p/1?q", "/p/2", "/elsewhere/l", "/q/c"];
    let cases: [(&str, &str, &[&str]); 7] = [
        ("POST", "", &["/p/1?q", "/p/2", "/elsewhere/l", "/q/c"]),
        ("PUT", "", &["/p/1?q", "/p/2", "/elsewhere/l", "/q/c"]),
        ("DELETE", "", &["/p/1?q", "/p/2", "/elsewhere/l", "/q/c"]),
        ("PATCH", "", &["/p/1?q", "/p/2", "/elsewhere/l", "/q/c"]),
        ("POST", "X-Case: refused\r\n", &all),
        ("POST", "X-Case: location\r\n", &["/p/1?q", "/p/2"]),
        (
            "POST",
            "X-Case: foreign\r\n",
            &["/p/1?q", "/p/2", "/elsewhere/l", "/q/c"],
        ),
    ];
    for (method, fields, left) in cases {
        filled(&node, &all).await;
        let fields = format!("Content-Length: 0\r\n{fields}");
        ask(&node, method, "/p/1", &fields).await;
        assert_eq!(there(&node, &all).await, left, "{method} {fields}");
    }
}

#[tokio::test]
async fn an_unsafe_request_meets_what_is_being_fetched() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut first = asking(&node, "/", "").await;
    let old = hand.next().await;
    let mut change = node.client().await;
    change
        .send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        .await;
    hand.next().await.answer(204, "", "").await;
    assert_eq!(change.response().await.expect("one").status, 204);
    old.answer(200, "Cache-Control: max-age=600\r\n", "before")
        .await;
    assert_eq!(first.response().await.expect("one").text(), "before");
    // It is what the origin said before the change: nobody else gets it.
    let mut next = asking(&node, "/", "").await;
    hand.next()
        .await
        .answer(200, "Cache-Control: max-age=600\r\n", "after")
        .await;
    assert_eq!(next.response().await.expect("one").text(), "after");
    assert_eq!(get(&node, "/", "").await.text(), "after");
}
