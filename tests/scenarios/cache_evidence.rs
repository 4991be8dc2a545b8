//! What the cache leaves behind: metrics, the access log, `explain`, `status` and `top`.

use serde_json::Value;

use super::cache_control::{CACHED, counting};
use crate::harness::node::joined;
use crate::harness::{Node, Origin};

/// A second route without a cache, and a policy with a key of its own.
const MIXED: &str = r#"
[cache]
memory = "32MiB"

[[cache_policy]]
name = "pages"
key = { query = { ignore = ["utm_*"] }, headers = ["x-device"], cookies = ["lang"] }
ttl = { status = { "404" = "10s" } }

[[listener]]
name = "web"
address = "@web"

[[route]]
name = "site"
upstream = "app"
cache = "pages"
purge = { from = ["127.0.0.1/32"] }

[[route]]
name = "live"
paths = ["/live"]
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["@origin"]
"#;

/// `/cookie` is for one client, the rest for all.
async fn origin() -> Origin {
    Origin::start(|mut peer| async move {
        while let Some(seen) = peer.request().await {
            let fields = match seen.target() {
                "/cookie" => "Cache-Control: s-maxage=60\r\nSet-Cookie: a=b\r\n",
                _ => "Cache-Control: s-maxage=60\r\n",
            };
            peer.answer(200, fields, "0123456789").await;
        }
    })
    .await
}

/// The two lines of a target: that of the miss first, whichever was written first.
async fn both(node: &Node, target: &str) -> Vec<Value> {
    let mut lines = node.log.count(target, 2).await;
    lines.sort_by_key(|line| line["cache"] != "miss");
    lines
}

#[tokio::test]
async fn the_access_log_says_what_the_cache_did() {
    let origin = origin().await;
    let node = Node::serving(origin.address(), MIXED).await;
    for target in ["/page", "/page", "/cookie", "/cookie", "/live"] {
        assert_eq!(node.get(target).await.status, 200);
    }
    let page = both(&node, "/page").await;
    let told = |line: &Value| {
        let word = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        [word("cache"), word("cache_forward"), word("cache_detail")]
    };
    assert_eq!(told(&page[0]), ["miss", "uri-miss", "-"]);
    assert_eq!(told(&page[1]), ["hit", "-", "-"]);
    let ttl = page[1]["cache_ttl"].as_i64().expect("a ttl");
    assert!((50..=60).contains(&ttl), "{ttl}");
    let cookie = both(&node, "/cookie").await;
    assert_eq!(told(&cookie[0]), ["miss", "uri-miss", "set-cookie"]);
    assert_eq!(told(&cookie[1]), ["bypass", "uri-miss", "set-cookie"]);
    let live = node.log.of("/live").await;
    for name in ["cache", "cache_forward", "cache_detail", "cache_ttl"] {
        assert!(live.get(name).is_none(), "{live}");
    }
    for name in ["cache_key", "key"] {
        assert!(page[0].get(name).is_none(), "the log stays small: {live}");
    }
}

async fn explained(node: &Node, line: &Value) -> String {
    let id = line["request_id"].as_str().expect("an id");
    node.run(&["explain", id]).await.expect(0).out
}

