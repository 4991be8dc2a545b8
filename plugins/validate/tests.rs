use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::{BodyMode, Built, Explained, Reply, Verdict};
use http::Method;
use serde_json::Value;

use super::KIND;

mod hostile;
mod openapi;
mod reading;
mod words;

const DOCUMENT: &str = include_str!("example.openapi.yaml");
const BODY: &str = include_str!("example.schema.json");

fn host() -> FakeServices {
    let services = FakeServices::new();
    services
        .write_file("example.openapi.yaml", DOCUMENT)
        .unwrap();
    services.write_file("example.schema.json", BODY).unwrap();
    services
}

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, table, services).unwrap()
}

/// What becomes of a request: nothing, or the reply.
fn ask(built: &Built, request: &mut FakeRequest, body: impl AsRef<[u8]>) -> Option<Reply> {
    let verdict = match compliance::verdict(built.filter.request_head(request)) {
        Verdict::Continue if request.wanted_body != Some(BodyMode::None) => {
            let mut buffered = BufferedBody::default();
            for piece in body.as_ref().chunks(5000) {
                buffered.push(Bytes::copy_from_slice(piece));
            }
            compliance::verdict(built.filter.request_body(request, &mut buffered))
        }
        other => other,
    };
    match verdict {
        Verdict::Continue => None,
        Verdict::Reply(reply) => Some(*reply),
        other => panic!("{other:?}"),
    }
}

