//! Connections of the sources that speak HTTP.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// With TLS, the certificate checked against `host`.
    pub is_tls: bool,
    /// A name or an address, without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
}

/// A connection, whatever carries it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The future of one connection.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Makes connections. The caller bounds the time.
pub trait Dialer: Send + Sync {
    /// Connects, and speaks TLS where it is asked for.
    fn dial<'a>(&'a self, to: &'a Remote) -> Dialing<'a>;
}

/// Connections in the clear, names by the system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainDialer;

impl Dialer for PlainDialer {
    fn dial<'a>(&'a self, to: &'a Remote) -> Dialing<'a> {
        Box::pin(async move {
            if to.is_tls {
                let why = "there is no TLS here: write http://";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            let stream = TcpStream::connect((&*to.host, to.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
