use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::filter::Outcome;
use farmgate_plugin_api::{BodyMode, Built, Explained, OverLimit, Phases, Verdict};
use http::{Method, StatusCode};

use super::KIND;

mod loading;

/// Rules by id: 1 a word in the target, 2 a word in an argument, 3 scores and 4 refuses by them, 5 a
/// header of the answer, 6 a word in its body, 7 bodies that cannot be read.
const RULES: &str = r#"
SecRule REQUEST_URI_RAW "@contains evil-path" "id:1,phase:1,deny,status:403,log,msg:'Path',tag:'one'"
SecRule ARGS "@contains evil-arg" "id:2,phase:2,deny,status:406,log,msg:'Argument',tag:'two',logdata:'%{MATCHED_VAR}',severity:CRITICAL"
SecRule ARGS "@contains points" "id:3,phase:2,pass,log,msg:'Points',setvar:tx.blocking_inbound_anomaly_score=+5"
SecRule TX:blocking_inbound_anomaly_score "@ge 10" "id:4,phase:2,deny,log,msg:'Score'"
SecRule RESPONSE_HEADERS:x-leak "@rx ." "id:5,phase:3,deny,status:500,log,msg:'Leak'"
SecRule RESPONSE_BODY "@contains evil-body" "id:6,phase:4,deny,log,msg:'Body'"
SecRule REQBODY_ERROR "!@eq 0" "id:7,phase:2,deny,status:400,log,msg:'Unreadable'"
"#;

fn host() -> FakeServices {
    let services = FakeServices::new();
    services.write_file("waf.conf", RULES).unwrap();
    services
}

fn build(table: &str, services: &FakeServices) -> Built {
    let table = format!("rules = ['waf.conf']\n{table}");
    compliance::build(KIND, &table, services).unwrap()
}

fn error(table: &str, services: &FakeServices) -> String {
    compliance::build(KIND, table, services)
        .err()
        .expect("an error")
}

/// The status of the reply; 0 for a request that passes.
fn status(verdict: Verdict) -> u16 {
    match verdict {
        Verdict::Continue => 0,
        Verdict::Reply(reply) => reply.status.as_u16(),
        other => panic!("{other:?}"),
    }
}

fn head(built: &Built, request: &mut FakeRequest) -> u16 {
    status(compliance::verdict(built.filter.request_head(request)))
}

fn body(built: &Built, request: &mut FakeRequest, pieces: &[&[u8]], partial: bool) -> u16 {
    let mut body = BufferedBody::default();
    for piece in pieces {
        body.push(Bytes::copy_from_slice(piece));
    }
    body.partial = partial;
    status(compliance::verdict(
        built.filter.request_body(request, &mut body),
    ))
}

/// The whole life of a request without an answer of an origin; the status it gets, or 200.
fn ask(built: &Built, mut request: FakeRequest, pieces: &[&[u8]]) -> (u16, FakeRequest) {
    let mut got = head(built, &mut request);
    if got == 0 && request.wanted_body != Some(BodyMode::None) {
        got = body(built, &mut request, pieces, false);
    }
    let got = if got == 0 { 200 } else { got };
    log(built, &mut request, got);
    (got, request)
}

fn log(built: &Built, request: &mut FakeRequest, status: u16) {
    let outcome = Outcome {
        status: StatusCode::from_u16(status).ok(),
        reason: "ok",
        bytes_in: 0,
        bytes_out: 0,
        total_us: 0,
    };
    built.filter.log(request, &outcome);
}

fn form(target: &str) -> FakeRequest {
    let request = FakeRequest::get(target).method(Method::POST);
    request.header("content-type", "application/x-www-form-urlencoded")
}

fn lines(services: &FakeServices) -> Vec<String> {
    let lines = services.lines();
    lines
        .iter()
        .map(|line| String::from_utf8(line.clone()).unwrap())
        .collect()
}

#[test]
fn complies() {
    let host = || {
        let services = FakeServices::new();
        let rules = include_str!("example.conf");
        services.write_file("example.conf", rules).unwrap();
        services
    };
    assert_eq!(compliance::failures(KIND, &host), Vec::<String>::new());
}

#[test]
fn rules_refuse_with_their_status() {
    let services = host();
    let built = build("engine = 'on'", &services);
    assert_eq!(ask(&built, FakeRequest::get("/fine?a=1"), &[]).0, 200);
    assert_eq!(ask(&built, FakeRequest::get("/evil-path"), &[]).0, 403);
    assert_eq!(ask(&built, FakeRequest::get("/?a=evil-arg"), &[]).0, 406);
    assert_eq!(ask(&built, form("/"), &[b"a=evil", b"-arg"]).0, 406);
    assert_eq!(ask(&built, FakeRequest::get("/?a=points"), &[]).0, 200);
    assert_eq!(
        ask(&built, FakeRequest::get("/?a=points&b=points"), &[]).0,
        403
    );
    assert_eq!(services.metric_by("requests", "blocked"), 4);
    assert_eq!(services.metric_by("requests", "passed"), 2);
    assert_eq!(services.metric_by("matches", "2"), 2);
    assert_eq!(services.metric("inbound_score"), 2);
}

