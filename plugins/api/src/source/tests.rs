use std::net::Ipv6Addr;

use super::*;
use crate::compliance::FakeRequest;

fn read(source: &str, request: &FakeRequest) -> Option<String> {
    let mut scratch = String::new();
    let source = Source::parse(source).unwrap();
    source.read(request, &mut scratch).map(str::to_owned)
}

fn key(source: &str, request: &FakeRequest) -> Option<Vec<u8>> {
    Source::parse(source)
        .unwrap()
        .with_key(request, <[u8]>::to_vec)
}

#[test]
fn every_word_parses_and_prints_as_it_was_written() {
    for text in [
        "client_ip",
        "host",
        "path",
        "method",
        "global",
        "consumer",
        "consumer.plan",
        "header:x-user",
        "query:page",
        "cookie:session",
    ] {
        assert_eq!(Source::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn mistakes_name_what_was_meant() {
    for (text, help) in [
        ("clientip", "did you mean `client_ip`?"),
        ("heder:x-user", "did you mean `header:NAME`?"),
        ("header", "write `header:NAME`"),
        ("cookie:", "write `cookie:NAME`"),
        ("host:www", "write `host`"),
        ("header:x user", "use letters, digits, `-` and `_`"),
        ("cookie:a;b", "use letters, digits, `-` and `_`"),
        ("query:a&b", "use letters, digits, `-` and `_`"),
    ] {
        assert_eq!(Source::parse(text).unwrap_err().help, help, "{text}");
    }
    let error = Source::parse("phase_of_the_moon").unwrap_err();
    assert!(error.help.contains("cookie:NAME"), "{}", error.help);
    assert!(Source::parse("").is_err());
}

#[test]
fn values_are_read_where_they_stand() {
    let request = FakeRequest::get("/a/b?x=1&y=two%20words&x=3&flag&%7a=z")
        .header("x-user", "ann")
        .header("x-user", "bob")
        .header("cookie", "a=1;session = s=1 ; b")
        .header("cookie", "late=x")
        .consumer("acme");
    assert_eq!(read("path", &request).unwrap(), "/a/b");
    assert_eq!(read("host", &request).unwrap(), "www.example.test");
    assert_eq!(read("method", &request).unwrap(), "GET");
    assert_eq!(read("consumer", &request).unwrap(), "acme");
    assert_eq!(read("header:X-User", &request).unwrap(), "ann");
    assert_eq!(read("query:x", &request).unwrap(), "1");
    assert_eq!(read("query:y", &request).unwrap(), "two words");
    assert_eq!(read("query:z", &request).unwrap(), "z");
    assert_eq!(read("query:flag", &request).unwrap(), "");
    assert_eq!(read("cookie:session", &request).unwrap(), "s=1");
    assert_eq!(read("cookie:late", &request).unwrap(), "x");
    assert_eq!(read("client_ip", &request).unwrap(), "192.0.2.1");
    for missing in ["header:x-none", "query:none", "cookie:b", "cookie:none"] {
        assert_eq!(read(missing, &request), None, "{missing}");
        assert_eq!(key(missing, &request), None, "{missing}");
    }
    assert_eq!(read("consumer", &FakeRequest::get("/")), None);
}

#[test]
fn ipv6_keys_are_one_per_64_bits() {
    let key_of = |ip: &str| {
        let ip: Ipv6Addr = ip.parse().unwrap();
        key("client_ip", &FakeRequest::get("/").client_ip(ip)).unwrap()
    };
    assert_eq!(key_of("2001:db8:0:1::1"), key_of("2001:db8:0:1:ffff::2"));
    assert_ne!(key_of("2001:db8:0:1::1"), key_of("2001:db8:0:2::1"));
    // An IPv4 client over a dual-stack socket is the same client.
    assert_eq!(
        key_of("::ffff:192.0.2.1"),
        key("client_ip", &FakeRequest::get("/")).unwrap()
    );
}

#[test]
fn keys_tell_apart_what_text_cannot() {
    let one = FakeRequest::get("/").header("x-user", b"\xff\xfe");
    let two = FakeRequest::get("/").header("x-user", b"\xff\xfd");
    assert_eq!(read("header:x-user", &one), read("header:x-user", &two));
    assert_ne!(key("header:x-user", &one), key("header:x-user", &two));
}

#[test]
fn broken_escapes_stay_as_they_are() {
    for (text, plain) in [
        ("a%20b", "a b"),
        ("100%", "100%"),
        ("%4", "%4"),
        ("%zz%41", "%zzA"),
        ("%%41", "%A"),
    ] {
        assert_eq!(&*percent_decode(text), plain.as_bytes(), "{text}");
    }
}
