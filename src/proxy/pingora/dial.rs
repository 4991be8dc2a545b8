//! Connecting to an endpoint: our own, so that every connection is counted while it lives.

use std::fmt;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{Digest, GetProxyDigest};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use tokio::net::{TcpStream, UnixStream};

use crate::snapshot::UpstreamPlan;
use crate::telemetry::metrics::GaugeGuard;
use crate::upstream::{EndpointState, Line};

/// What a pooled connection carries: it counts as open until the pool or the peer drops it.
pub(super) struct Carried {
    opened: Instant,
    requests: AtomicU64,
    endpoint: Arc<EndpointState>,
    /// None on unix sockets, which have no address to tell them apart by.
    line: Option<Arc<Line>>,
    _open: GaugeGuard,
}

impl Carried {
    /// What the connection of this digest carries.
    pub(super) fn of(digest: Option<&Digest>) -> Option<&Self> {
        digest?
            .proxy_digest
            .as_ref()?
            .user_data
            .as_ref()?
            .downcast_ref()
    }

    /// The connection as its endpoint knows it.
    pub(super) fn line(&self) -> Option<&Arc<Line>> {
        self.line.as_ref()
    }

    /// Counts a request; true if the connection is to be closed after it, since it is too old, was
    /// used often enough, or the pool holds enough idle ones.
    pub(super) fn used(&self, plan: &UpstreamPlan, now: Instant) -> bool {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let pool = &plan.pool;
        let idle =
            plan.metrics.connections_open.get().saturating_sub(
                i64::try_from(plan.upstream.shared().in_flight()).unwrap_or(i64::MAX),
            );
        pool.max_requests.is_some_and(|most| requests >= most)
            || pool
                .max_age
                .is_some_and(|most| now.saturating_duration_since(self.opened) >= most)
            || idle >= i64::from(pool.idle)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.endpoint.connection_closed();
    }
}

/// Connects to endpoints of one upstream.
pub(super) struct Dial {
    /// Whose connections are counted.
    pub(super) plan: Arc<UpstreamPlan>,
    /// The endpoint asked.
    pub(super) endpoint: Arc<EndpointState>,
    /// For TCP alone; Pingora bounds TCP and TLS together by the same time.
    pub(super) timeout: Duration,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let connecting = async {
            match address {
                SocketAddr::Inet(address) => TcpStream::connect(address).await.map(Stream::from),
                SocketAddr::Unix(address) => match address.as_pathname() {
                    Some(path) => UnixStream::connect(path).await.map(Stream::from),
                    None => Err(std::io::ErrorKind::InvalidInput.into()),
                },
            }
        };
        let connected = match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected,
            Err(_) => return Err(Error::new_up(ErrorType::ConnectTimedout)),
        };
        let mut stream = connected.map_err(|error| {
            use std::io::ErrorKind;
            let kind = match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => ErrorType::ConnectRefused,
                ErrorKind::TimedOut => ErrorType::ConnectTimedout,
                ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
                    ErrorType::ConnectNoRoute
                }
                _ => ErrorType::ConnectError,
            };
            Error::because(kind, "connecting to the endpoint", error)
        })?;
        self.plan.metrics.connections_opened.inc();
        self.endpoint.connection_opened();
        let line = match address {
            SocketAddr::Inet(peer) => Some(self.endpoint.lines.add(stream.as_raw_fd(), *peer)),
            SocketAddr::Unix(_) => None,
        };
        let carried = Carried {
            line,
            opened: Instant::now(),
            requests: AtomicU64::new(0),
            endpoint: Arc::clone(&self.endpoint),
            _open: self.plan.metrics.connections_open.enter(),
        };
        // The digest is Pingora's only place for data of ours that lives as long as a connection.
        let head = ResponseHeader::build(200, Some(0))?;
        stream.set_proxy_digest(ProxyDigest::new(Box::new(head), Some(Box::new(carried))));
        Ok(stream)
    }
}
