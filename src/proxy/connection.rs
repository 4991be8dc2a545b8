//! What is known of a client connection, and of the node that took it: shared by its requests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::admission::Shedding;
use super::body_memory::BodyMemory;
use crate::protocol::proxy_protocol::Tlvs;
use crate::snapshot::{Current, Listener, Snapshot};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::explain::ExplainRing;
use crate::telemetry::metrics::Metrics;
use crate::tls::{ClientMode, Edge, Identity, Standing};

/// The node: what every request may use. One per process.
pub struct Node {
    /// Where the current picture hangs.
    pub current: Current,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The access log, when one is configured. Replaced by a reload that changes it.
    pub access_log: arc_swap::ArcSwapOption<AccessLog>,
    /// The last requests, for `farmgate explain ID`.
    pub explain: arc_swap::ArcSwapOption<ExplainRing>,
    /// Header fields the access log carries besides its own.
    pub log_headers: arc_swap::ArcSwap<Vec<(http::HeaderName, Arc<str>)>>,
    /// The memory of bodies that are held back.
    pub body_memory: Arc<BodyMemory>,
    /// What the node's load leaves no room for.
    pub shedding: Shedding,
    /// `drain.idle_grace` in force, in milliseconds.
    pub idle_grace_ms: AtomicU64,
    /// True once the node is going down: health checks fail.
    pub draining: AtomicBool,
    /// True once connections are not kept, since the node goes down or another process took its place.
    pub leaving: AtomicBool,
}

impl Node {
    /// A node without a configuration.
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            current: Current::new(Arc::new(Snapshot::empty(metrics))),
            metrics: Arc::clone(metrics),
            access_log: arc_swap::ArcSwapOption::empty(),
            explain: arc_swap::ArcSwapOption::empty(),
            log_headers: arc_swap::ArcSwap::default(),
            body_memory: BodyMemory::new(metrics.body_memory()),
            shedding: Shedding::default(),
            idle_grace_ms: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }

    /// True once connections are not kept.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// True once the node is going down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// One client connection.
pub struct Connection {
    /// The peer: the load balancer if one stands before us. None on unix sockets.
    pub peer: Option<SocketAddr>,
    /// The client, as the PROXY header of a trusted proxy says, else the peer.
    pub source: Option<SocketAddr>,
    /// The address the client connected to: the load balancer's, as the PROXY header says, else ours. None on unix
    /// sockets.
    pub destination: Option<SocketAddr>,
    /// True when `source` came from a PROXY header, so that the client is not the peer.
    pub proxied: bool,
    /// What else the PROXY header says: TLS before us, ids of the load balancer.
    pub said: Option<Box<Tlvs>>,
    /// What was agreed, over TLS.
    pub tls: Option<TlsFacts>,
    /// True for HTTP/2.
    pub h2: bool,
    /// When it was accepted.
    pub opened: Instant,
    /// Requests so far.
    pub requests: AtomicU64,
    /// The connection must close after the current request (drain, removed listener, limits).
    pub close: AtomicBool,
    /// Forwarding fields rendered once: most connections send every request for the same client.
    pub forwarded: Mutex<Option<Forwarded>>,
}

/// What a handshake came to.
pub struct TlsFacts {
    /// The `[[tls]]` the connection was made under; it stays under its rules.
    pub edge: Arc<Edge>,
    /// As `TLSv1.3`.
    pub version: &'static str,
    /// By IANA's name.
    pub cipher: &'static str,
    /// The name the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// Who the client is, if it showed a certificate that was verified.
    pub identity: Option<Arc<Identity>>,
    /// By whom it was let in last.
    pub standing: Standing,
    /// The fields by which origins are told so.
    pub forward: Vec<(HeaderName, HeaderValue)>,
}

impl TlsFacts {
    /// True if the connection may carry requests for `host`: a certificate of its `[[tls]]` is for it. Else a client
    /// could come in under the rules of one `[[tls]]` and be served under the name of another.
    pub fn covers(&self, host: &str) -> bool {
        let covered = self.edge.covers(host);
        if !covered {
            self.edge.metrics().misdirected.inc();
        }
        covered
    }
}

/// Values of forwarding fields, kept per connection.
#[derive(Clone)]
pub struct Forwarded {
    /// The client they were rendered for.
    pub client: IpAddr,
    /// The scheme they were rendered for.
    pub https: bool,
    /// The Host they were rendered for.
    pub host: HeaderValue,
    /// `X-Forwarded-For`.
    pub x_for: HeaderValue,
    /// `Forwarded` (RFC 7239).
    pub forwarded: HeaderValue,
}

impl Connection {
    /// The address that hops are walked from. Unix sockets count as the local host.
    pub fn peer_ip(&self) -> IpAddr {
        match self.source.or(self.peer) {
            Some(address) => address.ip().to_canonical(),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// True when the client used TLS, to us or to the load balancer that says so.
    pub fn is_https(&self) -> bool {
        let before = self.said.as_deref().and_then(|said| said.ssl.as_ref());
        self.tls.is_some() || before.is_some_and(|ssl| ssl.tls)
    }

    /// The names of the client's verified certificate.
    pub fn client_sans(&self) -> &[String] {
        let identity = self.tls.as_ref().and_then(|tls| tls.identity.as_ref());
        identity.map_or(&[], |identity| &identity.sans)
    }

    /// True if the listener's rules about client certificates, as they are now, let this connection in: they may have
    /// come or changed after its handshake, by a reload or in their files.
    pub fn is_admitted(&self, listener: &Listener) -> bool {
        let edge = listener.tls.as_ref().map(|tls| &tls.edge);
        let Some(auth) = edge.and_then(|edge| edge.client_auth()) else {
            return true;
        };
        match &self.tls {
            Some(tls) => auth.readmits(tls.identity.as_deref(), &tls.standing),
            None => auth.mode() == ClientMode::Optional,
        }
    }

    /// True when the connection is not to be kept after the current request.
    pub fn must_close(&self) -> bool {
        self.close.load(Ordering::Relaxed)
    }
}
