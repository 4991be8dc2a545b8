//! The open connections of an endpoint, so that the idle ones can be closed when it goes.
//!
//! The engine's pool keeps idle connections and knows no way to close those of one endpoint. A line
//! remembers the socket's number; to close it, the number is duplicated first, which pins whatever
//! socket it names now, and only a socket that is still connected to this endpoint is shut down.
#![allow(unsafe_code)]

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// The connections of one endpoint.
#[derive(Debug, Default)]
pub struct Lines {
    open: Mutex<Vec<Weak<Line>>>,
    /// How often all of them were retired.
    epoch: AtomicU64,
}

/// One connection. Dropped when the connection is.
#[derive(Debug)]
pub struct Line {
    fd: RawFd,
    peer: SocketAddr,
    /// Requests on it, with [`FRESH`] before the first of them; [`SHUT`] once it is shut.
    in_use: AtomicU32,
    retired: AtomicBool,
}

/// It was shut down; requests that begin on it are counted below these bits.
const SHUT: u32 = 1 << 31;
/// It was made for a request that has not begun yet.
const FRESH: u32 = 1 << 30;

impl Lines {
    /// Notes a connection to `peer` whose socket has this number.
    pub fn add(&self, fd: RawFd, peer: SocketAddr) -> Arc<Line> {
        let line = Arc::new(Line {
            fd,
            peer,
            in_use: AtomicU32::new(FRESH),
            retired: AtomicBool::new(false),
        });
        let mut lines = self.open.lock();
        if lines.len() == lines.capacity() {
            // Bounded by what is open: the dead go before the list would grow.
            lines.retain(|line| line.strong_count() > 0);
        }
        lines.push(Arc::downgrade(&line));
        line
    }

    /// Part of the key under which the pool keeps connections: another one after each retirement, so that a request
    /// does not find those that are being closed.
    pub fn epoch(&self) -> u64 {
        // Spread over all bits: the key is made of several parts.
        self.epoch
            .load(Ordering::SeqCst)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// The endpoint, or this process, goes: idle connections close now, others when their request has ended.
    pub fn retire(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for line in self.open.lock().drain(..).filter_map(|line| line.upgrade()) {
            line.retired.store(true, Ordering::SeqCst);
            line.shut_if_idle();
        }
    }
}

impl Line {
    /// A request begins; false if the connection was shut down before, while it was on its way out of the pool. One
    /// call of [`Line::end`] follows in any case.
    #[must_use]
    pub fn begin(&self) -> bool {
        let before = self.in_use.fetch_add(1, Ordering::SeqCst);
        if before & FRESH != 0 {
            self.in_use.fetch_and(!FRESH, Ordering::SeqCst);
        }
        before & SHUT == 0
    }

    /// A request has ended.
    pub fn end(&self) {
        let before = self.in_use.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.retired.load(Ordering::SeqCst) {
            self.shut_if_idle();
        }
    }

    /// A request that begins in this moment either keeps the connection or hears that it is shut.
    fn shut_if_idle(&self) {
        let order = Ordering::SeqCst;
        if self.in_use.compare_exchange(0, SHUT, order, order).is_ok() {
            self.shut();
        }
    }

    /// Shuts the socket down if it still is the one of this line; the pool then drops it.
    fn shut(&self) {
        // SAFETY: F_DUPFD_CLOEXEC takes any number and no pointers; on success it gives a new
        // descriptor that nobody else knows, on failure -1.
        let copy = unsafe { libc::fcntl(self.fd, libc::F_DUPFD_CLOEXEC, 0) };
        if copy < 0 {
            return;
        }
        // SAFETY: `copy` was just made and is owned by nobody else.
        let socket = TcpStream::from(unsafe { OwnedFd::from_raw_fd(copy) });
        // Should the number belong to something else by now, it has another peer or none.
        if socket.peer_addr().is_ok_and(|peer| peer == self.peer) {
            // It may be closed by its peer already.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn idle_lines_close_at_once_and_busy_ones_at_their_end() {
        let (idle_socket, mut idle_peer) = pair();
        let (busy, mut busy_peer) = pair();
        let lines = Lines::default();
        let idle = lines.add(idle_socket.as_raw_fd(), idle_socket.peer_addr().unwrap());
        let line = lines.add(busy.as_raw_fd(), busy.peer_addr().unwrap());
        assert!(line.begin() && idle.begin());
        idle.end();
        let epoch = lines.epoch();
        lines.retire();
        assert_ne!(lines.epoch(), epoch);
        assert_eq!(idle_peer.read(&mut [0]).unwrap(), 0);
        // One that was about to be used says so; it is not shut twice.
        assert!(!idle.begin());
        idle.end();
        assert!(!idle.begin());
        busy_peer.set_nonblocking(true).unwrap();
        assert!(busy_peer.read(&mut [0]).is_err(), "still open");
        line.end();
        busy_peer.set_nonblocking(false).unwrap();
        assert_eq!(busy_peer.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_line_that_was_just_made_is_kept_for_its_request() {
        let (socket, mut peer) = pair();
        let lines = Lines::default();
        let line = lines.add(socket.as_raw_fd(), socket.peer_addr().unwrap());
        lines.retire();
        peer.set_nonblocking(true).unwrap();
        assert!(peer.read(&mut [0]).is_err(), "still open");
        assert!(line.begin());
        line.end();
        peer.set_nonblocking(false).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_number_that_names_another_socket_is_left_alone() {
        let (mine, _peer) = pair();
        let (other, mut other_peer) = pair();
        let lines = Lines::default();
        let line = lines.add(other.as_raw_fd(), mine.peer_addr().unwrap());
        assert!(line.begin());
        line.end();
        lines.retire();
        other_peer.set_nonblocking(true).unwrap();
        assert!(other_peer.read(&mut [0]).is_err(), "still open");
    }
}
