//! What operators talk to: the control socket (everything) and the admin address (read-only).
//!
//! Both speak HTTP/1.1 with JSON. They run on a runtime of their own, so that a busy data path
//! cannot make the node deaf.

mod admin;
mod commands;
mod purge;

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
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::Server;
use super::inherit::Heritage;
use super::upgrade::channel::Role;
use crate::compile::{AdminAddress, Settings};

/// Connections served at once, by each socket.
const CONNECTIONS: u32 = 64;
/// A head must come within this time.
const HEAD: Duration = Duration::from_secs(10);
/// How long to wait when the process has no descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

type Answer = http::Response<Full<Bytes>>;

/// The control socket and the admin address.
pub struct Operators {
    sockets: Mutex<Vec<OperatorSocket>>,
    /// Of each socket, in its order.
    places: [Arc<Semaphore>; 2],
    phase: watch::Sender<Phase>,
}

/// Whether operators are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not yet: an old process answers.
    Waiting,
    Answering,
    /// Another process answers.
    Stopped,
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
        let (phase, _) = watch::channel(Phase::Waiting);
        Ok(Self {
            sockets: Mutex::new(sockets),
            places: [(); 2].map(|()| Arc::new(Semaphore::new(CONNECTIONS as usize))),
            phase,
        })
    }

    /// Every socket, for the next process.
    pub fn sockets(&self) -> Vec<(Role, String, RawFd)> {
        let sockets = self.sockets.lock();
        let each = sockets.iter().map(|one| {
            let fd = match &one.socket {
                Bound::Tcp(socket) => socket.as_raw_fd(),
                Bound::Unix(socket) => socket.as_raw_fd(),
            };
            (one.role, one.address.clone(), fd)
        });
        each.collect()
    }

    /// Listens no more, after [`Operators::stop`]. The file of a unix socket is removed unless it `stays`: that is told
    /// by role, address, and whether another process bound it.
    pub fn close(&self, stays: &dyn Fn(Role, &str, bool) -> bool) {
        for one in std::mem::take(&mut *self.sockets.lock()) {
            if let Bound::Unix(_) = one.socket
                && !stays(one.role, &one.address, one.inherited)
            {
                let path = one.address.strip_prefix("unix:").unwrap_or(&one.address);
                // It is gone already if somebody tidied up.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Returns when nobody is being answered, after [`Operators::stop`].
    pub async fn idle(&self) {
        for places in &self.places {
            // Never closed.
            let _ = places.acquire_many(CONNECTIONS).await;
        }
    }

    /// Answers operators from [`Operators::release`] until [`Operators::stop`].
    ///
    /// # Errors
    /// A socket cannot be registered with the runtime.
    pub fn serve(&self, server: &Arc<Server>) -> io::Result<()> {
        for (one, places) in self.sockets.lock().iter().zip(&self.places) {
            let serving = OperatorLoop {
                server: Arc::clone(server),
                places: Arc::clone(places),
                phase: self.phase.subscribe(),
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

    /// Answering begins.
    pub fn release(&self) {
        self.phase.send_replace(Phase::Answering);
    }

    /// Another process answers from now on. Who is being answered gets the rest of it; connections that wait for a
    /// request are closed, so that nobody hears of this process what the other one knows better.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Stopped);
    }
}

/// The accept loop of one socket.
struct OperatorLoop {
    server: Arc<Server>,
    places: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
    role: Role,
}

impl OperatorLoop {
    /// Waits until answering has begun.
    async fn begin(&mut self) {
        // The sender lives as long as the server.
        let _ = self.phase.wait_for(|now| *now == Phase::Answering).await;
    }

    async fn tcp(mut self, listener: TcpListener) {
        self.begin().await;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut self.phase) => return,
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
        self.begin().await;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut self.phase) => return,
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
        let (server, role, phase) = (Arc::clone(&self.server), self.role, self.phase.clone());
        tokio::spawn(async move {
            let _place = place;
            if role == Role::Control {
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let server = Arc::clone(&server);
                    async move { Ok::<_, Gone>(commands::answer(&server, request).await) }
                });
                serve(stream, service, phase).await;
            } else {
                read_only(stream, server, phase).await;
            }
        });
    }
}

async fn read_only<S>(stream: S, server: Arc<Server>, phase: watch::Receiver<Phase>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let now = phase.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        // One that came just after the change: the numbers of this process would jump back.
        let answer = match *now.borrow() {
            Phase::Stopped => Err(Gone),
            Phase::Waiting | Phase::Answering => Ok(admin::answer(&server, &request)),
        };
        async move { answer }
    });
    serve(stream, service, phase).await;
}

/// Another process answers: the connection is closed without a word, so that the client asks again.
#[derive(Debug)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another process answers")
    }
}

impl std::error::Error for Gone {}

/// Returns when another process answers.
async fn stopped(phase: &mut watch::Receiver<Phase>) {
    // The sender lives as long as the server.
    let _ = phase.wait_for(|now| *now == Phase::Stopped).await;
}

async fn serve<S, V>(stream: S, service: V, mut phase: watch::Receiver<Phase>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    V: hyper::service::Service<
            http::Request<Incoming>,
            Response = Answer,
            Error = Gone,
            Future: Send,
        > + Send
        + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stopped(&mut phase) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
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
