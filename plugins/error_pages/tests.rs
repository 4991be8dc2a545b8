use farmgate_plugin_api::Built;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use http::StatusCode;

use super::KIND;
use super::page::Page;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

fn own(accept: &str, status: u16, detail: &'static str) -> FakeResponse {
    let status = StatusCode::from_u16(status).unwrap();
    FakeResponse::problem(
        FakeRequest::get("/").header("accept", accept),
        status,
        detail,
    )
}

fn origins(accept: &str, status: u16) -> FakeResponse {
    let status = StatusCode::from_u16(status).unwrap();
    FakeResponse::new(FakeRequest::get("/").header("accept", accept), status)
        .header("content-type", "text/plain")
}

/// The response after the filter, and its new body; none if it keeps its own.
fn after(built: &Built, mut response: FakeResponse) -> (FakeResponse, Option<String>) {
    compliance::verdict(built.filter.response_head(&mut response));
    let body = response.body.clone();
    let body = body.map(|body| String::from_utf8(body.to_vec()).unwrap());
    (response, body)
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn browsers_get_a_page_and_programs_the_problem() {
    let built = build("").unwrap();
    let (response, body) = after(&built, own(BROWSER, 503, "upstream_connect"));
    let body = body.unwrap();
    assert!(body.contains("<h1>Service Unavailable</h1>"), "{body}");
    assert!(body.contains("503, upstream_connect, request 0123456789abcdef"));
    let fields = &response.headers.0;
    assert_eq!(fields["content-type"], "text/html; charset=utf-8");
    assert_eq!(fields["cache-control"], "no-store");
    assert_eq!(fields["vary"], "Accept");
    for accept in [
        "*/*",
        "application/json",
        "application/problem+json, text/html;q=0.9",
        "text/html;q=0, */*",
        "text/html;q=0",
        "text/html, application/json",
        "image/png",
        "",
        "\u{ff};;;,,q=",
    ] {
        let (response, body) = after(&built, own(accept, 404, "no_route"));
        assert_eq!(body, None, "{accept}");
        assert_eq!(response.headers.0["vary"], "Accept");
        assert_eq!(
            response.headers.0["content-type"],
            "application/problem+json"
        );
    }
    for accept in [
        "text/html",
        "TEXT/HTML;q=0.1",
        "text/*;q=0.5, */*;q=0.4",
        "text/html, */*",
    ] {
        assert!(
            after(&built, own(accept, 404, "no_route")).1.is_some(),
            "{accept}"
        );
    }
}

#[test]
fn a_status_wins_over_its_class() {
    let built = build(
        "pages = [{ status = '5xx', html = 'class {{ status }}' },\n\
         { status = [503, '404'], html = 'own {{ status }}' }]",
    )
    .unwrap();
    for (status, expected) in [
        (500, Some("class 500")),
        (599, Some("class 599")),
        (503, Some("own 503")),
        (404, Some("own 404")),
        (400, None),
    ] {
        let (_, body) = after(&built, own(BROWSER, status, "x"));
        assert_eq!(body.as_deref(), expected, "{status}");
    }
}

#[test]
fn only_errors_of_our_own_unless_more_is_asked() {
    let built = build("").unwrap();
    let mut replied = own(BROWSER, 503, "respond");
    replied
        .headers
        .0
        .insert("content-type", "text/plain".parse().unwrap());
    for response in [replied, origins(BROWSER, 500), own(BROWSER, 200, "x")] {
        let (response, body) = after(&built, response);
        assert!(
            body.is_none() && !response.headers.0.contains_key("vary"),
            "{response:?}"
        );
    }
    let both = build("origin = true").unwrap();
    let response = origins(BROWSER, 500)
        .header("etag", "\"x\"")
        .header("content-encoding", "gzip")
        .header("cache-control", "max-age=60")
        .header("retry-after", "5")
        .header("set-cookie", "a=b");
    let (response, body) = after(&both, response);
    assert!(body.unwrap().contains("<h1>Internal Server Error</h1>"));
    let mut left: Vec<_> = response
        .headers
        .0
        .keys()
        .map(|name| name.as_str())
        .collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "cache-control",
            "content-type",
            "retry-after",
            "set-cookie",
            "vary"
        ]
    );
    let (response, body) = after(&both, origins("application/json", 502));
    let body: serde_json::Value = serde_json::from_str(&body.unwrap()).unwrap();
    let expected = serde_json::json!({ "type": "about:blank", "title": "Bad Gateway", "status": 502,
        "request_id": "0123456789abcdef" });
    assert_eq!(body, expected);
    assert_eq!(
        response.headers.0["content-type"],
        "application/problem+json"
    );
    assert!(after(&both, origins(BROWSER, 200)).1.is_none());
    let mut grpc = origins(BROWSER, 500);
    grpc.headers
        .0
        .insert("content-type", "application/grpc".parse().unwrap());
    assert!(after(&both, grpc).1.is_none());
}