#[tokio::test]
async fn explain_tells_key_policy_and_why_it_was_stored_or_not() {
    let origin = origin().await;
    let mut node = Node::serving(origin.address(), MIXED).await;
    let mut client = node.client().await;
    let fields = "X-Device: phone\r\nCookie: lang=topsecret\r\n";
    for target in ["/page?q=1&utm_a=2", "/page?q=1&utm_a=2", "/cookie", "/live"] {
        assert_eq!(client.get_with(target, fields).await.status, 200);
    }
    let page = both(&node, "/page?q=1&utm_a=2").await;
    let cookie = node.log.of("/cookie").await;
    let live = node.log.of("/live").await;
    let first = explained(&node, &page[0]).await;
    let key = [
        "  key        http://a.test/page?q=1\n",
        "  and        route site, upstream app, header x-device: phone, cookie lang: (hidden)\n",
        "  policy     pages\n",
    ];
    for word in key.iter().chain(&[
        "  answer     miss\n",
        "  origin     uri-miss: Nothing is stored under this key.\n",
        "  stored     yes\n",
    ]) {
        assert!(first.contains(word), "{word}: {first}");
    }
    assert!(!first.contains("topsecret"), "{first}");
    let second = explained(&node, &page[1]).await;
    for word in key.iter().chain(&["  answer     hit\n"]) {
        assert!(second.contains(word), "{word}: {second}");
    }
    let why = "  stored     no: set-cookie: Set-Cookie, and the policy says `bypass`.\n";
    let told = explained(&node, &cookie).await;
    assert!(told.contains(why), "{told}");
    let told = explained(&node, &live).await;
    assert!(!told.contains("answer"), "{told}");
    // By another configuration the key says what every key has.
    node.reload(&MIXED.replace("utm_*", "utm_a")).await;
    let told = explained(&node, &page[0]).await;
    for word in [
        "the configuration has changed since",
        "  and        route site, upstream app\n",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
}

#[tokio::test]
async fn the_store_is_scraped() {
    let origin = counting().await;
    let node = Node::serving(origin.address(), CACHED).await;
    for target in ["/a", "/a", "/b"] {
        node.get(target).await;
    }
    node.run(&["purge", "--tag", "a"]).await.expect(0);
    node.get("/a").await;
    let hit = [("route", "site"), ("answer", "hit")];
    node.metric_is("farmgate_cache_answers_total", &hit, 1.0)
        .await;
    let miss = [("route", "site"), ("answer", "miss")];
    node.metric_is("farmgate_cache_answers_total", &miss, 3.0)
        .await;
    for (name, labels, value) in [
        (
            "farmgate_cache_memory_limit_bytes",
            &[] as &[_],
            f64::from(32 << 20),
        ),
        ("farmgate_cache_objects", &[], 2.0),
        ("farmgate_cache_hits_total", &[("tier", "memory")], 1.0),
        ("farmgate_cache_fills_total", &[], 3.0),
        (
            "farmgate_cache_fills_ended_total",
            &[("outcome", "stored")],
            3.0,
        ),
        ("farmgate_cache_purges_total", &[], 1.0),
        ("farmgate_cache_purges_in_force", &[], 1.0),
        ("farmgate_cache_unopened_disks", &[], 0.0),
        ("farmgate_cache_age_at_eviction_seconds_count", &[], 0.0),
    ] {
        node.metric_is(name, labels, value).await;
    }
    let used = node.metric("farmgate_cache_memory_bytes", &[]).await;
    assert!(used > 0.0 && used < f64::from(32 << 20), "{used}");
    let text = node.metrics().await;
    for name in [
        "farmgate_cache_size_at_eviction_bytes",
        "farmgate_cache_unopened_disks",
    ] {
        assert!(text.text().contains(&format!("\n{name}")), "{name}");
    }
}

#[tokio::test]
async fn who_waits_for_a_fetch_is_counted_now() {
    let (origin, go) = Origin::held("late").await;
    let node = std::sync::Arc::new(Node::serving(origin.address(), CACHED).await);
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let node = std::sync::Arc::clone(&node);
            tokio::spawn(async move { node.get("/slow").await.status })
        })
        .collect();
    node.metric_is("farmgate_cache_requests_waiting", &[], 2.0)
        .await;
    node.metric_is("farmgate_cache_flights_under_way", &[], 1.0)
        .await;
    let status = node.run(&["status"]).await.expect(0).out;
    assert!(status.contains("  waiting 2   fetches 1 "), "{status}");
    go.send(true).expect("the origin listens");
    for one in asked {
        assert_eq!(joined(one).await, 200);
    }
    node.metric_is("farmgate_cache_requests_waiting", &[], 0.0)
        .await;
}

