//! Mistakes in the words, each at its place and with a remedy.

use super::*;

fn said(table: &str) -> String {
    let built = compliance::build(KIND, table, &FakeServices::new());
    built.err().unwrap_or_default()
}

/// A table whose provider has these words, on its third line.
fn provider(words: &str) -> String {
    format!("[[providers]]\nissuer = 'https://i.test'\n{words}")
}

const GOOD: &str = "audiences = ['api']\njwks = { url = 'https://i.test/jwks' }";

fn top(words: &str) -> String {
    format!("{words}\n{}", provider(GOOD))
}

#[test]
fn the_good_table_is_good() {
    assert_eq!(said(&provider(GOOD)), "");
    assert_eq!(
        said(&top(
            "wait = '10s'\ncache = 1000000\nmax_token = '64KiB'\nrealm = ''"
        )),
        ""
    );
    let limits = "audiences = ['*']\nleeway = '10m'\njwks = { discovery = true, refresh = '1s', stale = '1s', refetch = '1h', timeout = '10ms' }";
    assert_eq!(said(&provider(limits)), "");
    for url in [
        "http://127.0.0.1:19008/jwks",
        "http://[::1]/j",
        "http://localhost:1/j",
        "http://127.9.9.9/j",
    ] {
        assert_eq!(
            said(&provider(&format!(
                "audiences = ['a']\njwks = {{ url = '{url}' }}"
            ))),
            "",
            "{url}"
        );
    }
    let open = "audiences = ['a']\njwks = { url = 'http://idp.lan/jwks', insecure_http = true }";
    assert_eq!(said(&provider(open)), "");
}

#[test]
fn mistakes_of_the_plugin_are_placed() {
    for (words, text) in [
        ("from = []", "test.toml:1:8: E-OPTION-003 from is empty"),
        (
            "from = ['path']",
            "test.toml:1:9: E-OPTION-003 no token stands in `path`",
        ),
        (
            "from = ['header:cookie']",
            "no token stands in `header:cookie`",
        ),
        (
            "from = ['cookie:a', 'cookie:a']",
            "test.toml:1:21: E-OPTION-003 `cookie:a` comes twice",
        ),
        ("from = 'header:authorization'", "test.toml:1:8: "),
        (
            "from = ['cookie:a','cookie:b','cookie:c','cookie:d','cookie:e','cookie:f','cookie:g','cookie:h','cookie:i']",
            "from holds 9 entries; at most 8",
        ),
        (
            "claims_to_headers = { sub = 'authorization' }",
            "test.toml:1:29: E-OPTION-001 `authorization` carries credentials",
        ),
        (
            "from = ['header:x-t']\nclaims_to_headers = { sub = 'x-t' }",
            "test.toml:2:29: E-OPTION-001 `x-t` carries",
        ),
        ("claims_to_headers = { sub = 'cookie' }", "`cookie` carries"),
        (
            "claims_to_headers = { sub = 'content-length' }",
            "cannot be edited",
        ),
        (
            "claims_to_headers = { a = 'x-a', b = 'x-a' }",
            "two claims are to be `x-a`",
        ),
        (
            "claims_to_headers = { '' = 'x-a' }",
            "a claim's name has 1 to 256 bytes",
        ),
        (
            "required_claims = ['']",
            "test.toml:1:20: E-OPTION-003 a claim's name",
        ),
        (
            "claims = { a = [] }",
            "test.toml:1:16: E-OPTION-003 no token has one of no values",
        ),
        ("claims = { a = 1.5 }", "test.toml:1:16: "),
        ("claims = { a = { b = 1 } }", "test.toml:1:16: "),
        (
            "scopes = ['read write']",
            "test.toml:1:11: E-OPTION-003 this is no scope",
        ),
        ("consumer = { nam = 'sub' }", "\"name\""),
        (
            "max_token = '65KiB'",
            "test.toml:1:13: E-OPTION-003 max_token is from 256 B to 64 KiB",
        ),
        ("max_token = '1B'", "max_token is from"),
        (
            "wait = '11s'",
            "test.toml:1:8: E-OPTION-003 wait is at most 10 s",
        ),
        (
            "cache = 1000001",
            "test.toml:1:9: E-OPTION-003 cache is from 0 to 1000000",
        ),
        (
            "realm = \"a\\nb\"",
            "realm is at most 128 bytes of printable ASCII",
        ),
        ("optionl = true", "\"optional\""),
    ] {
        let error = said(&top(words));
        assert!(error.contains(text), "{words}: {error}");
    }
    let many = (0..33)
        .map(|n| format!("'c{n}'"))
        .collect::<Vec<_>>()
        .join(",");
    for list in ["required_claims", "scopes"] {
        let error = said(&top(&format!("{list} = [{many}]")));
        assert!(error.contains("holds 33 entries; at most 32"), "{error}");
    }
    assert!(said("").contains("missing key \"providers\""));
    assert!(said("providers = []").contains("test.toml:1:13: E-OPTION-003 there is no provider"));
}

