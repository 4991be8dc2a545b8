//! What operators do to a cache: the purge command, the control socket, and the stream of purges between nodes.

use serde_json::{Value, json};

use crate::harness::{Client, Node, Origin, Setup};

/// A cache in memory, on a route of its own policy.
pub(crate) const CACHED: &str = r#"
[cache]
memory = "32MiB"

[[cache_policy]]
name = "pages"
key = { query = { ignore = ["utm_*"], sort = true } }
tags = ["cache-tag"]

[[listener]]
name = "web"
address = "@web"

[[route]]
name = "site"
upstream = "app"
cache = "pages"

[[upstream]]
name = "app"
endpoints = ["@origin"]
"#;

/// Answers with how many requests it has had, fresh for an hour; the tag is the first segment of the path.
pub(crate) async fn counting() -> Origin {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Origin::start(move |mut peer| {
        let count = std::sync::Arc::clone(&count);
        async move {
            while let Some(seen) = peer.request().await {
                let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let target = seen.target().to_owned();
                let tag = target.split(['/', '?']).nth(1).unwrap_or_default();
                let fields = format!("Cache-Control: s-maxage=3600\r\nCache-Tag: {tag}\r\n");
                peer.answer(200, &fields, &format!("{number}")).await;
            }
        }
    })
    .await
}

async fn body(node: &Node, target: &str) -> String {
    node.get(target).await.text()
}

/// Asks for both, and asserts that the origin was asked for those only that are gone.
async fn gone(node: &Node, before: &[(&str, String)], gone: &[&str]) {
    for (target, was) in before {
        let now = body(node, target).await;
        assert_eq!(now != *was, gone.contains(target), "{target}: {was} {now}");
    }
}

async fn filled<'a>(node: &Node, targets: &[&'a str]) -> Vec<(&'a str, String)> {
    let mut out = Vec::new();
    for target in targets {
        let first = body(node, target).await;
        assert_eq!(body(node, target).await, first, "{target} is kept");
        out.push((*target, first));
    }
    out
}

#[tokio::test]
async fn the_command_purges_by_every_kind_of_name() {
    let origin = counting().await;
    let node = Node::serving(origin.address(), CACHED).await;
    let all = ["/a/x?q=1&p=2", "/a/y", "/b/x", "/ab"];
    let cases: &[(&[&str], &[&str])] = &[
        // Another order, a parameter that does not count, another spelling of host and path.
        (
            &["--url", "http://A.TEST:80/a/./%78?p=2&utm_a=1&q=1"],
            &["/a/x?q=1&p=2"],
        ),
        (
            &["--url", "http://a.test/a/y", "--url", "http://a.test/b/x"],
            &["/a/y", "/b/x"],
        ),
        (&["--prefix", "a.test/a"], &["/a/x?q=1&p=2", "/a/y"]),
        (&["--prefix", "https://a.test/b/"], &["/b/x"]),
        (
            &["--tag", "a", "--tag", "ab"],
            &["/a/x?q=1&p=2", "/a/y", "/ab"],
        ),
        (&["--host", "a.test"], &all),
        (&["--host", "b.test"], &[]),
        (&["--url", "https://a.test/a/y"], &[]),
        (&["--all"], &all),
    ];
    for (arguments, hit) in cases {
        let before = filled(&node, &all).await;
        let mut command = vec!["purge"];
        command.extend_from_slice(arguments);
        let ran = node.run(&command).await.expect(0);
        assert!(ran.out.starts_with("purged: "), "{}", ran.out);
        assert!(ran.out.contains("knows 4 objects"), "{}", ran.out);
        gone(&node, &before, hit).await;
    }
}

#[tokio::test]
async fn a_soft_purge_makes_stale_and_the_origin_is_asked() {
    let origin = counting().await;
    let config = CACHED.replace(
        "tags = [\"cache-tag\"]",
        "tags = [\"cache-tag\"]\nstale_if_error = \"1h\"",
    );
    let node = Node::serving(origin.address(), &config).await;
    let before = filled(&node, &["/a"]).await;
    let ran = node.run(&["purge", "--tag", "a", "--soft", "--json"]).await;
    let told = ran.expect(0).json();
    assert_eq!(
        (
            &told["kind"],
            &told["purged"],
            &told["number"],
            &told["scopes"]
        ),
        (&json!("soft"), &json!(1), &json!(1), &json!(["tag a"]))
    );
    origin.stop();
    // `s-maxage` allows nothing stale, whatever the policy says.
    let answer = node.get("/a").await;
    assert_ne!(answer.text(), before[0].1);
    let line = node.log.with("cache_forward", "stale").await;
    assert_eq!(line["path"], "/a", "{line}");
}

