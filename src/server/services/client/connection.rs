//! One connection to a server: HTTP/1.1 or HTTP/2, in the clear by prior knowledge or as ALPN says.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::Sendable;
use super::pool::Target;
use crate::telemetry::metrics::GaugeGuard;
use crate::tls::Alpn;
use crate::tls::upstream::Connector;
use crate::upstream::EndpointState;

/// Largest head of a response.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most fields of a response.
const MAX_FIELDS: usize = 128;
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

/// What is spoken on a new connection.
pub(super) enum Speak {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/2 in the clear.
    Http2,
    /// TLS, with these protocols offered.
    Tls(Arc<Connector>, Alpn),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Counts a connection to an endpoint while it is open.
pub(super) struct Counted {
    endpoint: Arc<EndpointState>,
    _open: GaugeGuard,
}

impl Counted {
    pub(super) fn new(endpoint: &Arc<EndpointState>, open: GaugeGuard) -> Self {
        endpoint.connection_opened();
        Self {
            endpoint: Arc::clone(endpoint),
            _open: open,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.endpoint.connection_closed();
    }
}

/// The sending end. Dropping it closes an HTTP/1.1 connection; the last clone closes HTTP/2.
pub(super) enum Connection {
    Http1(http1::SendRequest<http_body_util::Full<bytes::Bytes>>),
    Http2(http2::SendRequest<http_body_util::Full<bytes::Bytes>>),
}

/// What became of a connection after a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Again,
    Closed,
}

impl Connection {
    /// Connects, says `greeting` (a PROXY header) and spawns the connection's own task on the current runtime. `count` is called once
    /// the connection stands; what it gives lives as long as the connection.
    pub(super) async fn open(
        target: &Target,
        speak: Speak,
        greeting: &[u8],
        count: impl FnOnce() -> Option<Counted>,
    ) -> Result<Self, String> {
        let mut io = dial(target).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
            kind => format!("no connection: {kind}"),
        })?;
        if !greeting.is_empty() {
            let sent = io.write_all(greeting).await;
            sent.map_err(|error| format!("no connection: {}", error.kind()))?;
        }
        let (connector, alpn) = match speak {
            Speak::Http1 => return Self::start(io, false, count()).await,
            Speak::Http2 => return Self::start(io, true, count()).await,
            Speak::Tls(connector, alpn) => (connector, alpn),
        };
        let tls = connector.handshake(io, alpn).await;
        let tls = tls.map_err(|failure| format!("no TLS: {failure}"))?;
        let http2 = tls.is_h2();
        Self::start(tls, http2, count()).await
    }

    async fn start(
        io: impl Stream + 'static,
        http2: bool,
        counted: Option<Counted>,
    ) -> Result<Self, String> {
        let io = TokioIo::new(io);
        let broken = |_| "no connection: the handshake failed".to_owned();
        if http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
                .handshake(io)
                .await
                .map_err(broken)?;
            tokio::spawn(async move {
                let _ = connection.await;
                drop(counted);
            });
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_FIELDS)
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(io)
            .await
            .map_err(broken)?;
        tokio::spawn(async move {
            let _ = connection.await;
            drop(counted);
        });
        Ok(Self::Http1(sender))
    }

    /// Sends a request. The error says whether some byte of it may have been sent.
    pub(super) async fn send(&mut self, request: Sendable) -> Result<Response<Incoming>, bool> {
        let sent = match self {
            Self::Http1(sender) => {
                if sender.ready().await.is_err() {
                    return Err(false);
                }
                sender.try_send_request(request).await
            }
            Self::Http2(sender) => {
                if sender.ready().await.is_err() {
                    return Err(false);
                }
                sender.try_send_request(request).await
            }
        };
        // A request that comes back was never written.
        sent.map_err(|mut error| error.take_message().is_none())
    }

    /// Waits until the next request can be sent.
    pub(super) async fn settle(&mut self) -> Ready {
        let ready = match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        };
        match ready {
            Ok(()) => Ready::Again,
            Err(_) => Ready::Closed,
        }
    }

    /// True if a request can be sent now.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    /// True if it is shared by many requests at once.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// A second user of the connection; only HTTP/2 has several.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }
}

async fn dial(target: &Target) -> io::Result<Box<dyn Stream>> {
    match target {
        Target::Socket(address) => tcp(*address).await,
        Target::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Target::Name { host, port } => {
            let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
            for address in lookup_host((&**host, *port)).await?.take(MAX_ADDRESSES) {
                match tcp(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
