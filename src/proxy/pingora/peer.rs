//! The one place where a peer is built and a request is addressed to it: every timeout set, nothing
//! resolved, nothing left to Pingora's defaults.

use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, header};
use pingora_core::protocols::ALPN;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions, Scheme};
use pingora_http::RequestHeader;

use super::dial::Dial;
use crate::protocol::proxy_protocol::{Version, proxied};
use crate::proxy::ctx::Ctx;
use crate::snapshot::{HostMode, UpstreamPlan, UpstreamProtocol};
use crate::telemetry::Reason;
use crate::tls::Alpn;
use crate::upstream::EndpointAddress;
use crate::upstream::balance::random::next_u64;

/// Streams of one HTTP/2 connection to an endpoint.
pub(super) const H2_STREAMS: usize = 100;
/// What the engine adds to the time to connect, so that ours ends first.
const GRACE: Duration = Duration::from_secs(1);
/// Finds dead HTTP/2 peers; the engine waits 5 s for the answer.
const H2_PING: Duration = Duration::from_secs(30);

/// The peer of the attempt that begins.
pub(super) fn build(cx: &Ctx, plan: &Arc<UpstreamPlan>) -> Result<Box<HttpPeer>, Reason> {
    let picked = cx.picked.as_ref().ok_or(Reason::Internal)?;
    let endpoint = picked.endpoint();
    let address = match &endpoint.address {
        EndpointAddress::Socket(address) => SocketAddr::Inet(*address),
        EndpointAddress::Unix(path) => {
            let path = std::os::unix::net::SocketAddr::from_pathname(path)
                .map_err(|_| Reason::ConnectFailed)?;
            SocketAddr::Unix(path)
        }
        // Names are resolved in the background; one that has no address is not picked.
        EndpointAddress::Name { .. } => return Err(Reason::NoEndpoint),
    };
    let timeouts = cx.upstream_timeouts.unwrap_or(plan.timeouts);
    let left = cx.deadline().saturating_duration_since(cx.clock);
    let bounded = |own: Duration| own.min(left).max(Duration::from_millis(1));
    let tried = timeouts.per_try.unwrap_or(Duration::MAX);

    let mut options = PeerOptions::new();
    options.connection_timeout = Some(bounded(timeouts.connect.min(tried)));
    // Bounded in `Dial`, which can say what took so long; this one only must not be shorter.
    options.total_connection_timeout =
        Some(bounded(timeouts.connect.min(tried)).saturating_add(GRACE));
    options.read_timeout = Some(bounded(timeouts.first_byte.min(tried)));
    options.write_timeout = Some(bounded(timeouts.write));
    options.idle_timeout = Some(plan.pool.idle_timeout);
    let connect = bounded(timeouts.connect.min(tried));
    let offer = match (plan.protocol, &plan.tls) {
        (UpstreamProtocol::Http1, _) | (UpstreamProtocol::Auto, None) => Alpn::Http1,
        // A connection that is to become another protocol cannot be shared (no RFC 8441 here).
        (UpstreamProtocol::Auto, Some(_)) if cx.upgrade => Alpn::Http1,
        (UpstreamProtocol::Auto, Some(_)) => Alpn::Both,
        (UpstreamProtocol::H2, _) => Alpn::H2,
    };
    options.alpn = match offer {
        Alpn::Http1 => ALPN::H1,
        Alpn::Both => ALPN::H2H1,
        Alpn::H2 => ALPN::H2,
    };
    if offer != Alpn::Http1 {
        options.max_h2_streams = H2_STREAMS;
        options.h2_ping_interval = Some(H2_PING);
    }
    // Loaded once: a connection is made with what its key says, whatever changes meanwhile.
    let tls = plan.tls.as_ref().map(|tls| tls.connector());
    let (scheme, sni, key) = match &tls {
        None => (Scheme::HTTP, String::new(), 0),
        // Should the engine ever make TLS by itself, it verifies this name, and an empty one not at all.
        Some(tls) => (Scheme::HTTPS, tls.sni().to_owned(), tls.key(offer)),
    };
    // Whoever makes a connection that names its client is the only one who finds it.
    let mut owner = 0;
    let mut greeting = Vec::new();
    if let Some(version) = plan.proxy_protocol {
        owner = next_u64();
        greeting = client_header(cx, version);
        options.idle_timeout = Some(Duration::from_millis(1));
    }
    let dial = Dial::new(
        plan,
        endpoint,
        connect,
        tls.map(|tls| (tls, offer)),
        greeting,
    );
    if offer != Alpn::Http1 {
        options.h2_connect_gate = Some(Arc::clone(&dial) as Arc<_>);
    }
    options.custom_l4 = Some(dial);
    Ok(Box::new(HttpPeer {
        _address: address,
        scheme,
        sni,
        proxy: None,
        client_cert_key: None,
        group_key: plan.group_key ^ key ^ endpoint.state.lines.epoch() ^ owner,
        options,
    }))
}

