//! The handshake with a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use boring::ssl::{Error as SslError, NameType, SslRef};
use bytes::BytesMut;
use http::{HeaderName, HeaderValue};
use tokio::io::AsyncWrite;
use tokio::time::timeout;
use tokio_boring::HandshakeError;

use crate::proxy::connection::TlsFacts;
use crate::server::gate::Admitted;
use crate::server::linger;
use crate::server::socket::Socket;
use crate::server::transport::Transport;
use crate::snapshot::listener::ListenerTls;
use crate::telemetry::{HandshakeFailure, Reason};
use crate::tls::context::ACME_TLS;
use crate::tls::failure::is_http;
use crate::tls::identity::{Forward, IDENTITY_HEADERS, Identity};
use crate::tls::{Standing, failure_of};

/// For who speaks HTTP where TLS is spoken. Whoever speaks something else cannot be told.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 35\r\n\
    connection: close\r\n\r\nThis port speaks HTTPS, not HTTP.\r\n";

/// What a handshake gives.
pub(super) struct Met {
    /// The socket, to be spoken on in the clear.
    pub(super) socket: Socket,
    /// What was agreed.
    pub(super) facts: TlsFacts,
    /// HTTP/2 was agreed.
    pub(super) h2: bool,
}

/// Makes the handshake. `read` is what came behind a PROXY header. `None`: there is nothing more to be done.
///
/// # Errors
/// It failed: counted, and the client told by an alert where there is one.
pub(super) async fn accept(
    tls: &ListenerTls,
    socket: Socket,
    read: BytesMut,
    admitted: &Admitted,
) -> Result<Option<Met>, Reason> {
    let metrics = tls.edge.metrics();
    let _under_way = metrics.under_way.enter();
    let met = shake(tls, socket, read, admitted).await;
    met.map_err(|failure| {
        metrics.failed(failure);
        Reason::TlsHandshakeFailed
    })
}

async fn shake(
    tls: &ListenerTls,
    socket: Socket,
    read: BytesMut,
    admitted: &Admitted,
) -> Result<Option<Met>, HandshakeFailure> {
    let edge = &tls.edge;
    if let Some(rate) = edge.per_ip()
        && !admitted.may_shake_hands(rate)
    {
        return Err(HandshakeFailure::Rate);
    }
    let standing = Standing::of(edge.client_auth());
    let began = Instant::now();
    let transport = Transport::new(socket, read);
    let accepting = tokio_boring::accept(&tls.acceptor, transport);
    let stream = match timeout(edge.timeout(), accepting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(error)),
        Err(_) => return Err(HandshakeFailure::Timeout),
    };
    let ssl = stream.ssl();
    let h2 = match ssl.selected_alpn_protocol() {
        // The authority has seen what it wanted; nothing is served on this connection (RFC 8737 section 3).
        Some(ACME_TLS) => {
            linger::spawn(Socket::Tls(Box::new(stream)));
            return Ok(None);
        }
        Some(protocol) => protocol == b"h2",
        // Without ALPN it is HTTP/1.1, where that is spoken.
        None if tls.http1 => false,
        None => {
            linger::spawn(Socket::Tls(Box::new(stream)));
            return Err(HandshakeFailure::Alpn);
        }
    };
    // Also for a resumed session, whose certificate was verified anew within the handshake.
    let identity = match edge.client_auth().map(|auth| auth.admit(ssl)).transpose() {
        Ok(identity) => identity.flatten(),
        Err(refusal) => {
            linger::spawn(Socket::Tls(Box::new(stream)));
            return Err(refusal.into());
        }
    };
    let facts = facts(tls, ssl, identity, standing);
    completed(tls, ssl, &facts, began.elapsed());
    Ok(Some(Met {
        socket: Socket::Tls(Box::new(stream)),
        facts,
        h2,
    }))
}

fn facts(
    tls: &ListenerTls,
    ssl: &SslRef,
    identity: Option<Arc<Identity>>,
    standing: Standing,
) -> TlsFacts {
    let cipher = ssl.current_cipher().and_then(|one| one.standard_name());
    TlsFacts {
        edge: Arc::clone(&tls.edge),
        version: ssl.version_str(),
        cipher: cipher.unwrap_or("other"),
        server_name: ssl
            .servername(NameType::HOST_NAME)
            .map(|name| name.to_ascii_lowercase().into()),
        forward: match &identity {
            Some(identity) => forwarded(tls.edge.forward(), identity),
            None => Vec::new(),
        },
        identity,
        standing,
    }
}

/// The fields by which origins are told who the client is, made once per connection.
fn forwarded(how: Forward, identity: &Identity) -> Vec<(HeaderName, HeaderValue)> {
    let value = |text: String| HeaderValue::try_from(text).ok();
    let [xfcc, certificate, chain] = IDENTITY_HEADERS;
    let fields = match how {
        Forward::Off => [None, None],
        Forward::Xfcc => [value(identity.xfcc()).map(|value| (xfcc, value)), None],
        Forward::Rfc9440 => [
            value(identity.client_cert()).map(|value| (certificate, value)),
            identity
                .client_cert_chain()
                .and_then(value)
                .map(|value| (chain, value)),
        ],
    };
    fields.into_iter().flatten().collect()
}

fn completed(tls: &ListenerTls, ssl: &SslRef, facts: &TlsFacts, took: Duration) {
    let metrics = tls.edge.metrics();
    metrics.completed(
        facts.version,
        ssl.session_reused(),
        facts.cipher,
        ssl.curve_name(),
    );
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    metrics.seconds.observe_ns(took);
}

/// Why it failed. The alert was written; the socket is closed so that the client can read it.
fn failed(error: HandshakeError<Transport>) -> HandshakeFailure {
    let source = std::error::Error::source(&error).and_then(|it| it.downcast_ref::<SslError>());
    let failure = match source {
        Some(source) => failure_of(error.ssl(), source),
        None => HandshakeFailure::Internal,
    };
    let is_http = source.is_some_and(is_http);
    let transport = error.into_source_stream();
    if let Some(transport) = transport.filter(|_| failure != HandshakeFailure::Closed) {
        let mut socket = transport.into_socket();
        if is_http {
            // One segment on a socket nothing was written to: it goes out at once or not at all.
            let _ =
                Pin::new(&mut socket).poll_write(&mut Context::from_waker(Waker::noop()), PLAIN);
        }
        linger::spawn(socket);
    }
    failure
}
