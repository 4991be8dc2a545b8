//! Accepting, serving and stopping.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::answer::answer;
use super::wire::{Line, Wire};

/// Connections served at once; more wait in the listen queue.
const MAX_CONNECTIONS: u32 = 16_384;
/// Longest wait for a connection's first bytes and for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long open requests may go on after the stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Wait after a failed accept, so that a lack of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The steps of the origin's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Accepts and serves.
    Serving,
    /// Open requests finish, connections close after them.
    Stopping,
    /// What is still open is dropped.
    Closed,
}

/// What all connections share.
pub(super) struct Shared {
    /// Requests seen so far.
    pub(super) requests: AtomicU64,
    /// Connections accepted so far.
    pub(super) connections: AtomicU64,
    /// Who works on a delay; without it everybody at once.
    pub(super) workers: Option<Semaphore>,
    /// Follows the origin's end; an error on it means the origin was dropped.
    pub(super) stage: watch::Receiver<Stage>,
}

/// An origin that holds its port and waits to be run.
pub struct BoundOrigin {
    listener: TcpListener,
    address: SocketAddr,
    workers: Option<u32>,
}

impl BoundOrigin {
    /// Takes over a listening socket.
    pub(super) fn new(listener: TcpListener, workers: Option<u32>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            workers,
        })
    }

    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready (a `oneshot::Receiver` will do, sent to or dropped).
    /// Then it accepts nothing more, lets open requests finish for at most 5 s, and drops the rest.
    /// Dropping the returned future drops every connection at once.
    pub async fn run<S: Future>(self, stop: S) {
        let (stage, stage_seen) = watch::channel(Stage::Serving);
        let shared = Arc::new(Shared {
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            workers: self.workers.map(|n| Semaphore::new(n as usize)),
            stage: stage_seen,
        });
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
        let accepting = accept(self.listener, shared, Arc::clone(&places));
        tokio::select! {
            _ = stop => {}
            () = accepting => {}
        }
        stage.send_replace(Stage::Stopping);
        let all_gone = places.acquire_many(MAX_CONNECTIONS);
        let _ = timeout(STOP_GRACE, all_gone).await;
        stage.send_replace(Stage::Closed);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, places: Arc<Semaphore>) {
    // The semaphore is never closed, so the loop ends only when it is dropped.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let line = Arc::new(Line::new(peer.to_string(), place));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut stage = shared.stage.clone();
            tokio::select! {
                () = serve_connection(stream, line, shared) => {}
                _ = stage.wait_for(|stage| *stage == Stage::Closed) => {}
            }
        });
    }
}

/// Serves one connection to its end. What the client does wrong ends the connection, nothing else.
async fn serve_connection(stream: TcpStream, line: Arc<Line>, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut wire = Wire::new(stream, Arc::clone(&line));
    let mut stage = shared.stage.clone();
    let sniffed = tokio::select! {
        sniffed = timeout(HEAD_TIMEOUT, wire.is_h2()) => sniffed,
        _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
    };
    let Ok(Ok(is_h2)) = sniffed else { return };
    let service =
        service_fn(move |request| answer(Arc::clone(&shared), Arc::clone(&line), request));
    let io = TokioIo::new(wire);
    if is_h2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}
