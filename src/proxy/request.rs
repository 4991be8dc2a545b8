//! Step 3 of a request's life: what the head says, in the one form everybody sees.

use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};

use super::ctx::Ctx;
use crate::protocol::uri::{NormalisedUri, normalise, normalise_host, port_of};
use crate::telemetry::Reason;

/// A head as an engine parsed it.
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The protocol.
    pub version: Version,
    /// The target as received.
    pub target: &'a [u8],
    /// `:authority` of HTTP/2.
    pub authority: Option<&'a str>,
    /// The fields.
    pub headers: &'a HeaderMap,
}

/// Fills the context from the head.
///
/// # Errors
/// The target cannot be normalised, is too long, or asks for what is not served.
pub fn read(cx: &mut Ctx, head: &Head<'_>) -> Result<(), Reason> {
    let listener = &cx.start.listener;
    cx.in_flight = Some(listener.metrics.requests_in_flight.enter());
    cx.method = head.method.clone();
    cx.protocol = match head.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    if head.target.len() > listener.head.uri_bytes {
        cx.raw_target = Some(Bytes::copy_from_slice(head.target));
        return Err(Reason::UriTooLong);
    }
    if head.headers.len() > usize::from(listener.head.headers) {
        return Err(Reason::HeaderTooLarge);
    }
    if *head.method == Method::CONNECT {
        return Err(Reason::MethodNotAllowed);
    }
    let mut uri = NormalisedUri::default();
    if normalise(head.target, &listener.uri, &mut uri).is_err() {
        cx.raw_target = Some(Bytes::copy_from_slice(head.target));
        return Err(Reason::BadRequest);
    }
    cx.target = uri.path_and_query(head.target).to_owned();
    if let Some(raw) = cx.start.raw_target.take() {
        cx.raw_target = Some(raw);
    } else if !uri.is_verbatim() || uri.authority(head.target).is_some() {
        cx.raw_target = Some(Bytes::copy_from_slice(head.target));
    }
    cx.path_len = uri.path(head.target).len();
    let host = uri
        .authority(head.target)
        .or(head.authority)
        .or_else(|| head.headers.get(header::HOST)?.to_str().ok())
        .unwrap_or_default();
    cx.host = normalise_host(host).into_owned();
    cx.port = port_of(host);
    cx.upgrade = !cx.start.connection.h2 && asks_for_websocket(head.headers);
    cx.expect_continue = head
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    Ok(())
}

/// A WebSocket handshake: `Upgrade: websocket`, and `Connection` names the field (RFC 6455 section
/// 4.1). Without the latter an intermediary before us took it for plain HTTP, and so do we.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
}
