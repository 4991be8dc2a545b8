//! What operators get wrong.

use super::*;

#[test]
fn mistakes_are_placed() {
    let steps = format!("'${}'", ".a".repeat(129));
    for (table, text) in [
        ("", "missing key \"upstream\""),
        ("upstream = 'stagin'", "test.toml:1:12: E-OPTION-003"),
        ("upstream = 'staging'\nshare = '0%'", "mirrors nothing"),
        ("upstream = 'staging'\nmethods = []", "mirrors nothing"),
        (
            "upstream = 'staging'\nmethods = ['GET', 'post']",
            "test.toml:2:19: ",
        ),
        (
            "upstream = 'staging'\nmethods = ['CONNECT']",
            "cannot be mirrored",
        ),
        (
            "upstream = 'staging'\nmax_body = '65MiB'",
            "test.toml:2:12: E-OPTION-003",
        ),
        (
            "upstream = 'staging'\nmax_memory = '1KiB'",
            "test.toml:2:14: E-OPTION-003",
        ),
        ("upstream = 'staging'\nmax_memory = '5GiB'", "at most 4GiB"),
        ("upstream = 'staging'\nmax_in_flight = 0", "from 1 to 1024"),
        (
            "upstream = 'staging'\nmax_in_flight = 2000",
            "from 1 to 1024",
        ),
        (
            "upstream = 'staging'\ntimeout = '0s'",
            "test.toml:2:11: E-OPTION-003",
        ),
        ("upstream = 'staging'\ntimeout = '3m'", "at most 2m"),
        (
            "upstream = 'staging'\nredact = { json = ['$.a', 'card'] }",
            "test.toml:2:27: ",
        ),
        (
            "upstream = 'staging'\nredact = { headers = ['host'] }",
            "test.toml:2:23: ",
        ),
        (
            "upstream = 'staging'\nredact = { other_bodies = 'keep' }",
            "E-CONF-004",
        ),
        (
            "upstream = 'staging'\nredact = { bodies = 1 }",
            "E-CONF-001",
        ),
    ] {
        let error = compliance::build(KIND, table, &host())
            .err()
            .unwrap_or_default();
        assert!(error.contains(text), "{table}: {error}");
    }
    let many: Vec<String> = (0..65).map(|n| format!("'$.a{n}'")).collect();
    for (list, text) in [
        (format!("json = [{}]", many.join(",")), "at most 64"),
        (format!("query = [{}]", many.join(",")), "at most 64"),
        (format!("json = [{steps}]"), "more than 128 steps"),
    ] {
        let table = format!("upstream = 'staging'\nredact = {{ {list} }}");
        let error = compliance::build(KIND, &table, &host()).err().unwrap();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn a_body_larger_than_the_default_memory_gets_room() {
    let built = build("max_body = '64MiB'\nmethods = ['POST']", &host());
    let mut request = post("/").header("content-length", "67108864");
    let verdict = compliance::verdict(built.filter.request_head(&mut request));
    assert!(matches!(verdict, Verdict::Continue));
}