#[test]
fn mistakes_of_providers_are_placed() {
    let jwks = |words: &str| format!("audiences = ['a']\njwks = {{ {words} }}");
    for (words, text) in [
        (
            "jwks = { url = 'https://i.test/' }".to_owned(),
            "missing key \"audiences\"",
        ),
        (
            "audiences = []\nsecret = 'x'".to_owned(),
            "audiences is empty",
        ),
        (
            "audiences = ['*', 'a']\nsecret = 'x'".to_owned(),
            "test.toml:3:14: E-OPTION-001 `*` takes any",
        ),
        (
            "audiences = ['a']".to_owned(),
            "a provider needs jwks or secret",
        ),
        (
            format!("{GOOD}\nsecret = '{}'", "x".repeat(64)),
            "jwks and secret exclude each other",
        ),
        (format!("{GOOD}\nalgorithms = []"), "algorithms is empty"),
        (
            format!("{GOOD}\nalgorithms = ['RS256', 'none']"),
            "test.toml:5:24: E-CONF-005 tokens without a signature are never let in",
        ),
        (format!("{GOOD}\nalgorithms = ['RS265']"), "\"RS256\""),
        (
            format!("{GOOD}\nalgorithms = ['HS256']"),
            "HS256 takes a shared secret, and this provider has `jwks`",
        ),
        (
            "audiences = ['a']\nsecret = 'short'".to_owned(),
            "test.toml:4:10: E-OPTION-003 the secret is shorter than the 32 bytes that HS256 needs",
        ),
        (
            format!(
                "audiences = ['a']\nsecret = '{}'\nalgorithms = ['HS512']",
                "x".repeat(63)
            ),
            "shorter than the 64 bytes that HS512",
        ),
        (
            format!(
                "audiences = ['a']\nsecret = '{}'\nalgorithms = ['RS256']",
                "x".repeat(64)
            ),
            "RS256 takes a public key, and this provider has `secret`",
        ),
        (
            format!("{GOOD}\nleeway = '11m'"),
            "leeway is from 0 to 10 min",
        ),
        (
            format!("{GOOD}\ntypes = ['a','b','c','d','e','f','g','h','i']"),
            "types holds 9 entries",
        ),
        (
            format!("{GOOD}\nconsumer_prefix = '{}'", "p".repeat(65)),
            "consumer_prefix has at most 64",
        ),
        (jwks(""), "jwks has one of url, discovery, file and inline"),
        (jwks("discovery = false"), "jwks has one of"),
        (
            jwks("url = 'https://a.test/', inline = '{}'"),
            "jwks has one of",
        ),
        (
            jwks("url = 'http://idp.lan/jwks'"),
            "test.toml:4:16: E-OPTION-003 keys from idp.lan by http can be changed on their way",
        ),
        (
            jwks("url = 'http://127.0.0.1.evil.test/'"),
            "by http can be changed",
        ),
        (jwks("url = 'ftp://a.test/'"), "ftp URLs are not asked"),
        (jwks("url = '/jwks'"), "no absolute URL"),
        (
            jwks("url = 'https://u:hush@a.test/'"),
            "this URL holds credentials",
        ),
        (
            jwks("url = 'https://a.test/', upstream = 'idp'"),
            "no upstream `idp`",
        ),
        (
            jwks("url = 'https://a.test/', refresh = '500ms'"),
            "refresh is from 1 s to 24 h",
        ),
        (
            jwks("url = 'https://a.test/', refresh = '10m', stale = '5m'"),
            "stale is from refresh to 30 days",
        ),
        (
            jwks("url = 'https://a.test/', refetch = '0s'"),
            "refetch is from 1 s to 1 h",
        ),
        (
            jwks("url = 'https://a.test/', timeout = '61s'"),
            "timeout is from 10 ms to 60 s",
        ),
        (
            jwks("inline = '{\"keys\":[]}'"),
            "test.toml:4:19: E-OPTION-003 of 0 keys none can verify",
        ),
        (
            jwks("inline = 'x', refresh = '5m'"),
            "refresh is for keys that are fetched",
        ),
        (
            jwks("file = 'none.json'"),
            "test.toml:4:17: E-OPTION-002 none.json: cannot be read",
        ),
        (jwks("urls = 'https://a.test/'"), "\"url\""),
    ] {
        let error = said(&provider(&words));
        assert!(error.contains(text), "{words}: {error}");
        assert!(
            !error.contains("hush") && !error.contains("short'"),
            "{error}"
        );
    }
    let twice = provider(GOOD) + "\n" + &provider(GOOD);
    assert!(said(&twice).contains("two providers have this issuer"));
    let other = provider(GOOD) + "\n" + &provider(GOOD).replace("i.test", "j.test");
    assert!(said(&other).contains("two providers may give two people the same name"));
    let long = provider(GOOD).replace("https://i.test'", &format!("{}'", "i".repeat(1025)));
    assert!(said(&long).contains("issuer has 1 to 1024 bytes"));
}

#[test]
fn an_upstream_may_be_asked_instead() {
    let services = FakeServices::new();
    services.add_upstream("idp");
    let words = "audiences = ['a']\njwks = { url = 'http://idp.lan/jwks', upstream = 'idp' }";
    assert!(compliance::build(KIND, &provider(words), &services).is_ok());
}
