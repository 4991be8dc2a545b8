//! Header fields we read and write ourselves: the client's address, forwarding fields, ids.

use std::fmt::Write as _;
use std::net::IpAddr;

use farmgate_plugin_api::Headers;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::connection::Forwarded;
use super::ctx::Ctx;
use super::exchange::scheme;
use crate::protocol::client::client_address;
use crate::upstream::hash::mix;

/// The field that carries the request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const VIA: HeaderValue = HeaderValue::from_static("1.1 farmgate");
const VIA_H2: HeaderValue = HeaderValue::from_static("2 farmgate");

/// Sets the client's address: the peer, or what trusted hops say.
pub fn read_client(cx: &mut Ctx, headers: &HeaderMap) {
    if !cx.trusted {
        return;
    }
    let found = client_address(
        cx.client,
        &cx.start.listener.trusted,
        headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .map(HeaderValue::as_bytes),
        headers
            .get_all(header::FORWARDED)
            .iter()
            .map(HeaderValue::as_bytes),
    );
    cx.client = found.ip;
    // Proxies append: the nearest one speaks last.
    if let Some(proto) = headers.get_all(X_FORWARDED_PROTO).iter().next_back() {
        cx.https = proto.as_bytes().eq_ignore_ascii_case(b"https");
    }
}

/// Keeps the trace id of a valid W3C `traceparent` for the log; the field itself is passed on.
pub fn read_trace(cx: &mut Ctx, headers: &HeaderMap) {
    let Some(value) = headers.get(TRACEPARENT) else {
        return;
    };
    // version "-" trace-id "-" parent-id "-" flags, W3C Trace Context section 3.2.
    let bytes = value.as_bytes();
    if bytes.len() >= 55
        && bytes.get(2) == Some(&b'-')
        && bytes.get(35) == Some(&b'-')
        && let Some(trace) = bytes.get(3..35)
        && trace
            .iter()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        && trace.iter().any(|b| *b != b'0')
    {
        cx.trace = <[u8; 32]>::try_from(trace).ok();
    }
}

