//! Connections to the server under load: plain, or TLS with whatever certificate it shows.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use boring::error::ErrorStack;
use boring::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode, SslVersion};
use pingora_core::tls::tokio_ssl::SslStream;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tally::Failure;
use crate::client::dial::Bytestream;

/// How long a connection, its TLS handshake included, may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Opens connections to the addresses in turns.
pub(super) struct Dial {
    addresses: Vec<SocketAddr>,
    tls: Option<SslContext>,
    host: String,
    alpn: &'static [u8],
}

impl Dial {
    /// To `addresses`, of which there is at least one. With `tls` the name `host` is asked for, and
    /// the protocol `alpn` has to be agreed on.
    pub(super) fn new(
        addresses: &[SocketAddr],
        tls: bool,
        host: &str,
        alpn: &'static [u8],
    ) -> Result<Self, String> {
        let context = tls
            .then(|| context(alpn))
            .transpose()
            .map_err(|error| format!("TLS: {error}"))?;
        Ok(Self {
            addresses: addresses.to_vec(),
            tls: context,
            host: host.to_owned(),
            alpn,
        })
    }

    /// Opens the connection of client `number`: each client stays with one address.
    pub(super) async fn open(&self, number: usize) -> Result<Box<dyn Bytestream>, Failure> {
        let address = self
            .addresses
            .get(number % self.addresses.len().max(1))
            .ok_or_else(|| Failure::NotConnected("no address".into()))?;
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address))
            .await
            .map_err(|_| Failure::NotConnected(format!("connect: none in {CONNECT_LIMIT:?}")))?
            .map_err(|error| Failure::NotConnected(format!("connect: {error}")))?;
        stream
            .set_nodelay(true)
            .map_err(|error| Failure::broken(format!("TCP_NODELAY: {error}")))?;
        let Some(context) = &self.tls else {
            return Ok(Box::new(stream));
        };
        timeout(CONNECT_LIMIT, self.encrypt(context, stream))
            .await
            .map_err(|_| Failure::broken(format!("handshake: none in {CONNECT_LIMIT:?}")))?
            .map_err(|reason| Failure::broken(format!("handshake: {reason}")))
    }

    async fn encrypt(
        &self,
        context: &SslContext,
        stream: TcpStream,
    ) -> Result<Box<dyn Bytestream>, String> {
        let mut ssl = Ssl::new(context).map_err(|error| error.to_string())?;
        ssl.set_hostname(&self.host)
            .map_err(|error| error.to_string())?;
        let mut stream = SslStream::new(ssl, stream).map_err(|error| error.to_string())?;
        Pin::new(&mut stream)
            .connect()
            .await
            .map_err(|error| error.to_string())?;
        // The first byte of a protocol in ALPN is its length.
        let agreed = stream.ssl().selected_alpn_protocol();
        if agreed != self.alpn.get(1..) {
            let wanted = String::from_utf8_lossy(self.alpn.get(1..).unwrap_or_default());
            return Err(format!("no agreement on {wanted} (ALPN)"));
        }
        Ok(Box::new(stream))
    }
}

fn context(alpn: &[u8]) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_alpn_protos(alpn)?;
    // Whom it speaks to is not the question here: it loads its own machine only.
    builder.set_verify(SslVerifyMode::NONE);
    Ok(builder.build())
}