#[test]
fn detection_only_refuses_nothing() {
    let services = host();
    let built = build(
        "engine = 'detection_only'\naudit_log = 'waf.log'",
        &services,
    );
    assert_eq!(
        ask(&built, FakeRequest::get("/evil-path?a=evil-arg"), &[]).0,
        200
    );
    let line = lines(&services).remove(0);
    assert!(
        line.contains("\"verdict\":\"would_block\"") && line.contains("\"rule\":"),
        "{line}"
    );
    assert!(
        line.contains("\"id\":1,") && line.contains("\"id\":2,"),
        "{line}"
    );
    // Nor is a body refused.
    assert_eq!(
        built.filter.body_mode(),
        BodyMode::Buffered {
            limit: 100 << 20,
            over: OverLimit::Partial
        }
    );
    let request = form("/").header("content-encoding", "br");
    assert_eq!(ask(&built, request, &[b"a=1"]).0, 200);
}

#[test]
fn off_costs_nothing() {
    let services = FakeServices::new();
    // Not even its files are read.
    let built = compliance::build(KIND, "engine = 'off'\nrules = ['no.conf']", &services).unwrap();
    assert_eq!(built.filter.phases(), Phases::NONE);
    assert_eq!(built.filter.body_mode(), BodyMode::None);
}

#[test]
fn exclusions_hold_on_their_paths_and_routes() {
    let services = host();
    let built = build(
        "engine = 'on'\nexclude = [\
         { rule = 2, target = 'ARGS:text', paths = ['/edit/*', '/items/{id}'] },\
         { tag = 'one', routes = 'editor' },\
         { rule_range = '3-4', routes = ['test'] }]",
        &services,
    );
    for (target, expected) in [
        ("/edit/1?text=evil-arg", 200),
        ("/items/7?text=evil-arg", 200),
        ("/edit/1?other=evil-arg", 406),
        ("/search?text=evil-arg", 406),
        // On another route than the one that is excluded.
        ("/evil-path", 403),
        ("/?a=points&b=points", 200),
    ] {
        assert_eq!(
            ask(&built, FakeRequest::get(target), &[]).0,
            expected,
            "{target}"
        );
    }
}

#[test]
fn the_audit_log_tells_what_matched_and_hides_secrets() {
    let services = host();
    let built = build(
        "engine = 'on'\naudit_log = 'waf.log'\nredact = { names = ['Customer'] }",
        &services,
    );
    ask(&built, FakeRequest::get("/a?q=evil-arg%22\\&x=hush"), &[]);
    ask(&built, FakeRequest::get("/a?user_password=evil-arg1"), &[]);
    ask(&built, FakeRequest::get("/a?customer=evil-arg2"), &[]);
    ask(&built, FakeRequest::get("/a?q=fine"), &[]);
    let lines = lines(&services);
    assert_eq!(lines.len(), 3, "{lines:?}");
    let parsed: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(parsed["request_id"], "0123456789abcdef");
    assert_eq!(parsed["time"], "2026-01-01T00:00:00.000Z");
    assert_eq!(
        (&parsed["status"], &parsed["rule"]),
        (&406.into(), &2.into())
    );
    assert_eq!(parsed["query"], "q=*&x=*");
    let rule = &parsed["rules"][0];
    assert_eq!(rule["id"], 2);
    assert_eq!(rule["variable"], "ARGS:q");
    assert_eq!(rule["severity"], "CRITICAL");
    assert_eq!(rule["tags"][0], "two");
    assert_eq!(rule["place"], "waf.conf:3");
    assert_eq!(rule["value"], "evil-arg\"\\");
    assert!(
        lines[1].contains("\"value\":\"***\"") && !lines[1].contains("evil-arg1"),
        "{}",
        lines[1]
    );
    assert!(lines[1].contains("\"data\":\"***\""), "{}", lines[1]);
    assert!(!lines[2].contains("evil-arg2"), "{}", lines[2]);
}

