use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use farmgate_plugin_api::{Built, Reply, Verdict};
use http::{HeaderMap, Method, StatusCode};

use super::KIND;

const USUAL: &str = "origins = ['https://app.example.test', 'https://*.example.test']\n\
     methods = ['GET', 'POST', 'PUT']\nheaders = ['content-type', 'authorization']\n\
     expose = ['x-total']\ncredentials = true\nmax_age = '1h'\nprivate_network = true";

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

fn request(origin: &str) -> FakeRequest {
    FakeRequest::get("/x")
        .header("host", "api.example.test")
        .header("origin", origin)
}

/// The reply with which the filter ends the request.
fn reply(built: &Built, request: &mut FakeRequest) -> Option<Box<Reply>> {
    match compliance::verdict(built.filter.request_head(request)) {
        Verdict::Continue => None,
        Verdict::Reply(reply) => Some(reply),
        other => panic!("{other:?}"),
    }
}

/// The fields of an answer after the filter: an upstream's 200, or a reply.
fn answered(built: &Built, mut request: FakeRequest) -> (StatusCode, HeaderMap) {
    let reply = reply(built, &mut request);
    let mut response = FakeResponse::new(request, StatusCode::OK);
    if let Some(reply) = reply {
        response.local = true;
        response.status = reply.status;
        response.headers.0.extend(reply.headers);
    }
    compliance::verdict(built.filter.response_head(&mut response));
    (response.status, response.headers.0)
}