#[test]
fn values_never_break_out() {
    use farmgate_plugin_api::Request;
    let built =
        build("pages = [{ status = '4xx', html = '<p title=\"{{ request_id }}\">' }]").unwrap();
    let mut response = own(BROWSER, 400, "x");
    assert!(response.request.set_id("\"><script>alert(1)</script>"));
    let (_, body) = after(&built, response);
    let body = body.unwrap();
    assert!(
        !body.contains("<script") && body.contains("&quot;&gt;&lt;script&gt;"),
        "{body}"
    );
    let both = build("origin = true").unwrap();
    let mut response = origins("application/json", 500);
    assert!(response.request.set_id("a\"b\\c"));
    let body: serde_json::Value = serde_json::from_str(&after(&both, response).1.unwrap()).unwrap();
    assert_eq!(body["request_id"], "abc");
}

#[test]
fn files_are_followed_and_the_last_good_one_stays() {
    let services = FakeServices::new();
    services
        .write_file("p/404.html", "one {{ status }}")
        .unwrap();
    let table = "pages = [{ status = 404, file = 'p/404.html' }]";
    let built = compliance::build(KIND, table, &services).unwrap();
    let shown = || after(&built, own(BROWSER, 404, "x")).1.unwrap();
    assert_eq!(shown(), "one 404");
    services.write_file("p/404.html", "two").unwrap();
    assert_eq!(shown(), "two");
    let error = services.write_file("p/404.html", "\n{% if %}").unwrap_err();
    assert!(error.starts_with("line 2: "), "{error}");
    assert!(services.write_file("p/404.html", b"\xff").is_err());
    assert_eq!(shown(), "two");
}

#[test]
fn templates_are_bounded() {
    let endless =
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
    let error = Page::compile(endless).err().unwrap();
    assert!(error.contains("fuel"), "{error}");
    let large = format!(
        "{{% for a in range(9000) %}}{}{{% endfor %}}",
        "x".repeat(100)
    );
    assert!(Page::compile(&large).is_err());
    assert!(Page::compile(&"x".repeat(300_000)).is_err());
    assert!(Page::compile(&"x".repeat(200_000)).is_ok());
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        ("pages = []", "test.toml:1:9: E-OPTION-003"),
        ("pages = [{ status = 404 }]", "test.toml:1:10: E-OPTION-001"),
        (
            "pages = [{ status = 404, html = '', file = 'x' }]",
            "test.toml:1:44: E-OPTION-001",
        ),
        (
            "pages = [{ status = 404, file = 'none' }]",
            "test.toml:1:33: E-OPTION-002 none: ",
        ),
        (
            "pages = [{ status = 200, html = '' }]",
            "200 is no status of an error",
        ),
        (
            "pages = [{ status = '3xx', html = '' }]",
            "\"3xx\" is no status",
        ),
        (
            "pages = [{ status = -404, html = '' }, { status = [404, 404], html = '' }]",
            "404 has a page already",
        ),
        ("pages = [{ status = [], html = '' }]", "test.toml:1:21"),
        ("pages = [{ html = '' }]", "status"),
        (
            "pages = [{ status = 404, html = '{{ statu }}' }]",
            "`statu` is nothing",
        ),
        (
            "pages = [{ status = 404, html = '{% if x' }]",
            "test.toml:1:33: E-OPTION-003",
        ),
        (
            "pages = [{ status = 404, html = '{{ title|safe }}' }]",
            "line 1: unknown filter",
        ),
        (
            "pages = [{ status = 404, html = '{%- autoescape false %}{% endautoescape %}' }]",
            "escaped always",
        ),
        (
            "pages = [{ status = 404, html = \"{% include 'x' %}\" }]",
            "test.toml:1:33",
        ),
        ("pages = [{ status = 404, text = '' }]", "\"text\""),
        ("origins = true", "\"origin\""),
    ] {
        let error = build(table).err().unwrap_or_else(|| panic!("{table}"));
        assert!(error.contains(text), "{table}: {error}");
    }
}
