use farmgate_plugin_api::Built;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use http::{HeaderMap, StatusCode};

use super::KIND;

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

fn after(built: &Built, mut response: FakeResponse) -> HeaderMap {
    compliance::verdict(built.filter.response_head(&mut response));
    response.headers.0
}

fn over_tls(table: &str) -> HeaderMap {
    let built = build(table).unwrap();
    after(
        &built,
        FakeResponse::new(FakeRequest::get("/").https(), StatusCode::OK),
    )
}

fn names(fields: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = fields.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn without_a_word_it_sends_what_breaks_nothing() {
    let built = build("").unwrap();
    let response = || {
        FakeResponse::new(FakeRequest::get("/"), StatusCode::OK)
            .header("server", "secret/1.2")
            .header("x-powered-by", "PHP/4")
    };
    let fields = after(&built, response());
    assert_eq!(
        names(&fields),
        [
            "referrer-policy",
            "x-content-type-options",
            "x-frame-options"
        ]
    );
    assert_eq!(fields["referrer-policy"], "strict-origin-when-cross-origin");
    assert_eq!(fields["x-content-type-options"], "nosniff");
    assert_eq!(fields["x-frame-options"], "SAMEORIGIN");
    // Over TLS alone.
    let fields = over_tls("");
    assert_eq!(fields["strict-transport-security"], "max-age=31536000");
    // Our own errors are pages too; a tunnel is none.
    let error = FakeResponse::problem(
        FakeRequest::get("/").https(),
        StatusCode::BAD_GATEWAY,
        "upstream_connect",
    );
    assert!(after(&built, error).contains_key("strict-transport-security"));
    let tunnel = FakeResponse::new(FakeRequest::get("/"), StatusCode::SWITCHING_PROTOCOLS);
    assert!(after(&built, tunnel).is_empty());
}

#[test]
fn each_word_is_sent() {
    let fields = over_tls(
        "hsts = { max_age = '730d', include_subdomains = true, preload = true }\n\
         csp = \"\"\"\n default-src 'self';\n img-src data:;\n\"\"\"\n\
         csp_report_only = \"script-src 'sha256-aa='\"\nframe_ancestors = [\"'none'\"]\n\
         referrer_policy = 'no-referrer'\npermissions_policy = 'camera=(), geolocation=(self \"https://a.test\"), x=*'\n\
         opener_policy = 'same-origin'\nembedder_policy = 'require-corp'\nresource_policy = 'same-site'",
    );
    for (name, value) in [
        (
            "strict-transport-security",
            "max-age=63072000; includeSubDomains; preload",
        ),
        (
            "content-security-policy",
            "default-src 'self'; img-src data:; frame-ancestors 'none'",
        ),
        (
            "content-security-policy-report-only",
            "script-src 'sha256-aa='",
        ),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        (
            "permissions-policy",
            "camera=(), geolocation=(self \"https://a.test\"), x=*",
        ),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-site"),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
}

#[test]
fn each_word_can_be_off() {
    let off = "hsts = 'off'\ncontent_type_options = 'off'\nreferrer_policy = 'off'\n\
               frame_options = 'off'\ncsp = 'off'\npermissions_policy = 'off'";
    let error = build(&format!("{off}\nremove = []")).err().unwrap();
    assert!(error.contains("E-OPTION-004"), "{error}");
    assert!(over_tls(off).is_empty());
}

#[test]
fn frames_say_one_thing() {
    let frame = |table: &str| {
        let fields = over_tls(table);
        let value = fields.get("x-frame-options");
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        frame("frame_ancestors = [\"'self'\"]").unwrap(),
        "SAMEORIGIN"
    );
    assert_eq!(frame("frame_ancestors = ['https://a.test']"), None);
    assert_eq!(frame("csp = \"frame-ancestors https://a.test\""), None);
    let both = "frame_ancestors = ['https://a.test']\nframe_options = 'deny'";
    assert_eq!(frame(both).unwrap(), "DENY");
}

#[test]
fn an_origins_own_value_is_kept_or_replaced() {
    for (table, value) in [
        ("", "no-referrer"),
        ("override = true", "strict-origin-when-cross-origin"),
    ] {
        let built = build(table).unwrap();
        let response = FakeResponse::new(FakeRequest::get("/"), StatusCode::OK)
            .header("referrer-policy", "no-referrer");
        let fields = after(&built, response);
        let found: Vec<_> = fields.get_all("referrer-policy").iter().collect();
        assert_eq!(found, [value]);
    }
    let kept = build("remove = []").unwrap();
    let response = FakeResponse::new(FakeRequest::get("/"), StatusCode::OK).header("server", "x");
    assert_eq!(after(&kept, response)["server"], "x");
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        ("hsts = 'on'", "test.toml:1:8: "),
        ("hsts = { max_age = '5' }", "test.toml:1:20: "),
        ("hsts = { max-age = '5s' }", "\"max_age\""),
        ("hsts = { preload = true }", "test.toml:1:20: E-OPTION-001"),
        (
            "hsts = { preload = true, include_subdomains = true, max_age = '1d' }",
            "for a year",
        ),
        ("csp = ''", "is empty"),
        ("csp = 'default-scr x'", "did you mean `default-src`"),
        ("csp = 'default-src self'", "write `'self'`"),
        ("csp = \"img-src a; IMG-SRC b\"", "stands twice"),
        ("csp = \"script-src 'nonce-abc'\"", "protects nobody"),
        ("csp = \"img-src a, default-src b\"", "second policy"),
        ("csp = \"img-src ä\"", "cannot stand"),
        (
            "csp = \"frame-ancestors a\"\nframe_ancestors = ['b']",
            "test.toml:2:19: E-OPTION-001",
        ),
        ("frame_ancestors = []", "test.toml:1:19"),
        ("frame_ancestors = ['self']", "write `'self'`"),
        (
            "frame_ancestors = [\"'none'\", 'https://a.test']",
            "stands alone",
        ),
        ("frame_ancestors = ['a b']", "one source"),
        ("frame_options = 'allow'", "sameorigin"),
        ("permissions_policy = \"camera 'none'\"", "test.toml:1:22"),
        (
            "permissions_policy = 'camera=none'",
            "gives no feature a list",
        ),
        ("referrer_policy = 'none'", "test.toml:1:19"),
        ("remove = ['content-length']", "test.toml:1:11"),
        ("overide = true", "\"override\""),
    ] {
        let error = build(table).err().unwrap_or_else(|| panic!("{table}"));
        assert!(error.contains(text), "{table}: {error}");
    }
    let long = format!("csp = 'img-src {}'", "a".repeat(9000));
    assert!(build(&long).err().unwrap().contains("8192"));
}
