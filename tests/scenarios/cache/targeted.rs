//! Targeted control (RFC 9213): CDN-Cache-Control speaks alone, and is passed on.

use super::{ask, get, is_hit, node, numbering, status, telling};

#[tokio::test]
async fn it_replaces_cache_control_and_expires() {
    // What the origin says, and whether it may be reused.
    let cases: [(&'static str, bool); 14] = [
        (
            "CDN-Cache-Control: max-age=600\r\nCache-Control: no-store\r\n",
            true,
        ),
        (
            "CDN-Cache-Control: max-age=600\r\nCache-Control: private\r\n",
            true,
        ),
        (
            "CDN-Cache-Control: max-age=600\r\nExpires: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
            true,
        ),
        ("CDN-Cache-Control: max-age=600\r\n", true),
        (
            "CDN-Cache-Control: no-store\r\nCache-Control: max-age=600\r\n",
            false,
        ),
        (
            "CDN-Cache-Control: private\r\nCache-Control: s-maxage=600\r\n",
            false,
        ),
        (
            "CDN-Cache-Control: max-age=0\r\nCache-Control: max-age=600\r\n",
            false,
        ),
        (
            "CDN-Cache-Control: no-cache\r\nCache-Control: max-age=600\r\n",
            false,
        ),
        // Without a lifetime it still is the only one that speaks.
        (
            "CDN-Cache-Control: must-revalidate\r\nCache-Control: max-age=600\r\n",
            false,
        ),
        // What is no dictionary, or an empty one, is as if absent.
        (
            "CDN-Cache-Control: MAX-AGE=600\r\nCache-Control: no-store\r\n",
            false,
        ),
        (
            "CDN-Cache-Control: max-age=600,,\r\nCache-Control: no-store\r\n",
            false,
        ),
        (
            "CDN-Cache-Control: \r\nCache-Control: max-age=600\r\n",
            true,
        ),
        // A number of the wrong type makes it stale, not absent.
        (
            "CDN-Cache-Control: max-age=\"600\"\r\nCache-Control: max-age=600\r\n",
            false,
        ),
        // Several lines are one.
        (
            "CDN-Cache-Control: max-age=600\r\nCDN-Cache-Control: no-store\r\n",
            false,
        ),
    ];
    let origin = telling(move |seen, number| {
        let case = seen.target().trim_start_matches("/case/");
        let case: usize = case.parse().expect("a case");
        (200, cases[case].0.to_owned(), format!("n{number}"))
    })
    .await;
    let node = node(&origin, "").await;
    for (at, (fields, reused)) in cases.into_iter().enumerate() {
        let target = format!("/case/{at}");
        let first = get(&node, &target, "").await;
        let second = get(&node, &target, "").await;
        assert_eq!(is_hit(&second), reused, "{fields}: {second:?}");
        assert_eq!(first.body == second.body, reused, "{fields}");
        let written = fields.lines().find(|line| line.starts_with("CDN"));
        let (_, value) = written.and_then(|line| line.split_once(": ")).expect("it");
        assert!(
            first.all("cdn-cache-control").contains(&value.trim()),
            "passed on: {first:?}"
        );
    }
}

#[tokio::test]
async fn its_lifetime_is_the_one_that_counts() {
    let origin = numbering("CDN-Cache-Control: max-age=600\r\nCache-Control: max-age=5\r\n").await;
    let node = node(&origin, "").await;
    let first = get(&node, "/", "").await;
    assert!(
        status(&first).contains("ttl=600") || status(&first).contains("ttl=599"),
        "{first:?}"
    );
    assert_eq!(first.header("cache-control"), Some("max-age=5"));
    // Stale windows are its own too: Cache-Control's do not count beside it.
    let hit = ask(&node, "GET", "/", "Cache-Control: min-fresh=300\r\n").await;
    assert!(is_hit(&hit), "{hit:?}");
}
