//! Requests against the document of the example.

use super::*;

const API: &str = "openapi = 'example.openapi.yaml'\nbase_path = '/v1/'\n";

fn get(target: &str) -> FakeRequest {
    FakeRequest::get(target)
        .header("x-tenant", "acme")
        .header("cookie", format!("session={UUID}"))
}

fn asked(options: &str, mut request: FakeRequest) -> (String, Vec<String>) {
    let services = host();
    let built = build(&format!("{API}{options}"), &services);
    faults(ask(&built, &mut request, ""))
}

fn is(target: &str) -> Vec<String> {
    let (detail, mut all) = asked("", get(target));
    assert_eq!(detail.is_empty(), all.is_empty(), "{target}: {detail}");
    all.sort();
    all
}

#[test]
fn parameters_of_the_query_are_what_their_schemas_say() {
    assert!(is("/v1/orders").is_empty());
    assert!(
        is("/v1/orders?limit=10&state=open&state=paid&page[size]=5&page[after]=x&other=1")
            .is_empty()
    );
    assert!(is("/v1/orders?l%69mit=10").is_empty());
    assert_eq!(is("/v1/orders?limit=0"), ["query limit # minimum"]);
    assert_eq!(is("/v1/orders?limit=ten"), ["query limit # type"]);
    assert_eq!(is("/v1/orders?limit="), ["query limit # type"]);
    assert_eq!(is("/v1/orders?limit=1e2"), Vec::<String>::new());
    assert_eq!(is("/v1/orders?limit=0x10"), ["query limit # type"]);
    assert_eq!(
        is("/v1/orders?limit=1&limit=500"),
        ["query limit # duplicate"]
    );
    assert_eq!(
        is("/v1/orders?state=open&state=lost"),
        ["query state #/1 enum"]
    );
    assert_eq!(
        is("/v1/orders?state=open&state=open"),
        ["query state # uniqueItems"]
    );
    assert_eq!(
        is("/v1/orders?page[size]=51"),
        ["query page #/size maximum"]
    );
    assert_eq!(
        is("/v1/orders?page[size]=1&page[size]=2"),
        ["query page #/size duplicate"]
    );
    assert_eq!(
        is("/v1/orders?page[sort]=x&limit=101"),
        [
            "query limit # maximum",
            "query page #/sort additionalProperties"
        ]
    );
}

#[test]
fn unknown_parameters_pass_or_are_refused() {
    let strict = |target: &str| asked("unknown_query = 'refuse'", get(target));
    assert_eq!(strict("/v1/orders?limit=1&state=open&page[size]=1").0, "");
    let (detail, all) = strict("/v1/orders?limit=1&debug=1");
    assert_eq!(
        (detail.as_str(), all[0].as_str()),
        ("unknown_query", "query debug # unknown")
    );
    assert_eq!(strict("/v1/orders?limit=0&debug=1").0, "parameter_invalid");
}

#[test]
fn paths_are_found_by_their_templates() {
    assert!(is("/v1/orders/7").is_empty());
    assert_eq!(is("/v1/orders/0"), ["path id # minimum"]);
    assert_eq!(is("/v1/orders/seven"), ["path id # type"]);
    // What is written out wins.
    assert!(is("/v1/orders/latest").is_empty());
    assert!(is("/v1/orders/l%61test").is_empty());
    assert!(is("/v1/orders/1/lines/3,4.json").is_empty());
    assert_eq!(is("/v1/orders/1/lines/3,x.json"), ["path line #/1 type"]);
    // An escaped separator is part of a value.
    assert_eq!(is("/v1/orders/1/lines/3%2C4.json"), ["path line #/0 type"]);
    for unknown in [
        "/v1",
        "/v1/",
        "/orders",
        "/v1/orders/",
        "/v1/orders/1/lines/.json",
        "/v1/orders/1/lines/3",
        "/v2/orders",
    ] {
        assert_eq!(asked("", get(unknown)).0, "unknown_path", "{unknown}");
        assert_eq!(asked("unknown = 'pass'", get(unknown)).0, "", "{unknown}");
    }
}

#[test]
fn methods_are_those_of_the_document() {
    let services = host();
    let built = build(API, &services);
    let mut request = get("/v1/orders/7").method(Method::PATCH);
    let reply = ask(&built, &mut request, "").unwrap();
    assert_eq!(reply.status, 405);
    let allow = reply
        .headers
        .iter()
        .find(|(name, _)| name == "allow")
        .unwrap();
    assert_eq!(allow.1, "GET, DELETE");
    let mut head = get("/v1/orders/0").method(Method::HEAD);
    assert_eq!(faults(ask(&built, &mut head, "")).1, ["path id # minimum"]);
    assert_eq!(services.metric_by("refused", "unknown_method"), 1);
}

