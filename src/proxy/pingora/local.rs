//! Responses made here, written through Pingora's session.

use std::time::Duration;

use farmgate_plugin_api::Reply;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::Result;
use super::headers::{RequestFields, ResponseFields};
use crate::proxy::ctx::Ctx;
use crate::proxy::{pipeline, respond};
use crate::telemetry::Reason;

const GRPC: &[u8] = b"application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// 14 (<https://grpc.io/docs/guides/status-codes/>): the call may be made again elsewhere.
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");
const GOING: HeaderValue = HeaderValue::from_static("the proxy is going down");

/// How much of an unread body is read after an answer, so that the connection can be kept.
const DRAIN_BYTES: u64 = 64 * 1024;

/// Writes a plugin's reply.
pub(super) async fn reply(session: &mut Session, cx: &mut Ctx, reply: Box<Reply>) -> Result<()> {
    if written(session).is_some() {
        return Ok(());
    }
    let reply = respond::complete(cx, reply);
    write(session, cx, *reply).await
}

/// Writes the error of `cx.reason`, if it has an answer and none was sent. Gives the status and
/// whether the connection may serve another request.
pub(super) async fn error(session: &mut Session, cx: &mut Ctx) -> (u16, bool) {
    if let Some(status) = written(session) {
        // The head is out: all that is left is to end the body visibly cut, or the filter's own
        // reply stands.
        cx.status = status;
        return (0, false);
    }
    if matches!(
        cx.reason,
        Reason::ClientClosed | Reason::ClientReset | Reason::ClientWriteTimeout
    ) {
        return (0, false);
    }
    let Some(answer) = respond::error(cx, cx.reason) else {
        return (0, false);
    };
    let status = answer.status.as_u16();
    let broken = cx.start.control.cut().is_some() || cx.reason == Reason::BadRequest;
    // The engine closes after a failed attempt whatever it says; so it must say so.
    if broken || cx.asked {
        session.set_keepalive(None);
    }
    let sent = write(session, cx, answer).await.is_ok();
    (status, sent && !broken)
}

/// The node goes in the middle of a response over HTTP/2: says so in the words of gRPC, or by a reset.
pub(super) async fn cut_off(session: &mut Session, cx: &Ctx) {
    if cx.reason != Reason::Draining || !session.as_downstream().is_http2() {
        return;
    }
    let kind = session
        .response_written()
        .and_then(|head| head.headers.get(header::CONTENT_TYPE));
    if kind.is_some_and(|kind| is_grpc(kind.as_bytes())) {
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(GRPC_STATUS, UNAVAILABLE);
        trailers.insert(GRPC_MESSAGE, GOING);
        // Where it fails the client has gone.
        let _ = session
            .as_downstream_mut()
            .write_response_trailers(trailers)
            .await;
        return;
    }
    session
        .as_downstream_mut()
        .shutdown_with_reason(h2::Reason::INTERNAL_ERROR);
}

/// True for `application/grpc` and its kinds, as `application/grpc+proto`; gRPC-Web sends its trailers otherwise.
fn is_grpc(kind: &[u8]) -> bool {
    let rest = kind
        .split_at_checked(GRPC.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(GRPC));
    rest.is_some_and(|(_, rest)| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The status of the final head that went out, if one did. Interim ones (100, 103) are none.
pub(super) fn written(session: &Session) -> Option<u16> {
    let head = session.response_written()?;
    let interim = head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
    (!interim).then(|| head.status.as_u16())
}

/// HTTP/1.0 knows no chunks (RFC 9112 section 6.1): such a body ends with the connection.
pub(super) fn suit_http10(session: &mut Session, response: &mut ResponseHeader) {
    if session.req_header().version == Version::HTTP_10
        && response.headers.contains_key(header::TRANSFER_ENCODING)
    {
        response.remove_header(&header::TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}

/// Closes without an answer.
pub(super) fn reset(session: &mut Session) {
    session.set_keepalive(None);
    if session.as_downstream().is_http2() {
        session
            .as_downstream_mut()
            .shutdown_with_reason(h2::Reason::REFUSED_STREAM);
    }
}

async fn write(session: &mut Session, cx: &mut Ctx, mut reply: Reply) -> Result<()> {
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 6))?;
    for (name, value) in std::mem::take(&mut reply.headers) {
        head.append_header(name, value)?;
    }
    let mut status = reply.status;
    {
        let mut request = RequestFields(session.req_header_mut());
        let mut response = ResponseFields(&mut head);
        pipeline::local_head(cx, &mut request, &mut response, &mut status).await;
    }
    if status != head.status {
        head.set_status(status)?;
    }
    if let Some(body) = cx.outgoing.take_own() {
        reply.body = body;
    }
    let bodyless = status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || status.is_informational();
    if !bodyless {
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()))?;
    }
    finish_request_body(session, cx).await;
    if let Some((_, value)) = pipeline::closes(cx) {
        session.set_keepalive(None);
        head.insert_header(header::CONNECTION, value)?;
    }
    responded(cx, &head);
    let empty = bodyless || reply.body.is_empty() || cx.method == Method::HEAD;
    session.write_response_header(Box::new(head), empty).await?;
    if !empty {
        session.write_response_body(Some(reply.body), true).await?;
    }
    cx.start.control.said();
    Ok(())
}

/// The head goes to the client now.
pub(super) fn responded(cx: &mut Ctx, head: &ResponseHeader) {
    cx.responded = true;
    cx.status = head.status.as_u16();
    let control = &cx.start.control;
    control.head_sent();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let listener = &cx.start.listener.timeouts;
        let route = cx.route.as_deref().map(|route| route.timeouts);
        let idle = route
            .and_then(|own| own.upgrade_idle)
            .unwrap_or(listener.upgrade_idle);
        let age = route
            .and_then(|own| own.upgrade_age)
            .or(listener.upgrade_age);
        let upgrade = head.headers.get(header::UPGRADE);
        let websocket = upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        control.start_tunnel(idle, age, websocket);
        cx.tunnel = Some(cx.start.listener.metrics.tunnels_open.enter());
    } else if !cx.start.connection.h2 && ends_by_close(cx, head) {
        control.ends_by_close();
    }
}

/// True if neither a length nor a last chunk tells the end of the body.
fn ends_by_close(cx: &Ctx, head: &ResponseHeader) -> bool {
    let bodyless = matches!(head.status.as_u16(), 204 | 304) || cx.method == Method::HEAD;
    !bodyless
        && !head.headers.contains_key(header::CONTENT_LENGTH)
        && !head.headers.contains_key(header::TRANSFER_ENCODING)
}

/// A small unread body is read, so that the connection can be kept; after a larger one, or one the
/// client still waits to send, the connection closes.
async fn finish_request_body(session: &mut Session, cx: &Ctx) {
    if session.is_body_done() {
        return;
    }
    let small = session
        .req_header()
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| length <= DRAIN_BYTES);
    if small && !cx.expect_continue && !session.as_downstream().is_http2() {
        let drain = session.drain_request_body();
        if matches!(
            tokio::time::timeout(Duration::from_secs(1), drain).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
    session.set_keepalive(None);
}
