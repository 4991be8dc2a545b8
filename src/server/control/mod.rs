//! What operators talk to: the control socket (everything) and the admin address (read-only).
//!
//! Both speak HTTP/1.1 with JSON. They run on a runtime of their own, so that a busy data path
//! cannot make the node deaf.

mod admin;
mod commands;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
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
use tokio::sync::{Semaphore, watch};

use super::Server;
use super::inherit::Heritage;
use super::upgrade::channel::Role;
use crate::compile::{AdminAddress, Settings};

/// Connections served at once, by each socket.
const CONNECTIONS: usize = 64;
/// A head must come within this time.
const HEAD: Duration = Duration::from_secs(10);
/// How long to wait when the process has no descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

type Answer = http::Response<Full<Bytes>>;

/// The control socket and the admin address.
pub struct Operators {
    sockets: Vec<OperatorSocket>,
    stop: watch::Sender<bool>,
}

/// One of them.
struct OperatorSocket {
    role: Role,
    address: String,
    socket: Bound,
    /// Another process bound it.
    inherited: bool,
}

enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Operators {
    /// Takes over or binds what the configuration names. Nobody is answered before [`Operators::serve`].
    ///
    /// # Errors
    /// An address cannot be bound: the text names it.
    pub fn bind(settings: &Settings, heritage: &Heritage) -> Result<Self, String> {
        let mut sockets = Vec::new();
        if let Some(path) = &settings.control {
            let address = path.display().to_string();
            let inherited = heritage.take(Role::Control, &address);
            let is_inherited = inherited.is_some();
            let socket = match inherited {
                Some(inherited) => Ok(Bound::Unix(inherited.socket.into())),
                None => bind_private(path).map(Bound::Unix),
            };
            sockets.push(OperatorSocket {
                role: Role::Control,
                inherited: is_inherited,
                socket: socket.map_err(|error| format!("control socket {address}: {error}"))?,
                address,
            });
        }
        if let Some((wanted, _)) = &settings.admin {
            let address = match wanted {
                AdminAddress::Tcp(address) => address.to_string(),
                AdminAddress::Unix(path) => format!("unix:{}", path.display()),
            };
            let inherited = heritage.take(Role::Admin, &address);
            let is_inherited = inherited.is_some();
            let socket = match (inherited, wanted) {
                (Some(inherited), AdminAddress::Tcp(_)) => Ok(Bound::Tcp(inherited.socket.into())),
                (Some(inherited), AdminAddress::Unix(_)) => {
                    Ok(Bound::Unix(inherited.socket.into()))
                }
                (None, AdminAddress::Tcp(address)) => {
                    std::net::TcpListener::bind(address).map(Bound::Tcp)
                }
                (None, AdminAddress::Unix(path)) => bind_private(path).map(Bound::Unix),
            };
            sockets.push(OperatorSocket {
                role: Role::Admin,
                inherited: is_inherited,
                socket: socket.map_err(|error| format!("admin address {address}: {error}"))?,
                address,
            });
        }
        let (stop, _) = watch::channel(false);
        Ok(Self { sockets, stop })
    }

    /// Every socket, for the next process.
    pub fn sockets(&self) -> impl Iterator<Item = (Role, &str, RawFd)> {
        self.sockets.iter().map(|one| {
            let fd = match &one.socket {
                Bound::Tcp(socket) => socket.as_raw_fd(),
                Bound::Unix(socket) => socket.as_raw_fd(),
            };
            (one.role, one.address.as_str(), fd)
        })
    }

    /// True if another process bound the socket of this role.
    pub fn is_inherited(&self, role: Role) -> bool {
        let mut sockets = self.sockets.iter();
        sockets.any(|one| one.role == role && one.inherited)
    }

    /// Answers operators until [`Operators::stop`].
    ///
    /// # Errors
    /// A socket cannot be registered with the runtime.
    pub fn serve(&self, server: &Arc<Server>) -> io::Result<()> {
        for one in &self.sockets {
            let serving = OperatorLoop {
                server: Arc::clone(server),
                places: Arc::new(Semaphore::new(CONNECTIONS)),
                stopped: self.stop.subscribe(),
                role: one.role,
            };
            match &one.socket {
                Bound::Tcp(socket) => {
                    let socket = socket.try_clone()?;
                    socket.set_nonblocking(true)?;
                    tokio::spawn(serving.tcp(TcpListener::from_std(socket)?));
                }
                Bound::Unix(socket) => {
                    let socket = socket.try_clone()?;
                    socket.set_nonblocking(true)?;
                    tokio::spawn(serving.unix(UnixListener::from_std(socket)?));
                }
            }
        }
        Ok(())
    }

    /// Another process answers from now on. Who is being answered gets the rest of it.
    pub fn stop(&self) {
        // The loops may have ended.
        let _ = self.stop.send(true);
    }
}

/// The accept loop of one socket.
struct OperatorLoop {
    server: Arc<Server>,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
    role: Role,
}

impl OperatorLoop {
    async fn tcp(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                _ = self.stopped.wait_for(|stop| *stop) => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(OUT_OF_FILES).await;
                continue;
            };
            // The list in force now: a reload may have changed it.
            let settings = self.server.settings();
            let allow = settings.admin.as_ref().map_or(&[][..], |(_, allow)| allow);
            if may_read(peer.ip(), allow) {
                self.answer(stream).await;
            }
        }
    }

    async fn unix(mut self, listener: UnixListener) {
        loop {
            let accepted = tokio::select! {
                _ = self.stopped.wait_for(|stop| *stop) => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(OUT_OF_FILES).await;
                continue;
            };
            if self.role == Role::Control && !is_allowed(&stream) {
                log::warn!("control: a peer that is neither root nor this user was refused");
                continue;
            }
            self.answer(stream).await;
        }
    }

    /// Serves a connection in a task of its own, once there is a place for it.
    async fn answer<S>(&self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return;
        };
        let (server, role) = (Arc::clone(&self.server), self.role);
        tokio::spawn(async move {
            let _place = place;
            if role == Role::Control {
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let server = Arc::clone(&server);
                    async move { Ok::<_, Infallible>(commands::answer(&server, request).await) }
                });
                serve(stream, service).await;
            } else {
                read_only(stream, server).await;
            }
        });
    }
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
fn bind_private(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
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
    Ok(listener)
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
