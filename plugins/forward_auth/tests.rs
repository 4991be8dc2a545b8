use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::services::ClientRequest;
use farmgate_plugin_api::{Built, Credential, Explained, Reply, Request, Verdict};
use http::{Method, Response, header};

use super::KIND;

mod caching;
mod mistakes;
mod together;

const URL: &str = "url = 'http://127.0.0.1:9009/check?from=farmgate'\n";

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, &format!("{URL}{table}"), services).unwrap()
}

/// An answer with these fields and this body.
fn answer(services: &FakeServices, status: u16, fields: &[(&str, &str)], body: &'static str) {
    let mut answer = Response::builder().status(status);
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    services.answer(Ok(answer
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap()));
}

fn judge(built: &Built, request: &mut FakeRequest) -> Verdict {
    compliance::verdict(built.filter.request_head(request))
}

fn passes(built: &Built, request: &mut FakeRequest) -> bool {
    matches!(judge(built, request), Verdict::Continue)
}

fn reply(built: &Built, request: &mut FakeRequest) -> Reply {
    match judge(built, request) {
        Verdict::Reply(reply) => *reply,
        other => panic!("{other:?}"),
    }
}

fn error(built: &Built) -> String {
    match judge(built, &mut FakeRequest::get("/")) {
        Verdict::Error(error) => error.message().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn last(services: &FakeServices) -> ClientRequest {
    services.sent().pop().unwrap()
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn the_question_says_what_it_shall_and_no_more() {
    let services = FakeServices::new();
    let built = build("timeout = '200ms'", &services);
    answer(&services, 204, &[], "");
    let mut request = FakeRequest::get("/a%20b?x=1&y")
        .method(Method::PUT)
        .https()
        .header("authorization", "Bearer t")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("content-length", "100000")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-other", "1")
        .client_ip([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]);
    assert!(passes(&built, &mut request));
    let question = last(&services);
    assert_eq!(question.head.method(), Method::GET);
    assert_eq!(
        question.head.uri(),
        "http://127.0.0.1:9009/check?from=farmgate"
    );
    assert!(question.body.is_empty());
    assert_eq!(question.timeout, Duration::from_millis(200));
    let mut fields: Vec<String> = question
        .head
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "authorization: Bearer t",
            "cookie: a=1",
            "cookie: b=2",
            "x-forwarded-for: 2001:db8::7",
            "x-forwarded-host: www.example.test",
            "x-forwarded-method: PUT",
            "x-forwarded-proto: https",
            "x-forwarded-uri: /a%20b?x=1&y",
        ]
    );
}

#[test]
fn an_upstream_is_asked_for_its_path() {
    let services = FakeServices::new();
    services.add_upstream("judge");
    let table = "upstream = 'judge'\npath = '/may?x'\nmethod = 'HEAD'\nsend_headers = []\nforward = ['path']";
    let built = compliance::build(KIND, table, &services).unwrap();
    assert_eq!(built.filter.upstreams(), [Box::<str>::from("judge")]);
    answer(&services, 200, &[], "");
    assert!(passes(
        &built,
        &mut FakeRequest::get("/p?q=1").header("cookie", "a=1")
    ));
    let question = last(&services);
    assert_eq!(
        (question.head.method(), question.head.uri().to_string()),
        (&Method::HEAD, "/may?x".to_owned())
    );
    assert_eq!(question.head.headers().len(), 1);
    assert_eq!(question.head.headers()["x-forwarded-uri"], "/p");
}

#[test]
fn who_passes_has_the_identity_of_the_answer_and_no_credential() {
    let services = FakeServices::new();
    let table = "copy_headers = ['x-auth-user', 'x-auth-role']\nconsumer = 'x-auth-user'\nplan = 'x-plan'\n\
                 send_headers = ['authorization', 'cookie', 'x-key', 'user-agent']";
    let built = build(table, &services);
    assert_eq!(
        built.filter.identity_headers(),
        ["x-auth-user", "x-auth-role"]
    );
    let secret = |name: &'static str| Credential::Header(name.parse().unwrap());
    assert_eq!(
        built.filter.credentials(),
        [secret("authorization"), secret("cookie"), secret("x-key")]
    );
    let fields = [("x-auth-user", "ann"), ("x-plan", "gold"), ("x-more", "1")];
    answer(&services, 200, &fields, "ignored");
    let mut request = FakeRequest::get("/")
        .header("authorization", "Bearer t")
        .header("cookie", "a=1")
        .header("x-key", "k")
        .header("user-agent", "curl")
        // An earlier plugin of the chain wrote it.
        .header("x-auth-role", "admin");
    assert!(passes(&built, &mut request));
    let names: Vec<&str> = request.headers.0.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["user-agent", "x-auth-user"]);
    assert_eq!(request.headers.0["x-auth-user"], "ann");
    let facts: &dyn farmgate_plugin_api::Facts = &request;
    let consumer = facts.consumer().unwrap();
    assert_eq!(
        (&*consumer.name, consumer.plan.as_deref(), consumer.by),
        ("ann", Some("gold"), "forward_auth")
    );
    assert!(!consumer.by_authorization);
    // Alone it is the Authorization field that tells who it is.
    answer(&services, 200, &fields, "");
    let mut request = FakeRequest::get("/").header("authorization", "Bearer t");
    assert!(passes(&built, &mut request));
    let facts: &dyn farmgate_plugin_api::Facts = &request;
    assert!(facts.consumer().unwrap().by_authorization);
    let kept = build("keep_credential = true", &services);
    answer(&services, 200, &[], "");
    let mut request = FakeRequest::get("/").header("authorization", "Bearer t");
    assert!(passes(&kept, &mut request));
    assert!(request.headers.0.contains_key(header::AUTHORIZATION));
}

