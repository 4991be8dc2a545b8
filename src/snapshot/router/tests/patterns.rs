//! How hosts and paths are written, and what they match and capture.

use super::*;
use crate::snapshot::router::{HostError, MAX_CAPTURES, MAX_SEGMENTS, PathError};

#[test]
fn hosts_are_read_in_one_form() {
    for (text, shown) in [
        ("a.example.test", "a.example.test"),
        ("A.Example.TEST.", "a.example.test"),
        ("*.example.test", "*.example.test"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("my_service", "my_service"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0:1", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ] {
        assert_eq!(HostPattern::parse(text).unwrap().to_string(), shown);
    }
}

#[test]
fn bad_hosts_say_what_is_wrong() {
    let label = |text: &str| HostError::Label(text.to_owned());
    let long = "a".repeat(64);
    let longer = ["abcdefg."; 32].concat() + "test";
    for (text, error) in [
        ("", HostError::Empty),
        ("*", HostError::Empty),
        ("*.", HostError::Star),
        ("*example.test", HostError::Star),
        ("a.*.test", HostError::Star),
        ("*.*.test", HostError::Star),
        ("a.test:80", HostError::Port),
        ("[::1]:80", HostError::Port),
        ("[::1", HostError::Address),
        ("[::1]x", HostError::Address),
        ("bücher.example", HostError::NotAscii),
        ("a..test", label("")),
        (".test", label("")),
        ("a b.test", label("a b")),
        ("a.test/x", label("test/x")),
        (&long, label(&long)),
        (&longer, HostError::TooLong),
        ("192.0.2.256", HostError::Address),
        ("192.0.2", HostError::Address),
        ("*.0.2.1", HostError::Address),
    ] {
        assert_eq!(HostPattern::parse(text), Err(error), "{text}");
    }
}

#[test]
fn a_wildcard_stands_for_one_or_more_labels() {
    let table = router(vec![
        on(&["*.a.test"], &[]),
        on(&["[::1]", "192.0.2.7"], &[]),
    ]);
    let long = format!("{}.a.test", "x".repeat(253));
    for (host, won) in [
        ("b.a.test", Some(0)),
        ("c.b.a.test", Some(0)),
        ("a.test", None),
        (".a.test", None),
        ("ba.test", None),
        ("xa.test", None),
        ("b.a.test.c", None),
        ("", None),
        (&long, None),
        ("[::1]", Some(1)),
        ("[0:0::1]", Some(1)),
        ("::1", Some(1)),
        ("[::2]", None),
        ("192.0.2.7", Some(1)),
    ] {
        let asked = get(host, "/");
        assert_eq!(find(&table, &asked).0, won, "{host}");
        let hosts = [&table.routes[0], &table.routes[1]].map(|r| &r.matches.hosts);
        let alone = hosts.map(|hosts| hosts.iter().any(|pattern| pattern.matches(host)));
        assert_eq!(alone, [won == Some(0), won == Some(1)], "{host}");
    }
}

#[test]
fn paths_match_and_capture() {
    for (pattern, path, captured) in [
        ("/", "/", Some("")),
        ("/", "/a", None),
        ("/v1", "/v1", Some("")),
        ("/v1", "/v1/", None),
        ("/v1/", "/v1/", Some("")),
        ("/v1/", "/v1", None),
        ("/v1/*", "/v1", Some("rest=")),
        ("/v1/*", "/v1/", Some("rest=")),
        ("/v1/*", "/v1/a/b/", Some("rest=a/b/")),
        ("/v1/*", "/v1//a", Some("rest=/a")),
        ("/v1/*", "/v10", None),
        ("/v1/*", "/", None),
        ("/*", "/", Some("rest=")),
        ("/*", "/a", Some("rest=a")),
        ("/*", "*", None),
        ("/users/{id}/orders", "/users/7/orders", Some("id=7")),
        ("/users/{id}/orders", "/users//orders", None),
        ("/users/{id}/orders", "/users/7/8/orders", None),
        (
            "/users/{id}/orders",
            "/users/a%2Fb/orders",
            Some("id=a%2Fb"),
        ),
        ("/{a}", "/", None),
        ("/{a}/{b-2}/*", "/x/yy", Some("a=x b-2=yy rest=")),
        ("/{a}/{b-2}/*", "/x/yy/zzz", Some("a=x b-2=yy rest=zzz")),
        ("/é/*".trim_start_matches("/é"), "/é", Some("rest=é")),
    ] {
        let table = router(vec![on(&[], &[pattern])]);
        let (won, names) = find(&table, &get("a.test", path));
        let found = won.map(|_| names.join(" "));
        assert_eq!(found.as_deref(), captured, "{pattern} {path}");
        let alone = PathPattern::parse(pattern).unwrap();
        assert_eq!(alone.matches(path), captured.is_some(), "{pattern} {path}");
    }
}

#[test]
fn bad_paths_say_what_is_wrong() {
    let normal = |text: &str| PathError::NotNormal(text.to_owned());
    let many = "/a".repeat(MAX_SEGMENTS + 1);
    let names: String = (0..=MAX_CAPTURES).map(|n| format!("/{{n{n}}}")).collect();
    for (text, error) in [
        ("", PathError::NoSlash),
        ("v1/*", PathError::NoSlash),
        ("*", PathError::NoSlash),
        ("/*/a", PathError::StarInside),
        ("/a*", PathError::StarInside),
        ("/**", PathError::StarInside),
        ("/*/*", PathError::StarInside),
        ("/a{b}", PathError::BraceInside),
        ("/{a", PathError::BraceInside),
        ("/{a}{b}", PathError::BraceInside),
        ("/{}", PathError::Name(String::new())),
        ("/{1a}", PathError::Name("1a".to_owned())),
        ("/{a.b}", PathError::Name("a.b".to_owned())),
        ("/{host}", PathError::Reserved("host".to_owned())),
        ("/{a}/{a}", PathError::Twice("a".to_owned())),
        ("/{rest}/*", PathError::Twice("rest".to_owned())),
        ("/a?b=c", PathError::NotPath),
        ("/a#b", PathError::NotPath),
        ("/%", PathError::Escape),
        ("/%4", PathError::Escape),
        ("/%zz", PathError::Escape),
        ("/a%00", PathError::Escape),
        ("/%41%2f", normal("/A%2F")),
        ("/a b", normal("/a%20b")),
        ("/é", normal("/%C3%A9")),
        ("/a//b/*", normal("/a/b/*")),
        ("/a/./b", normal("/a/b")),
        ("/a/../b", normal("/b")),
        ("/a/%2e%2E/{b}", normal("/{b}")),
        ("/a/..", normal("/")),
        ("/..", normal("/")),
        ("/a/.", normal("/a/")),
        (&many, PathError::TooLong),
        (&names, PathError::TooLong),
    ] {
        assert_eq!(PathPattern::parse(text), Err(error), "{text}");
    }
    for text in [
        "/A%2F%25",
        "/a-b._~!$&'()+,;=:@",
        "/{a_b}/x/*",
        "/.well-known/*",
        "/..a",
    ] {
        assert_eq!(
            PathPattern::parse(text).map(|p| p.to_string()),
            Ok(text.to_owned())
        );
    }
}
