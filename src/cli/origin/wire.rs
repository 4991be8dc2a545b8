//! One accepted connection: its bytes, its protocol, and a way to cut it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// The first bytes of the HTTP/2 preface (RFC 9113, 3.4). No HTTP/1 method starts like this.
const H2_PREFACE_START: &[u8] = b"PRI * ";

/// What the handlers know about a connection, and the switch that cuts it.
pub(super) struct Line {
    /// Requests that came in on this connection, the current one included.
    pub(super) requests: AtomicU64,
    /// Address of the client, as text for the pages.
    pub(super) peer: String,
    reset: AtomicBool,
    // Counts against the connection limit for as long as anybody holds the line,
    // so a WebSocket that outlives its HTTP connection still counts.
    _permit: OwnedSemaphorePermit,
}

impl Line {
    /// A line for the client `peer`, holding its place in the connection limit.
    pub(super) fn new(peer: String, permit: OwnedSemaphorePermit) -> Self {
        Self {
            requests: AtomicU64::new(0),
            peer,
            reset: AtomicBool::new(false),
            _permit: permit,
        }
    }

    /// From now on every read and write fails, and the socket closes with RST instead of FIN.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }
}

/// The socket, with the bytes that were read to tell the protocol put back in front.
pub(super) struct Wire {
    stream: TcpStream,
    front: BytesMut,
    line: Arc<Line>,
}

impl Wire {
    /// Wraps an accepted socket.
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self {
            stream,
            front: BytesMut::with_capacity(64),
            line,
        }
    }

    /// Reads until the protocol is clear. True for HTTP/2 with prior knowledge.
    /// What was read stays in front of the stream.
    pub(super) async fn is_h2(&mut self) -> io::Result<bool> {
        loop {
            let seen = self.front.len().min(H2_PREFACE_START.len());
            if self.front.get(..seen) != H2_PREFACE_START.get(..seen) {
                return Ok(false);
            }
            if seen == H2_PREFACE_START.len() {
                return Ok(true);
            }
            if self.stream.read_buf(&mut self.front).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.line.is_reset() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.is_reset() {
            // Zero linger time turns the close into an RST; without it the client sees a plain FIN.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        if self.front.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let taken = self.front.len().min(buffer.remaining());
        if let Some(bytes) = self.front.get(..taken) {
            buffer.put_slice(bytes);
        }
        self.front.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A FIN before the RST would let a client take the cut for an orderly end.
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
