use super::*;
use crate::cache::asked::{Identity, Request};
use crate::cache::cases;
use http::Method;

const WALL_S: u64 = 1_767_225_600;

const KEY: KeyView<'static> = KeyView {
    scheme: "https",
    host: "a.test",
    path: "/p",
    query: None,
    route: "r",
    side: "u",
};

/// What a request asks, and whether it is odd.
fn asked(method: &str, text: &str, has_body: bool) -> (Asked, bool) {
    let fields = cases::fields(text);
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let request = Request {
        method: &method,
        fields: &fields,
        target_bytes: 2,
        has_body,
        identity: Identity::None,
    };
    (Asked::read(&request, false), request.is_odd())
}

fn judged(
    (asked, odd): &(Asked, bool),
    status: u16,
    text: &str,
    policy: &Policy,
) -> Result<Plan, Refusal> {
    let fields = cases::fields(text);
    let response = Response {
        status: StatusCode::from_u16(status).expect("a status"),
        fields: &fields,
        received: Received {
            request_ms: 1_000_000,
            response_ms: 1_000_100,
            wall_s: WALL_S,
        },
    };
    judge(asked, *odd, &response, &KEY, policy)
}

fn policies() -> [(&'static str, Policy); 7] {
    let default = Policy::default();
    [
        ("-", default.clone()),
        (
            "strip",
            Policy {
                set_cookie: SetCookie::Strip,
                ..default.clone()
            },
        ),
        (
            "keep",
            Policy {
                set_cookie: SetCookie::Keep,
                ..default.clone()
            },
        ),
        (
            "small",
            Policy {
                max_object_bytes: 10,
                ..default.clone()
            },
        ),
        (
            "tags",
            Policy {
                tags: vec![HeaderName::from_static("cache-tag")],
                ..default.clone()
            },
        ),
        (
            "404",
            Policy {
                ttl: crate::cache::policy::Ttl {
                    status: vec![(StatusCode::NOT_FOUND, 10)],
                    ..default.ttl.clone()
                },
                ..default.clone()
            },
        ),
        (
            "stale",
            Policy {
                stale_while_revalidate_s: 30,
                stale_if_error_s: 60,
                ..default
            },
        ),
    ]
}

#[test]
fn every_case() {
    let policies = policies();
    for case in cases::rows(include_str!("../cases/storable.txt"), 5) {
        let [want, status, policy, request, response] = case.columns.as_slice() else {
            panic!("line {}: five columns", case.line);
        };
        let (_, policy) = policies
            .iter()
            .find(|(name, _)| name == policy)
            .expect("a policy of the list");
        let status = status.trim().parse().expect("a status");
        let (method, fields) = request.split_once(' ').unwrap_or((request, ""));
        let (method, has_body) = match method.strip_suffix('+') {
            Some(method) => (method, true),
            None => (method, false),
        };
        let got = match judged(&asked(method, fields, has_body), status, response, policy) {
            Ok(plan) => format!("{}s", plan.meta.lifetime_s),
            Err(refusal) => refusal.as_str().to_owned(),
        };
        assert_eq!(&got, want, "line {}: {response:?}", case.line);
    }
}

#[test]
fn stale_windows() {
    let get = asked("GET", "", false);
    let policies = policies();
    let (_, policy) = policies.last().expect("the list is not empty");
    for (swr, sie, text) in [
        (30, 60, "Cache-Control: max-age=10"),
        (5, 60, "Cache-Control: max-age=10, stale-while-revalidate=5"),
        (30, 7, "Cache-Control: max-age=10, stale-if-error=7"),
        (
            0,
            0,
            "Cache-Control: max-age=10, stale-if-error=0, stale-while-revalidate=x",
        ),
        (0, 0, "Cache-Control: max-age=10, must-revalidate"),
        (
            0,
            0,
            "Cache-Control: max-age=10, proxy-revalidate, stale-if-error=60",
        ),
        (0, 0, "Cache-Control: max-age=10, no-cache\nETag: \"a\""),
        // s-maxage forbids our windows, not the origin's own.
        (0, 0, "Cache-Control: s-maxage=10"),
        (5, 0, "Cache-Control: s-maxage=10, stale-while-revalidate=5"),
        // Ours are for what once was fresh.
        (0, 0, "Cache-Control: max-age=0\nETag: \"a\""),
        (
            0,
            9,
            "Cache-Control: max-age=0, stale-if-error=9\nETag: \"a\"",
        ),
        (
            30,
            60,
            "CDN-Cache-Control: max-age=10\nCache-Control: must-revalidate",
        ),
    ] {
        let plan = judged(&get, 200, text, policy).expect("stored");
        assert_eq!(
            (
                plan.meta.stale_while_revalidate_s,
                plan.meta.stale_if_error_s
            ),
            (swr, sie),
            "{text}"
        );
    }
}

#[test]
fn what_is_kept() {
    let get = asked("GET", "Authorization: x", false);
    let text = "Cache-Control: public, max-age=60, immutable, no-transform, private=\"x-user\"\nVary: Foo\nCache-Tag: a, b\n\
                ETag: \"a\"\nLast-Modified: Thu, 01 Jan 2015 00:00:00 GMT\nSet-Cookie: a=b\nDate: Thu, 01 Jan 2026 00:00:00 GMT";
    let policy = Policy {
        set_cookie: SetCookie::Strip,
        tags: vec![HeaderName::from_static("cache-tag")],
        ..Policy::default()
    };
    let plan = judged(&get, 200, text, &policy).expect("stored");
    let meta = plan.meta;
    assert_eq!(meta.received_ms, 1_000_100);
    assert_eq!(meta.initial_age_ms, 100);
    assert_eq!(meta.date_s, Some(WALL_S));
    assert_eq!(meta.last_modified_s, Some(1_420_070_400));
    assert_eq!(meta.marks.tags.len(), 2);
    assert_eq!(meta.vary.names(), [HeaderName::from_static("foo")]);
    let all = Flags::IMMUTABLE
        .with(Flags::NO_TRANSFORM)
        .with(Flags::AUTHENTICATED)
        .with(Flags::VALIDATOR);
    assert_eq!(meta.flags, all);
    assert_eq!(
        plan.left_out,
        [HeaderName::from_static("x-user"), SET_COOKIE]
    );
}

#[test]
fn a_type_must_fit_its_extension_where_the_policy_asks_for_it() {
    let policy = Policy::default();
    let key = KeyView {
        path: "/account/x.css",
        ..KEY
    };
    let judged = |policy: &Policy, status: u16, text: &str| {
        let fields = cases::fields(&format!("Cache-Control: max-age=60\n{text}"));
        let response = Response {
            status: StatusCode::from_u16(status).expect("a status"),
            fields: &fields,
            received: Received::default(),
        };
        let (asked, odd) = asked("GET", "", false);
        judge(&asked, odd, &response, &key, policy).map(|_| ())
    };
    assert_eq!(judged(&policy, 200, "Content-Type: text/css"), Ok(()));
    assert_eq!(
        judged(&policy, 200, "Content-Type: text/html"),
        Err(Refusal::ContentType)
    );
    assert_eq!(judged(&policy, 200, ""), Err(Refusal::ContentType));
    let two = "Content-Type: text/css\nContent-Type: text/html";
    assert_eq!(judged(&policy, 200, two), Err(Refusal::ContentType));
    // Errors are pages.
    assert_eq!(judged(&policy, 404, "Content-Type: text/html"), Ok(()));
    let off = Policy {
        match_content_type: false,
        ..policy
    };
    assert_eq!(judged(&off, 200, "Content-Type: text/html"), Ok(()));
}

#[test]
fn a_body_that_ends_early_is_not_whole() {
    let of = |text: &str, bytes, clean| is_whole(&cases::fields(text), bytes, clean);
    assert!(of("Content-Length: 5", 5, true));
    assert!(of("", 5, true));
    assert!(of("Content-Length: 5\nContent-Length: 5", 5, true));
    assert!(!of("Content-Length: 5", 4, true));
    assert!(!of("Content-Length: 5", 6, true));
    assert!(!of("Content-Length: 5", 5, false));
    assert!(!of("", 5, false));
    assert_eq!(
        content_length(&cases::fields("Content-Length: 5\nContent-Length: 6")),
        None
    );
    assert_eq!(content_length(&cases::fields("Content-Length: +5")), None);
    assert_eq!(content_length(&cases::fields("Content-Length:")), None);
}