fn allowed(built: &Built, origin: &str) -> Option<String> {
    let (_, fields) = answered(built, request(origin));
    let value = fields.get("access-control-allow-origin")?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn preflights_of_browsers_are_answered() {
    let built = build(USUAL).unwrap();
    let text = include_str!("preflights.txt");
    let mut cases = 0;
    for block in text.split("\n\n") {
        let lines = || block.lines().filter(|line| !line.starts_with('#'));
        let name = lines().find_map(|line| line.strip_prefix("name: "));
        let name = name.unwrap();
        let mut request = FakeRequest::get("/api/items/1").method(Method::OPTIONS);
        for line in lines().filter(|line| !line.starts_with('>') && !line.starts_with("name:")) {
            let (field, value) = line.split_once(": ").unwrap();
            request = request.header(field, value);
        }
        let (status, fields) = answered(&built, request);
        for wanted in lines().filter_map(|line| line.strip_prefix("> ")) {
            if let Ok(code) = wanted.parse::<u16>() {
                assert_eq!(status, code, "{name}");
            } else if let Some(field) = wanted.strip_prefix('-') {
                assert!(!fields.contains_key(field), "{name}: {field}");
            } else {
                let (field, value) = wanted.split_once(": ").unwrap();
                let found: Vec<_> = fields.get_all(field).iter().collect();
                assert_eq!(found, [value], "{name}: {field}");
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 4);
}

#[test]
fn a_private_network_is_named_where_that_is_asked() {
    let asks = |built: &Built| {
        let request = request("https://app.example.test")
            .method(Method::OPTIONS)
            .header("access-control-request-method", "GET")
            .header("access-control-request-private-network", "true");
        let (_, fields) = answered(built, request);
        fields.contains_key("access-control-allow-private-network")
    };
    assert!(asks(&build(USUAL).unwrap()));
    assert!(!asks(
        &build("origins = ['https://app.example.test']").unwrap()
    ));
}

#[test]
fn answers_name_the_origin_that_asks() {
    let built = build(USUAL).unwrap();
    for origin in [
        "https://app.example.test",
        "https://a.example.test",
        "https://a-1.b.example.test",
    ] {
        assert_eq!(allowed(&built, origin).as_deref(), Some(origin));
    }
    for origin in [
        "https://example.test",
        "http://a.example.test",
        "https://a.example.test:8443",
        "https://.example.test",
        "https://a..example.test",
        "https://evil.test/.example.test",
        "https://evil.test#.example.test",
        "https://evil.test:80@a.example.test",
        "https://aexample.test",
        "https://app.example.test.evil.test",
        "https://APP.example.test",
        "https://a.example.test ",
        "null",
        "*",
        "",
    ] {
        assert_eq!(allowed(&built, origin), None, "{origin}");
    }
    let (_, fields) = answered(&built, request("https://app.example.test"));
    assert_eq!(fields["access-control-allow-credentials"], "true");
    assert_eq!(fields["access-control-expose-headers"], "x-total");
    assert!(!fields.contains_key("access-control-allow-methods"));
    // Two of them are from no browser.
    let two = request("https://app.example.test").header("origin", "https://a.example.test");
    let (_, fields) = answered(&built, two);
    assert!(!fields.contains_key("access-control-allow-origin"));
}

#[test]
fn what_depends_on_the_origin_says_so() {
    let built = build(USUAL).unwrap();
    for asked in [
        request("https://evil.test"),
        request("https://app.example.test"),
        FakeRequest::get("/"),
    ] {
        assert_eq!(answered(&built, asked).1["vary"], "Origin");
    }
    let mut response = FakeResponse::new(FakeRequest::get("/"), StatusCode::OK)
        .header("vary", "Accept, origin")
        .header("access-control-allow-origin", "*")
        .header("access-control-max-age", "5");
    compliance::verdict(built.filter.response_head(&mut response));
    assert_eq!(response.headers.0.get_all("vary").iter().count(), 1);
    // The upstream's own word is not heard.
    assert!(
        !response
            .headers
            .0
            .contains_key("access-control-allow-origin")
    );
    assert!(!response.headers.0.contains_key("access-control-max-age"));
    let open = build("origins = ['*']\nmethods = ['*']\nheaders = ['*']").unwrap();
    let (_, fields) = answered(&open, request("https://any.test"));
    assert_eq!(fields["access-control-allow-origin"], "*");
    assert!(!fields.contains_key("vary"));
    assert!(!fields.contains_key("access-control-allow-credentials"));
}

#[test]
fn errors_of_ours_can_be_read_too() {
    let built = build(USUAL).unwrap();
    let request = request("https://app.example.test");
    let mut response = FakeResponse::problem(request, StatusCode::UNAUTHORIZED, "no_token");
    compliance::verdict(built.filter.response_head(&mut response));
    let fields = &response.headers.0;
    assert_eq!(
        fields["access-control-allow-origin"],
        "https://app.example.test"
    );
    assert_eq!(fields["vary"], "Origin");
}

#[test]
fn other_origins_are_refused_where_that_is_wanted() {
    let services = FakeServices::new();
    let table = "origins = ['https://app.example.test']\nrefuse = true";
    let built = compliance::build(KIND, table, &services).unwrap();
    let refused = reply(&built, &mut request("https://evil.test")).unwrap();
    assert_eq!(
        (refused.status.as_u16(), refused.detail),
        (403, "origin_not_allowed")
    );
    assert_eq!(services.metric("refused"), 1);
    for mut own in [
        request("https://app.example.test"),
        // Its own host: a form of the site itself.
        request("http://api.example.test"),
        FakeRequest::get("/")
            .https()
            .header("host", "Api.example.test:443")
            .header("origin", "https://api.example.test"),
        FakeRequest::get("/"),
    ] {
        assert!(reply(&built, &mut own).is_none(), "{own:?}");
    }
    let mut other = FakeRequest::get("/")
        .https()
        .header("host", "api.example.test")
        .header("origin", "http://api.example.test");
    assert!(reply(&built, &mut other).is_some());
    assert_eq!(services.metric("unknown_origins"), 2);
}

#[test]
fn other_options_requests_go_on() {
    let built = build(USUAL).unwrap();
    let mut plain = request("https://app.example.test").method(Method::OPTIONS);
    assert!(reply(&built, &mut plain).is_none());
    let mut without = FakeRequest::get("/")
        .method(Method::OPTIONS)
        .header("access-control-request-method", "PUT");
    assert!(reply(&built, &mut without).is_none());
}

#[test]
fn null_is_possible_only_where_it_is_written() {
    let built = build("origins = ['null', 'https://a.test:443']").unwrap();
    assert_eq!(allowed(&built, "null").as_deref(), Some("null"));
    assert_eq!(
        allowed(&built, "https://a.test").as_deref(),
        Some("https://a.test")
    );
}

#[test]
fn many_origins_are_found_as_few_are() {
    let many: Vec<String> = (0..200)
        .map(|n| format!("'https://h{n}.test:8443'"))
        .collect();
    let built = build(&format!("origins = [{}]", many.join(", "))).unwrap();
    let last = "https://h199.test:8443";
    assert_eq!(allowed(&built, last).as_deref(), Some(last));
    assert_eq!(allowed(&built, "https://h200.test:8443"), None);
    let address = build("origins = ['http://[::1]:3000', 'capacitor://localhost']").unwrap();
    assert!(allowed(&address, "http://[::1]:3000").is_some());
    assert!(allowed(&address, "capacitor://localhost").is_some());
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        ("", "missing"),
        ("origins = []", "test.toml:1:11: E-OPTION-003"),
        (
            "origins = ['app.example.test']",
            "test.toml:1:12: E-OPTION-003",
        ),
        ("origins = ['https://a.test/']", "something follows"),
        ("origins = ['https://a.test:x']", "port is no number"),
        ("origins = ['https://a*.test']", "test.toml:1:12"),
        ("origins = ['https://*.']", "test.toml:1:12"),
        (
            "origins = ['https://a.test', 'HTTPS://A.test']",
            "listed twice",
        ),
        (
            "origins = ['*']\ncredentials = true",
            "E-OPTION-001 `*` with credentials",
        ),
        ("origins = ['null']\ncredentials = true", "act as the user"),
        ("origins = ['*', 'https://a.test']", "stands alone"),
        ("origins = ['*']\nmethods = ['get']", "test.toml:2:12"),
        ("origins = ['*']\nmethods = ['TRACE']", "no script"),
        ("origins = ['*']\nmethods = []", "test.toml:2:11"),
        ("origins = ['*']\nheaders = ['x y']", "test.toml:2:12"),
        ("origins = ['*']\nexpose = ['*', 'x-a']", "test.toml:2:11"),
        (
            "origins = ['https://a.test']\nheaders = ['*']\ncredentials = true",
            "by its letter",
        ),
        ("origins = ['*']\nmax_age = '2d'", "at most 1d"),
        ("origin = ['*']", "\"origins\""),
    ] {
        let error = build(table).err().unwrap_or_else(|| panic!("{table}"));
        assert!(error.contains(text), "{table}: {error}");
    }
}
