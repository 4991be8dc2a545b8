//! Which decisions are kept, for whom, and how long.

use super::*;
use proptest::prelude::*;

const CACHED: &str = "copy_headers = ['x-user']\n\
    cache = { key = ['header:authorization', 'header:cookie', 'method', 'path'], ttl = '30s' }";

fn by(token: &str) -> FakeRequest {
    FakeRequest::get("/a").header("authorization", token)
}

fn asked(services: &FakeServices) -> usize {
    services.sent().len()
}

#[test]
fn a_decision_is_kept_for_its_time() {
    let services = FakeServices::new();
    let built = build(CACHED, &services);
    answer(&services, 200, &[("x-user", "ann")], "");
    for _ in 0..3 {
        let mut request = by("t");
        assert!(passes(&built, &mut request));
        assert_eq!(request.headers.0["x-user"], "ann");
        assert!(!request.headers.0.contains_key("authorization"));
    }
    services.clock.advance(Duration::from_millis(29_999));
    assert!(passes(&built, &mut by("t")));
    assert_eq!((asked(&services), services.metric("cached")), (1, 3));
    services.clock.advance(Duration::from_millis(1));
    answer(&services, 403, &[], "no");
    assert_eq!(reply(&built, &mut by("t")).body, "no");
    assert_eq!(reply(&built, &mut by("t")).body, "no");
    assert_eq!((asked(&services), services.metric("cached")), (2, 4));
    assert_eq!(
        (services.metric("allowed"), services.metric("denied")),
        (4, 2)
    );
}

#[test]
fn the_query_is_neither_sent_nor_in_the_key() {
    let services = FakeServices::new();
    let built = build(CACHED, &services);
    answer(&services, 200, &[], "");
    assert!(passes(&built, &mut FakeRequest::get("/a?x=1")));
    assert!(passes(&built, &mut FakeRequest::get("/a?x=2")));
    assert_eq!(asked(&services), 1);
    let head = last(&services).head;
    assert_eq!(head.headers()["x-forwarded-uri"], "/a");
    assert_eq!(head.headers()["x-forwarded-host"], "www.example.test");
    assert!(!head.headers().contains_key("x-forwarded-for"));
}

#[test]
fn only_some_answers_are_kept() {
    let services = FakeServices::new();
    let built = build(CACHED, &services);
    let large = "x".repeat(5_000);
    let kept = |status: u16, fields: &[(&str, &str)]| {
        // A token of its own, so that nothing of before is found.
        let token = format!("{status}{fields:?}");
        let before = asked(&services);
        for _ in 0..2 {
            answer(&services, status, fields, "");
            let _ = judge(&built, &mut by(&token));
        }
        let twice = asked(&services) - before == 2;
        if !twice {
            // Take the answer back that nobody asked for.
            let _ = judge(&built, &mut by(&format!("{token} other")));
        }
        !twice
    };
    for (status, fields, expected) in [
        (200, &[][..], true),
        (403, &[], true),
        (200, &[("cache-control", "private, max-age=60")], true),
        (200, &[("set-cookie", "a=1")], false),
        (403, &[("set-cookie", "a=1")], false),
        (200, &[("cache-control", "no-store")], false),
        (
            200,
            &[
                ("cache-control", "private"),
                ("cache-control", "x=1, No-Store"),
            ],
            false,
        ),
        (403, &[("cache-control", "no-cache")], false),
        (200, &[("cache-control", "max-age=0")], false),
        (200, &[("cache-control", "max-age=soon")], false),
        (200, &[("vary", "*")], false),
        (200, &[("x-user", large.as_str())], false),
        (201, &[], false),
        (204, &[], false),
        (401, &[], false),
        (302, &[("location", "/login")], false),
        (404, &[], false),
        (503, &[], false),
    ] {
        assert_eq!(kept(status, fields), expected, "{status} {fields:?}");
    }
}

#[test]
fn the_service_may_shorten_the_time() {
    let services = FakeServices::new();
    let built = build(CACHED, &services);
    answer(&services, 200, &[("cache-control", "max-age=5")], "");
    assert!(passes(&built, &mut by("t")));
    services.clock.advance(Duration::from_secs(4));
    assert!(passes(&built, &mut by("t")));
    services.clock.advance(Duration::from_secs(1));
    answer(&services, 200, &[("cache-control", "max-age=5000")], "");
    assert!(passes(&built, &mut by("t")));
    services.clock.advance(Duration::from_secs(29));
    assert!(passes(&built, &mut by("t")));
    assert_eq!(asked(&services), 2);
    services.clock.advance(Duration::from_secs(1));
    answer(&services, 200, &[], "");
    assert!(passes(&built, &mut by("t")));
    assert_eq!(asked(&services), 3);
}

