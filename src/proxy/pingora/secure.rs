//! A TLS connection of ours where Pingora expects a socket.

use std::fmt::Debug;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora_core::protocols::ALPN;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::upstream::TlsStream;

/// What TLS runs over.
pub(super) trait Socket:
    AsyncRead + AsyncWrite + AsRawFd + Debug + Send + Sync + Unpin + 'static
{
}
impl<S: AsyncRead + AsyncWrite + AsRawFd + Debug + Send + Sync + Unpin + 'static> Socket for S {}

/// The connection as a stream of Pingora's, which pools it by the descriptor below and asks it what ALPN said.
pub(super) fn stream<S: Socket>(tls: TlsStream<S>) -> Stream {
    VirtualSocketStream::new(Box::new(Secure(tls))).into()
}

#[derive(Debug)]
struct Secure<S: Socket>(TlsStream<S>);

impl<S: Socket> VirtualSocket for Secure<S> {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            // Set when the socket was opened.
            VirtualSockOpt::NoDelay => Ok(()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn raw_fd(&self) -> i32 {
        self.0.get_ref().as_raw_fd()
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn selected_alpn(&self) -> Option<ALPN> {
        Some(if self.0.is_h2() { ALPN::H2 } else { ALPN::H1 })
    }
}

impl<S: Socket> AsyncRead for Secure<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: Socket> AsyncWrite for Secure<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
