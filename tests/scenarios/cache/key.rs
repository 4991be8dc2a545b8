//! What two requests must share to get one answer: the key, and the variant.

use super::{ask, config, get, is_hit, node, numbering, telling};
use crate::harness::{Node, Setup, eventually};

const KEEP: &str = "Cache-Control: max-age=600\r\n";

/// Asserts that `first` fetches and each of `same` is answered by what it left, and that each of `other` is not.
/// Requests are target and fields.
async fn apart(node: &Node, same: &[(&str, &str)], other: &[(&str, &str)]) {
    let (target, fields) = same[0];
    let first = get(node, target, fields).await;
    assert_eq!(first.status, 200, "{first:?}");
    for (target, fields) in same {
        let response = eventually(&format!("{target} {fields:?} from the store"), || async {
            let response = get(node, target, fields).await;
            is_hit(&response).then_some(response)
        })
        .await;
        assert_eq!(response.text(), first.text(), "{target} {fields:?}");
    }
    for (target, fields) in other {
        let response = get(node, target, fields).await;
        assert!(!is_hit(&response), "{target} {fields:?}: {response:?}");
        assert_ne!(response.text(), first.text(), "{target} {fields:?}");
    }
}

#[tokio::test]
async fn host_port_scheme_path_and_query() {
    let origin = numbering(KEEP).await;
    let node = node(&origin, "").await;
    apart(
        &node,
        &[("/a", ""), ("/%61", ""), ("/b/../a", "")],
        &[("/A", ""), ("/a?", ""), ("/a?x=1", ""), ("/a/", "")],
    )
    .await;
    let asked = async |host: &str| {
        let request = format!("GET /host HTTP/1.1\r\nHost: {host}\r\n\r\n");
        node.client().await.ask(&request).await.text()
    };
    let plain = asked("a.test").await;
    for same in ["a.test", "A.TEST", "a.test:80", "a.test."] {
        let text = eventually(same, || async {
            let text = asked(same).await;
            (text == plain || same == "a.test.").then_some(text)
        })
        .await;
        // One with a dot at its end may be another name; it must not be an error.
        assert!(text.starts_with('n'), "{same}: {text}");
    }
    let mut seen = vec![plain];
    for other in ["b.test", "a.test:81", "a.test:443"] {
        let text = asked(other).await;
        assert!(!seen.contains(&text), "{other}: {text}");
        seen.push(text);
    }
}

#[tokio::test]
async fn rules_of_the_query() {
    let origin = numbering(KEEP).await;
    let policy = "key = { query = { ignore = [\"utm_*\", \"fbclid\"], sort = true } }";
    let node = node(&origin, policy).await;
    apart(
        &node,
        &[
            ("/p?a=1&b=2", ""),
            ("/p?b=2&a=1", ""),
            ("/p?utm_source=x&a=1&b=2&fbclid=1", ""),
        ],
        &[
            ("/p?a=1", ""),
            ("/p?a=1&b=3", ""),
            // Values of one name keep their order.
            ("/p?a=2&b=2&a=1", ""),
            ("/p?a=1&b=2&utm=1", ""),
            // Some origins part parameters at a semicolon.
            ("/p?a=1&b=2&utm_x=1;c=3", ""),
        ],
    )
    .await;
    // Ignored ones reach the origin all the same.
    get(&node, "/q?utm_source=x", "").await;
    assert_eq!(origin.last().target(), "/q?utm_source=x");
}

