//! The open connections of an endpoint, so that the idle ones can be closed when it goes.
//!
//! The engine's pool keeps idle connections and knows no way to close those of one endpoint. A line
//! remembers the socket's number; to close it, the number is duplicated first, which pins whatever
//! socket it names now, and only a socket that is still connected to this endpoint is shut down.
#![allow(unsafe_code)]

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// The connections of one endpoint.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Vec<Weak<Line>>>);

/// One connection. Dropped when the connection is.
#[derive(Debug)]
pub struct Line {
    fd: RawFd,
    peer: SocketAddr,
    in_use: AtomicU32,
    retired: AtomicBool,
}

impl Lines {
    /// Notes a connection to `peer` whose socket has this number.
    pub fn add(&self, fd: RawFd, peer: SocketAddr) -> Arc<Line> {
        let line = Arc::new(Line {
            fd,
            peer,
            in_use: AtomicU32::new(0),
            retired: AtomicBool::new(false),
        });
        let mut lines = self.0.lock();
        if lines.len() == lines.capacity() {
            // Bounded by what is open: the dead go before the list would grow.
            lines.retain(|line| line.strong_count() > 0);
        }
        lines.push(Arc::downgrade(&line));
        line
    }

    /// The endpoint is gone: idle connections close now, others when their request has ended.
    pub fn retire(&self) {
        for line in self.0.lock().drain(..).filter_map(|line| line.upgrade()) {
            line.retired.store(true, Ordering::SeqCst);
            if line.in_use.load(Ordering::SeqCst) == 0 {
                line.shut();
            }
        }
    }
}

impl Line {
    /// A request begins.
    pub fn begin(&self) {
        self.in_use.fetch_add(1, Ordering::SeqCst);
    }

    /// A request has ended.
    pub fn end(&self) {
        let before = self.in_use.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.retired.load(Ordering::SeqCst) {
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
        let (idle, mut idle_peer) = pair();
        let (busy, mut busy_peer) = pair();
        let lines = Lines::default();
        let _idle = lines.add(idle.as_raw_fd(), idle.peer_addr().unwrap());
        let line = lines.add(busy.as_raw_fd(), busy.peer_addr().unwrap());
        line.begin();
        lines.retire();
        assert_eq!(idle_peer.read(&mut [0]).unwrap(), 0);
        busy_peer.set_nonblocking(true).unwrap();
        assert!(busy_peer.read(&mut [0]).is_err(), "still open");
        line.end();
        busy_peer.set_nonblocking(false).unwrap();
        assert_eq!(busy_peer.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_number_that_names_another_socket_is_left_alone() {
        let (mine, _peer) = pair();
        let (other, mut other_peer) = pair();
        let lines = Lines::default();
        let _line = lines.add(other.as_raw_fd(), mine.peer_addr().unwrap());
        lines.retire();
        other_peer.set_nonblocking(true).unwrap();
        assert!(other_peer.read(&mut [0]).is_err(), "still open");
    }
}
