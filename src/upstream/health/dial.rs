//! How a probe gets its connection: the door through which whoever knows TLS comes in.

use std::future::Future;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::checker::Target;
use super::failure::{FailureKind, ProbeError};
use crate::upstream::address::EndpointAddress;

/// A connection.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection that was made for one probe.
pub struct Dialed {
    /// What the probe reads and writes. Dropping it closes the connection.
    pub io: Box<dyn Connection>,
    /// TLS was agreed on: HTTP/2 says `https` then.
    pub tls: bool,
}

/// What is going to be spoken. A dialer that makes TLS offers it by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Nothing: whatever requests are sent with.
    Nothing,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 and nothing else.
    Http2,
}

/// The future of one connection.
pub type DialFuture<'a> = Pin<Box<dyn Future<Output = Result<Dialed, ProbeError>> + Send + 'a>>;

/// Makes connections for probes. Dropping the future gives up.
pub trait Dialer: Send + Sync + 'static {
    /// Connects to `address`, which is the target's own or that one with the port of its options; a `Socket` or a
    /// `Unix`. Makes TLS when the target's upstream wants it. The caller bounds it in time.
    fn dial<'a>(
        &'a self,
        target: &'a Target,
        address: &'a EndpointAddress,
        spoken: Spoken,
    ) -> DialFuture<'a>;
}

/// Connects without TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainDialer;

impl PlainDialer {
    /// The bare connection, for dialers that put TLS on top of it.
    ///
    /// # Errors
    /// Why there is none; a name was not resolved.
    pub async fn connect(address: &EndpointAddress) -> Result<Box<dyn Connection>, ProbeError> {
        let failed = |error: std::io::Error| {
            ProbeError::new(
                FailureKind::Connect,
                format!("no connection to {address}: {error}"),
            )
        };
        Ok(match address {
            EndpointAddress::Socket(address) => {
                let stream = TcpStream::connect(address).await.map_err(failed)?;
                // A probe's request is one small segment: waiting for more to send only makes it late.
                stream.set_nodelay(true).map_err(failed)?;
                Box::new(stream)
            }
            EndpointAddress::Unix(path) => {
                Box::new(UnixStream::connect(path).await.map_err(failed)?)
            }
            EndpointAddress::Name { .. } => {
                return Err(ProbeError::internal(format!("{address} is not resolved")));
            }
        })
    }
}

impl Dialer for PlainDialer {
    fn dial<'a>(
        &'a self,
        _: &'a Target,
        address: &'a EndpointAddress,
        _: Spoken,
    ) -> DialFuture<'a> {
        Box::pin(async move {
            let io = Self::connect(address).await?;
            Ok(Dialed { io, tls: false })
        })
    }
}
