//! One client connection as the engine sees it: bytes in, bytes out, and nothing beyond the request.
//!
//! The engine reads a request's body from here. Every byte passes the [`BodyGuard`], so the engine
//! never sees a byte of the next request, a malformed chunk, or more than the limit; and every wait
//! has a deadline. What was read too far stays here for the next head. Pipelining is therefore safe
//! and costs nothing.

mod ending;
mod engine;
mod frames;
mod outlet;
mod read;
mod timer;
mod write;

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use crate::protocol::http1::{BodyGuard, Framing};
use crate::protocol::http2::FrameGuard;
use crate::protocol::websocket::FrameTrack;
use crate::proxy::control::Control;
use crate::server::socket::Socket;
use frames::Frames;
pub use frames::Watched;
pub use outlet::{FrameStream, Outlet, divide};
pub(in crate::server) use timer::LazyTimer;

/// Room for a head or a piece of a body; grown only up to the listener's `header_bytes`.
pub const INBOX_BYTES: usize = 8 * 1024;
/// Responses up to this size leave in one write.
const OUTBOX_BYTES: usize = 8 * 1024;
/// Frames of HTTP/2 that are ready together leave together, up to the largest record of TLS (RFC 8446 section 5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// The slowest body a client may send.
#[derive(Clone, Copy, Debug)]
pub struct MinRate {
    /// Bytes of payload per second of waiting.
    pub bytes_per_second: u64,
}

/// Where the bytes that are read belong.
#[derive(Debug)]
enum Mode {
    /// Between requests: only the head reader touches the inbox.
    Head,
    /// Inside a request; the guard knows how much of the stream is its body.
    Body(BodyGuard),
    /// HTTP/2: everything belongs to the engine, and is watched.
    Raw(Box<Frames>),
}

/// A client connection, handed to the engine for one request (HTTP/1) or for good (HTTP/2).
pub struct ClientStream {
    socket: Socket,
    /// Read from the socket, not yet taken by anybody.
    inbox: BytesMut,
    outbox: BytesMut,
    /// Where the frames of a WebSocket towards the client stand.
    frames: FrameTrack,
    mode: Mode,
    control: Arc<Control>,
    min_rate: Option<MinRate>,
    /// Time the client let us wait for this body, without the current wait.
    waited: Duration,
    waiting_since: Option<Instant>,
    /// The last byte in either direction of a tunnel.
    last_activity: Instant,
    /// Since when the client takes nothing.
    stalled_since: Option<Instant>,
    read_timer: LazyTimer,
    write_timer: LazyTimer,
    /// Closing must let the client read what was written before it sees a reset.
    linger: bool,
}

impl ClientStream {
    /// A stream over `socket`, with what was already read of it in `inbox`.
    pub fn new(
        socket: Socket,
        inbox: BytesMut,
        control: Arc<Control>,
        min_rate: Option<MinRate>,
    ) -> Self {
        Self {
            socket,
            inbox,
            outbox: BytesMut::new(),
            frames: FrameTrack::default(),
            mode: Mode::Head,
            last_activity: Instant::now(),
            control,
            min_rate,
            waited: Duration::ZERO,
            waiting_since: None,
            stalled_since: None,
            read_timer: LazyTimer::default(),
            write_timer: LazyTimer::default(),
            linger: false,
        }
    }

    /// Begins a request whose head was taken from the inbox. The body follows as `framing` says.
    pub fn begin_request(&mut self, framing: Framing) {
        self.mode = Mode::Body(BodyGuard::new(framing, u64::MAX));
        self.waited = Duration::ZERO;
        self.waiting_since = None;
        self.linger = true;
        self.control.begin_request();
    }

    /// Ends the request; the inbox belongs to the head reader again. False if its body was not read
    /// to the end, so that the connection cannot serve another request.
    pub fn end_request(&mut self) -> bool {
        let complete = match &self.mode {
            Mode::Body(guard) => guard.is_done(),
            Mode::Head => true,
            Mode::Raw(_) => false,
        };
        self.mode = Mode::Head;
        self.linger = false;
        complete && self.control.cut().is_none() && !self.control.is_tunnel()
    }

    /// Hands every byte to the engine from now on, as long as `guard` finds nothing. What it finds is told to
    /// `watched`.
    pub fn set_raw(&mut self, guard: FrameGuard, watched: Arc<Watched>) {
        self.mode = Mode::Raw(Box::new(Frames::new(guard, watched)));
        self.linger = true;
    }

    /// What was read and not taken, for the head reader.
    pub fn inbox(&mut self) -> &mut BytesMut {
        &mut self.inbox
    }

    /// The socket itself, for what is sent outside requests.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Takes a head off the inbox. It is copied: a head is short, and the inbox keeps its memory for
    /// the next one.
    pub fn take_head(&mut self, length: usize) -> BytesMut {
        let head = BytesMut::from(self.inbox.get(..length).unwrap_or_default());
        self.inbox.advance(length);
        head
    }

    /// The control block shared with the pipeline.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientStream")
            .field("socket", &self.socket)
            .field("inbox", &self.inbox.len())
            .finish_non_exhaustive()
    }
}

impl Drop for ClientStream {
    /// The engine drops the stream when the connection is to be closed. If the client may still be
    /// sending, closing at once would reset the connection and could destroy the answer on its way.
    fn drop(&mut self) {
        if !self.linger {
            return;
        }
        if matches!(self.mode, Mode::Raw(_)) {
            // What waits in the outbox leaves if the client takes it at once.
            let _ = self.poll_outbox(&mut Context::from_waker(Waker::noop()));
        } else if self.control.is_ended() {
            return self.end();
        }
        let close = match &self.mode {
            Mode::Body(_) if self.must_reset() => return self.reset(),
            Mode::Body(guard) if guard.is_done() => return,
            // The end of the connection may be all by which the client would take the response for whole.
            Mode::Body(_) if self.control.is_response_cut() => super::linger::spawn_cut,
            Mode::Raw(frames) if frames.said_end() => super::linger::spawn_ended,
            Mode::Body(_) | Mode::Raw(_) => super::linger::spawn,
            Mode::Head => return,
        };
        if let Some(socket) = self.socket.take() {
            close(socket);
        }
    }
}
