//! A look at oneself before clients are taken: the serving threads run, and every listener that has a health path
//! answers on it, through the same code as a client's request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::server::Server;
use crate::server::conn::{Accepted, serve};
use crate::server::drain::Stage;
use crate::server::gate::Gate;
use crate::server::socket::Socket;
use crate::snapshot::{Listener, ProxyProtocol};

/// An answer made here takes no longer.
const ANSWER: Duration = Duration::from_secs(5);

/// Asks every listener that can be asked: those without TLS that speak HTTP/1.
///
/// # Errors
/// One does not answer, or not with 200.
pub(super) async fn look(server: &Arc<Server>) -> Result<(), String> {
    let snapshot = server.node.current.load();
    for listener in snapshot.listeners.iter().flatten() {
        let askable = listener.tls.is_none()
            && listener.http1
            && listener.proxy_protocol != ProxyProtocol::Required;
        let Some(path) = listener.health_path.as_deref().filter(|_| askable) else {
            continue;
        };
        let answer = timeout(ANSWER, ask(server, listener, path)).await;
        let answer = answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let head = answer.map_err(|error| wrong(listener, path, &error.to_string()))?;
        if !head.starts_with("HTTP/1.1 200") {
            let line = head.lines().next().unwrap_or_default().to_owned();
            return Err(wrong(listener, path, &line));
        }
    }
    Ok(())
}

fn wrong(listener: &Listener, path: &str, why: &str) -> String {
    format!(
        "the new process does not serve: listener {:?} answered its own request for {path} with: {why}",
        listener.name
    )
}

async fn ask(
    server: &Arc<Server>,
    listener: &Arc<Listener>,
    path: &str,
) -> std::io::Result<String> {
    let (mut client, socket) = UnixStream::pair()?;
    let socket = socket.into_std()?;
    let gate = Arc::new(Gate::default());
    let admitted = gate
        .admit(listener, None, Instant::now())
        .map_err(|reason| std::io::Error::other(reason.as_str()))?;
    let (node, listener) = (Arc::clone(&server.node), Arc::clone(listener));
    let (proxy, runtime) = server.listeners.lock().engine();
    // Nobody ever tells this one to go.
    let (_, told) = tokio::sync::watch::channel(Stage::Open);
    // On a serving thread, and registered with its event loop, as a client's connection would be.
    runtime.spawn(async move {
        if let Ok(socket) = UnixStream::from_std(socket) {
            serve(Accepted {
                node,
                proxy,
                listener,
                socket: Socket::Unix(socket),
                peer: None,
                admitted,
                told,
            })
            .await;
        }
    });
    let request = format!("GET {path} HTTP/1.1\r\nHost: self-check\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    client.take(64 * 1024).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