/// The detail of a refusal and its faults as `in name pointer keyword`; empty for a request that passes.
fn faults(reply: Option<Reply>) -> (String, Vec<String>) {
    let Some(reply) = reply else {
        return Default::default();
    };
    let problem: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(problem["status"], reply.status.as_u16());
    assert_eq!(problem["detail"], reply.detail);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fault = |fault: &Value| {
        assert!(!text(&fault["detail"]).is_empty());
        let words = ["in", "name", "pointer", "keyword"].map(|word| text(&fault[word]));
        words
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let errors = problem["errors"].as_array();
    (
        text(&problem["detail"]),
        errors.into_iter().flatten().map(fault).collect(),
    )
}

fn post(target: &str, kind: &str) -> FakeRequest {
    FakeRequest::get(target)
        .method(Method::POST)
        .header("content-type", kind)
}

fn event() -> FakeRequest {
    post("/events", "application/json")
}

const EVENTS: &str = "schema = 'example.schema.json'";
const UUID: &str = "0e37df36-f698-11e6-8dd4-cb9ced3df976";

#[test]
fn complies() {
    assert_eq!(compliance::failures(KIND, &host), Vec::<String>::new());
}

#[test]
fn a_body_is_checked_field_by_field() {
    let services = host();
    let built = build(EVENTS, &services);
    let ask = |body: &str| faults(ask(&built, &mut event(), body));
    assert_eq!(
        ask(&format!(r#"{{"id":"{UUID}","kind":"made"}}"#)),
        Default::default()
    );
    let (detail, all) = ask(r#"{"id":1,"data":[]}"#);
    assert_eq!(detail, "body_invalid");
    let mut all = all;
    all.sort();
    assert_eq!(
        all,
        ["body #/data type", "body #/id type", "body #/kind required"]
    );
    assert_eq!(ask(r#"{"id":"x","kind":"made"}"#).1, ["body #/id format"]);
    assert_eq!(ask("").0, "body_missing");
    assert_eq!(ask("{\"id\":").0, "body_syntax");
    assert_eq!(ask("[] []").0, "body_syntax");
    assert_eq!(services.metric("valid"), 1);
    assert_eq!(services.metric_by("refused", "body_invalid"), 2);
    assert_eq!(services.metric_by("refused", "body_syntax"), 2);
}

#[test]
fn a_refusal_is_a_problem_that_repeats_no_value() {
    let services = host();
    let built = build(&format!("{EVENTS}\nstatus = 422"), &services);
    let body = r#"{"id":"secret-value","kind":"other-secret"}"#;
    let reply = ask(&built, &mut event(), body).unwrap();
    assert_eq!(reply.status, 422);
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let fields: Vec<_> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        fields,
        [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store")
        ]
    );
    assert!(text.contains("\"request_id\":\"0123456789abcdef\""));
}

#[test]
fn what_is_told_is_bounded() {
    let services = host();
    let built = build(&format!("{EVENTS}\nmax_errors = 1"), &services);
    let reply = ask(&built, &mut event(), r#"{"id":1,"data":[]}"#).unwrap();
    let problem: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1);
    assert_eq!(problem["more_errors"], true);
}

#[test]
fn types_and_codings_of_bodies_are_checked() {
    let services = host();
    let built = build(EVENTS, &services);
    let good = format!(r#"{{"id":"{UUID}","kind":"made"}}"#);
    let with = |kind: &str| faults(ask(&built, &mut post("/events", kind), &good)).0;
    assert_eq!(with("application/cloudevents+JSON; charset=utf-8"), "");
    assert_eq!(with("text/plain"), "media_type");
    assert_eq!(with("json"), "media_type");
    let mut bare = FakeRequest::get("/events").method(Method::POST);
    assert_eq!(faults(ask(&built, &mut bare, &good)).0, "media_type");
    let mut packed = event().header("content-encoding", "gzip");
    let reply = ask(&built, &mut packed, &good).unwrap();
    assert_eq!(
        (reply.status.as_u16(), reply.detail),
        (415, "content_encoding")
    );
    let mut plain = event().header("content-encoding", "identity");
    assert!(ask(&built, &mut plain, &good).is_none());
    // Methods without a body pass.
    assert!(ask(&built, &mut FakeRequest::get("/events"), "").is_none());
    assert_eq!(services.metric("unknown"), 1);
}

#[test]
fn a_report_refuses_nothing() {
    let services = host();
    let built = build(&format!("{EVENTS}\nreport_only = true"), &services);
    let mut request = event();
    assert!(ask(&built, &mut request, r#"{"id":"secret"}"#).is_none());
    assert!(
        request.notes.starts_with("body_invalid: body "),
        "{}",
        request.notes
    );
    assert!(!request.notes.contains("secret"));
    assert!(ask(&built, &mut post("/events", "text/plain"), "x").is_none());
    assert_eq!(services.metric_by("reported", "body_invalid"), 1);
    assert_eq!(services.metric_by("reported", "media_type"), 1);
    assert_eq!(services.metric("refused"), 0);
    // A body of which only the beginning is here passes unchecked.
    let mut request = event();
    assert!(matches!(
        compliance::verdict(built.filter.request_head(&mut request)),
        Verdict::Continue
    ));
    let mut body = BufferedBody::default();
    body.push(Bytes::from_static(b"{"));
    body.partial = true;
    let verdict = compliance::verdict(built.filter.request_body(&mut request, &mut body));
    assert!(matches!(verdict, Verdict::Continue));
    assert_eq!(services.metric_by("reported", "body_too_large"), 1);
}

#[test]
fn a_changed_file_holds_at_once_and_a_wrong_one_never() {
    let services = host();
    let built = build(EVENTS, &services);
    let good = format!(r#"{{"id":"{UUID}","kind":"made"}}"#);
    let pass = |body: &str| ask(&built, &mut event(), body).is_none();
    assert!(pass(&good) && !pass("[]"));
    let error = services.write_file("example.schema.json", r#"{"type":"strnig"}"#);
    assert!(error.unwrap_err().contains("#/type"));
    assert!(pass(&good) && !pass("[]"));
    services
        .write_file("example.schema.json", r#"{"type":"array"}"#)
        .unwrap();
    assert!(!pass(&good) && pass("[]"));
    services
        .write_file("example.schema.json", "type: object\nrequired: [a]\n")
        .unwrap();
    assert!(!pass("{}") && pass(r#"{"a":1}"#));
}

#[test]
fn it_explains_without_effect() {
    let services = host();
    let built = build(EVENTS, &services);
    let explain = |request: &FakeRequest, body: &[u8]| {
        let asked = Explained {
            facts: request,
            raw_target: b"/events",
            route: "test",
            body,
        };
        built.filter.explain(&asked).join("\n")
    };
    let good = format!(r#"{{"id":"{UUID}","kind":"made"}}"#);
    assert_eq!(explain(&event(), good.as_bytes()), "as the contract says");
    assert_eq!(explain(&event(), b"{}").lines().count(), 1);
    assert!(explain(&event(), b"{}").starts_with("would refuse: body_invalid: body required"));
    assert_eq!(
        explain(&FakeRequest::get("/"), b""),
        "the contract does not know it"
    );
    assert_eq!(
        services.metric("valid") + services.metric("refused") + services.metric("unknown"),
        0
    );
}
