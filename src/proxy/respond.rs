//! Responses we make ourselves: errors as problem+json with the request's id, and health.

use std::fmt::Write as _;

use bytes::Bytes;
use farmgate_plugin_api::Reply;
use http::{HeaderValue, StatusCode, header};

use super::connection::Node;
use super::ctx::Ctx;
use crate::telemetry::Reason;

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const PROXY_STATUS: http::HeaderName = http::HeaderName::from_static("proxy-status");

/// The answer to a load balancer's health check.
pub fn health(node: &Node) -> Box<Reply> {
    let reply = if node.is_draining() {
        Reply::new(StatusCode::SERVICE_UNAVAILABLE, "health").body("draining\n")
    } else {
        Reply::new(StatusCode::OK, "health").body("ready\n")
    };
    Box::new(
        reply
            .header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
            .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    )
}

/// Where an authority looks for the answer to its question (RFC 8555 section 8.3).
const VALIDATION: &str = "/.well-known/acme-challenge/";

/// True when the request may be an authority's question about a name that a certificate is ordered for: on listeners
/// without TLS only.
pub fn may_validate(cx: &Ctx) -> bool {
    !cx.start.snapshot.validated.is_empty() && cx.start.connection.tls.is_none()
}

/// The answer to an authority's question. One that is none of ours goes on to the routes.
pub async fn validation(cx: &Ctx) -> Option<Box<Reply>> {
    let token = cx.path().strip_prefix(VALIDATION)?;
    for edge in &cx.start.snapshot.validated {
        let Some(challenges) = edge.challenges() else {
            continue;
        };
        if let Some(answer) = challenges.answer_http01(token).await {
            let reply = Reply::new(StatusCode::OK, "acme").body(answer);
            let octets = HeaderValue::from_static("application/octet-stream");
            return Some(Box::new(reply.header(header::CONTENT_TYPE, octets)));
        }
    }
    None
}

/// Our own error: the status of the reason, Proxy-Status (RFC 9209) and a problem+json body
/// (RFC 9457) that carries the request's id. None if the reason is answered by silence.
pub fn error(cx: &Ctx, reason: Reason) -> Option<Reply> {
    let status = StatusCode::from_u16(reason.status()?).ok()?;
    let mut reply = problem(status, reason.as_str(), cx.id.as_str());
    if let Some(token) = reason.proxy_status()
        && let Ok(value) = HeaderValue::try_from(format!("farmgate; error={token}"))
    {
        reply.headers.push((PROXY_STATUS, value));
    }
    if let (Some(after), 503) = (cx.retry_after, status.as_u16()) {
        // Whole seconds, and never at once (RFC 9110 section 10.2.3).
        let seconds = after.as_millis().div_ceil(1000).max(1) as u64;
        reply
            .headers
            .push((header::RETRY_AFTER, HeaderValue::from(seconds)));
    }
    Some(reply)
}

/// Fills in what a plugin left to the engine.
pub fn complete(cx: &Ctx, mut reply: Box<Reply>) -> Box<Reply> {
    if reply.problem {
        let made = problem(reply.status, reply.detail, cx.id.as_str());
        reply.body = made.body;
        let given = std::mem::take(&mut reply.headers);
        reply.headers = made.headers;
        reply.headers.extend(given);
    }
    reply
}

fn problem(status: StatusCode, detail: &'static str, id: &str) -> Reply {
    let title = status.canonical_reason().unwrap_or("Error");
    let mut body = String::with_capacity(160);
    // The parts are tokens of our own; an id may hold quotes when it was taken over.
    let id: String = id.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
    let _ = writeln!(
        body,
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{},\"detail\":\"{detail}\",\"request_id\":\"{id}\"}}",
        status.as_u16()
    );
    Reply::new(status, detail)
        .header(header::CONTENT_TYPE, PROBLEM)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .body(Bytes::from(body))
}
