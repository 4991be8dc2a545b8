//! Mistakes in the configuration.

use super::*;

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        (
            "report_only = true",
            "E-OPTION-001 there is nothing to check requests against",
        ),
        (
            "openapi = 'example.openapi.yaml'\nschema = 'example.schema.json'",
            "test.toml:2:10: E-OPTION-001 openapi and schema exclude each other",
        ),
        (
            "schema = 'none.json'",
            "test.toml:1:10: E-OPTION-002 none.json: cannot be read",
        ),
        ("openapi = 'example.schema.json'", "openapi must be 3.1"),
        (
            "schema = 'example.schema.json'\nunknown = 'pass'",
            "test.toml:2:11: E-OPTION-001 unknown means something with openapi only",
        ),
        (
            "schema = 'example.schema.json'\nbase_path = '/v1'",
            "base_path means something with openapi only",
        ),
        (
            "openapi = 'example.openapi.yaml'\nmethods = ['GET']",
            "methods means something with schema only",
        ),
        (
            "openapi = 'example.openapi.yaml'\nunknown = 'passs'",
            "test.toml:2:11: ",
        ),
        (
            "openapi = 'example.openapi.yaml'\nbase_path = 'v1'",
            "this is no path",
        ),
        (
            "schema = 'example.schema.json'\nmethods = ['post']",
            "test.toml:2:12: E-OPTION-003 `post` is no method",
        ),
        (
            "schema = 'example.schema.json'\nmethods = []",
            "methods holds 1 to 16",
        ),
        (
            "schema = 'example.schema.json'\ncontent_types = ['json']",
            "`json` is no media type",
        ),
        (
            "schema = 'example.schema.json'\nmax_errors = 101",
            "max_errors is from 1 to 100",
        ),
        (
            "schema = 'example.schema.json'\nmax_depth = 0",
            "max_depth is from 1 to 100",
        ),
        (
            "schema = 'example.schema.json'\nmax_values = 1000001",
            "max_values is from 1 to 1000000",
        ),
        (
            "schema = 'example.schema.json'\nmax_body = '1GiB'",
            "max_body is from 1KiB to 64MiB",
        ),
        (
            "schema = 'example.schema.json'\nstatus = 500",
            "status is from 400 to 499",
        ),
        (
            "schema = 'example.schema.json'\nduplicate_keys = 'first'",
            "test.toml:2:18: ",
        ),
    ] {
        let error = compliance::build(KIND, table, &host()).err().unwrap();
        assert!(error.contains(text), "{table}: {error}");
    }
}

#[test]
fn options_of_bodies_hold() {
    let services = host();
    let table = "schema = 'example.schema.json'\nmethods = ['DELETE']\nbody_required = false\nformats = false\n\
                 content_types = ['text/json', 'application/*']\nduplicate_keys = 'last'\nmax_depth = 1";
    let built = build(table, &services);
    let ask = |method: Method, kind: &str, body: &str| {
        let mut request = FakeRequest::get("/")
            .method(method)
            .header("content-type", kind);
        faults(ask(&built, &mut request, body)).0
    };
    assert_eq!(ask(Method::POST, "image/png", "x"), "");
    assert_eq!(ask(Method::DELETE, "application/json", ""), "");
    assert_eq!(
        ask(
            Method::DELETE,
            "application/json",
            r#"{"id":"x","id":"y","kind":"made"}"#
        ),
        ""
    );
    assert_eq!(
        ask(
            Method::DELETE,
            "application/json",
            r#"{"id":"y","kind":"made","data":{}}"#
        ),
        "body_too_deep"
    );
    // A text is a string to a schema that wants an object.
    assert_eq!(ask(Method::DELETE, "text/json", "{}"), "body_invalid");
    assert_eq!(ask(Method::DELETE, "image/png", "x"), "media_type");
}
