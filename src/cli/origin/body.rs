//! The bodies the origin sends: whole, generated, paced, broken.

use std::future;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::HeaderMap;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, SizeHint};

/// The body of every answer.
pub(super) type OriginBody = UnsyncBoxBody<Bytes, io::Error>;

/// The pattern's period.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-\n";
/// Bytes handed over at once; a multiple of the period, so every block starts alike.
const BLOCK_BYTES: usize = 64 * 1024;

static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let block: Vec<u8> = ALPHABET.iter().copied().cycle().take(BLOCK_BYTES).collect();
    block.into()
});

/// The byte at `offset` of what `/bytes/N` and `/chunked/N` send: 64 printable bytes, repeated.
pub fn pattern_byte(offset: u64) -> u8 {
    ALPHABET
        .get((offset % ALPHABET.len() as u64) as usize)
        .copied()
        .unwrap_or(b'\n')
}

/// A body that is there at once.
pub(super) fn whole(text: impl Into<Bytes>) -> OriginBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// `bytes` bytes of the pattern. With `sized` the length is known and goes into Content-Length.
pub(super) fn pattern(bytes: u64, sized: bool) -> OriginBody {
    Pattern { left: bytes, sized }.boxed_unsync()
}

struct Pattern {
    left: u64,
    sized: bool,
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let taken = self.left.min(BLOCK_BYTES as u64);
        self.left -= taken;
        let block = BLOCK.slice(..taken as usize);
        Poll::Ready(Some(Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        // An unsized body that says so at 0 bytes would be sent with `Content-Length: 0`.
        self.sized && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.left)
        } else {
            SizeHint::default()
        }
    }
}

/// `count` frames, the first at once, each other one after `interval`.
pub(super) fn paced(
    count: u64,
    interval: Duration,
    frame: impl Fn(u64) -> Bytes + Send + 'static,
) -> OriginBody {
    let frames = stream::iter(0..count).then(move |number| {
        let bytes = frame(number);
        async move {
            if number > 0 {
                tokio::time::sleep(interval).await;
            }
            Ok(Frame::data(bytes))
        }
    });
    streamed(frames)
}

/// `text`, then `trailers`.
pub(super) fn with_trailers(text: &'static str, trailers: HeaderMap) -> OriginBody {
    streamed(stream::iter([
        Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
        Ok(Frame::trailers(trailers)),
    ]))
}

/// `bytes` bytes of the pattern, then an error that makes the server close the connection.
pub(super) fn broken(bytes: usize) -> OriginBody {
    let bytes = bytes.min(BLOCK_BYTES);
    let sent = stream::once(future::ready(Ok(Frame::data(BLOCK.slice(..bytes)))));
    // Being pending once makes the server flush what it has before it meets the error.
    let cut = stream::once(async {
        tokio::task::yield_now().await;
        Err(io::ErrorKind::ConnectionAborted.into())
    });
    streamed(sent.chain(cut))
}

fn streamed(frames: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static) -> OriginBody {
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_join_without_a_seam() {
        let last = BLOCK_BYTES as u64;
        assert_eq!(pattern_byte(0), b'A');
        assert_eq!(pattern_byte(last), b'A');
        assert!(
            BLOCK
                .iter()
                .enumerate()
                .all(|(at, byte)| *byte == pattern_byte(at as u64))
        );
    }
}