#[tokio::test]
async fn status_and_top_say_whether_it_helps() {
    let origin = origin().await;
    let node = Node::serving(origin.address(), MIXED).await;
    let before = node.run(&["status"]).await.expect(0).out;
    assert!(
        before.contains("  hits - of 0 requests, - of 0 B\n"),
        "{before}"
    );
    for target in ["/page", "/page", "/page", "/cookie"] {
        node.get(target).await;
    }
    let hits = [("route", "site"), ("answer", "hit")];
    node.metric_is("farmgate_cache_answers_total", &hits, 2.0)
        .await;
    let miss = [("route", "site"), ("answer", "miss")];
    node.metric_is("farmgate_cache_answers_total", &miss, 2.0)
        .await;
    let status = node.admin("/status").await.json();
    let cache = &status["cache"];
    assert_eq!((&cache["requests"], &cache["hits"]), (&4.into(), &2.into()));
    assert_eq!(cache["hit_ratio"], 0.5);
    assert_eq!(cache["byte_hit_ratio"], 0.5);
    assert_eq!(cache["problems"], serde_json::json!([]));
    assert_eq!(cache["store"]["objects"], 1);
    let text = node.run(&["status"]).await.expect(0).out;
    for word in [
        "\ncache\n  hits 50.0 % of 4 requests, 50.0 % of 40 B\n",
        "    site                 hits 50.0 % of 4 requests",
        "      hit 2, miss 2\n      not stored: set-cookie 1\n",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let top = node.run(&["top", "--count", "2", "--interval", "1"]).await;
    let top = top.expect(0).out;
    assert!(
        top.contains("  now: 0.0 requests/s, 0.0 hits/s, 0.0 fills/s, 0 B/s saved\n"),
        "{top}"
    );
    let bare = MIXED
        .replace(
            "cache = \"pages\"\npurge = { from = [\"127.0.0.1/32\"] }",
            "",
        )
        .replace("[cache]\nmemory = \"32MiB\"", "");
    let without = Node::serving(origin.address(), &bare).await;
    assert!(without.admin("/status").await.json()["cache"].is_null());
    assert!(
        !without
            .metrics()
            .await
            .text()
            .contains("farmgate_cache_memory")
    );
}

#[tokio::test]
async fn a_folder_that_could_not_be_opened_is_a_gauge_and_a_problem() {
    let origin = counting().await;
    let disk = "memory = \"32MiB\"\ndisk = [{ path = \"run/cache\", size = \"64MiB\" }]";
    let config = CACHED.replace("memory = \"32MiB\"", disk);
    let setup = crate::harness::Setup::new().with("origin", origin.address());
    // Where the lock is to be stands something else.
    std::fs::create_dir_all(setup.folder().join("run/cache/lock")).expect("a folder");
    let mut node = setup.start(&config).await;
    node.metric_is("farmgate_cache_unopened_disks", &[], 1.0)
        .await;
    assert_eq!(
        node.metric("farmgate_cache_disk_limit_bytes", &[]).await,
        0.0
    );
    let text = node.run(&["status"]).await.expect(0).out;
    let problem = "\ncache\n  PROBLEM the cache is in memory alone: ";
    assert!(text.contains(problem), "{text}");
    node.stop().await;
    // What is wrong is put right, and a restart finds it so.
    std::fs::remove_dir(node.folder().join("run/cache/lock")).expect("remove");
    node.spawn();
    node.ready().await;
    node.metric_is("farmgate_cache_unopened_disks", &[], 0.0)
        .await;
    let limit = node.metric("farmgate_cache_disk_limit_bytes", &[]).await;
    assert_eq!(limit, f64::from(64 << 20));
    let text = node.run(&["status"]).await.expect(0).out;
    assert!(!text.contains("PROBLEM"), "{text}");
}
