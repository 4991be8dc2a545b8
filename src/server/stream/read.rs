//! Reading: the body's bytes through the guard, everything else kept or watched.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Buf;
use tokio::io::{AsyncRead, ReadBuf};

use super::ending::over;
use super::{ClientStream, INBOX_BYTES, Mode};
use crate::protocol::http1::{BodyGuard, Reject};
use crate::proxy::control::Control;
use crate::server::socket::poll_read_buf;
use crate::telemetry::Reason;

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if matches!(this.mode, Mode::Raw(_)) {
            return this.poll_frames(cx, buf);
        }
        // The engine looks for input when it has nothing else to do: what it wrote so far must not
        // wait for more of the response.
        if let Poll::Ready(Err(error)) = this.poll_outbox(cx) {
            return Poll::Ready(Err(error));
        }
        if this.reads_no_more() {
            return Poll::Ready(Err(over()));
        }
        if this.control.is_tunnel() {
            return this.poll_tunnel(cx, buf);
        }
        match &this.mode {
            Mode::Body(guard) if !guard.is_done() => this.poll_body(cx, buf),
            _ => this.poll_idle(cx),
        }
    }
}

impl ClientStream {
    /// Everything passes: the inbox first, then the socket.
    pub(super) fn poll_raw(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.inbox.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let n = self.inbox.len().min(buf.remaining());
        buf.put_slice(&self.inbox[..n]);
        self.inbox.advance(n);
        Poll::Ready(Ok(()))
    }

    fn poll_tunnel(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = self.poll_raw(cx, buf) {
            self.last_activity = Instant::now();
            return Poll::Ready(read);
        }
        let idle = self.control.tunnel_idle();
        let mut deadline = self.last_activity + idle;
        let mut reason = Reason::UpgradeIdleTimeout;
        if let Some(age) = self.control.tunnel_end()
            && age < deadline
        {
            deadline = age;
            reason = Reason::UpgradeMaxAge;
        }
        ready!(self.read_timer.poll(deadline, cx));
        Poll::Ready(Err(cut(&self.control, reason)))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self {
            socket,
            inbox,
            mode,
            control,
            ..
        } = self;
        let Mode::Body(guard) = mode else {
            return Poll::Ready(Ok(()));
        };
        if !inbox.is_empty() {
            let n = inbox.len().min(buf.remaining());
            let taken = take(guard, control, &inbox[..n])?;
            buf.put_slice(&inbox[..taken]);
            inbox.advance(taken);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(socket).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let read = &buf.filled()[before..];
                if read.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                let taken = take(guard, control, read)?;
                // What follows the body is the next request: it stays here.
                inbox.extend_from_slice(&read[taken..]);
                buf.set_filled(before + taken);
                self.client_sent();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_body_deadline(cx),
        }
    }

    /// The client lets us wait: for how long is bounded by the pause between two reads, by the
    /// slowest rate over all its pauses (as Apache's `mod_reqtimeout` counts), and by the request.
    fn poll_body_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let idle = self.control.body_idle();
        let mut deadline = since + idle;
        let mut reason = Reason::BodyTimeout;
        if let (Some(rate), Mode::Body(guard)) = (self.min_rate, &self.mode) {
            let earned_ms =
                guard.payload_bytes().saturating_mul(1000) / rate.bytes_per_second.max(1);
            let allowed = idle + Duration::from_millis(earned_ms);
            let at = since + allowed.saturating_sub(self.waited);
            if at < deadline {
                deadline = at;
                reason = Reason::BodyRateTooLow;
            }
        }
        if let Some(at) = self.control.request_deadline()
            && at < deadline
        {
            deadline = at;
            reason = Reason::RequestTimeout;
        }
        ready!(self.read_timer.poll(deadline, cx));
        Poll::Ready(Err(cut(&self.control, reason)))
    }

    /// The body is complete and the engine only watches for the client to leave. Bytes of the next
    /// request are kept, as many as the inbox holds; more stay in the kernel.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.inbox.is_empty() {
            self.inbox.reserve(INBOX_BYTES);
            match poll_read_buf(&mut self.socket, cx, &mut self.inbox) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        let Some(deadline) = self.control.request_deadline() else {
            return Poll::Pending;
        };
        ready!(self.read_timer.poll(deadline, cx));
        if self.control.request_deadline().is_none() {
            return Poll::Pending;
        }
        Poll::Ready(Err(cut(&self.control, Reason::RequestTimeout)))
    }

    fn client_sent(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }
}

/// Passes bytes through the guard; a breach of framing or limit ends the request.
fn take(guard: &mut BodyGuard, control: &Control, bytes: &[u8]) -> io::Result<usize> {
    guard.set_limit(control.body_limit());
    let taken = guard
        .feed(bytes)
        .map_err(|reject| cut(control, reason_of(reject)))?;
    if guard.payload_bytes() > control.body_limit() {
        return Err(cut(control, Reason::BodyTooLarge));
    }
    Ok(taken)
}

fn reason_of(reject: Reject) -> Reason {
    match reject.status {
        413 => Reason::BodyTooLarge,
        431 => Reason::HeaderTooLarge,
        _ => Reason::BadRequest,
    }
}

fn cut(control: &Control, reason: Reason) -> io::Error {
    control.set_cut(reason);
    io::Error::other(reason.as_str())
}

impl ClientStream {
    /// Reads into the inbox, for the head reader: the number of bytes, 0 at the end of the stream, or
    /// `None` once `deadline` has passed. `deadline` is asked for only when nothing is there yet, so
    /// that a request that has already come costs neither a timer nor a look at the clock.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn read_head(
        &mut self,
        mut deadline: impl FnMut() -> Instant,
    ) -> io::Result<Option<usize>> {
        if self.inbox.capacity() - self.inbox.len() < INBOX_BYTES / 2 {
            self.inbox.reserve(INBOX_BYTES);
        }
        let mut until = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = poll_read_buf(&mut self.socket, cx, &mut self.inbox) {
                return Poll::Ready(read.map(Some));
            }
            let until = *until.get_or_insert_with(&mut deadline);
            ready!(self.read_timer.poll(until, cx));
            Poll::Ready(Ok(None))
        })
        .await
    }
}