/// The fields every request to an origin carries. Hop-by-hop fields were removed before.
pub fn forward(cx: &mut Ctx, request: &HeaderMap, upstream: &mut (dyn Headers + '_)) {
    let connection = &cx.start.connection;
    let via = if connection.h2 { VIA_H2 } else { VIA };
    upstream.append(&header::VIA, via);
    if !cx.trusted {
        drop_claims(upstream);
    }
    if let Some(tls) = &connection.tls {
        for (name, value) in &tls.forward {
            upstream.set(name, value.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_str(cx.id.as_str()) {
        upstream.set(&X_REQUEST_ID, id);
    }
    if cx.attempts.number() > 1 {
        let number = u16::from(cx.attempts.number());
        upstream.set(&X_ATTEMPT, HeaderValue::from(number));
    }
    upstream.set(
        &X_FORWARDED_PROTO,
        HeaderValue::from_static(if cx.https { "https" } else { "http" }),
    );
    // The client's own Host: the origin may get another.
    let host = request
        .get(header::HOST)
        .cloned()
        .or_else(|| HeaderValue::from_str(&cx.host).ok());
    let Some(host) = host else { return };
    let fields = forwarded_fields(cx, upstream.map(), &host);
    upstream.set(&X_FORWARDED_FOR, fields.x_for);
    upstream.set(&header::FORWARDED, fields.forwarded);
    let trusted = cx.trusted;
    if !(trusted && upstream.map().contains_key(X_FORWARDED_HOST)) {
        upstream.set(&X_FORWARDED_HOST, host);
    }
    // A client's own word for the port would contradict what we know.
    if !trusted {
        upstream.remove(&X_FORWARDED_PORT);
    }
}

/// Removes what a client says under the names of identities, however their dashes are written: origins that hand
/// fields to programs as variables (RFC 3875 section 4.1.18) cannot tell `Client_Cert` from `Client-Cert`.
pub fn drop_identities(names: &[HeaderName], headers: &mut (dyn Headers + '_)) {
    if names.is_empty() {
        return;
    }
    for name in names {
        headers.remove(name);
    }
    let is_spelled = |one: &&HeaderName| {
        let text = one.as_str().as_bytes();
        let fits = |name: &HeaderName| {
            let name = name.as_str().as_bytes();
            name.len() == text.len() && name.iter().zip(text).all(is_same)
        };
        names.iter().any(fits)
    };
    let spelled: Vec<HeaderName> = headers.map().keys().filter(is_spelled).cloned().collect();
    for name in &spelled {
        headers.remove(name);
    }
}

/// True for equal bytes, and for a dash and an underscore.
fn is_same((one, other): (&u8, &u8)) -> bool {
    one == other || matches!((one, other), (b'-', b'_') | (b'_', b'-'))
}

/// Removes what a client that is no trusted proxy claims of hops before it: every `X-Forwarded-*`,
/// however its dashes are written, `X-Real-IP`, `X-Attempt` and `X-Request-Deadline`.
fn drop_claims(upstream: &mut (dyn Headers + '_)) {
    let is_claim = |name: &&HeaderName| {
        let text = name.as_str().as_bytes();
        let starts = |with: &[u8]| {
            text.get(..with.len())
                .is_some_and(|front| front.iter().zip(with).all(is_same))
        };
        starts(b"x-forwarded-")
            || (starts(b"x-real-ip") && text.len() == 9)
            || (starts(b"x-attempt") && text.len() == 9)
            || (starts(b"x-request-deadline") && text.len() == 18)
    };
    let claims: Vec<HeaderName> = upstream.map().keys().filter(is_claim).cloned().collect();
    for name in &claims {
        upstream.remove(name);
    }
}

/// Renders the forwarding fields, or takes them from the connection when nothing changed.
fn forwarded_fields(cx: &Ctx, headers: &HeaderMap, host: &HeaderValue) -> Forwarded {
    let connection = &cx.start.connection;
    let peer = connection.peer_ip();
    if cx.trusted
        && (headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(header::FORWARDED))
    {
        return render(cx, headers, host, peer);
    }
    let mut kept = connection.forwarded.lock();
    if let Some(known) = &*kept
        && known.client == peer
        && known.https == cx.https
        && known.host == host
    {
        return known.clone();
    }
    // Whatever an untrusted client claims of earlier hops is dropped.
    let fresh = render(cx, &HeaderMap::new(), host, peer);
    *kept = Some(fresh.clone());
    fresh
}

fn render(cx: &Ctx, headers: &HeaderMap, host: &HeaderValue, peer: IpAddr) -> Forwarded {
    let mut x_for = String::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        if let Ok(text) = value.to_str() {
            x_for.push_str(text.trim());
            x_for.push_str(", ");
        }
    }
    let mut forwarded = String::new();
    for value in headers.get_all(header::FORWARDED) {
        if let Ok(text) = value.to_str() {
            forwarded.push_str(text.trim());
            forwarded.push_str(", ");
        }
    }
    // Writing to a String cannot fail.
    let _ = write!(x_for, "{peer}");
    let _ = match peer {
        IpAddr::V4(ip) => write!(forwarded, "for={ip}"),
        IpAddr::V6(ip) => write!(forwarded, "for=\"[{ip}]\""),
    };
    let _ = write!(forwarded, ";proto={}", scheme(cx));
    if let Ok(host) = host.to_str()
        && !host.contains(['"', '\\'])
    {
        let _ = write!(forwarded, ";host=\"{host}\"");
    }
    let value = |text: String| {
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    };
    Forwarded {
        client: peer,
        https: cx.https,
        host: host.clone(),
        x_for: value(x_for),
        forwarded: value(forwarded),
    }
}

/// The fields every response to the client carries, whoever made it.
pub fn respond(cx: &mut Ctx, response: &mut (dyn Headers + '_)) {
    for (name, value) in std::mem::take(&mut cx.added_headers) {
        response.append(&name, value);
    }
    if let Some(cookie) = cx.sticky_cookie.take() {
        response.append(&header::SET_COOKIE, cookie);
    }
    let via = if cx.start.connection.h2 { VIA_H2 } else { VIA };
    response.append(&header::VIA, via);
}

/// The value of a cookie, RFC 6265 section 5.4.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))
}

/// `Set-Cookie` that keeps a client on a side of a split.
pub fn sticky_cookie(name: &str, side: &str, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::try_from(format!(
        "{name}={side}; Path=/; HttpOnly; SameSite=Lax{secure}"
    ))
    .ok()
}

/// The hash of an address, for balancing requests without a key. The same on every node.
pub fn hash_ip(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => mix(u64::from(u32::from(ip)) ^ 0x9e37_79b9_7f4a_7c15),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            mix((bits >> 64) as u64 ^ mix(bits as u64))
        }
    }
}