/// The PROXY header for the client of this request, as trusted proxies name it. Their word has no port.
fn client_header(cx: &Ctx, version: Version) -> Vec<u8> {
    let connection = &cx.start.connection;
    let source = match connection.source.or(connection.peer) {
        Some(source) if source.ip().to_canonical() == cx.client => Some(source),
        None if cx.client == connection.peer_ip() => None,
        _ => Some(net::SocketAddr::new(cx.client, 0)),
    };
    // Which address a client came to of whom a proxy on a unix socket tells is not known.
    let unknown = |source: net::SocketAddr| match source.ip() {
        IpAddr::V4(_) => net::SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        IpAddr::V6(_) => net::SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    };
    let destination = connection.destination.or_else(|| source.map(unknown));
    proxied(version, source, destination)
}

/// Addresses the request to the endpoint: target, Host, framing. Hop-by-hop fields are gone.
pub(super) fn prepare(cx: &Ctx, request: &mut RequestHeader) -> Result<(), Reason> {
    let plan = cx.upstream.as_deref().ok_or(Reason::Internal)?;
    let target = cx.target_to_origin();
    let from_h2 = cx.start.connection.h2;
    let client_host = match request.headers.get(header::HOST) {
        Some(host) => Some(host.clone()),
        None => request
            .uri
            .authority()
            .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()),
    };
    if from_h2 || request.raw_path() != target.as_bytes() {
        request
            .set_raw_path(target.as_bytes())
            .map_err(|_| Reason::Internal)?;
    }
    let host = match (&cx.upstream_host, &plan.host) {
        (Some(host), _) => Some(host.clone()),
        (None, HostMode::Keep) => client_host,
        (None, HostMode::Name(host)) => Some(host.clone()),
        (None, HostMode::Endpoint) => {
            cx.picked
                .as_ref()
                .and_then(|picked| match &picked.endpoint().address {
                    EndpointAddress::Unix(_) => Some(HeaderValue::from_static("localhost")),
                    _ => HeaderValue::from_str(&picked.endpoint().configured).ok(),
                })
        }
    };
    let insert = |request: &mut RequestHeader, name, value: HeaderValue| {
        request
            .insert_header(name, value)
            .map_err(|_| Reason::Internal)
    };
    // HTTP/1.0 may come without any; an origin of today needs one.
    let host = host.filter(|host| !host.is_empty()).or_else(|| {
        let picked = cx.picked.as_ref()?;
        HeaderValue::from_str(&picked.endpoint().configured).ok()
    });
    if let Some(host) = host {
        insert(request, header::HOST, host)?;
    }
    // gRPC servers insist on it; Pingora took it out with the fields of the client's connection.
    if cx.grpc_web && request.version == http::Version::HTTP_2 {
        insert(request, header::TE, HeaderValue::from_static("trailers"))?;
    }
    if from_h2 && plan.protocol != UpstreamProtocol::H2 {
        join_cookies(request);
    }
    if cx.replay_complete
        && let Some(body) = &cx.replay
    {
        // The body was read to its end and may have been changed: its length is known now.
        request.remove_header(&header::TRANSFER_ENCODING);
        request.remove_header(&header::EXPECT);
        let declared = request.headers.contains_key(header::CONTENT_LENGTH);
        if declared || !body.is_empty() {
            insert(
                request,
                header::CONTENT_LENGTH,
                HeaderValue::from(body.len()),
            )?;
        }
    }
    // An upgrade has a `Connection` of its own, and its connection ends with it.
    if cx.retire_upstream && !cx.upgrade && request.version != http::Version::HTTP_2 {
        insert(
            request,
            header::CONNECTION,
            HeaderValue::from_static("close"),
        )?;
    }
    Ok(())
}

/// HTTP/2 may split Cookie into crumbs; HTTP/1 takes one line (RFC 9113 section 8.2.3).
fn join_cookies(request: &mut RequestHeader) {
    let crumbs: Vec<&[u8]> = request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        // The only failure is a map of 32,768 fields.
        let _ = request.insert_header(header::COOKIE, whole);
    }
}
