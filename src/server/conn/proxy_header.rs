//! What comes before HTTP: the PROXY header of a load balancer, and the HTTP/2 preface.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::time::timeout_at;

use super::PREFACE;
use crate::protocol::proxy_protocol::{Header, Parsed, parse};
use crate::server::socket::Socket;
use crate::snapshot::{Listener, ProxyProtocol};
use crate::telemetry::Reason;

/// Reads a PROXY header if there is one.
///
/// # Errors
/// The header is malformed, came too late, from nobody we trust, or is missing.
pub(super) async fn read(
    socket: &mut Socket,
    inbox: &mut BytesMut,
    listener: &Listener,
    peer: Option<SocketAddr>,
    deadline: Instant,
) -> Result<Option<Header>, Reason> {
    let required = listener.proxy_protocol == ProxyProtocol::Required;
    // A unix socket's peer is as trusted as the file's mode.
    let trusted = peer.is_none_or(|peer| listener.trusted.contains(peer.ip().to_canonical()));
    loop {
        match parse(inbox) {
            Parsed::NotProxy if required => return Err(Reason::ProxyProtocolMissing),
            Parsed::NotProxy => return Ok(None),
            Parsed::Invalid(_) => return Err(Reason::ProxyProtocolInvalid),
            Parsed::Complete { .. } if !trusted => return Err(Reason::ProxyProtocolUntrusted),
            Parsed::Complete { len, header } => {
                inbox.advance(len);
                return Ok(Some(header));
            }
            Parsed::Partial => {}
        }
        match timeout_at(deadline.into(), socket.read_buf(inbox)).await {
            Ok(Ok(n)) if n > 0 => {}
            // Nothing but the start of a header: the client left, or was too slow.
            Ok(_) if inbox.is_empty() => return Ok(None),
            _ if required || !inbox.is_empty() => return Err(Reason::ProxyProtocolInvalid),
            _ => return Ok(None),
        }
    }
}

/// True if the connection begins with the HTTP/2 preface.
pub(super) async fn is_preface(
    socket: &mut Socket,
    inbox: &mut BytesMut,
    deadline: Instant,
) -> bool {
    loop {
        let len = inbox.len().min(PREFACE.len());
        if inbox.get(..len) != PREFACE.get(..len) {
            return false;
        }
        if len == PREFACE.len() {
            return true;
        }
        match timeout_at(deadline.into(), socket.read_buf(inbox)).await {
            Ok(Ok(n)) if n > 0 => {}
            // What is there goes to the HTTP/1 reader, which answers or closes.
            _ => return false,
        }
    }
}
