use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Built, Verdict};

use super::KIND;

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

/// Status and place.
fn go(table: &str, mut request: FakeRequest) -> (u16, String) {
    let built = build(table).unwrap();
    let Verdict::Reply(reply) = compliance::verdict(built.filter.request_head(&mut request)) else {
        return (0, String::new());
    };
    let mut place = String::new();
    for (name, value) in &reply.headers {
        assert_eq!(name, "location");
        value.to_str().unwrap().clone_into(&mut place);
    }
    (reply.status.as_u16(), place)
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn the_query_is_kept_unless_there_is_one() {
    let request = || FakeRequest::get("/old/a%20b/c?x=1&y").capture("rest", "a%20b/c");
    let (status, place) = go("to = 'https://www.example.test/new/{rest}'", request());
    assert_eq!(status, 302);
    assert_eq!(place, "https://www.example.test/new/a%20b/c?x=1&y");
    let (status, place) = go("to = '/find?q={rest}&x={query:x}'\nstatus = 308", request());
    assert_eq!(status, 308);
    assert_eq!(place, "/find?q=a%20b/c&x=1");
    assert_eq!(go("to = '/plain'", FakeRequest::get("/")).1, "/plain");
}

#[test]
fn https_leaves_https_alone() {
    let table = "https = true\nstatus = 301";
    let plain = FakeRequest::get("/a?b").host("example.test");
    assert_eq!(
        go(table, plain),
        (301, "https://example.test/a?b".to_owned())
    );
    assert_eq!(go(table, FakeRequest::get("/a").https()).0, 0);
}

#[test]
fn no_request_chooses_the_host() {
    for rest in ["/evil.test", "//evil.test", "\\evil.test", "/\\/evil.test"] {
        let request = FakeRequest::get("/").capture("rest", rest);
        let (_, place) = go("to = '/{rest}'", request);
        assert!(
            !place.starts_with("//") && !place.starts_with("/\\"),
            "{place}"
        );
    }
    let (_, place) = go("to = '{path}'", FakeRequest::get("//evil.test/a"));
    assert_eq!(place, "/evil.test/a");
    // An empty host would make the first segment the host.
    let empty = FakeRequest::get("/evil.test").host("");
    assert_eq!(go("to = 'https://{host}{path}'", empty).0, 400);
    let odd = FakeRequest::get("/").host("a@evil.test");
    assert_eq!(go("to = 'https://{host}{path}'", odd).0, 400);
    assert_eq!(
        go("to = 'https://{host}{path}'", FakeRequest::get("*")).0,
        400
    );
}

#[test]
fn values_stay_in_their_place() {
    let request = FakeRequest::get("/?v=a%2Fb%3Fc%0d%0aset-cookie:x");
    let (_, place) = go("to = '/to/{query:v}/{header:x-none}?done'", request);
    assert_eq!(place, "/to/a%2Fb%3Fc%0D%0Aset-cookie:x/?done");
}

#[test]
fn open_redirects_do_not_compile() {
    for to in [
        "{rest}",
        "{header:x-next}",
        "//www.example.test/{rest}",
        "ftp://example.test/",
        "www.example.test/{rest}",
        "https://",
        "https://{path}",
        "https:///{path}",
        "https://{header:x-host}/",
        "https://www.example.test{rest}",
        "https://{host}{rest}",
        "https://user@{host}/",
        "https://www.example.test/#{rest}",
        "/a b",
        "/\\\\evil.test",
    ] {
        assert!(build(&format!("to = \"{to}\"")).is_err(), "{to}");
    }
    for to in [
        "/{rest}",
        "{path}",
        "https://{host}{path}",
        "https://{host}:8443{path}",
        "http://www.{host}/a/{id}",
        "https://www.example.test",
        "https://www.example.test?from={host}",
    ] {
        assert!(build(&format!("to = \"{to}\"")).is_ok(), "{to}");
    }
}

#[test]
fn other_mistakes() {
    for (table, text) in [
        ("", "needs to or https"),
        ("to = '/a'\nhttps = true", "exclude each other"),
        ("to = '/a'\nstatus = 200", "301, 302, 303, 307 or 308"),
        ("too = '/a'", "\"to\""),
    ] {
        let error = build(table).err().unwrap();
        assert!(error.contains(text), "{table}: {error}");
    }
}