#[test]
fn headers_and_cookies_are_checked() {
    let request = FakeRequest::get("/v1/orders");
    assert_eq!(asked("", request).1, ["header x-tenant # required"]);
    let request = FakeRequest::get("/v1/orders").header("x-tenant", "ACME");
    assert_eq!(asked("", request).1, ["header x-tenant # pattern"]);
    // Two fields are one list, which is no tenant.
    let request = get("/v1/orders").header("x-tenant", "other");
    assert_eq!(asked("", request).1, ["header x-tenant # pattern"]);
    let request = FakeRequest::get("/v1/orders/1");
    assert_eq!(asked("", request).1, ["cookie session # required"]);
    let request = FakeRequest::get("/v1/orders/1").header("cookie", "session=1");
    assert_eq!(asked("", request).1, ["cookie session # format"]);
}

#[test]
fn bodies_are_checked_by_their_media_type() {
    let services = host();
    let built = build(API, &services);
    let ask = |kind: &str, body: &str| {
        let mut request = post("/v1/orders", kind).header("x-tenant", "acme");
        let (detail, mut all) = faults(ask(&built, &mut request, body));
        all.sort();
        (detail, all.join("; "))
    };
    let json = |body: &str| ask("application/json", body);
    let ok = (String::new(), String::new());
    assert_eq!(
        json(r#"{"customer":"a@example.test","lines":[{"sku":"ABC-1","count":2}]}"#),
        ok
    );
    assert_eq!(
        json(r#"{"customer":"a","lines":[{"sku":"ABC-1","count":0},{"sku":"x"}],"extra/1":1}"#).1,
        "body #/customer format; body #/extra~11 additionalProperties; body #/lines/0/count minimum; \
         body #/lines/1/count required; body #/lines/1/sku pattern"
    );
    // Recursion in the schema goes as deep as the body.
    let parts = r#"{"customer":"a@example.test","lines":[{"sku":"ABC-1","count":2,"parts":[{"sku":"ABC-2","count":"2"}]}]}"#;
    assert_eq!(json(parts).1, "body #/lines/0/parts/0/count type");
    let form = |body: &str| ask("application/x-www-form-urlencoded", body);
    assert_eq!(form("sku=a+b&count=2"), ok);
    assert_eq!(form("sku=a&count=none").1, "body #/count type");
    assert_eq!(form("count=2").1, "body #/sku required");
    assert_eq!(form("sku=a&sku=b").0, "body_duplicate_key");
    // Of other types only the type is checked, and the body is not waited for.
    let mut request =
        post("/v1/orders", "multipart/form-data; boundary=x").header("x-tenant", "acme");
    assert!(super::ask(&built, &mut request, "").is_none());
    assert_eq!(request.wanted_body, Some(BodyMode::None));
    let mut request = post("/v1/orders", "multipart/form-data")
        .header("x-tenant", "acme")
        .header("content-length", "0");
    assert_eq!(
        faults(super::ask(&built, &mut request, "")).0,
        "body_missing"
    );
    assert_eq!(ask("application/xml", "<a/>").0, "media_type");
    assert_eq!(json("").0, "body_missing");
}

fn with(document: &str) -> Result<Built, String> {
    let services = FakeServices::new();
    services.write_file("api.yaml", document).unwrap();
    compliance::build(KIND, "openapi = 'api.yaml'", &services)
}

/// A document with one operation whose parameter is this.
fn of(parameter: &str) -> String {
    format!(
        "openapi: 3.1.0\npaths:\n  /a/{{p}}:\n    get:\n      parameters:\n        - {parameter}\ncomponents: {{ schemas: {{ N: {{ type: [integer, 'null'] }} }} }}\n"
    )
}

#[test]
fn every_style_is_read_as_the_specification_writes_it() {
    let object = "schema: { type: object, required: [R, G], properties: { R: { type: integer }, G: { type: integer } } }";
    let array = "schema: { type: array, items: { type: integer }, minItems: 2 }";
    for (parameter, target, header, cookie, fault) in [
        (format!("{{ name: c, in: query, {object} }}"), "/a/x?R=100&G=200", "", "", ""),
        (format!("{{ name: c, in: query, {object} }}"), "/a/x?R=100&G=x", "", "", "query c #/G type"),
        (format!("{{ name: c, in: query, explode: false, {object} }}"), "/a/x?c=R,100,G,200", "", "", ""),
        (format!("{{ name: c, in: query, explode: false, {object} }}"), "/a/x?c=R,100", "", "", "query c #/G required"),
        (format!("{{ name: c, in: query, explode: false, {array} }}"), "/a/x?c=1,2", "", "", ""),
        (format!("{{ name: c, in: query, style: pipeDelimited, explode: false, {array} }}"), "/a/x?c=1|2", "", "", ""),
        (format!("{{ name: c, in: query, style: spaceDelimited, explode: false, {array} }}"), "/a/x?c=1%202", "", "", ""),
        (format!("{{ name: c, in: query, style: spaceDelimited, explode: false, {array} }}"), "/a/x?c=1+2", "", "", ""),
        (format!("{{ name: p, in: path, required: true, {array} }}"), "/a/1,2", "", "", ""),
        (format!("{{ name: p, in: path, required: true, explode: true, {object} }}"), "/a/R=1,G=2", "", "", ""),
        (format!("{{ name: p, in: path, required: true, {object} }}"), "/a/R,1,G,2", "", "", ""),
        (format!("{{ name: X-C, in: header, {array} }}"), "/a/x", "1, 2", "", ""),
        (format!("{{ name: X-C, in: header, {array} }}"), "/a/x", "1", "", "header X-C # minItems"),
        (format!("{{ name: c, in: cookie, explode: false, {array} }}"), "/a/x", "", "c=1%2C2", "cookie c # minItems; cookie c #/0 type"),
        (format!("{{ name: c, in: cookie, explode: false, {array} }}"), "/a/x", "", "c=1,2", ""),
        ("{ name: c, in: query, content: { application/json: { schema: { type: object, required: [a] } } } }".to_owned(), "/a/x?c=%7B%22b%22:1%7D", "", "", "query c #/a required"),
        ("{ name: c, in: query, content: { application/json: { schema: { type: object } } } }".to_owned(), "/a/x?c=%7B", "", "", "query c # syntax"),
        ("{ name: c, in: query, schema: { $ref: '#/components/schemas/N' } }".to_owned(), "/a/x?c=", "", "", ""),
        ("{ name: c, in: query, schema: { $ref: '#/components/schemas/N' } }".to_owned(), "/a/x?c=x", "", "", "query c # type"),
        ("{ name: c, in: query, schema: { type: boolean } }".to_owned(), "/a/x?c=true", "", "", ""),
        ("{ name: c, in: query, schema: { type: boolean } }".to_owned(), "/a/x?c=True", "", "", "query c # type"),
        ("{ name: c, in: query, schema: { const: 5 } }".to_owned(), "/a/x?c=5", "", "", ""),
        ("{ name: c, in: query, schema: { type: string } }".to_owned(), "/a/x?c=5", "", "", ""),
        // The specification leaves these fields to others.
        ("{ name: Authorization, in: header, required: true, schema: { type: integer } }".to_owned(), "/a/x", "", "", ""),
    ] {
        let built = with(&of(&parameter)).unwrap();
        let mut request = FakeRequest::get(target);
        if !header.is_empty() {
            request = request.header("x-c", header);
        }
        if !cookie.is_empty() {
            request = request.header("cookie", cookie);
        }
        let (_, all) = faults(ask(&built, &mut request, ""));
        assert_eq!(all.join("; "), fault, "{parameter} {target}");
    }
}

#[test]
fn wrong_documents_are_refused_with_their_place() {
    let schema = |schema: &str| of(&format!("{{ name: c, in: query, schema: {schema} }}"));
    for (document, text) in [
        ("openapi: 3.0.3\npaths: {}".to_owned(), "openapi must be 3.1"),
        ("openapi: 3.1.0\npaths: {}".to_owned(), "it has no operations"),
        ("a: [".to_owned(), "is no YAML"),
        ("{\"a\": }".to_owned(), "is no JSON"),
        ("{\"a\": 1, \"a\": 2}".to_owned(), "Duplicate at #/a"),
        ("openapi: 3.1.0\npaths: { '/{a}/{a}': { get: {} } }".to_owned(), "\"a\" twice"),
        ("openapi: 3.1.0\npaths: { '/{a}': { get: {} }, '/{b}': { get: {} } }".to_owned(), "matches the same paths"),
        ("openapi: 3.1.0\npaths: { 'a': { get: {} } }".to_owned(), "begins with /"),
        ("openapi: 3.1.0\npaths: { '/{a': { get: {} } }".to_owned(), "does not close its brace"),
        (of("{ name: q, in: path, schema: {} }"), "the path has no parameter \"q\""),
        (of("{ name: q, in: body }"), "#/paths/~1a~1{p}/get/parameters/0: in is path"),
        (of("{ name: p, in: path, style: matrix }"), "the style \"matrix\" is not possible"),
        (of("{ $ref: '#/components/parameters/none' }"), "there is nothing"),
        (of("{ $ref: 'https://example.test/p.yaml' }"), "only references within the file"),
        (schema("{ $ref: 'other.yaml#/a' }"), "only references within the file"),
        (schema("{ type: strnig }"), "#/paths/~1a~1{p}/get/parameters/0/schema/type"),
        (schema("{ pattern: '(?=a)b' }"), "no schema of JSON Schema 2020-12 that can be used"),
        (schema("{ pattern: '(a{1000}){1000}' }"), "no schema of JSON Schema 2020-12 that can be used"),
        (schema("{ $ref: '#/components/schemas/M' }"), "'/components/schemas/M' does not exist"),
        (
            "openapi: 3.1.0\npaths: { /a: { get: {} } }\ncomponents: { schemas: { A: { $ref: '#/components/schemas/B' }, B: { anyOf: [ { $ref: '#/components/schemas/A' } ] } } }".to_owned(),
            "goes in a circle",
        ),
    ] {
        let error = with(&document).err().unwrap();
        assert!(error.contains(text) && error.contains("E-OPTION-002"), "{document}: {error}");
    }
}
