//! The rules for filters: every phase, called with what clients and origins really send.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::fake::{FakeRequest, FakeResponse, FakeUpstreamRequest};
use super::{hostile, verdict};
use crate::exchange::BufferedBody;
use crate::exchange::Request;
use crate::facts::ConnectionFacts;
use crate::field::is_engine_field;
use crate::filter::{BodyMode, Explained, Filter, Outcome, Phases};
use crate::verdict::Verdict;

pub(super) fn check(filter: &dyn Filter, wrong: &mut Vec<String>) {
    let phases = filter.phases();
    if phases == Phases::NONE {
        wrong.push("the filter wants to be called in no phase".to_owned());
    }
    let buffers = matches!(filter.body_mode(), BodyMode::Buffered { .. });
    if phases.contains(Phases::REQUEST_BODY) != buffers {
        wrong.push("`request_body` and the buffered body mode go together".to_owned());
    }
    let streams = filter.body_mode() == BodyMode::Streamed;
    if phases.contains(Phases::REQUEST_CHUNK) != streams {
        wrong.push("`request_chunk` and the streamed body mode go together".to_owned());
    }
    for name in filter.identity_headers() {
        if is_engine_field(name) {
            wrong.push(format!("`{name}` cannot be an identity"));
        }
    }
    let mut run = |phase: &str, call: &mut dyn FnMut() -> Option<String>| {
        // The filter is only looked at again after a panic to see whether the next call panics too.
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(None) => {}
            Ok(Some(text)) => wrong.push(format!("{phase}: {text}")),
            Err(_) => wrong.push(format!("{phase}: panics")),
        }
    };
    accept(filter, &mut run);
    run("report", &mut || {
        filter.report();
        None
    });
    requests(filter, &mut run);
    responses(filter, &mut run);
    if filter.phases() != phases {
        wrong.push("the phases changed".to_owned());
    }
}

type Run<'r> = dyn FnMut(&str, &mut dyn FnMut() -> Option<String>) + 'r;

fn accept(filter: &dyn Filter, run: &mut Run<'_>) {
    let ip = IpAddr::V6(Ipv6Addr::LOCALHOST);
    for peer in [None, Some(SocketAddr::new(ip, 0))] {
        run("accept", &mut || {
            let listener = "web".into();
            filter.accept(&ConnectionFacts { listener, peer });
            None
        });
    }
}

fn requests(filter: &dyn Filter, run: &mut Run<'_>) {
    for mut request in hostile::requests() {
        run("request_head", &mut || {
            let before = request.headers.0.clone();
            let answer = verdict(filter.request_head(&mut request));
            bad_verdict(&answer).or_else(|| bad_request(&before, &request))
        });
        run("request_body", &mut || {
            let mut body = BufferedBody::default();
            body.push(Bytes::from_static(b"a=1&\xff\xfe"));
            body.push(Bytes::from_static(b"{\"b\":[\0"));
            bad_verdict(&verdict(filter.request_body(&mut request, &mut body)))
        });
        run("request_chunk", &mut || {
            for (chunk, end) in pieces() {
                let _ = filter.request_chunk(&mut request, &mut chunk.clone(), end);
            }
            None
        });
        run("origin_body", &mut || {
            for (chunk, end) in pieces() {
                let _ = filter.origin_body(&mut request, &mut chunk.clone(), end);
            }
            None
        });
        run("response_body", &mut || {
            for (chunk, end) in pieces() {
                let _ = filter.response_body(&mut request, &mut chunk.clone(), end);
            }
            None
        });
        run("log", &mut || {
            let outcome = Outcome {
                status: Some(StatusCode::OK),
                reason: "ok",
                bytes_in: u64::MAX,
                bytes_out: 0,
                total_us: u64::MAX,
            };
            filter.log(&mut request, &outcome);
            None
        });
        run("explain", &mut || {
            filter.explain(&Explained {
                facts: &request,
                raw_target: request.raw_target(),
                route: "test",
                body: b"a=1&\xff\xfe",
            });
            None
        });
        let mut upstream = FakeUpstreamRequest::new(request);
        run("upstream_request", &mut || {
            let before = upstream.headers.0.clone();
            bad_verdict(&verdict(filter.upstream_request(&mut upstream)))
                .or_else(|| bad_fields(&before, &upstream.headers.0))
        });
    }
}

fn responses(filter: &dyn Filter, run: &mut Run<'_>) {
    for mut response in hostile::responses() {
        run("origin_head", &mut || {
            let before = response.headers.0.clone();
            bad_verdict(&verdict(filter.origin_head(&mut response)))
                .or_else(|| bad_fields(&before, &response.headers.0))
        });
        response.local = true;
        run("response_head", &mut || {
            let before = response.headers.0.clone();
            bad_verdict(&verdict(filter.response_head(&mut response)))
                .or_else(|| bad_response(&before, &response))
        });
    }
}

/// Pieces of a body: data, nothing, the end.
fn pieces() -> [(Option<Bytes>, bool); 4] {
    [
        (Some(Bytes::from_static(b"\xff\0<html>{")), false),
        (Some(Bytes::new()), false),
        (None, false),
        (None, true),
    ]
}

fn bad_verdict(verdict: &Verdict) -> Option<String> {
    let Verdict::Reply(reply) = verdict else {
        return None;
    };
    if !(200..600).contains(&reply.status.as_u16()) {
        return Some(format!("replies with status {}", reply.status));
    }
    if reply.detail.is_empty() {
        return Some("replies without a detail for the log".to_owned());
    }
    let bad = reply.headers.iter().find(|(n, _)| is_engine_field(n));
    bad.map(|(name, _)| format!("replies with the field `{name}`"))
}

fn bad_request(before: &HeaderMap, request: &FakeRequest) -> Option<String> {
    let target = &request.target;
    if !target.starts_with('/') && target != "*" {
        return Some(format!("leaves the target `{target}`"));
    }
    let mut wanted = request.response_headers.iter();
    if let Some((name, _)) = wanted.find(|(name, _)| is_engine_field(name)) {
        return Some(format!("adds the response field `{name}`"));
    }
    bad_fields(before, &request.headers.0)
}

fn bad_response(before: &HeaderMap, response: &FakeResponse) -> Option<String> {
    if !(101..600).contains(&response.status.as_u16()) {
        return Some(format!("leaves the status {}", response.status));
    }
    bad_fields(before, &response.headers.0)
}

/// A field of the engine that was changed.
fn bad_fields(before: &HeaderMap, after: &HeaderMap) -> Option<String> {
    let all = before.keys().chain(after.keys());
    let mut engine = all.filter(|name| is_engine_field(name));
    let changed = engine.find(|name| {
        let (before, after) = (before.get_all(*name), after.get_all(*name));
        !before.iter().eq(after.iter())
    })?;
    Some(format!("changes the field `{changed}`"))
}
