//! HTTP/2: the stream in two hands. The engine writes whenever it has a frame; the task that serves the connection
//! decides when what was written leaves.
//!
//! The engine asks for a flush after each response, so each would cost a write and a TLS record of its own though
//! others are ready in the same moment. Hence the engine's flush is answered at once while the bytes stay in the
//! outbox, and the task flushes when the engine has nothing more to do.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::BytesMut;
use parking_lot::Mutex;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{ClientStream, Mode};

/// What an idle connection may hold on to for what it writes next.
const KEPT_BYTES: usize = 4 * 1024;

/// The engine's hand.
#[derive(Debug)]
pub struct FrameStream(Arc<Mutex<ClientStream>>);

/// The hand of the task that serves the connection. Both are used by that task alone, one after the other: the lock is
/// always free.
#[derive(Debug)]
pub struct Outlet(Arc<Mutex<ClientStream>>);

/// Divides a stream of HTTP/2. What the engine writes leaves when it flushes, until [`Outlet::hold`].
pub fn divide(stream: ClientStream) -> (FrameStream, Outlet) {
    let shared = Arc::new(Mutex::new(stream));
    (FrameStream(Arc::clone(&shared)), Outlet(shared))
}

impl Outlet {
    /// From now on what the engine writes stays here, at most a record of TLS, until [`Outlet::poll_flush`].
    pub fn hold(&self) {
        if let Mode::Raw(frames) = &mut self.0.lock().mode {
            frames.hold();
        }
    }

    /// Sends what waits here; with `rest` most of its memory is given back, for nothing is expected soon. Pending while the
    /// client does not take it: the task is woken when it does.
    ///
    /// # Errors
    /// The client is gone, or took nothing for too long.
    pub fn poll_flush(&self, rest: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.0.lock();
        let flushed = stream.poll_sent(cx);
        if rest && flushed.is_ready() && stream.outbox.capacity() > KEPT_BYTES {
            stream.outbox = BytesMut::new();
        }
        flushed
    }
}

impl AsyncRead for FrameStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for FrameStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for FrameStream {
    async fn shutdown(&mut self) {
        // The client may be gone already; then there is nothing left to end.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for FrameStream {
    fn id(&self) -> UniqueIDType {
        self.0.lock().socket.fd()
    }
}

impl Ssl for FrameStream {}

impl GetTimingDigest for FrameStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for FrameStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for FrameStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[async_trait]
impl Peek for FrameStream {}
