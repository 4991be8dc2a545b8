//! A TLS connection to an endpoint, as an asynchronous stream.
//!
//! Written for two things that the usual wrapper leaves out. An end without `close_notify` is an error: otherwise
//! whoever sits in between could cut a response whose end is the end of the connection, and it would look whole
//! (RFC 9112 section 9.8). And what arrives is read from the socket in pieces larger than the five bytes of a record's
//! header, which the library asks for first.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use boring::error::ErrorStack;
use boring::ssl::{self, ErrorCode, Ssl, SslStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::failure::TlsFailure;

/// Read from the socket at once when the library asks for less. A connection at rest holds no such buffer.
const AHEAD_BYTES: usize = 8 * 1024;

/// A TLS connection over `S`. Dropping it sends `close_notify` if there is room for it.
pub struct TlsStream<S: AsyncRead + AsyncWrite + Unpin> {
    tls: SslStream<Bridge<S>>,
    shaken: bool,
    /// Read while looking for an alert.
    early: Option<u8>,
    /// A write failed with this; the alert that explains it is waited for.
    broken: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(super) fn new(ssl: Ssl, io: S) -> Result<Self, ErrorStack> {
        let bridge = Bridge {
            io,
            waker: Waker::noop().clone(),
            ahead: None,
        };
        Ok(Self {
            tls: SslStream::new(ssl, bridge)?,
            shaken: false,
            early: None,
            broken: None,
        })
    }

    pub(super) async fn handshake(&mut self) -> Result<(), TlsFailure> {
        let shaken = poll_fn(|cx| {
            self.tls.get_mut().wake(cx);
            poll_tls(|| self.tls.connect())
        });
        shaken.await.map_err(|error| TlsFailure::of(&error))?;
        self.shaken = true;
        Ok(())
    }

    /// After a failed write: the alert that says why, if it is one that refuses the handshake; else the write's own
    /// error. What broke the write ends the reads too, so the wait for it is short.
    fn why_broken(&mut self) -> Poll<io::Error> {
        if self.early.is_none() {
            let mut one = [0];
            let read = poll_tls(|| self.tls.ssl_read(&mut one));
            match std::task::ready!(read) {
                Ok(0) => {}
                Ok(_) => {
                    let [byte] = one;
                    self.early = Some(byte);
                }
                Err(error) => {
                    let error = io_error(error);
                    if late_refusal(&error) {
                        self.broken = None;
                        return Poll::Ready(error);
                    }
                }
            }
        }
        let broken = self.broken.take();
        Poll::Ready(broken.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    /// True if HTTP/2 was agreed to; else it is HTTP/1.1.
    pub fn is_h2(&self) -> bool {
        self.tls.ssl().selected_alpn_protocol() == Some(b"h2")
    }

    /// As `TLSv1.3`.
    pub fn version(&self) -> &'static str {
        self.tls.ssl().version_str()
    }

    /// What it runs over.
    pub fn get_ref(&self) -> &S {
        &self.tls.get_ref().io
    }
}

/// Runs a call of the library. Waiting for the socket is no error; without the socket's word for it the call is made
/// again, since nothing would wake us.
fn poll_tls<T>(mut call: impl FnMut() -> Result<T, ssl::Error>) -> Poll<Result<T, ssl::Error>> {
    loop {
        match call() {
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                if error.io_error().is_some() {
                    return Poll::Pending;
                }
            }
            done => return Poll::Ready(done),
        }
    }
}

/// An error while data flows. A refusal that TLS 1.3 lets us hear only now keeps its kind through layers that drop
/// the rest: see [`late_refusal`].
fn io_error(error: ssl::Error) -> io::Error {
    let failure = TlsFailure::of(&error);
    if failure.refuses_the_handshake() {
        return io::Error::new(io::ErrorKind::PermissionDenied, failure);
    }
    match error.into_io_error() {
        Ok(error) => error,
        Err(_) if failure == TlsFailure::Closed => io::ErrorKind::UnexpectedEof.into(),
        Err(_) => io::Error::new(io::ErrorKind::ConnectionAborted, failure),
    }
}

/// True if the error of a read says that the endpoint refused the handshake after all. No socket that is open gives
/// this kind of error.
pub fn late_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tls.get_mut().wake(cx);
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(early) = this.early.take() {
            buf.put_slice(&[early]);
            return Poll::Ready(Ok(()));
        }
        let read = poll_tls(|| this.tls.ssl_read(buf.initialize_unfilled()));
        match std::task::ready!(read) {
            Ok(bytes) => {
                buf.advance(bytes);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.tls.get_mut().wake(cx);
        if this.broken.is_none() {
            match std::task::ready!(poll_tls(|| this.tls.ssl_write(buf))) {
                Ok(bytes) => return Poll::Ready(Ok(bytes)),
                Err(error) => this.broken = Some(io_error(error)),
            }
        }
        this.why_broken().map(Err)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tls.get_mut().wake(cx);
        // If it cannot be said, the end of the connection says it.
        let _ = std::task::ready!(poll_tls(|| this.tls.shutdown()));
        Pin::new(&mut this.tls.get_mut().io).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for TlsStream<S> {
    fn drop(&mut self) {
        if self.shaken {
            self.tls.get_mut().waker = Waker::noop().clone();
            let _ = self.tls.shutdown();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// The socket as the library wants it: calls that would block say so.
struct Bridge<S> {
    io: S,
    waker: Waker,
    ahead: Option<Ahead>,
}

/// What was read before it was asked for.
struct Ahead {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
}

impl<S> Bridge<S> {
    fn wake(&mut self, cx: &Context<'_>) {
        self.waker.clone_from(cx.waker());
    }
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Bridge<S> {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        let mut cx = Context::from_waker(&self.waker);
        or_would_block(Pin::new(&mut self.io).poll_read(&mut cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl<S: AsyncRead + Unpin> Read for Bridge<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let empty = || Ahead {
            bytes: vec![0; AHEAD_BYTES].into(),
            from: 0,
            to: 0,
        };
        let mut ahead = self.ahead.take().unwrap_or_else(empty);
        if ahead.from == ahead.to {
            if buf.len() >= AHEAD_BYTES {
                self.ahead = Some(ahead);
                return self.fill(buf);
            }
            // When there is nothing to read, the buffer goes.
            ahead.to = self.fill(&mut ahead.bytes)?;
            ahead.from = 0;
        }
        let ready = ahead.bytes.get(ahead.from..ahead.to).unwrap_or_default();
        let taken = ready.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(ready) {
            *to = *from;
        }
        ahead.from += taken;
        self.ahead = Some(ahead);
        Ok(taken)
    }
}

impl<S: AsyncWrite + Unpin> Write for Bridge<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        or_would_block(Pin::new(&mut self.io).poll_write(&mut cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.waker);
        or_would_block(Pin::new(&mut self.io).poll_flush(&mut cx))
    }
}
