use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Built, Verdict};

use super::KIND;

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

/// The target that the origin gets; none when the request is refused.
fn target(table: &str, mut request: FakeRequest) -> Option<String> {
    let built = build(table).unwrap();
    match compliance::verdict(built.filter.request_head(&mut request)) {
        Verdict::Continue => Some(request.target),
        Verdict::Reply(reply) => {
            assert_eq!(
                (reply.status.as_u16(), reply.detail),
                (400, "rewrite_refused")
            );
            None
        }
        other => panic!("{other:?}"),
    }
}

fn get(table: &str, path: &str) -> String {
    target(table, FakeRequest::get(path)).unwrap()
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn prefixes_are_whole_segments() {
    let table = "strip_prefix = '/v1/'";
    for (from, to) in [
        ("/v1", "/"),
        ("/v1/", "/"),
        ("/v1/a/b?q=1", "/a/b?q=1"),
        ("/v10/a", "/v10/a"),
        ("/other", "/other"),
        ("/V1/a", "/V1/a"),
    ] {
        assert_eq!(get(table, from), to, "{from}");
    }
    assert_eq!(get("add_prefix = '/api'", "/a?x"), "/api/a?x");
    let both = "strip_prefix = '/v1'\nadd_prefix = '/api/'";
    assert_eq!(get(both, "/v1/a"), "/api/a");
}

#[test]
fn the_path_can_be_a_template() {
    let request = || FakeRequest::get("/old/a%20b?x=1").capture("rest", "a%20b");
    let table = "path = '/new/{rest}'";
    assert_eq!(target(table, request()).unwrap(), "/new/a%20b?x=1");
    assert_eq!(build(table).unwrap().filter.captures(), ["rest"]);
    assert_eq!(
        target("path = '{path}.html'", request()).unwrap(),
        "/old/a%20b.html?x=1"
    );
}

#[test]
fn values_cannot_leave_their_segment() {
    let table = "path = '/files/{header:x-dir}/a'";
    let with = |value: &str| target(table, FakeRequest::get("/").header("x-dir", value));
    assert_eq!(with("b/c?d").unwrap(), "/files/b%2Fc%3Fd/a");
    assert_eq!(with("..%2f"), Some("/files/..%252f/a".to_owned()));
    for escape in ["..", "."] {
        assert_eq!(with(escape), None, "{escape}");
    }
    // Two halves of a dot segment are one too.
    let halves = "path = '/files/{header:x-dir}{header:x-dir}/a'";
    assert_eq!(
        target(halves, FakeRequest::get("/").header("x-dir", ".")),
        None
    );
    let captured = FakeRequest::get("/").capture("rest", "%2E%2e/etc");
    assert_eq!(target("path = '/{rest}'", captured), None);
}

#[test]
fn a_regex_replaces_every_match() {
    let table = "regex = { pattern = '/(?P<k>[a-z])-(\\d+)', to = '/$2/$k' }";
    assert_eq!(get(table, "/a-1/b-22?x=a-1"), "/1/a/22/b?x=a-1");
    assert_eq!(get(table, "/none"), "/none");
    // What a replacement writes cannot begin a query.
    let table = "regex = { pattern = '-', to = '?x= #' }";
    assert_eq!(get(table, "/a-b"), "/a%3Fx=%20%23b");
    assert_eq!(
        target(
            "regex = { pattern = 'x', to = '/../' }",
            FakeRequest::get("/x")
        ),
        None
    );
    assert_eq!(
        target(
            "regex = { pattern = '^/', to = '' }",
            FakeRequest::get("/x")
        ),
        None
    );
    let grow = format!("regex = {{ pattern = '', to = '{}' }}", "y".repeat(1000));
    let long = FakeRequest::get(&format!("/{}", "x".repeat(100)));
    assert_eq!(target(&grow, long), None);
}

#[test]
fn the_query_is_edited_by_name() {
    let table = "query = { remove = ['debug'], set = { 'a b' = '{header:x-user}', page = '1' } }";
    let request = |target: &str| FakeRequest::get(target).header("x-user", "a&b=c d");
    for (from, to) in [
        ("/", "/?a%20b=a%26b%3Dc%20d&page=1"),
        (
            "/?x=1&debug&page=9&%64ebug=2&page",
            "/?x=1&a%20b=a%26b%3Dc%20d&page=1",
        ),
    ] {
        assert_eq!(target(table, request(from)).unwrap(), to, "{from}");
    }
    assert_eq!(get("query.remove = ['a']", "/p?a=1"), "/p");
    assert_eq!(get("query.remove = ['a']", "/p?&&b=%zz&"), "/p?b=%zz");
}

#[test]
fn edits_build_on_those_of_earlier_plugins() {
    let mut request = FakeRequest::get("/v1/v2/a");
    for table in ["strip_prefix = '/v1'", "strip_prefix = '/v2'"] {
        let built = build(table).unwrap();
        compliance::verdict(built.filter.request_head(&mut request));
    }
    assert_eq!(request.target, "/a");
}

#[test]
fn the_host_is_checked() {
    let host = |table: &str, request: FakeRequest| {
        let (built, mut request) = (build(table).unwrap(), request);
        compliance::verdict(built.filter.request_head(&mut request));
        request.upstream_host
    };
    let named = FakeRequest::get("/").header("x-tenant", "acme");
    let table = "host = '{header:x-tenant}.example.test:8080'";
    assert_eq!(host(table, named).unwrap(), "acme.example.test:8080");
    let bad = FakeRequest::get("/").header("x-tenant", "a/b");
    assert_eq!(host(table, bad), None);
}

#[test]
fn mistakes_are_found_when_the_configuration_is_compiled() {
    for (table, text) in [
        ("strip_prefix = 'v1'", "no prefix"),
        ("strip_prefix = '/'", "no prefix"),
        ("add_prefix = '/a b'", "no prefix"),
        ("add_prefix = '/a/..'", "no prefix"),
        ("path = 'new'", "begin with `/`"),
        ("path = '{rest}'", "begin with `/`"),
        ("path = '/a?b'", "no path may hold"),
        ("path = '/a'\nstrip_prefix = '/b'", "leave out path"),
        ("regex = { pattern = '(', to = 'x' }", "unclosed group"),
        (
            "regex = { pattern = 'a{1000}{1000}', to = 'x' }",
            "size limit",
        ),
        ("regex = { pattern = '(a)', to = '$1x' }", "no group `1x`"),
        ("regex = { pattern = '(a)', to = '$2' }", "no group `2`"),
        ("regex = { pattern = 'a' }", "missing key \"to\""),
        ("host = 'a/b'", "no host"),
        ("", "rewrites nothing"),
    ] {
        let error = build(table).err().unwrap_or_default();
        assert!(error.contains(text), "{table}: {error}");
    }
    assert!(build("regex = { pattern = '(a)', to = '${1}x$$y' }").is_ok());
}
