//! Listening sockets that this process did not open itself: from the process it takes over from, or kept by the
//! service manager (socket units, and what was stored before a crash).

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use parking_lot::Mutex;
use socket2::SockRef;

use super::upgrade::channel::{Role, SocketEntry};

/// A socket that may be taken.
#[derive(Debug)]
pub struct Inherited {
    /// The socket.
    pub socket: OwnedFd,
    /// The name under which the service manager keeps it.
    pub stored: Option<String>,
}

/// What may be taken instead of binding.
#[derive(Debug, Default)]
pub struct Heritage {
    sockets: Mutex<BTreeMap<(Role, String), Inherited>>,
}

impl Heritage {
    /// The sockets of an old process, under the numbers it told.
    pub fn of_old_process(entries: &[SocketEntry]) -> Self {
        let mut sockets = BTreeMap::new();
        for entry in entries {
            let Some(socket) = listening(entry.fd) else {
                log::warn!("{}: the socket did not arrive", entry.address);
                continue;
            };
            let inherited = Inherited {
                socket,
                stored: None,
            };
            sockets.insert((entry.role, entry.address.clone()), inherited);
        }
        Self {
            sockets: Mutex::new(sockets),
        }
    }

    /// The sockets that the service manager kept or opened for us (sd_listen_fds(3)). They serve by their address.
    pub fn of_service_manager() -> Self {
        let found = match sd_notify::listen_fds_with_names() {
            Ok(found) => found,
            Err(error) => {
                log::warn!("the service manager's sockets cannot be used: {error}");
                return Self::default();
            }
        };
        let mut sockets = BTreeMap::new();
        for (fd, name) in found {
            let Some(socket) = listening(fd) else {
                log::warn!("{name}: the service manager gave what is no listening socket");
                continue;
            };
            let Some(address) = address_of(&socket) else {
                log::warn!("{name}: the service manager gave a socket without an address");
                continue;
            };
            // One address may come twice, from a socket unit and as it was stored: they are one and the same socket.
            let inherited = Inherited {
                socket,
                stored: Some(name),
            };
            sockets.insert((Role::Listener, address), inherited);
        }
        Self {
            sockets: Mutex::new(sockets),
        }
    }

    /// Takes the socket of an address, if it is here.
    pub fn take(&self, role: Role, address: &str) -> Option<Inherited> {
        self.sockets.lock().remove(&(role, address.to_owned()))
    }

    /// Closes what nobody took. Returns the addresses, and the names under which the service manager keeps them.
    pub fn close_rest(&self) -> Vec<(String, Option<String>)> {
        let rest = std::mem::take(&mut *self.sockets.lock());
        rest.into_iter()
            .map(|((_, address), inherited)| (address, inherited.stored))
            .collect()
    }
}

/// The socket of this number, if it is a stream socket that listens. It closes on exec from now on.
fn listening(fd: RawFd) -> Option<OwnedFd> {
    let open = fd > 2 && rustix::io::fcntl_getfd(borrowed(fd)).is_ok();
    if !open {
        return None;
    }
    // SAFETY: the descriptor is open, as was just seen. Nobody else in this process owns it: it was open before the
    // process began, its number was told to us by whoever started us, and each number is asked for once, at the start.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).ok()?;
    let seen = SockRef::from(&socket);
    let listens = seen.is_listener().unwrap_or(false)
        && seen
            .r#type()
            .is_ok_and(|kind| kind == socket2::Type::STREAM);
    // What is no listening socket is closed: it would only leak.
    listens.then_some(socket)
}

/// The descriptor for one look at its flags.
fn borrowed<'fd>(fd: RawFd) -> std::os::fd::BorrowedFd<'fd> {
    // SAFETY: it is used for one system call, which fails if the number is not open.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

/// The end of the channel that a process was started with, by its number.
pub fn channel(number: &str) -> Option<OwnedFd> {
    let fd: RawFd = number.parse().ok().filter(|fd| *fd > 2)?;
    rustix::io::fcntl_setfd(borrowed(fd), rustix::io::FdFlags::CLOEXEC).ok()?;
    // SAFETY: as in `listening`: it is open, and only we were told its number.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    SockRef::from(&socket).r#type().ok()?;
    Some(socket)
}

/// The channel of a process that drains, by its number in a message.
pub fn channel_of(fd: RawFd) -> Option<OwnedFd> {
    channel(&fd.to_string())
}

/// The address as it is written in a configuration.
fn address_of(socket: &impl AsFd) -> Option<String> {
    let address = SockRef::from(socket).local_addr().ok()?;
    match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => Some(address.to_string()),
        (None, Some(path)) => Some(format!("unix:{}", path.display())),
        (None, None) => None,
    }
}
