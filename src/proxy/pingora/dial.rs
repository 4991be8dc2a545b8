//! Connecting to an endpoint: our own, so that TLS is made as the configuration says and every connection is counted
//! while it lives.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{Digest, GetProxyDigest};
use pingora_core::upstreams::peer::H2ConnectGate;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use super::failure;
use super::peer::H2_STREAMS;
use super::secure::{self, Socket};
use crate::snapshot::{UpstreamPlan, UpstreamProtocol};
use crate::telemetry::metrics::GaugeGuard;
use crate::tls::Alpn;
use crate::tls::upstream::{Connector, TlsFailure};
use crate::upstream::{Endpoint, EndpointState, Line};

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

/// Connects to an endpoint of one upstream.
pub(super) struct Dial {
    /// Whose connections are counted.
    plan: Arc<UpstreamPlan>,
    /// The endpoint asked.
    endpoint: Arc<Endpoint>,
    /// For TCP and TLS together.
    timeout: Duration,
    /// The TLS to be made, with the protocols offered; the same that the peer's key was made of.
    tls: Option<(Arc<Connector>, Alpn)>,
    /// What is sent before all else: the PROXY header.
    greeting: Vec<u8>,
    /// When the wait for a connection of somebody else ends; set when it begins.
    waits_until: OnceLock<Instant>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let end = tokio::time::Instant::now() + self.timeout;
        let mut stream = match address {
            SocketAddr::Inet(address) => {
                let socket = self.reach(TcpStream::connect(address), end).await?;
                socket.set_nodelay(true).map_err(refused)?;
                self.secured(socket, end).await?
            }
            SocketAddr::Unix(address) => match address.as_pathname() {
                Some(path) => {
                    let socket = self.reach(UnixStream::connect(path), end).await?;
                    self.secured(socket, end).await?
                }
                None => return Err(refused(io::ErrorKind::InvalidInput.into())),
            },
        };
        let state = &self.endpoint.state;
        self.plan.metrics.connections_opened.inc();
        state.connection_opened();
        let line = match address {
            SocketAddr::Inet(peer) => Some(state.lines.add(stream.as_raw_fd(), *peer)),
            SocketAddr::Unix(_) => None,
        };
        let carried = Carried {
            line,
            opened: Instant::now(),
            requests: AtomicU64::new(0),
            endpoint: Arc::clone(state),
            _open: self.plan.metrics.connections_open.enter(),
        };
        // The digest is Pingora's only place for data of ours that lives as long as a connection.
        let head = ResponseHeader::build(200, Some(0))?;
        stream.set_proxy_digest(ProxyDigest::new(Box::new(head), Some(Box::new(carried))));
        Ok(stream)
    }
}

impl Dial {
    /// For one attempt, with this time for TCP and TLS together.
    pub(super) fn new(
        plan: &Arc<UpstreamPlan>,
        endpoint: &Arc<Endpoint>,
        timeout: Duration,
        tls: Option<(Arc<Connector>, Alpn)>,
        greeting: Vec<u8>,
    ) -> Arc<Self> {
        Arc::new(Self {
            plan: Arc::clone(plan),
            endpoint: Arc::clone(endpoint),
            timeout,
            tls,
            greeting,
            waits_until: OnceLock::new(),
        })
    }

    async fn reach<S>(
        &self,
        connecting: impl Future<Output = io::Result<S>>,
        end: tokio::time::Instant,
    ) -> Result<S> {
        match tokio::time::timeout_at(end, connecting).await {
            Ok(connected) => connected.map_err(refused),
            Err(_) => Err(Error::new_up(ErrorType::ConnectTimedout)),
        }
    }

    /// Says who the client is, and makes TLS of the connection where the upstream has it; never leaves it out there.
    async fn secured<S: Socket>(&self, mut socket: S, end: tokio::time::Instant) -> Result<Stream>
    where
        Stream: From<S>,
    {
        if !self.greeting.is_empty() {
            self.reach(socket.write_all(&self.greeting), end).await?;
        }
        let turns = &self.endpoint.state.turns;
        let Some((connector, alpn)) = &self.tls else {
            turns.connected(self.plan.protocol == UpstreamProtocol::H2);
            return Ok(socket.into());
        };
        let shaking = connector.handshake(socket, *alpn);
        let shaken = tokio::time::timeout_at(end, shaking).await;
        match shaken.unwrap_or(Err(TlsFailure::TimedOut)) {
            Ok(tls) => {
                if *alpn != Alpn::Http1 {
                    turns.connected(tls.is_h2());
                }
                Ok(secure::stream(tls))
            }
            Err(failure) => {
                failure::tell(self.plan.name(), &self.endpoint, &failure);
                let kind = ErrorType::TLSHandshakeFailure;
                let mut error = Error::because(kind, "TLS with the endpoint", failure);
                error.as_up();
                Err(error)
            }
        }
    }
}

fn refused(error: io::Error) -> Box<Error> {
    use std::io::ErrorKind;
    let kind = match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => ErrorType::ConnectRefused,
        ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => ErrorType::ConnectNoRoute,
        _ => ErrorType::ConnectError,
    };
    Error::because(kind, "connecting to the endpoint", error)
}

/// Before a connection that may become HTTP/2 is opened: a look for one that somebody else opens.
#[async_trait]
impl H2ConnectGate for Dial {
    async fn enter(&self) -> Option<Box<dyn Any + Send>> {
        let mut first = false;
        let end = *self.waits_until.get_or_init(|| {
            first = true;
            Instant::now() + self.timeout
        });
        // The pool gives a connection out for as long as a stream on it is begun; in that moment others see none.
        if first {
            tokio::task::yield_now().await;
            return None;
        }
        let turn = self.endpoint.state.turn(H2_STREAMS, end).await?;
        Some(Box::new(turn))
    }
}
