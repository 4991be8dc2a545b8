//! A TLS client.

use std::net::SocketAddr;

use boring::ssl::{
    SslConnector, SslConnectorBuilder, SslMethod, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use boring::x509::X509;
use tokio::net::TcpStream;
use tokio_boring::SslStream;

use super::Client;
use super::authority::{Authority, Issued};
use super::http2::Http2;

/// What a client brings.
pub(crate) struct TlsClient {
    builder: SslConnectorBuilder,
    server_name: Option<String>,
}

/// A connection.
pub(crate) type TlsStream = SslStream<TcpStream>;

impl TlsClient {
    /// Asks for `server_name` and believes `authority`.
    pub(crate) fn new(authority: &Authority, server_name: &str) -> Self {
        let mut builder = SslConnector::builder(SslMethod::tls()).expect("a connector");
        let store = builder.cert_store_mut();
        store
            .add_cert(authority.certificate())
            .expect("the authority");
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        Self {
            builder,
            server_name: Some(server_name.to_owned()),
        }
    }

    /// Asks for `server_name` and believes the system.
    pub(crate) fn named(server_name: &str) -> Self {
        Self {
            server_name: Some(server_name.to_owned()),
            ..Self::nameless()
        }
    }

    /// Asks for no name, and verifies nothing.
    pub(crate) fn nameless() -> Self {
        let mut builder = SslConnector::builder(SslMethod::tls()).expect("a connector");
        builder.set_verify(SslVerifyMode::NONE);
        Self {
            builder,
            server_name: None,
        }
    }

    /// Offers this version alone.
    pub(crate) fn version(mut self, version: SslVersion) -> Self {
        self.builder
            .set_min_proto_version(Some(version))
            .expect("a version");
        self.builder
            .set_max_proto_version(Some(version))
            .expect("a version");
        self
    }

    /// Offers protocols in the form of RFC 7301.
    pub(crate) fn alpn(mut self, wire: &[u8]) -> Self {
        self.builder.set_alpn_protos(wire).expect("protocols");
        self
    }

    /// Verifies nothing.
    pub(crate) fn believing_all(mut self) -> Self {
        self.builder.set_verify(SslVerifyMode::NONE);
        self
    }

    /// Shows a certificate when it is asked for one.
    pub(crate) fn with_certificate(mut self, issued: &Issued) -> Self {
        self.builder
            .set_certificate(&issued.certificate)
            .expect("certificate");
        self.builder.set_private_key(&issued.key).expect("key");
        self
    }

    /// Anything else.
    pub(crate) fn set(mut self, change: impl FnOnce(&mut SslConnectorBuilder)) -> Self {
        change(&mut self.builder);
        self
    }

    /// The handshake, on a connection of its own.
    pub(crate) async fn connect(self, address: SocketAddr) -> Result<TlsStream, String> {
        let stream = TcpStream::connect(address).await.expect("connect");
        self.over(stream).await
    }

    /// The handshake, on a connection that is there.
    pub(crate) async fn over(self, stream: TcpStream) -> Result<TlsStream, String> {
        stream.set_nodelay(true).expect("nodelay");
        let mut configuration = self.builder.build().configure().expect("a configuration");
        let name = self.server_name.as_deref();
        if name.is_none() {
            configuration.set_use_server_name_indication(false);
            configuration.set_verify_hostname(false);
        }
        let met = tokio_boring::connect(configuration, name.unwrap_or("nobody"), stream);
        let met = super::soon("the handshake", met).await;
        met.map_err(|error| error.to_string())
    }

    /// A client for HTTP/1.
    pub(crate) async fn http1(self, address: SocketAddr) -> Client {
        let stream = self.alpn(b"\x08http/1.1").connect(address).await;
        Client::on(Box::new(stream.expect("a handshake")))
    }

    /// A client for HTTP/2.
    pub(crate) async fn http2(self, address: SocketAddr) -> Http2 {
        let authority = self.server_name.clone();
        let stream = self
            .alpn(b"\x02h2")
            .connect(address)
            .await
            .expect("a handshake");
        assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
        Http2::secure(stream, authority.as_deref().unwrap_or("a.test")).await
    }
}

/// The certificate a server showed.
pub(crate) fn shown(stream: &TlsStream) -> X509 {
    stream.ssl().peer_certificate().expect("a certificate")
}
