//! Idle connections of plugins' own requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::connection::Connection;
use crate::protocol::proxy_protocol::Version;
use crate::snapshot::UpstreamProtocol;

/// Idle connections to one server at most.
const MAX_PER_TARGET: usize = 8;
/// Idle connections at most.
const MAX_IDLE: usize = 256;
/// Idle connections are closed after this time; most servers wait longer.
const IDLE: Duration = Duration::from_secs(30);

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// An address.
    Socket(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
    /// A name that is looked up when a connection is opened.
    Name { host: Box<str>, port: u16 },
}

/// What two requests must have in common to use one connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) target: Target,
    pub(super) protocol: UpstreamProtocol,
    /// Tells TLS with these authorities, names and certificate from any other; 0 is none.
    pub(super) tls: u64,
    /// The PROXY header it began with.
    pub(super) proxy_protocol: Option<Version>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
struct Inner {
    idle: HashMap<Key, Vec<Idle>>,
    sweeping: bool,
}

/// Idle connections, the youngest used first. One task closes those that nobody wants.
#[derive(Default)]
pub(super) struct Pool(Mutex<Inner>);

impl Pool {
    /// A connection that can be used now.
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let mut inner = self.0.lock();
        let idle = inner.idle.get_mut(key)?;
        while let Some(last) = idle.pop() {
            if !last.connection.is_usable() || last.since.elapsed() >= IDLE {
                continue;
            }
            // One HTTP/2 connection serves all: it stays where it is.
            if let Some(shared) = last.connection.share() {
                idle.push(last);
                return Some(shared);
            }
            return Some(last.connection);
        }
        inner.idle.remove(key);
        None
    }

    /// Keeps a connection, or closes it when there are enough. Called on the runtime that shall
    /// close idle ones.
    pub(super) fn put(self: &Arc<Self>, key: Key, connection: Connection) {
        let mut inner = self.0.lock();
        let total: usize = inner.idle.values().map(Vec::len).sum();
        let shared = connection.is_http2();
        let most = if shared { 1 } else { MAX_PER_TARGET };
        let now = Instant::now();
        let idle = inner.idle.entry(key).or_default();
        if shared && let Some(first) = idle.first_mut() {
            first.since = now;
        } else if idle.len() < most && total < MAX_IDLE {
            idle.push(Idle {
                connection,
                since: now,
            });
        }
        if !inner.sweeping {
            inner.sweeping = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes all of them. Those of HTTP/2 that are in use close with their last request.
    pub(super) fn clear(&self) {
        self.0.lock().idle.clear();
    }

    /// Closes what was idle too long or is closed already; false when nothing is left.
    fn purge(&self) -> bool {
        let mut inner = self.0.lock();
        inner.idle.retain(|_, idle| {
            idle.retain(|one| one.connection.is_usable() && one.since.elapsed() < IDLE);
            !idle.is_empty()
        });
        inner.sweeping = !inner.idle.is_empty();
        inner.sweeping
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.0.lock().idle.values().map(Vec::len).sum()
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(IDLE / 2).await;
        if !pool.upgrade().is_some_and(|pool| pool.purge()) {
            return;
        }
    }
}