#[tokio::test]
async fn what_is_no_order_is_refused_with_a_remedy() {
    let origin = counting().await;
    let node = Node::serving(origin.address(), CACHED).await;
    for (arguments, code, word) in [
        (&["purge"] as &[&str], 64, "--url"),
        (&["purge", "--all", "--tag", "a"], 64, "cannot be used with"),
        (&["purge", "--url", "a.test/x"], 1, "has no scheme"),
        (&["purge", "--prefix", "a.test/x/*"], 1, "has a *"),
        (&["purge", "--host", "a.test/x"], 1, "is not a host"),
    ] {
        let ran = node.run(arguments).await.expect(code);
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
    let bare = CACHED
        .replace("cache = \"pages\"", "")
        .replace("[cache]\nmemory = \"32MiB\"", "");
    let without = Node::serving(origin.address(), &bare).await;
    let ran = without.run(&["purge", "--all"]).await.expect(1);
    assert!(ran.err.contains("there is no [cache]"), "{}", ran.err);
}

async fn socket(node: &Node) -> Client {
    Client::connect_unix(node.control()).await
}

async fn purges(node: &Node, from: u64) -> Value {
    let answer = socket(node)
        .await
        .get(&format!("/v1/purges?from={from}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn purges_are_replayed_on_another_node_and_twice_is_once() {
    let origin = counting().await;
    let one = Node::serving(origin.address(), CACHED).await;
    let two = Node::serving(origin.address(), CACHED).await;
    for arguments in [
        &["purge", "--tag", "a"] as &[&str],
        &["purge", "--prefix", "a.test/b/", "--soft"],
        &["purge", "--url", "http://a.test/c?y=1&x=2"],
    ] {
        one.run(arguments).await.expect(0);
    }
    let part = purges(&one, 1).await;
    let numbers: Vec<_> = part["purges"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["number"])
        .collect();
    assert_eq!(numbers, [1, 2, 3], "{part}");
    assert_eq!(part["next"], 4);
    assert_eq!(purges(&one, 3).await["purges"][0], part["purges"][2]);
    assert_eq!(purges(&one, 4).await["purges"], json!([]));
    let all = ["/a/1", "/b/1", "/c?x=2&y=1", "/d"];
    let before = filled(&two, &all).await;
    let answer = socket(&two)
        .await
        .post("/v1/purges", &part.to_string())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json(),
        json!({ "new": 3, "known": 0, "missing_from": null, "too_many_nodes": false })
    );
    gone(&two, &before, &all[..3]).await;
    // What is kept now began after these purges; a second time they change nothing.
    let before = filled(&two, &all).await;
    let answer = socket(&two)
        .await
        .post("/v1/purges", &part.to_string())
        .await;
    assert_eq!(
        (&answer.json()["new"], &answer.json()["known"]),
        (&json!(0), &json!(3))
    );
    gone(&two, &before, &[]).await;
    assert_eq!(two.metric("farmgate_cache_purges_total", &[]).await, 3.0);
    // Its own stream is empty still: nobody ordered a purge there.
    assert_eq!(purges(&two, 1).await["purges"], json!([]));
}

#[tokio::test]
async fn a_gap_in_the_stream_is_told_and_what_came_is_in_force() {
    let origin = counting().await;
    let one = Node::serving(origin.address(), CACHED).await;
    let two = Node::serving(origin.address(), CACHED).await;
    for tag in ["a", "b", "c"] {
        one.run(&["purge", "--tag", tag]).await.expect(0);
    }
    let before = filled(&two, &["/a", "/c"]).await;
    let late = purges(&one, 3).await.to_string();
    let answer = socket(&two).await.post("/v1/purges", &late).await.json();
    assert_eq!(
        (&answer["new"], &answer["missing_from"]),
        (&json!(1), &json!(1))
    );
    gone(&two, &before, &["/c"]).await;
    let whole = purges(&one, 1).await.to_string();
    let answer = socket(&two).await.post("/v1/purges", &whole).await.json();
    assert_eq!(
        (&answer["new"], &answer["missing_from"]),
        (&json!(3), &Value::Null)
    );
    gone(&two, &filled(&two, &["/a"]).await, &[]).await;
}

#[tokio::test]
async fn what_is_no_part_of_a_stream_is_refused() {
    let origin = counting().await;
    let node = Setup::new()
        .with("origin", origin.address())
        .start(CACHED)
        .await;
    let own = purges(&node, 1).await["node"].clone();
    let item =
        |number: u64| json!({ "number": number, "scope": "all", "kind": "hard", "at_ms": 1 });
    for (part, status) in [
        (json!({ "node": own, "purges": [item(1)] }), 409),
        (
            json!({ "node": "0000000000000000", "purges": [item(1)] }),
            400,
        ),
        (json!({ "node": "ff", "purges": [item(1)] }), 400),
        (
            json!({ "node": "00000000000000ff", "purges": [item(2), item(1)] }),
            400,
        ),
        (
            json!({ "node": "00000000000000ff", "purges": [item(0)] }),
            400,
        ),
        (
            json!({ "node": "00000000000000ff", "purges": [{ "number": 1, "scope": "some", "kind": "hard", "at_ms": 1 }] }),
            400,
        ),
    ] {
        let answer = socket(&node)
            .await
            .post("/v1/purges", &part.to_string())
            .await;
        assert_eq!(answer.status, status, "{part}: {}", answer.text());
    }
    for query in ["from=0", "from=x", "to=1"] {
        let answer = socket(&node)
            .await
            .get(&format!("/v1/purges?{query}"))
            .await;
        assert_eq!(answer.status, 400, "{query}");
    }
}
