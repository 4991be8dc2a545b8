use proptest::prelude::*;

use super::{EscapedSlash, NormalisedUri, UriPolicy, normalise, normalise_host};
use crate::protocol::http1::Reason;

const DEFAULT: UriPolicy = UriPolicy {
    escaped_slash: EscapedSlash::Keep,
    merge_slashes: true,
};

fn run(target: &[u8], policy: &UriPolicy) -> Result<String, Reason> {
    let mut uri = NormalisedUri::default();
    normalise(target, policy, &mut uri).map_err(|reject| reject.reason)?;
    Ok(uri.path_and_query(target).to_owned())
}

#[test]
fn brings_paths_to_one_form() {
    for (target, expected) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a.b/..c/d../.e", "/a.b/..c/d../.e"),
        ("/.../a", "/.../a"),
        ("/.", "/"),
        ("/..", "/"),
        ("/../..", "/"),
        ("/../a", "/a"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/../../c", "/c"),
        ("/a/b/../../../../c", "/c"),
        ("/a/b/..", "/a/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/%2e/b", "/b"),
        ("/a/..;x/b", "/a/..;x/b"),
        ("/a/..%2fb", "/a/..%2Fb"),
        ("/a%2Fb", "/a%2Fb"),
        ("/%61%7E%2d%5F%2E", "/a~-_."),
        ("/%c3%a9", "/%C3%A9"),
        ("/%C3%A9", "/%C3%A9"),
        ("/%2525", "/%2525"),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/a\\b", "/a%5Cb"),
        ("/a%5cb", "/a%5Cb"),
        ("/..\\..\\b", "/..%5C..%5Cb"),
        ("/a|b^`{}<>\"[]", "/a%7Cb%5E%60%7B%7D%3C%3E%22%5B%5D"),
        ("/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"),
        ("//", "/"),
        ("//a", "/a"),
        ("/a//b", "/a/b"),
        ("/a///", "/a/"),
        ("/a//../b", "/b"),
        ("/a/..//", "/"),
        ("/a?b", "/a?b"),
        ("/a?", "/a?"),
        ("/..?x=/../y//z", "/?x=/../y//z"),
        ("/?%zz%00%2e%61", "/?%zz%00%2e%61"),
        ("/?a[]={b}|c^`\\'", "/?a[]={b}|c^`\\'"),
        ("/?\"<>", "/?%22%3C%3E"),
        ("/?a?b", "/?a?b"),
        ("*", "*"),
        ("http://a.test", "/"),
        ("http://a.test/", "/"),
        ("http://a.test?x", "/?x"),
        ("HTTPS://a.test:8443/a/../b?c", "/b?c"),
        ("http://[::1]/x", "/x"),
    ] {
        assert_eq!(
            run(target.as_bytes(), &DEFAULT).as_deref(),
            Ok(expected),
            "{target}"
        );
    }
    assert_eq!(
        run(b"/caf\xc3\xa9?\xff", &DEFAULT).as_deref(),
        Ok("/caf%C3%A9?%FF")
    );
}

#[test]
fn follows_the_policy() {
    let with = |escaped_slash, merge_slashes, target: &str| {
        let policy = UriPolicy {
            escaped_slash,
            merge_slashes,
        };
        run(target.as_bytes(), &policy)
    };
    let decode = |target| with(EscapedSlash::Decode, true, target).unwrap();
    assert_eq!(decode("/a%2fb"), "/a/b");
    assert_eq!(decode("/a%2f..%2Fb"), "/b");
    assert_eq!(decode("/a%2f%2fb"), "/a/b");
    assert_eq!(decode("/%2f%2fb"), "/b");
    assert_eq!(decode("/a%252fb"), "/a%252fb");
    assert_eq!(decode("/a?%2f"), "/a?%2f");
    let reject = |target| with(EscapedSlash::Reject, true, target);
    assert_eq!(reject("/a%2fb"), Err(Reason::EscapedSlash));
    assert_eq!(reject("/a%2Fb"), Err(Reason::EscapedSlash));
    assert_eq!(reject("/a?%2F").as_deref(), Ok("/a?%2F"));
    let apart = |target| with(EscapedSlash::Keep, false, target).unwrap();
    assert_eq!(apart("/a//b"), "/a//b");
    assert_eq!(apart("//a"), "//a");
    assert_eq!(apart("/a//../b"), "/a/b");
    assert_eq!(apart("/a///../../b"), "/a/b");
}

