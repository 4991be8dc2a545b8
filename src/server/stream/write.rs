//! Writing: small pieces are gathered, so that a response's head and a short body leave together.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Buf;
use tokio::io::AsyncWrite;

use super::{ClientStream, OUTBOX_BYTES};
use crate::telemetry::Reason;

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outbox.len() + data.len() <= OUTBOX_BYTES {
            this.outbox.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        ready!(this.poll_outbox(cx))?;
        if data.len() < OUTBOX_BYTES / 2 {
            this.outbox.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        match Pin::new(&mut this.socket).poll_write(cx, data) {
            Poll::Ready(written) => {
                this.client_took();
                Poll::Ready(written)
            }
            Poll::Pending => this.poll_write_deadline(cx).map_ok(|()| 0),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_outbox(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outbox(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl ClientStream {
    pub(super) fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.outbox) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.outbox.advance(n);
                    self.client_took();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_write_deadline(cx),
            }
        }
        // Advancing consumed the front of the allocation; take it back for the next response.
        self.outbox.clear();
        Poll::Ready(Ok(()))
    }

    fn client_took(&mut self) {
        self.stalled_since = None;
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
        Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}
