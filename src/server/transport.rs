//! What TLS runs over: a socket that is read in large pieces.
//!
//! The library asks for five bytes, then for the record they announce: two system calls a record. Here one call
//! takes what has come, and the buffer is given back as soon as it is empty, so that an idle connection holds none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::{Socket, poll_read_buf};

/// A record of the largest kind (RFC 8446 section 5.2), and the head of the next one.
const READ_BYTES: usize = 5 + 16 * 1024 + 256 + 5;

/// A plain socket under TLS.
#[derive(Debug)]
pub struct Transport {
    socket: Socket,
    /// Read from the socket, not yet taken.
    pending: BytesMut,
}

impl Transport {
    /// Over `socket`, of which `pending` was read already.
    pub fn new(socket: Socket, pending: BytesMut) -> Self {
        Self { socket, pending }
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The socket, without what was read of it.
    pub fn into_socket(self) -> Socket {
        self.socket
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.pending.is_empty() {
            this.pending.reserve(READ_BYTES);
            match poll_read_buf(&mut this.socket, cx, &mut this.pending) {
                Poll::Ready(Ok(1..)) => {}
                other => {
                    this.pending = BytesMut::new();
                    return other.map_ok(|_| ());
                }
            }
        }
        let length = this.pending.len().min(buf.remaining());
        buf.put_slice(this.pending.get(..length).unwrap_or_default());
        this.pending.advance(length);
        if this.pending.is_empty() {
            this.pending = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