#[test]
fn bodies_are_bounded_by_their_kind() {
    let services = host();
    let built = build(
        "engine = 'on'\nrequest_body = { inspect = '100B', upload = '1KiB' }",
        &services,
    );
    let refuse = |limit| BodyMode::Buffered {
        limit,
        over: OverLimit::Refuse,
    };
    assert_eq!(built.filter.body_mode(), refuse(1024));
    let mut request = form("/");
    assert_eq!(head(&built, &mut request), 0);
    assert_eq!(request.wanted_body, Some(refuse(100)));
    let multipart = "Multipart/form-data; boundary=x";
    let mut request = FakeRequest::get("/")
        .method(Method::POST)
        .header("content-type", multipart);
    assert_eq!(head(&built, &mut request), 0);
    assert_eq!(request.wanted_body, Some(refuse(1024)));
    // What is no file counts against `inspect`.
    let long = format!(
        "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n{}\r\n--x--\r\n",
        "b".repeat(200)
    );
    assert_eq!(body(&built, &mut request, &[long.as_bytes()], false), 413);
    let file = format!(
        "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n{}\r\n--x--\r\n",
        "b".repeat(500)
    );
    let request = FakeRequest::get("/")
        .method(Method::POST)
        .header("content-type", multipart);
    assert_eq!(ask(&built, request, &[file.as_bytes()]).0, 200);
    assert_eq!(services.metric_by("bodies", "too_large"), 1);
    // A stream is never waited for.
    let mut request = FakeRequest::get("/")
        .method(Method::POST)
        .header("content-type", "application/grpc+proto");
    assert_eq!(head(&built, &mut request), 0);
    assert_eq!(request.wanted_body, Some(BodyMode::None));
    let built = build(
        "engine = 'on'\nrequest_body = { inspect = '0B' }",
        &services,
    );
    let mut request = form("/");
    assert_eq!(head(&built, &mut request), 0);
    assert_eq!(request.wanted_body, Some(BodyMode::None));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn compressed_bodies_are_looked_at_within_bounds() {
    let services = host();
    let built = build("engine = 'on'", &services);
    let gzipped = || form("/").header("content-encoding", "gzip");
    assert_eq!(ask(&built, gzipped(), &[&gzip(b"a=fine")]).0, 200);
    assert_eq!(ask(&built, gzipped(), &[&gzip(b"a=evil-arg")]).0, 406);
    // A bomb is never decoded further than the limit.
    let bomb = gzip(&vec![b'a'; 50 << 20]);
    assert!(bomb.len() < 64 << 10);
    assert_eq!(ask(&built, gzipped(), &[&bomb]).0, 413);
    // Not what it says: rules judge that.
    assert_eq!(ask(&built, gzipped(), &[b"a=fine"]).0, 400);
    let mut cut = gzip(b"a=fine");
    cut.truncate(12);
    assert_eq!(ask(&built, gzipped(), &[&cut]).0, 400);
    for unread in ["br", "gzip, gzip", "zstd"] {
        let request = form("/").header("content-encoding", unread);
        assert_eq!(ask(&built, request, &[b"x"]).0, 415, "{unread}");
    }
    let request = form("/").header("content-encoding", "identity");
    assert_eq!(ask(&built, request, &[b"a=fine"]).0, 200);
    let built = build(
        "engine = 'on'\nrequest_body = { compressed = 'refuse' }",
        &services,
    );
    assert_eq!(ask(&built, gzipped(), &[&gzip(b"a=fine")]).0, 415);
    // Partial: the beginning is judged.
    let built = build(
        "engine = 'on'\nrequest_body = { over_limit = 'partial' }",
        &services,
    );
    assert_eq!(ask(&built, gzipped(), &[&bomb]).0, 200);
    assert_eq!(services.metric_by("bodies", "partial"), 1);
}

#[test]
fn answers_are_refused_held_or_cut() {
    let services = host();
    let built = build("engine = 'on'", &services);
    let answer = |built: &Built, name: &'static str, hold: bool| {
        let mut request = FakeRequest::get("/");
        assert_eq!(head(built, &mut request), 0);
        assert_eq!(body(built, &mut request, &[], false), 0);
        let mut response = FakeResponse::new(request, StatusCode::OK)
            .header("content-type", "text/html; charset=utf-8")
            .header(name, "1");
        let got = status(compliance::verdict(built.filter.origin_head(&mut response)));
        assert_eq!(response.request.held, hold);
        (got, response)
    };
    assert_eq!(answer(&built, "x-leak", false).0, 500);
    let piece = |built: &Built, request: &mut FakeRequest, text: &'static str, end: bool| {
        let mut chunk = Some(Bytes::from_static(text.as_bytes()));
        built.filter.origin_body(request, &mut chunk, end).unwrap();
        request.refusal.as_ref().map(|reply| reply.status.as_u16())
    };
    let (got, mut response) = answer(&built, "x-fine", false);
    assert_eq!(got, 0);
    assert_eq!(piece(&built, &mut response.request, "an evil", false), None);
    assert_eq!(
        piece(&built, &mut response.request, "-body", true),
        Some(403)
    );
    log(&built, &mut response.request, 200);
    assert_eq!(services.metric_by("requests", "reset"), 1);
    let built = build(
        "engine = 'on'\nresponse_body = { hold = true, inspect = '20B' }",
        &services,
    );
    let (_, mut response) = answer(&built, "x-fine", true);
    assert_eq!(
        piece(&built, &mut response.request, "evil-body", true),
        Some(403)
    );
    log(&built, &mut response.request, 403);
    assert_eq!(services.metric_by("requests", "blocked"), 1);
    // A long answer is let go once its beginning was judged.
    let (_, mut response) = answer(&built, "x-fine", true);
    assert_eq!(
        piece(
            &built,
            &mut response.request,
            "0123456789012345678901",
            false
        ),
        None
    );
    assert!(!response.request.held);
    let table = "engine = 'on'\nresponse_body = { inspect = '20B', over_limit = 'reject' }";
    let built = build(table, &services);
    let (_, mut response) = answer(&built, "x-fine", false);
    assert_eq!(
        piece(
            &built,
            &mut response.request,
            "0123456789012345678901",
            false
        ),
        Some(502)
    );
}
