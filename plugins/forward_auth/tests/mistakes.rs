//! What operators get wrong.

use super::*;

fn fails(table: &str) -> String {
    let services = FakeServices::new();
    services.add_upstream("judge");
    compliance::build(KIND, table, &services)
        .err()
        .unwrap_or_default()
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        ("", "test.toml:1:1: E-OPTION-001"),
        (
            "url = 'http://a.test/'\nupstream = 'judge'",
            "test.toml:2:12: E-OPTION-001",
        ),
        ("upstream = 'juge'", "test.toml:1:12: E-OPTION-003"),
        (
            "upstream = 'judge'\npath = 'check'",
            "test.toml:2:8: E-OPTION-003",
        ),
        (
            "upstream = 'judge'\npath = '/a b'",
            "test.toml:2:8: E-OPTION-003",
        ),
        (
            "url = 'http://a.test/'\npath = '/x'",
            "test.toml:2:8: E-OPTION-001",
        ),
        ("url = 'https://a.test/'", "with tls"),
        ("url = 'a.test/check'", "test.toml:1:7: E-OPTION-003"),
        ("url = '/check'", "no http URL"),
        ("url = 'http://u:s3cret@a.test/'", "credentials"),
        ("url = 'http://a.test:0/'", "wrong port"),
        ("url = 'http://a.test/'\nmethod = 'PUT'", "E-CONF-004"),
        (
            "url = 'http://a.test/'\nsend_headers = ['x-forwarded-for']",
            "test.toml:2:17: E-OPTION-003",
        ),
        (
            "url = 'http://a.test/'\nsend_headers = ['cookie', 'Cookie']",
            "test.toml:2:27: E-OPTION-003",
        ),
        (
            "url = 'http://a.test/'\nsend_headers = ['content-length']",
            "test.toml:2:17: ",
        ),
        (
            "url = 'http://a.test/'\ncopy_headers = ['host']",
            "test.toml:2:17: ",
        ),
        (
            "url = 'http://a.test/'\ncopy_headers = ['x-user', 'authorization']",
            "test.toml:2:27: E-OPTION-001",
        ),
        (
            "url = 'http://a.test/'\nforward = ['method', 'method']",
            "test.toml:2:22: E-OPTION-003",
        ),
        (
            "url = 'http://a.test/'\nforward = ['uri', 'path']",
            "test.toml:2:19: E-OPTION-001",
        ),
        ("url = 'http://a.test/'\nforward = ['ip']", "E-CONF-004"),
        (
            "url = 'http://a.test/'\nplan = 'x-plan'",
            "test.toml:2:8: E-OPTION-001",
        ),
        (
            "url = 'http://a.test/'\ntimeout = '0s'",
            "test.toml:2:11: E-OPTION-003",
        ),
        ("url = 'http://a.test/'\ntimeout = '2m'", "at most 1m"),
        ("url = 'http://a.test/'\nmax_waiting = 0", "from 1 to 1024"),
        (
            "url = 'http://a.test/'\nmax_waiting = 1025",
            "from 1 to 1024",
        ),
    ] {
        let error = fails(table);
        assert!(error.contains(text), "{table}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let many: Vec<String> = (0..33).map(|n| format!("'x-{n}'")).collect();
    for list in ["send_headers", "copy_headers", "client_headers"] {
        let table = format!("url = 'http://a.test/'\n{list} = [{}]", many.join(","));
        assert!(fails(&table).contains("at most 32"), "{list}");
    }
}

#[test]
fn what_is_sent_and_not_in_the_key_is_an_error() {
    let cache = |words: &str, key: &str| {
        fails(&format!(
            "url = 'http://a.test/'\n{words}\ncache = {{ key = [{key}] }}"
        ))
    };
    let whole = "'header:authorization', 'header:cookie', 'method', 'path'";
    assert_eq!(cache("", whole), "");
    for (words, key, text) in [
        (
            "",
            "'header:authorization', 'method', 'path'",
            "the field cookie",
        ),
        (
            "",
            "'header:authorization', 'cookie:session', 'method', 'path'",
            "\"header:cookie\"",
        ),
        (
            "",
            "'header:cookie', 'method', 'path'",
            "the field authorization",
        ),
        (
            "",
            "'header:authorization', 'header:cookie', 'path'",
            "the request's method",
        ),
        (
            "",
            "'header:authorization', 'header:cookie', 'method'",
            "the request's path",
        ),
        ("forward = ['uri']", whole, "the query"),
        ("forward = ['client_ip']", whole, "the request's client_ip"),
        ("send_headers = ['x-key']", whole, "the field x-key"),
        ("", "", "without a key"),
    ] {
        let error = cache(words, key);
        assert!(
            error.contains(text) && error.contains("test.toml:3:"),
            "{words} {key}: {error}"
        );
    }
    assert_eq!(
        cache(
            "forward = ['client_ip', 'host', 'proto']",
            "'header:authorization', 'header:cookie', 'client_ip'"
        ),
        ""
    );
    assert_eq!(
        cache("send_headers = []\nforward = []", "'global'")
            .matches("E-")
            .count(),
        0
    );
    for (table, text) in [
        ("key = ['global'], ttl = '0s'", "ttl is above 0s"),
        ("key = ['global'], ttl = '61m'", "at most 1h"),
        ("key = ['global'], max_entries = 0", "from 1 to 1000000"),
        ("ttl = '1s'", "missing key \"key\""),
        ("key = ['bearer']", "unknown source"),
    ] {
        let error = fails(&format!(
            "url = 'http://a.test/'\nsend_headers = []\nforward = []\ncache = {{ {table} }}"
        ));
        assert!(error.contains(text), "{table}: {error}");
    }
    let many: Vec<String> = (0..17).map(|n| format!("'query:{n}'")).collect();
    let error = fails(&format!(
        "url = 'http://a.test/'\nsend_headers = []\nforward = []\ncache = {{ key = [{}] }}",
        many.join(",")
    ));
    assert!(error.contains("at most 16"), "{error}");
}