#[tokio::test]
async fn fields_and_cookies_of_the_policy() {
    let origin = numbering(KEEP).await;
    let policy = "key = { headers = [\"x-tenant\", \"x-forwarded-host\"], cookies = [\"side\"] }";
    let node = node(&origin, policy).await;
    apart(
        &node,
        &[
            ("/p", "X-Tenant: a\r\nCookie: side=b; session=1\r\n"),
            ("/p", "x-tenant:  a \r\nCookie: session=2; side=b\r\n"),
            ("/p", "X-Tenant: a\r\nCookie: side=b\r\nX-Other: 1\r\n"),
        ],
        &[
            ("/p", "X-Tenant: b\r\nCookie: side=b\r\n"),
            ("/p", "X-Tenant: a\r\nCookie: side=c\r\n"),
            ("/p", "X-Tenant: a\r\n"),
            ("/p", "Cookie: side=b\r\n"),
            ("/p", ""),
            (
                "/p",
                "X-Tenant: a\r\nCookie: side=b\r\nX-Forwarded-Host: x\r\n",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_the_key_lacks_clients_do_not_choose() {
    let origin = numbering(KEEP).await;
    let node = node(&origin, "key = { headers = [\"x-host\"] }").await;
    let names = [
        "Forwarded",
        "X-Forwarded-Path",
        "X-Forwarded-Prefix",
        "X-Forwarded-Scheme",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Http-Host-Override",
        "X-Original-Host",
        "X-Original-Url",
        "X-Rewrite-Url",
        "X-Http-Method-Override",
        "X-Http-Method",
        "X-Method-Override",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
    ];
    let fields: String = names
        .iter()
        .map(|name| format!("{name}: evil\r\n"))
        .collect();
    get(&node, "/p", &fields).await;
    let seen = origin.last();
    for (name, value) in &seen.headers {
        assert!(!value.contains("evil"), "{name} reached the origin");
    }
    // One that the key holds does.
    get(&node, "/q", "X-Host: mine\r\n").await;
    assert_eq!(origin.last().header("x-host"), Some("mine"));
    // Past the cache too: a method override must not make the origin answer another request.
    ask(&node, "HEAD", "/r", &fields).await;
    assert!(
        origin
            .last()
            .headers
            .iter()
            .all(|(_, value)| !value.contains("evil"))
    );
}

#[tokio::test]
async fn variants_of_one_key() {
    let origin =
        numbering("Cache-Control: max-age=600\r\nVary: X-Shade, Accept-Encoding\r\n").await;
    let node = node(&origin, "vary = { max_variants = 3 }").await;
    apart(
        &node,
        &[
            ("/v", "X-Shade: red\r\nAccept-Encoding: gzip, br\r\n"),
            (
                "/v",
                "X-Shade: red\r\nAccept-Encoding: br;q=0.5, gzip, deflate\r\n",
            ),
        ],
        &[
            ("/v", "X-Shade: blue\r\nAccept-Encoding: br, gzip\r\n"),
            ("/v", "X-Shade: red\r\n"),
        ],
    )
    .await;
    // A fourth one takes the place of the oldest.
    assert!(!is_hit(&get(&node, "/v", "X-Shade: green\r\n").await));
    for fields in [
        "X-Shade: blue\r\nAccept-Encoding: br, gzip\r\n",
        "X-Shade: red\r\n",
        "X-Shade: green\r\n",
    ] {
        assert!(is_hit(&get(&node, "/v", fields).await), "{fields}");
    }
    let oldest = get(&node, "/v", "X-Shade: red\r\nAccept-Encoding: gzip, br\r\n").await;
    assert!(!is_hit(&oldest), "{oldest:?}");
    // The origin is asked for what was compared.
    let first = &origin.seen()[0];
    let asked = first.header("accept-encoding").expect("a field").to_owned();
    assert!(asked.contains("br") && asked.contains("gzip"), "{asked}");
}

#[tokio::test]
async fn a_vary_that_changes_meets_nobody_with_another_ones_answer() {
    let origin = telling(|seen, number| {
        let vary = match number {
            0 => "Vary: X-A\r\n",
            _ => "Vary: X-B\r\n",
        };
        let of = |name| seen.header(name).unwrap_or("-").to_owned();
        let body = format!("{}/{}", of("x-a"), of("x-b"));
        (200, format!("{KEEP}{vary}"), body)
    })
    .await;
    let node = node(&origin, "").await;
    let mut wrong = Vec::new();
    for round in 0..3 {
        for (a, b) in [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")] {
            let fields = format!("X-A: {a}\r\nX-B: {b}\r\n");
            let response = get(&node, "/v", &fields).await;
            // After the first answer, X-B counts for all and X-A for none that says it alone.
            if response.text().split('/').nth(1) != Some(b) && round > 0 {
                wrong.push((a, b, response.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    for vary in ["Vary: *\r\n", "Vary: Cookie\r\n", "Vary: User-Agent\r\n"] {
        let origin = numbering(match vary {
            "Vary: *\r\n" => "Cache-Control: max-age=600\r\nVary: *\r\n",
            "Vary: Cookie\r\n" => "Cache-Control: max-age=600\r\nVary: Cookie\r\n",
            _ => "Cache-Control: max-age=600\r\nVary: User-Agent\r\n",
        })
        .await;
        let node = super::node(&origin, "").await;
        for number in ["n0", "n1"] {
            assert_eq!(get(&node, "/v", "").await.text(), number, "{vary}");
        }
    }
}

#[tokio::test]
async fn routes_and_sides_have_answers_of_their_own() {
    let (left, right) = (numbering(KEEP).await, numbering(KEEP).await);
    let more = r#"
[[upstream]]
name = "other"
endpoints = ["@right"]

[[route]]
name = "special"
headers = { x-special = "1" }
upstream = "other"
cache = "all"
"#;
    let setup = Setup::new().with("origin", left.address());
    let setup = setup.with("right", right.address());
    let node = setup.start(&config("", more)).await;
    for _ in 0..2 {
        get(&node, "/p", "").await;
    }
    let special = get(&node, "/p", "X-Special: 1\r\n").await;
    assert!(!is_hit(&special), "{special:?}");
    assert_eq!((left.seen().len(), right.seen().len()), (1, 1));
}

#[tokio::test]
async fn set_cookie_by_the_words_of_the_policy() {
    for (word, kept, sent) in [
        ("bypass", false, true),
        ("strip", true, false),
        ("keep", true, true),
    ] {
        let origin =
            numbering("Cache-Control: max-age=600\r\nSet-Cookie: id=1\r\nX-A: b\r\n").await;
        let node = node(&origin, &format!("set_cookie = \"{word}\"")).await;
        let first = get(&node, "/c", "").await;
        assert_eq!(
            first.header("set-cookie").is_some(),
            sent,
            "{word}: {first:?}"
        );
        let second = get(&node, "/c", "").await;
        assert_eq!(is_hit(&second), kept, "{word}: {second:?}");
        assert_eq!(second.header("set-cookie").is_some(), sent, "{word}");
        assert_eq!(second.header("x-a"), Some("b"));
    }
}

#[tokio::test]
async fn tags_stay_here() {
    let origin = telling(|seen, _| {
        let rule = match seen.target() {
            "/kept" => "max-age=600",
            _ => "no-store",
        };
        let fields = format!("Cache-Control: {rule}\r\nCache-Tag: a, b\r\nSurrogate-Key: c d\r\n");
        (200, fields, "tagged".to_owned())
    })
    .await;
    let node = node(&origin, "tags = [\"cache-tag\", \"surrogate-key\"]").await;
    for target in ["/kept", "/kept", "/passed"] {
        for method in ["GET", "HEAD", "POST"] {
            let response = ask(&node, method, target, "").await;
            let tags = response
                .header("cache-tag")
                .or(response.header("surrogate-key"));
            assert_eq!(tags, None, "{method} {target}");
        }
    }
}
