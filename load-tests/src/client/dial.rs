//! Connections to a contestant: plain or TLS 1.3 with the case's key exchange, and nothing else on offer.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use boring::error::ErrorStack;
use boring::ssl::{Ssl, SslContext, SslMethod, SslRef, SslVerifyMode, SslVersion};
use pingora_core::tls::tokio_ssl::SslStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ANSWER_LIMIT;
use crate::case::{Load, Protocol, TlsLoad};

/// BoringSSL names it first on processors with AES, OpenSSL is told to take nothing else.
const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// A stream of bytes, encrypted or not.
pub(crate) trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for S {}

/// Opens connections to one address.
pub(crate) struct Dial {
    address: SocketAddr,
    secure: Option<Secure>,
}

struct Secure {
    context: SslContext,
    host: String,
    group: String,
    alpn: &'static [u8],
    verifies: bool,
}

impl Dial {
    /// To `address`, encrypted as `load` says. With `authority` (a PEM file) the certificate must hold for the
    /// case's host; without it any is taken, which saves the generator's core a signature per connection.
    pub(crate) fn new(
        address: SocketAddr,
        load: &Load,
        authority: Option<&Path>,
    ) -> Result<Self, String> {
        let secure = match &load.tls {
            None => None,
            Some(tls) => Some(
                Secure::new(tls, &load.host, authority)
                    .map_err(|error| format!("TLS for group {}: {error}", tls.group))?,
            ),
        };
        Ok(Self { address, secure })
    }

    /// Opens one. Fails with the reason, also when other cryptography was agreed on than the case asks for.
    pub(crate) async fn open(&self) -> Result<Box<dyn Bytestream>, String> {
        timeout(ANSWER_LIMIT, self.connect())
            .await
            .map_err(|_| format!("no connection within {ANSWER_LIMIT:?}"))?
    }

    async fn connect(&self) -> Result<Box<dyn Bytestream>, String> {
        let failed = |error: std::io::Error| format!("connect: {error}");
        let stream = TcpStream::connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(secure) = &self.secure else {
            return Ok(Box::new(stream));
        };
        let ssl = secure.start().map_err(|error| error.to_string())?;
        let mut stream = SslStream::new(ssl, stream).map_err(|error| error.to_string())?;
        Pin::new(&mut stream)
            .connect()
            .await
            .map_err(|error| format!("handshake: {error}"))?;
        secure.check(stream.ssl())?;
        Ok(Box::new(stream))
    }
}

impl Secure {
    fn new(tls: &TlsLoad, host: &str, authority: Option<&Path>) -> Result<Self, ErrorStack> {
        let mut builder = SslContext::builder(SslMethod::tls())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        builder.set_curves_list(&tls.group)?;
        let alpn: &[u8] = match tls.protocol {
            Protocol::H2 => b"\x02h2",
            Protocol::Http1 | Protocol::Nothing => b"\x08http/1.1",
        };
        builder.set_alpn_protos(alpn)?;
        match authority {
            Some(file) => {
                builder.set_ca_file(file)?;
                builder.set_verify(SslVerifyMode::PEER);
            }
            None => builder.set_verify(SslVerifyMode::NONE),
        }
        Ok(Self {
            context: builder.build(),
            host: host.to_owned(),
            group: tls.group.clone(),
            alpn: &alpn[1..],
            verifies: authority.is_some(),
        })
    }

    fn start(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_hostname(&self.host)?;
        if self.verifies {
            ssl.param_mut().set_host(&self.host)?;
        }
        Ok(ssl)
    }

    fn check(&self, ssl: &SslRef) -> Result<(), String> {
        let cipher = ssl.current_cipher().map_or("none", |cipher| cipher.name());
        if cipher != CIPHER {
            return Err(format!("agreed on the cipher {cipher}, not {CIPHER}"));
        }
        let group = ssl.curve_name().unwrap_or("none");
        if group != self.group {
            return Err(format!("agreed on the group {group}, not {}", self.group));
        }
        if ssl.selected_alpn_protocol() != Some(self.alpn) {
            let wanted = String::from_utf8_lossy(self.alpn);
            return Err(format!("did not agree on the protocol {wanted} (ALPN)"));
        }
        if ssl.session_reused() {
            return Err("resumed a session".into());
        }
        Ok(())
    }
}