#[test]
fn a_refusal_goes_to_the_client() {
    let services = FakeServices::new();
    let built = build("", &services);
    let fields = [
        ("www-authenticate", "Bearer"),
        ("set-cookie", "state=1"),
        ("content-type", "text/plain"),
        ("x-internal", "secret"),
        ("server", "judge"),
    ];
    answer(&services, 401, &fields, "who are you?");
    let found = reply(&built, &mut FakeRequest::get("/").header("cookie", "a=1"));
    assert_eq!(
        (found.status.as_u16(), found.detail, found.problem),
        (401, "auth_required", false)
    );
    assert_eq!(found.body, "who are you?");
    let names: Vec<&str> = found
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["www-authenticate", "set-cookie", "content-type"]);

    answer(&services, 403, &[("content-type", "text/html")], "");
    let found = reply(&built, &mut FakeRequest::get("/"));
    assert_eq!(
        (found.status.as_u16(), found.detail, found.problem),
        (403, "auth_refused", true)
    );
    assert!(found.headers.is_empty());

    answer(&services, 302, &[("location", "https://login.test/")], "");
    let found = reply(&built, &mut FakeRequest::get("/"));
    assert_eq!(
        (found.status.as_u16(), found.detail, found.problem),
        (302, "auth_redirect", false)
    );
    assert_eq!(found.headers[0].0, header::LOCATION);

    // A body in a coding that is not told would be nonsense.
    answer(&services, 403, &[("content-encoding", "gzip")], "\u{1f}");
    let found = reply(&built, &mut FakeRequest::get("/"));
    assert_eq!(found.headers[0].0, header::CONTENT_ENCODING);
    for status in [400, 404, 429, 499] {
        answer(&services, status, &[], "");
        assert_eq!(
            reply(&built, &mut FakeRequest::get("/")).status.as_u16(),
            status
        );
    }
    assert_eq!(services.metric("denied"), 8);
    assert_eq!(services.metric("failed"), 0);
}

#[test]
fn what_is_no_decision_is_a_failure() {
    let services = FakeServices::new();
    let built = build(
        "consumer = 'x-user'\ncopy_headers = ['x-user']\nclient_headers = []",
        &services,
    );
    for status in [500, 502, 503, 304, 300, 302, 101, 600] {
        answer(&services, status, &[], "");
        assert!(error(&built).contains(&status.to_string()));
    }
    assert_eq!(services.metric_by("failed", "status"), 8);
    // It redirects to nowhere the client would learn of.
    answer(&services, 302, &[("location", "/login")], "");
    assert!(error(&built).contains("client_headers"));
    for name in ["", " ", &"x".repeat(257), "a\tb"] {
        answer(&services, 200, &[("x-user", name)], "");
        assert!(error(&built).contains("x-user"), "{name:?}");
    }
    answer(&services, 200, &[("x-user", "a"), ("x-user", "b")], "");
    assert!(error(&built).contains("x-user"));
    answer(&services, 200, &[("x-user", &"x".repeat(20_000))], "");
    assert!(error(&built).contains("larger"));
    assert_eq!(services.metric_by("failed", "answer"), 7);
    services.answer(Err("the connection was refused".to_owned()));
    assert_eq!(error(&built), "the connection was refused");
    assert_eq!(services.metric_by("failed", "unreachable"), 1);
    assert_eq!(services.metric("allowed"), 0);
    assert_eq!(services.metric("waiting"), 0);
}

#[test]
fn explain_asks_nobody() {
    let services = FakeServices::new();
    let built = build(
        "send_headers = []\ncache = { key = ['method', 'path'] }",
        &services,
    );
    let mut request = FakeRequest::get("/a");
    let explain = |request: &FakeRequest| {
        let asked = Explained {
            facts: request,
            raw_target: request.raw_target(),
            route: "r",
            body: b"",
        };
        built.filter.explain(&asked).join("\n")
    };
    assert!(explain(&request).contains("http://127.0.0.1:9009/check"));
    assert!(services.sent().is_empty());
    answer(&services, 403, &[], "");
    assert_eq!(reply(&built, &mut request).status.as_u16(), 403);
    assert!(explain(&request).contains("refused with 403"));
}
