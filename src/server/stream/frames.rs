//! HTTP/2: every byte belongs to the engine; its frames are watched as they pass.

use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::ReadBuf;

use super::{ClientStream, Mode};
use crate::protocol::http2::{Breach, FrameGuard, GoAway};

/// Frames that are read ahead of what is written. The engine reads as long as there is something to read, and keeps
/// what it has to answer: without this bound a client could make it answer a megabyte of frames in one go, or answer
/// a client that takes nothing.
const AHEAD_FRAMES: u32 = 1024;
/// Bytes a client takes for each further frame: the shortest answer, RST_STREAM, has 13.
const BYTES_A_FRAME: usize = 16;

/// What the bytes of a connection told, for the task that serves it.
#[derive(Debug, Default)]
pub struct Watched {
    breach: OnceLock<Breach>,
    said: Mutex<Option<GoAway>>,
}

impl Watched {
    /// The budget the client overran. From then on nothing it sends is read, and nobody is woken: whoever drives the
    /// stream looks here after it.
    pub fn breach(&self) -> Option<Breach> {
        self.breach.get().copied()
    }

    /// The last GOAWAY the client was sent.
    pub fn said(&self) -> Option<GoAway> {
        *self.said.lock()
    }
}

/// The watch over one connection.
#[derive(Debug)]
pub(super) struct Frames {
    guard: FrameGuard,
    watched: Arc<Watched>,
    /// Frames read since everything was written.
    ahead: u32,
    /// The engine waits to read until something is written.
    parked: bool,
    /// What was written waits for [`super::Outlet::poll_flush`].
    holds: bool,
    ended: bool,
}

impl Frames {
    pub(super) fn new(guard: FrameGuard, watched: Arc<Watched>) -> Self {
        Self {
            guard,
            watched,
            ahead: 0,
            parked: false,
            holds: false,
            ended: false,
        }
    }

    /// False: nothing more is read now.
    fn may_read(&mut self) -> bool {
        if self.watched.breach().is_some() {
            return false;
        }
        self.parked = self.ahead > AHEAD_FRAMES;
        !self.parked
    }

    /// Bytes came: false if they must not reach the engine.
    fn received(&mut self, bytes: &[u8]) -> bool {
        match self.guard.received(bytes, Instant::now) {
            Ok(frames) => {
                self.ahead = self.ahead.saturating_add(frames);
                true
            }
            Err(breach) => {
                self.found(breach);
                false
            }
        }
    }

    pub(super) fn sent(&mut self, bytes: &[u8]) {
        if let Err(breach) = self.guard.sent(bytes, Instant::now) {
            self.found(breach);
        }
        if let Some(said) = self.guard.take_said() {
            *self.watched.said.lock() = Some(said);
        }
    }

    fn found(&self, breach: Breach) {
        // The first one ends the connection.
        let _ = self.watched.breach.set(breach);
    }

    /// The client took bytes.
    pub(super) fn took(&mut self, bytes: usize, cx: &Context<'_>) {
        let answered = u32::try_from(bytes / BYTES_A_FRAME).unwrap_or(u32::MAX);
        self.ahead = self.ahead.saturating_sub(answered);
        self.wake(cx);
    }

    /// Everything was written.
    pub(super) fn flushed(&mut self, cx: &Context<'_>) {
        self.ahead = 0;
        self.wake(cx);
    }

    fn wake(&mut self, cx: &Context<'_>) {
        if self.parked && self.ahead <= AHEAD_FRAMES {
            self.parked = false;
            cx.waker().wake_by_ref();
        }
    }

    /// The engine's flushes are put off from now on.
    pub(super) fn hold(&mut self) {
        self.holds = true;
    }

    /// True when the engine's flushes are put off.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// The client was told that nothing more comes.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// True once the client was told that nothing more comes.
    pub(super) fn said_end(&self) -> bool {
        self.ended
    }
}

impl ClientStream {
    /// As [`ClientStream::poll_raw`], watched.
    pub(super) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Mode::Raw(frames) = &mut self.mode
            && !frames.may_read()
        {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if let Err(error) = ready!(self.poll_raw(cx, buf)) {
            self.linger = false;
            return Poll::Ready(Err(error));
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            self.linger = false;
        } else if let Mode::Raw(frames) = &mut self.mode
            && !frames.received(read)
        {
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}
