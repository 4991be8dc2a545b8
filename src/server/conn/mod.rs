//! A client connection from its accept to its end.
//!
//! accept → PROXY header → TLS → which protocol → requests until it closes. Everything that ends before a
//! request reaches the engine is answered and counted here.

mod h1;
mod h2;
mod proxy_header;
mod stopping;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::watch;

use self::stopping::Stopping;
use super::drain::Stage;
use super::gate::Admitted;
use super::socket::Socket;
use super::stream::INBOX_BYTES;
use crate::proxy::connection::{Connection, Node};
use crate::proxy::pingora::Proxy;
use crate::snapshot::{Listener, ProxyProtocol, Snapshot};
use crate::telemetry::{DrainCut, Reason};

/// The HTTP/2 connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection task is given.
pub struct Accepted {
    /// The node.
    pub node: Arc<Node>,
    /// The engine.
    pub proxy: Arc<Proxy>,
    /// The listener as it was when the connection was accepted.
    pub listener: Arc<Listener>,
    /// The socket.
    pub socket: Socket,
    /// The peer; none on unix sockets.
    pub peer: Option<SocketAddr>,
    /// Keeps the connection counted until it ends.
    pub admitted: Admitted,
    /// Where the listener stands: open, or on its way to its end.
    pub told: watch::Receiver<Stage>,
}

/// Serves a connection to its end.
pub async fn serve(accepted: Accepted) {
    let listener = Arc::clone(&accepted.listener);
    let _open = listener.metrics.connections_open.enter();
    if let Err(reason) = begin(accepted, &listener).await {
        listener.metrics.connection_rejected(reason);
    }
}

async fn begin(accepted: Accepted, listener: &Arc<Listener>) -> Result<(), Reason> {
    let mut stopping = Stopping::new(&accepted.node, accepted.told.clone());
    let node = Arc::clone(&accepted.node);
    let met = tokio::select! {
        biased;
        met = meet(accepted, listener) => met?,
        () = stopping.cut() => {
            node.metrics.drain().cut(DrainCut::Handshake);
            return Ok(());
        }
    };
    let Some(met) = met else {
        return Ok(());
    };
    if met.serving.connection.h2 {
        h2::serve(met.serving, stopping, met.socket, met.inbox).await;
    } else {
        h1::serve(met.serving, stopping, met.socket, met.inbox, met.deadline).await;
    }
    Ok(())
}

/// A connection of which is known who speaks and what.
struct Met {
    serving: Serving,
    socket: Socket,
    /// Read from the socket, not yet taken.
    inbox: BytesMut,
    /// Until when the first head must be there.
    deadline: Instant,
}

/// What comes before HTTP: PROXY header, TLS, the choice of a protocol. `None`: there is nothing more to be done.
async fn meet(accepted: Accepted, listener: &Arc<Listener>) -> Result<Option<Met>, Reason> {
    let Accepted {
        node,
        proxy,
        listener: _,
        mut socket,
        peer,
        mut admitted,
        told: _,
    } = accepted;
    let opened = Instant::now();
    let mut deadline = opened + listener.timeouts.header;
    let mut inbox = BytesMut::with_capacity(INBOX_BYTES);
    let mut source = peer;
    let mut destination = socket.local_addr();
    let mut proxied = false;
    let mut said = None;
    if listener.proxy_protocol != ProxyProtocol::Off
        && let Some(header) =
            proxy_header::read(&mut socket, &mut inbox, listener, peer, deadline).await?
    {
        said = header.tlvs;
        // `LOCAL` and unknown families say nothing: the peer stands.
        if let Some(address) = header.source {
            source = Some(address);
            destination = header.destination;
            proxied = true;
            if !admitted.is_client(address.ip(), listener) {
                return Err(Reason::LimitConnectionsPerIp);
            }
        }
    }
    let mut facts = None;
    let mut agreed = None;
    if let Some(tls) = &listener.tls {
        let Some(met) = tls::accept(tls, socket, inbox, &admitted).await? else {
            return Ok(None);
        };
        (socket, facts) = (met.socket, Some(met.facts));
        agreed = Some(met.h2);
        inbox = BytesMut::new();
        deadline = Instant::now() + listener.timeouts.header;
    }
    let h2 = match (listener.http1, listener.h2) {
        _ if agreed.is_some() => agreed == Some(true),
        (true, true) => proxy_header::is_preface(&mut socket, &mut inbox, deadline).await,
        (_, h2) => h2,
    };
    let connection = Arc::new(Connection {
        peer,
        source,
        destination,
        proxied,
        said,
        tls: facts,
        h2,
        opened,
        requests: AtomicU64::new(0),
        close: AtomicBool::new(false),
        forwarded: parking_lot::Mutex::new(None),
    });
    let serving = Serving {
        node,
        proxy,
        accepted_on: Arc::clone(listener),
        connection,
        _admitted: admitted,
    };
    Ok(Some(Met {
        serving,
        socket,
        inbox,
        deadline,
    }))
}

/// A connection whose protocol is known.
struct Serving {
    node: Arc<Node>,
    proxy: Arc<Proxy>,
    accepted_on: Arc<Listener>,
    connection: Arc<Connection>,
    _admitted: Admitted,
}

impl Serving {
    /// The listener as it is configured now; when its address is no longer configured, as it was when
    /// the connection was accepted: a connection never comes under the rules of another listener.
    fn listener(&self, snapshot: &Snapshot) -> Arc<Listener> {
        let first = &self.accepted_on;
        match snapshot.listener(first.slot) {
            Some(now) if now.address == first.address => Arc::clone(now),
            _ => Arc::clone(first),
        }
    }
}