#[test]
fn refuses() {
    for (target, reason) in [
        (&b""[..], Reason::BadTarget),
        (b"a", Reason::BadTarget),
        (b"*a", Reason::BadTarget),
        (b"ftp://a/", Reason::BadTarget),
        (b"http:///x", Reason::BadHost),
        (b"http://u@a/", Reason::BadHost),
        (b"/a b", Reason::BadTarget),
        (b"/a\0", Reason::BadTarget),
        (b"/a\x7f", Reason::BadTarget),
        (b"/?a\tb", Reason::BadTarget),
        (b"/#x", Reason::BadTarget),
        (b"/?x#y", Reason::BadTarget),
        (b"/%", Reason::BadEscape),
        (b"/%4", Reason::BadEscape),
        (b"/%zz", Reason::BadEscape),
        (b"/%4?1", Reason::BadEscape),
        (b"/%+1", Reason::BadEscape),
        (b"/%00", Reason::EscapedNul),
        (b"/a/../%00", Reason::EscapedNul),
    ] {
        assert_eq!(
            run(target, &DEFAULT),
            Err(reason),
            "{}",
            target.escape_ascii()
        );
    }
}

#[test]
fn reads_the_parts() {
    let mut uri = NormalisedUri::default();
    let raw = b"http://A.test:80/a//b?c=d";
    normalise(raw, &DEFAULT, &mut uri).unwrap();
    assert_eq!(uri.authority(raw), Some("A.test:80"));
    assert_eq!((uri.path(raw), uri.query(raw)), ("/a/b", Some("c=d")));
    assert!(!uri.is_verbatim());
    let raw = b"/x";
    normalise(raw, &DEFAULT, &mut uri).unwrap();
    assert_eq!(
        (uri.authority(raw), uri.path(raw), uri.query(raw)),
        (None, "/x", None)
    );
    assert!(uri.is_verbatim());
    let raw = b"/x?";
    normalise(raw, &DEFAULT, &mut uri).unwrap();
    assert_eq!((uri.path(raw), uri.query(raw)), ("/x", Some("")));
}

#[test]
fn copies_nothing_that_is_normal() {
    for target in [
        "/",
        "/a.b/c?d=%2e",
        "/%C3%A9/x%20y",
        "http://a.test/x",
        "*",
        "/a%2Fb",
    ] {
        let mut uri = NormalisedUri::default();
        normalise(target.as_bytes(), &DEFAULT, &mut uri).unwrap();
        assert!(uri.is_verbatim(), "{target}");
        let raw = target.as_bytes();
        let path = uri.path_and_query(raw).as_bytes();
        assert!(raw.as_ptr_range().contains(&path.as_ptr()), "{target}");
    }
}

#[test]
fn hosts_have_one_form() {
    for (host, expected) in [
        ("a.test", "a.test"),
        ("A.Test:80", "a.test"),
        ("a.test.", "a.test"),
        ("a.test.:80", "a.test"),
        ("a.test..", "a.test."),
        ("[2001:DB8::1]:80", "[2001:db8::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        ("127.0.0.1:1", "127.0.0.1"),
    ] {
        assert_eq!(normalise_host(host), expected, "{host}");
    }
    assert!(matches!(
        normalise_host("a.test:80"),
        std::borrow::Cow::Borrowed("a.test")
    ));
}

fn policies() -> impl Strategy<Value = UriPolicy> {
    let slashes = vec![
        EscapedSlash::Keep,
        EscapedSlash::Decode,
        EscapedSlash::Reject,
    ];
    (proptest::sample::select(slashes), any::<bool>()).prop_map(|(escaped_slash, merge_slashes)| {
        UriPolicy {
            escaped_slash,
            merge_slashes,
        }
    })
}

fn targets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(vec![
            "/", "//", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", "%41", "%25", "%", "a", "b;c", "?", "é", "%00", "[",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..3),
    ];
    proptest::collection::vec(piece, 0..14)
        .prop_map(|pieces| [b"/".to_vec(), pieces.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn is_idempotent_and_safe(target in targets(), policy in policies()) {
        if let Ok(once) = run(&target, &policy) {
            let mut uri = NormalisedUri::default();
            prop_assert!(normalise(once.as_bytes(), &policy, &mut uri).is_ok());
            prop_assert_eq!(uri.path_and_query(once.as_bytes()), once.as_str());
            prop_assert!(uri.is_verbatim(), "{} is not seen as normal", once);
            let path = uri.path(once.as_bytes());
            prop_assert!(path.starts_with('/'));
            prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert!(!(policy.merge_slashes && path.contains("//")));
            prop_assert!(once.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(once.len() <= 3 * target.len());
            let slash_free = policy.escaped_slash == EscapedSlash::Keep || !path.contains("%2F");
            prop_assert!(slash_free);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(target in proptest::collection::vec(any::<u8>(), 0..64), policy in policies()) {
        let _ = run(&target, &policy);
        let absolute = [b"http://".as_slice(), &target].concat();
        let _ = run(&absolute, &policy);
    }

    #[test]
    fn hosts_are_idempotent(host in "[A-Za-z0-9.:\\[\\]-]{0,20}") {
        // A second trailing dot or port is not legal, so only what the head reader lets through counts.
        if crate::protocol::http1::authority::Authority::parse(host.as_bytes()).is_some() && !host.contains("..") {
            let once = normalise_host(&host).into_owned();
            prop_assert_eq!(normalise_host(&once), once.as_str());
        }
    }
}
