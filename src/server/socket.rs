//! A connected client socket: TCP or unix, with or without TLS.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_boring::SslStream;

use super::transport::Transport;

/// A connected socket. `Closed` is what stays behind when the socket was taken out.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
    /// TLS over one of them.
    Tls(Box<SslStream<Transport>>),
    /// Taken: reads end, writes fail.
    Closed,
}

impl Socket {
    /// Takes the socket out; `None` if it was taken before.
    pub fn take(&mut self) -> Option<Self> {
        match std::mem::replace(self, Self::Closed) {
            Self::Closed => None,
            socket => Some(socket),
        }
    }

    /// Tells a client with TLS that nothing more comes, if that can be sent at once. Without it the client could
    /// not tell the end of the connection from a cut (RFC 8446 section 6.1).
    pub fn say_end(&mut self) {
        if let Self::Tls(stream) = self {
            // A client that takes nothing any more is not waited for.
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Ends the way to the client below TLS, without the word that it is the end.
    ///
    /// # Errors
    /// The socket is gone.
    pub async fn cut(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.get_mut().shutdown().await,
            plain => plain.shutdown().await,
        }
    }

    /// Our own address of the connection, before TLS is made on it; none on unix sockets.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) | Self::Tls(_) | Self::Closed => None,
        }
    }

    /// The file descriptor; -1 when taken.
    pub fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
            Self::Tls(stream) => stream.get_ref().socket().fd(),
            Self::Closed => -1,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, data),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// A record of TLS holds one piece; without it the system takes several at once.
    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

/// Reads into the spare room of `inbox`: the number of bytes, 0 at the end of the stream.
pub fn poll_read_buf<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    inbox: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let future = tokio::io::AsyncReadExt::read_buf(socket, inbox);
    let mut future = std::pin::pin!(future);
    // A read_buf future holds no state between polls.
    std::future::Future::poll(future.as_mut(), cx)
}
