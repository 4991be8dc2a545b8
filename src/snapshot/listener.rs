//! A listener as compiled: what holds from the accept to the route.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boring::ssl::SslAcceptor;

use super::chain::Chain;
use crate::protocol::client::TrustedProxies;
use crate::protocol::http1::HeadLimits;
use crate::protocol::http2::GuardLimits;
use crate::protocol::uri::UriPolicy;
use crate::telemetry::metrics::ListenerMetrics;
use crate::tls::Edge;

/// An address to bind: the identity of a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindAddress {
    /// TCP. `[::]` is IPv6 only.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for BindAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whether a PROXY header is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Never; its bytes would be a bad request.
    Off,
    /// When it comes, from trusted proxies only.
    Optional,
    /// A connection without one is closed.
    Required,
}

/// Connections: how many at once, how fast.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// At once, all clients together.
    pub connections: u32,
    /// At once, per client address (IPv6 by /64).
    pub connections_per_ip: u32,
    /// New ones per second over all clients; none for no limit. As (count, period).
    pub rate: Option<(u32, Duration)>,
    /// New ones per client address.
    pub rate_per_ip: Option<(u32, Duration)>,
}

/// Times of a client connection. A route may set its own `body_idle`, `request`, `upgrade_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a head (or the accept) to its end.
    pub header: Duration,
    /// Between two reads of a request body, and between two writes of a response.
    pub body_idle: Duration,
    /// Between two requests.
    pub keepalive: Duration,
    /// Of a connection, until it takes no new requests; none for no limit.
    pub max_age: Option<Duration>,
    /// Until the response's head is sent.
    pub request: Duration,
    /// Without a byte in either direction of a tunnel.
    pub upgrade_idle: Duration,
    /// The longest a tunnel may live.
    pub upgrade_age: Option<Duration>,
}

/// Bounds of HTTP/2 connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2Limits {
    /// Streams of one connection at once.
    pub streams: u32,
    /// Bytes that a client may send ahead on one stream.
    pub window: u32,
    /// The same on all streams of a connection together.
    pub connection_window: u32,
    /// Resets and control frames.
    pub guard: GuardLimits,
}

/// TLS on a listener.
pub struct ListenerTls {
    /// The `[[tls]]`.
    pub edge: Arc<Edge>,
    /// Its acceptor for the listener's protocols.
    pub acceptor: SslAcceptor,
    /// Clients without ALPN speak HTTP/1.1; false where that is not spoken.
    pub http1: bool,
}

/// A listener of one generation.
pub struct Listener {
    /// Stable number of the bound address.
    pub slot: u16,
    /// Its name.
    pub name: Arc<str>,
    /// Where it is bound.
    pub address: BindAddress,
    /// HTTP/1.0 and 1.1 are spoken.
    pub http1: bool,
    /// HTTP/2 is spoken: by ALPN with TLS, by prior knowledge without.
    pub h2: bool,
    /// TLS; none: clients speak without.
    pub tls: Option<ListenerTls>,
    /// PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// Whom PROXY headers and X-Forwarded-For are believed from.
    pub trusted: TrustedProxies,
    /// Answered before routing, for load balancers.
    pub health_path: Option<Box<str>>,
    /// Plugins before routing.
    pub chain: Chain,
    /// Of connections.
    pub connections: ConnectionLimits,
    /// Of heads.
    pub head: HeadLimits,
    /// Most bytes of a request body.
    pub body_bytes: u64,
    /// Of HTTP/2 connections.
    pub h2_limits: H2Limits,
    /// Times.
    pub timeouts: Timeouts,
    /// Slowest request body, in bytes per second.
    pub min_body_rate: Option<u64>,
    /// How targets are normalised.
    pub uri: UriPolicy,
    /// Counted here.
    pub metrics: ListenerMetrics,
}
