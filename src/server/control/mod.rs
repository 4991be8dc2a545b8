//! What operators talk to: the control socket (everything) and the admin address (read-only).
//!
//! Both speak HTTP/1.1 with JSON. They run on a runtime of their own, so that a busy data path
//! cannot make the node deaf.

mod admin;
mod commands;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::units::Cidr;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::Server;
use crate::compile::AdminAddress;

/// Connections served at once, over both.
const CONNECTIONS: usize = 64;
/// A head must come within this time.
const HEAD: Duration = Duration::from_secs(10);

type Answer = http::Response<Full<Bytes>>;

/// Serves the control socket until the task is dropped.
///
/// # Errors
/// The socket cannot be made.
pub fn control(server: Arc<Server>, path: &Path) -> io::Result<()> {
    let listener = bind_private(path)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            if !is_allowed(&stream) {
                log::warn!("control: a peer that is neither root nor this user was refused");
                continue;
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let _place = place;
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let server = Arc::clone(&server);
                    async move { Ok::<_, Infallible>(commands::answer(&server, request).await) }
                });
                serve(stream, service).await;
            });
        }
    });
    Ok(())
}

/// Serves the admin address until the task is dropped.
///
/// # Errors
/// The address cannot be bound.
pub async fn admin(server: Arc<Server>, address: AdminAddress) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    match address {
        AdminAddress::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            tokio::spawn(async move {
                loop {
                    let Ok((stream, peer)) = listener.accept().await else {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    // The list in force now: a reload may have changed it.
                    let settings = server.settings();
                    let allow = settings.admin.as_ref().map_or(&[][..], |(_, allow)| allow);
                    if !may_read(peer.ip(), allow) {
                        continue;
                    }
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                        return;
                    };
                    let server = Arc::clone(&server);
                    tokio::spawn(async move {
                        let _place = place;
                        read_only(stream, server).await;
                    });
                }
            });
        }
        AdminAddress::Unix(path) => {
            let listener = bind_private(&path)?;
            tokio::spawn(async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                        return;
                    };
                    let server = Arc::clone(&server);
                    tokio::spawn(async move {
                        let _place = place;
                        read_only(stream, server).await;
                    });
                }
            });
        }
    }
    Ok(())
}

async fn read_only<S>(stream: S, server: Arc<Server>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let answer = admin::answer(&server, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    serve(stream, service).await;
}

async fn serve<S, V>(stream: S, service: V)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    V: hyper::service::Service<
            http::Request<Incoming>,
            Response = Answer,
            Error = Infallible,
            Future: Send,
        > + Send
        + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("operator connection: {error}");
    }
}

/// A unix socket only we can open. The folder is made if it is missing; a socket nobody answers on
/// is replaced.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket stands there",
            ));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another node answers there",
            ));
        }
        std::fs::remove_file(path)?;
    }
    // The mode is set before anybody can connect: bound under another name, then renamed.
    let half = path.with_extension(format!("{}.half", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&half)?;
    std::fs::set_permissions(&half, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&half, path)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn is_allowed(stream: &UnixStream) -> bool {
    let own = std::fs::metadata("/proc/self").map(|meta| {
        use std::os::unix::fs::MetadataExt;
        meta.uid()
    });
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || own.is_ok_and(|own| own == peer.uid()))
}

fn may_read(ip: IpAddr, allow: &[Cidr]) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || allow.iter().any(|net| net.contains(ip))
}

fn json(status: u16, body: &Value) -> Answer {
    let mut text = body.to_string();
    text.push('\n');
    answer(status, "application/json", text)
}

fn answer(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = http::Response::new(Full::new(body.into()));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let headers = answer.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(kind),
    );
    headers.insert(
        http::header::CACHE_CONTROL,
        http::HeaderValue::from_static("no-store"),
    );
    answer
}
