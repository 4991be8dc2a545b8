use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::services::ClientRequest;
use farmgate_plugin_api::{Built, Outcome, Verdict};
use http::{Method, Response, StatusCode};

use super::KIND;

mod json;
mod mistakes;

/// A host with the upstream `staging`, whose answers are all 200.
fn host() -> FakeServices {
    let services = FakeServices::new();
    services.add_upstream("staging");
    services
}

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, &format!("upstream = 'staging'\n{table}"), services).unwrap()
}

fn post(target: &str) -> FakeRequest {
    FakeRequest::get(target).method(Method::POST)
}

/// A request through its phases; the body in pieces.
fn pass(built: &Built, mut request: FakeRequest, pieces: &[&'static [u8]]) -> FakeRequest {
    let verdict = compliance::verdict(built.filter.request_head(&mut request));
    assert!(matches!(verdict, Verdict::Continue));
    chunks(built, &mut request, pieces, true);
    over(built, &mut request, "ok", pieces.concat().len());
    request
}

fn chunks(built: &Built, request: &mut FakeRequest, pieces: &[&'static [u8]], end: bool) {
    for piece in pieces {
        let mut chunk = Some(Bytes::from_static(piece));
        built
            .filter
            .request_chunk(request, &mut chunk, false)
            .unwrap();
        assert_eq!(chunk.as_deref(), Some(*piece));
    }
    if end {
        built
            .filter
            .request_chunk(request, &mut None, true)
            .unwrap();
    }
}

fn over(built: &Built, request: &mut FakeRequest, reason: &'static str, bytes_in: usize) {
    let outcome = Outcome {
        status: Some(StatusCode::OK),
        reason,
        bytes_in: bytes_in as u64,
        bytes_out: 2,
        total_us: 1,
    };
    built.filter.log(request, &outcome);
}

/// The only copy that was sent.
fn only(services: &FakeServices) -> ClientRequest {
    services.answer(Ok(Response::new(Bytes::new())));
    services.run_background();
    let mut sent = services.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0)
}

fn dropped(services: &FakeServices, reason: &str) -> u64 {
    services.run_background();
    services.metric_by("dropped", reason)
}

#[test]
fn complies() {
    assert_eq!(compliance::failures(KIND, &host), Vec::<String>::new());
}

#[test]
fn a_copy_is_what_the_origin_gets() {
    let services = host();
    let built = build("methods = ['POST']", &services);
    assert_eq!(built.filter.upstreams(), [Box::<str>::from("staging")]);
    let mut request = post("/a/b?x=1")
        .header("x-one", "1")
        .header("x-one", "2")
        .header("host", "www.example.test:8080")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-real-ip", "203.0.113.9")
        .header("authorization", "Bearer s3cret")
        .header("cookie", "session=s3cret");
    request.target = "/b?x=1".to_owned();
    pass(&built, request, &[b"ab", b"", b"cd"]);
    // Nothing left while the request was served.
    assert!(services.sent().is_empty());
    assert_eq!(services.metric("in_flight"), 1);
    let copy = only(&services);
    assert_eq!(services.metric("in_flight"), 0);
    assert_eq!(copy.head.method(), Method::POST);
    assert_eq!(copy.head.uri(), "/b?x=1");
    assert_eq!(copy.body, "abcd");
    assert_eq!(copy.timeout, std::time::Duration::from_secs(10));
    let headers = copy.head.headers();
    let all: Vec<_> = headers.get_all("x-one").iter().collect();
    assert_eq!(all, ["1", "2"]);
    assert_eq!(headers["x-farmgate-mirror"], "1");
    assert_eq!(headers["x-request-id"], "0123456789abcdef");
    assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "www.example.test:8080");
    assert_eq!(headers["host"], "www.example.test:8080");
    for name in ["authorization", "cookie", "x-real-ip"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(services.metric("sent"), 1);
}

#[test]
fn the_share_and_the_methods_decide() {
    let services = host();
    let built = build("share = '5%'", &services);
    for _ in 0..10_000 {
        pass(&built, FakeRequest::get("/"), &[]);
        services.run_background();
        pass(&built, post("/"), &[b"x"]);
    }
    let mirrored = services.sent().len();
    assert!((420..=580).contains(&mirrored), "{mirrored}");
    // No answer was scripted: all failed, and nobody noticed.
    assert_eq!(services.metric("failed"), i64::try_from(mirrored).unwrap());
    assert_eq!(services.metric("dropped"), 0);
}

#[test]
fn a_larger_body_is_not_mirrored() {
    let services = host();
    let built = build("methods = ['POST']\nmax_body = '4B'", &services);
    pass(&built, post("/").header("content-length", "5"), &[b"abcde"]);
    assert_eq!(dropped(&services, "body"), 1);
    pass(&built, post("/"), &[b"abcd", b"e", b"f"]);
    assert_eq!(dropped(&services, "body"), 2);
    assert!(services.sent().is_empty());
    pass(&built, post("/").header("content-length", "4"), &[b"abcd"]);
    assert_eq!(only(&services).body, "abcd");
}

#[test]
fn memory_is_bounded_and_given_back() {
    let services = host();
    let built = build(
        "methods = ['POST']\nmax_body = '4B'\nmax_memory = '8B'",
        &services,
    );
    let mut held: Vec<FakeRequest> = (0..3).map(|_| post("/")).collect();
    for request in &mut held {
        let _ = compliance::verdict(built.filter.request_head(request));
        chunks(&built, request, &[b"abcd"], false);
    }
    assert_eq!(dropped(&services, "memory"), 1);
    // One client leaves, one body ends: the room of the first is free at once, the other's once it was sent.
    let mut last = held.pop().unwrap();
    over(&built, &mut last, "client_closed", 4);
    assert_eq!(services.metric_by("dropped", "unfinished"), 0);
    let mut second = held.pop().unwrap();
    over(&built, &mut second, "client_closed", 4);
    assert_eq!(services.metric_by("dropped", "unfinished"), 1);
    drop(second);
    chunks(&built, &mut held[0], &[], true);
    pass(&built, post("/"), &[b"efgh"]);
    assert_eq!(services.metric_by("dropped", "memory"), 1);
    pass(&built, post("/"), &[b"x"]);
    assert_eq!(services.metric_by("dropped", "memory"), 2);
    assert_eq!(services.run_background(), 2);
    pass(&built, post("/"), &[b"ijkl"]);
    pass(&built, post("/"), &[b"mnop"]);
    assert_eq!(services.metric_by("dropped", "memory"), 2);
    assert_eq!(services.run_background(), 2);
}

#[test]
fn so_many_are_in_flight_and_no_more() {
    let services = host();
    let built = build("max_in_flight = 2", &services);
    for _ in 0..5 {
        pass(&built, FakeRequest::get("/"), &[]);
    }
    assert_eq!(services.metric("in_flight"), 2);
    assert_eq!(services.metric_by("dropped", "busy"), 3);
    assert_eq!(services.run_background(), 2);
    assert_eq!(services.metric("in_flight"), 0);
    // The node itself has no place.
    services.bound_background(0);
    pass(&built, FakeRequest::get("/"), &[]);
    assert_eq!(services.metric_by("dropped", "busy"), 4);
    assert_eq!(services.metric("in_flight"), 0);
}

#[test]
fn copies_of_copies_and_tunnels_are_not_made() {
    let services = host();
    let built = build("", &services);
    pass(
        &built,
        FakeRequest::get("/").header("x-farmgate-mirror", "1"),
        &[],
    );
    pass(
        &built,
        FakeRequest::get("/").header("upgrade", "websocket"),
        &[],
    );
    assert_eq!(dropped(&services, "loop"), 1);
    assert_eq!(dropped(&services, "upgrade"), 1);
    assert!(services.sent().is_empty());
}

#[test]
fn another_attempt_begins_the_body_again() {
    let services = host();
    let built = build(
        "methods = ['POST']\nmax_memory = '6B'\nmax_body = '6B'",
        &services,
    );
    let mut request = post("/");
    let _ = compliance::verdict(built.filter.request_head(&mut request));
    chunks(&built, &mut request, &[b"ab", b"cd"], false);
    request.attempt = 2;
    chunks(&built, &mut request, &[b"abcd", b"ef"], true);
    // The answer of the second attempt was left for a third: the copy is gone already.
    request.attempt = 3;
    chunks(&built, &mut request, &[b"abcdef"], true);
    over(&built, &mut request, "ok", 6);
    assert_eq!(only(&services).body, "abcdef");
    assert_eq!(services.metric("dropped"), 0);
}

#[test]
fn what_the_cache_answers_is_mirrored_at_its_end() {
    let services = host();
    let built = build("", &services);
    let mut request = FakeRequest::get("/cached");
    let _ = compliance::verdict(built.filter.request_head(&mut request));
    over(&built, &mut request, "ok", 0);
    over(&built, &mut request, "ok", 0);
    assert_eq!(only(&services).head.uri(), "/cached");
}

#[test]
fn what_is_refused_or_fails_is_not_mirrored() {
    let services = host();
    let built = build("methods = ['GET', 'POST']", &services);
    for reason in ["plugin_reply", "upstream_connect", "client_closed"] {
        let mut request = FakeRequest::get("/");
        let _ = compliance::verdict(built.filter.request_head(&mut request));
        over(&built, &mut request, reason, 0);
    }
    // Half a body is no request, even if its origin was content with it.
    let mut request = post("/");
    let _ = compliance::verdict(built.filter.request_head(&mut request));
    chunks(&built, &mut request, &[b"half"], false);
    over(&built, &mut request, "ok", 4);
    assert_eq!(dropped(&services, "unfinished"), 4);
    assert!(services.sent().is_empty());
}

#[test]
fn no_secret_leaves() {
    let services = host();
    let built = build(
        "methods = ['POST']\n\
         redact = { headers = ['x-key'], query = ['Token'], json = ['$.card.number', '$..pin'] }",
        &services,
    );
    let request = post("/p?a=1&token=s3cret&%74oken=s3cret&b")
        .header("content-type", "Application/JSON; charset=utf-8")
        .header("x-key", "s3cret")
        .header("authorization", "kept");
    pass(
        &built,
        request,
        &[
            br#"{"card": {"numb"#,
            br#"er": "s3cret", "Number" : ["s3cret"], "\u006eumber":{"x":"s3cret"}}, "n": 1.50e3,"#,
            br#""deep":[{"PIN":"s3cret"}, 1]}"#,
        ],
    );
    let copy = only(&services);
    let text = String::from_utf8(copy.body.to_vec()).unwrap();
    assert_eq!(
        text,
        r#"{"card": {"number": "***", "Number" : "***", "\u006eumber":"***"}, "n": 1.50e3,"deep":[{"PIN":"***"}, 1]}"#
    );
    assert_eq!(copy.head.uri(), "/p?a=1&b");
    assert!(!copy.head.headers().contains_key("x-key"));
    assert_eq!(copy.head.headers()["authorization"], "kept");
    assert!(!format!("{copy:?}").contains("s3cret"));
}

#[test]
fn a_body_that_cannot_be_read_stays_here() {
    let services = host();
    let table = "methods = ['POST']\nredact = { json = ['$.a'] }";
    let built = build(table, &services);
    let json = |kind: &str| post("/").header("content-type", kind);
    let cases: [(FakeRequest, &'static [u8]); 7] = [
        (json("application/json"), b"{\"a\":"),
        (json("application/problem+json"), b"secret"),
        (json("text/plain"), b" {\"a\":1} {\"a\":2}"),
        (json("application/x-www-form-urlencoded"), b"[1,"),
        (json("application/json"), b"{\"a\":\"\xff\"}"),
        (json("application/json"), b"\xef\xbb\xbf{\"a\":1}"),
        (
            json("text/plain").header("content-encoding", "gzip"),
            b"\x1f\x8b",
        ),
    ];
    for (count, (request, body)) in (1..).zip(cases) {
        pass(&built, request, &[body]);
        assert_eq!(dropped(&services, "unreadable"), count, "{body:?}");
    }
    assert!(services.sent().is_empty());
    // What is no JSON goes as it is, unless it shall not.
    pass(&built, json("text/plain"), &[b"a=secret"]);
    assert_eq!(only(&services).body, "a=secret");
    let strict = "methods = ['POST']\nredact = { json = ['$.a'], other_bodies = 'drop' }";
    let built = build(strict, &services);
    pass(&built, json("text/plain"), &[b"a=secret"]);
    assert_eq!(dropped(&services, "unreadable"), 8);
    pass(&built, post("/"), &[]);
    assert_eq!(services.run_background(), 1);
}

#[test]
fn large_json_is_redacted_elsewhere_and_the_same() {
    let services = host();
    let built = build(
        "methods = ['POST']\nredact = { json = ['$[*].s'] }",
        &services,
    );
    let item = r#"{"s":"s3cret","n":1},"#;
    let body: &'static str = Box::leak(format!("[{}1]", item.repeat(2_000)).into_boxed_str());
    pass(&built, post("/"), &[body.as_bytes()]);
    let copy = only(&services);
    let expected = format!("[{}1]", r#"{"s":"***","n":1},"#.repeat(2_000));
    assert!(copy.body == expected);
}
