//! Writing: small pieces are gathered, so that a response's head and a short body leave together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Buf;
use tokio::io::AsyncWrite;

use super::ending::over;
use super::{ClientStream, Mode, OUTBOX_BYTES, RECORD_BYTES};
use crate::telemetry::Reason;

/// Pieces of a body in one call, and what was gathered before them.
const PIECES: usize = 17;

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !matches!(this.mode, Mode::Raw(_)) {
            let data = this.allowed(data)?;
            let written = ready!(this.poll_gather(cx, data))?;
            if this.control.is_websocket() {
                this.frames.pass(data.get(..written).unwrap_or_default());
            }
            return Poll::Ready(Ok(written));
        }
        let written = ready!(this.poll_gather_frames(cx, data))?;
        if let Mode::Raw(frames) = &mut this.mode {
            frames.sent(data.get(..written).unwrap_or_default());
        }
        Poll::Ready(Ok(written))
    }

    /// Pieces of a body, with what was gathered before them, in one call. They are large: small ones are written one by
    /// one, and gathered.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.socket.is_write_vectored() || matches!(this.mode, Mode::Raw(_)) {
            let first = pieces.iter().find(|piece| !piece.is_empty());
            return Pin::new(this).poll_write(cx, first.map_or(&[], |piece| piece));
        }
        if this.control.is_response_ended() {
            return Poll::Ready(Err(over()));
        }
        this.poll_write_all(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored() && !matches!(self.mode, Mode::Raw(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(&this.mode, Mode::Raw(frames) if frames.holds()) {
            // The task that serves the connection sends it, before it rests.
            return Poll::Ready(Ok(()));
        }
        this.poll_sent(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outbox(cx))?;
        ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        if let Mode::Raw(frames) = &mut this.mode {
            frames.end();
        }
        Poll::Ready(Ok(()))
    }
}

impl ClientStream {
    /// Takes a small piece into the outbox, writes a large one at once.
    fn poll_gather(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.outbox.len() + data.len() <= OUTBOX_BYTES {
            self.outbox.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        if data.len() >= OUTBOX_BYTES / 2 && self.socket.is_write_vectored() {
            return self.poll_write_all(cx, &[IoSlice::new(data)]);
        }
        ready!(self.poll_outbox(cx))?;
        if data.len() < OUTBOX_BYTES / 2 {
            self.outbox.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        self.poll_write_through(cx, data)
    }

    /// What was gathered and `pieces` behind it, in one call: the head of a response leaves with the first of its body.
    /// How much of the pieces was written.
    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.control.is_response_ended() {
                return Poll::Ready(Err(over()));
            }
            let gathered = self.outbox.len();
            let mut all = [IoSlice::new(&[]); PIECES];
            let behind = std::iter::once(IoSlice::new(&self.outbox)).chain(pieces.iter().copied());
            let count = all
                .iter_mut()
                .zip(behind)
                .map(|(to, one)| *to = one)
                .count();
            let all = all.get(..count).unwrap_or_default();
            match Pin::new(&mut self.socket).poll_write_vectored(cx, all) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.client_took(written, cx);
                    if written > gathered {
                        self.outbox.clear();
                        return Poll::Ready(Ok(written - gathered));
                    }
                    self.outbox.advance(written);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lost(error))),
                Poll::Pending => return self.poll_write_deadline(cx).map_ok(|()| 0),
            }
        }
    }

    /// As [`ClientStream::poll_gather`], in full records of TLS: frames are small, or a piece of a body cut in two.
    fn poll_gather_frames(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.outbox.len() >= RECORD_BYTES {
            ready!(self.poll_outbox(cx))?;
        }
        if self.outbox.is_empty() && data.len() >= RECORD_BYTES {
            return self.poll_write_through(cx, data);
        }
        let room = RECORD_BYTES.saturating_sub(self.outbox.len());
        let taken = data.get(..room).unwrap_or(data);
        self.outbox.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_write_through(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.socket).poll_write(cx, data) {
            Poll::Ready(Ok(written)) => {
                self.client_took(written, cx);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.lost(error))),
            Poll::Pending => self.poll_write_deadline(cx).map_ok(|()| 0),
        }
    }

    /// Sends everything that was gathered.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_outbox(cx))?;
        if let Mode::Raw(frames) = &mut self.mode {
            frames.flushed(cx);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.control.is_response_ended() {
            return Poll::Ready(Err(over()));
        }
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.outbox) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.outbox.advance(n);
                    self.client_took(n, cx);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lost(error))),
                Poll::Pending => return self.poll_write_deadline(cx),
            }
        }
        // Advancing consumed the front of the allocation; take it back for the next response.
        self.outbox.clear();
        Poll::Ready(Ok(()))
    }

    /// There is nobody left to be closed politely.
    fn lost(&mut self, error: io::Error) -> io::Error {
        if matches!(self.mode, Mode::Raw(_)) {
            self.linger = false;
        }
        error
    }

    fn client_took(&mut self, bytes: usize, cx: &Context<'_>) {
        self.stalled_since = None;
        if let Mode::Raw(frames) = &mut self.mode {
            frames.took(bytes, cx);
        }
        if self.control.is_tunnel() {
            self.last_activity = Instant::now();
        }
    }

    /// A client that takes nothing for as long as it may pause inside a body is given up. HTTP/2 has
    /// its own windows and is bounded by its own idle time.
    fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let idle = self.control.body_idle();
        if idle.is_zero() {
            return Poll::Pending;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.write_timer.poll(since + idle, cx));
        self.control.set_cut(Reason::ClientWriteTimeout);
        let error = io::Error::from(io::ErrorKind::TimedOut);
        Poll::Ready(Err(self.lost(error)))
    }
}