#[test]
fn every_value_that_is_sent_tells_decisions_apart() {
    let services = FakeServices::new();
    let table = "send_headers = ['authorization', 'cookie']\nforward = ['method', 'path', 'host', 'proto', 'client_ip']\n\
        cache = { key = ['header:authorization', 'header:cookie', 'method', 'path', 'client_ip', 'query:k', 'cookie:c'] }";
    let built = build(table, &services);
    let ip = |last: u16| [0x2001, 0xdb8, 0, 0, 0, 0, 0, last];
    let requests = || {
        vec![
            FakeRequest::get("/a"),
            FakeRequest::get("/b"),
            FakeRequest::get("/a").method(Method::POST),
            FakeRequest::get("/a").host("other.test"),
            FakeRequest::get("/a").https(),
            FakeRequest::get("/a?k=1"),
            FakeRequest::get("/a?k"),
            // Two addresses of one IPv6 network.
            FakeRequest::get("/a").client_ip(ip(1)),
            FakeRequest::get("/a").client_ip(ip(2)),
            by(""),
            by("x"),
            by("xy"),
            by("x").header("authorization", "y"),
            by("y").header("authorization", "x"),
            FakeRequest::get("/a").header("cookie", "x"),
            // The first field alone is that of another client.
            FakeRequest::get("/a")
                .header("cookie", "x")
                .header("cookie", "admin=1"),
            FakeRequest::get("/a")
                .header("cookie", "x")
                .header("cookie", ""),
            FakeRequest::get("/a").header("cookie", "c=1"),
            by("\u{ff}"),
            FakeRequest::get("/a").header("authorization", b"\xff"),
            FakeRequest::get("/a").header("authorization", b"\xfe"),
        ]
    };
    let count = requests().len();
    for round in 1..=2 {
        for (number, mut request) in requests().into_iter().enumerate() {
            answer(&services, 200, &[], "");
            assert!(passes(&built, &mut request));
            let expected = if round == 1 { number + 1 } else { count };
            assert_eq!(asked(&services), expected, "{number}");
        }
    }
}

#[test]
fn so_many_are_kept_and_no_more() {
    let services = FakeServices::new();
    let built = build(
        "send_headers = ['authorization']\ncache = { key = ['header:authorization', 'method', 'path'], max_entries = 10 }",
        &services,
    );
    for n in 0..10 {
        answer(&services, 200, &[], "");
        assert!(passes(&built, &mut by(&n.to_string())));
    }
    for n in 0..10 {
        assert!(passes(&built, &mut by(&n.to_string())));
    }
    assert_eq!((asked(&services), services.metric("evicted")), (10, 0));
    answer(&services, 200, &[], "");
    assert!(passes(&built, &mut by("one more")));
    assert_eq!((asked(&services), services.metric("evicted")), (11, 1));
    // What holds no longer is given up without loss.
    services.clock.advance(Duration::from_secs(31));
    for n in 20..30 {
        answer(&services, 200, &[], "");
        assert!(passes(&built, &mut by(&n.to_string())));
    }
    assert_eq!(services.metric("evicted"), 1);
}

#[test]
fn decisions_outlive_a_reload_that_changes_nothing_about_them() {
    let services = FakeServices::new();
    let built = build(CACHED, &services);
    answer(&services, 200, &[("x-user", "ann")], "");
    assert!(passes(&built, &mut by("t")));
    let same = build(&format!("{CACHED}\ntimeout = '2s'"), &services);
    assert!(passes(&same, &mut by("t")));
    assert_eq!(asked(&services), 1);
    for other in [
        CACHED.replace("x-user", "x-role"),
        CACHED.replace("30s", "40s"),
        CACHED.replace("'path']", "'path', 'global']"),
        format!("{CACHED}\nmethod = 'POST'"),
        format!("{CACHED}\nconsumer = 'x-name'"),
        format!("{CACHED}\nclient_headers = []"),
    ] {
        let before = asked(&services);
        let other = build(&other, &services);
        answer(&services, 200, &[], "");
        assert!(passes(&other, &mut by("t")));
        assert_eq!(asked(&services), before + 1);
    }
}

proptest! {
    /// Against a table that keeps everything: whoever gets a decision without a question gets the one that was made for
    /// exactly the same request, and none that is over.
    #[test]
    fn nobody_gets_the_decision_of_another(
        steps in prop::collection::vec((0_u8..6, 0_u8..3, 0_u64..20, any::<bool>()), 1..120)
    ) {
        let services = FakeServices::new();
        let built = build(&format!("{CACHED}\nmethod = 'GET'").replace("'path']", "'path']").replace("30s'", "30s', max_entries = 4"), &services);
        let mut kept = std::collections::HashMap::new();
        let mut now = 0;
        for (token, path, pause, refuse) in steps {
            services.clock.advance(Duration::from_secs(pause));
            now += pause;
            let mut request = FakeRequest::get(["/a", "/b", "/a/b"][usize::from(path)])
                .header("authorization", token.to_string());
            let before = asked(&services);
            let word = format!("{token}-{path}-{now}");
            if refuse {
                answer(&services, 403, &[("content-type", "text/plain"), ("cache-control", word.as_str())], "no");
            } else {
                answer(&services, 200, &[("x-user", word.as_str())], "");
            }
            let told = match judge(&built, &mut request) {
                Verdict::Continue => request.headers.0["x-user"].to_str().unwrap().to_owned(),
                Verdict::Reply(reply) => {
                    let (_, value) = reply.headers.iter().find(|(name, _)| name == "cache-control").unwrap();
                    value.to_str().unwrap().to_owned()
                }
                other => panic!("{other:?}"),
            };
            if asked(&services) > before {
                prop_assert_eq!(&told, &word);
                kept.insert((token, path), (now, word));
            } else {
                let (at, word) = &kept[&(token, path)];
                prop_assert_eq!(&told, word);
                prop_assert!(now < at + 30, "{} is over", at);
                // Nobody asked: the scripted answer is still there.
                let _ = judge(&built, &mut FakeRequest::get("/none").header("cookie", format!("{now}{}", asked(&services))));
            }
        }
    }
}
