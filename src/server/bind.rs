//! Binding an address: what a listening socket is like before anybody accepts on it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};

use crate::snapshot::listener::BindAddress;

/// Connections the kernel holds until they are accepted; it caps this by `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;
/// A connection that is silent for so long is probed so often, and is gone after so many probes without an answer: well
/// before any load balancer forgets it (60 s is the least that any of the presets' can be set to).
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 6;
/// A bound socket that does not accept yet.
pub enum Bound {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix, with its file.
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

/// The file of a unix socket: removed again unless it is kept.
pub struct SocketFile(Option<PathBuf>);

impl SocketFile {
    /// It stays where it is.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Bound {
    /// A listening socket that another process bound to `address`.
    ///
    /// # Errors
    /// The system refuses to make it non-blocking.
    pub fn inherited(address: &BindAddress, socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(match address {
            BindAddress::Tcp(_) => {
                keep_alive(&SockRef::from(&socket))?;
                Self::Tcp(socket.into())
            }
            // Its file was there before us: should this process fail, the file still has its owner.
            BindAddress::Unix(_) => Self::Unix(socket.into(), SocketFile(None)),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It is gone already if somebody tidied up.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds an address.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub fn bind(address: &BindAddress) -> io::Result<Bound> {
    match address {
        BindAddress::Tcp(address) => bind_tcp(*address).map(Bound::Tcp),
        BindAddress::Unix(path) => {
            bind_unix(path).map(|socket| Bound::Unix(socket, SocketFile(Some(path.clone()))))
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    keep_alive(&SockRef::from(&socket))?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Has the kernel probe connections that are silent; those that are accepted inherit it. Load balancers and firewalls
/// that pass TCP on forget a silent connection and tell nobody, and clients vanish without a word.
fn keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_INTERVAL)
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)
}

/// A socket file left by a process that is gone is replaced; one that answers is not.
fn bind_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket stands there",
            ));
        }
        Err(_) => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is accepted is probed, without a system call for each connection.
    #[test]
    fn accepted_connections_inherit_the_probes() {
        let listener = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), PROBE_AFTER);
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), PROBE_INTERVAL);
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), PROBES);
        drop(client);
    }
}
