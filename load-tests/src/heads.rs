//! The heads of the requests that come over one connection, for origins that answer without reading more.
//!
//! An origin shares its core with the load generator, so one read takes as many heads as have come, and none is
//! copied. Requests have no body, or all one of the same length.

use std::io;
use std::ops::Range;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// A head that does not fit ends the connection.
const HEAD_BYTES: usize = 16 * 1024;

pub(crate) struct Heads {
    end: memmem::Finder<'static>,
    buffer: Vec<u8>,
    /// What was read and not given yet.
    kept: Range<usize>,
    /// Bytes of the body behind every head.
    body_bytes: usize,
}

impl Heads {
    pub(crate) fn new() -> Self {
        Self::with_bodies(0)
    }

    /// Of requests with bodies of so many bytes, which [`Self::skip_body`] reads.
    pub(crate) fn with_bodies(body_bytes: usize) -> Self {
        Self {
            end: memmem::Finder::new(END_OF_HEAD),
            buffer: vec![0; HEAD_BYTES],
            kept: 0..0,
            body_bytes,
        }
    }

    /// The next head without the empty line that ends it; none at the end of the connection, and where a head does
    /// not fit. Fails as reading does.
    pub(crate) async fn next(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<&[u8]>> {
        loop {
            if let Some(length) = self.end.find(&self.buffer[self.kept.clone()]) {
                let head = self.kept.start..self.kept.start + length;
                self.kept.start = head.end + END_OF_HEAD.len();
                return Ok(Some(&self.buffer[head]));
            }
            self.buffer.copy_within(self.kept.clone(), 0);
            self.kept = 0..self.kept.len();
            // Reading into a full buffer would look like the end of the connection, which is what it comes to.
            match from.read(&mut self.buffer[self.kept.end..]).await? {
                0 => return Ok(None),
                read => self.kept.end += read,
            }
        }
    }

    /// Reads the body behind the head that was given last. False when the connection ended before it.
    pub(crate) async fn skip_body(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<bool> {
        let mut to_skip = self.body_bytes;
        loop {
            let here = to_skip.min(self.kept.len());
            self.kept.start += here;
            to_skip -= here;
            if to_skip == 0 {
                return Ok(true);
            }
            // Nothing is kept any more: the whole buffer is free.
            match from.read(&mut self.buffer).await? {
                0 => return Ok(false),
                read => self.kept = 0..read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn heads_come_whole_split_and_pipelined() {
        let parts: [&[u8]; 3] = [b"one\r\n\r\ntwo\r", b"\n\r", b"\nthree\r\n\r\n\r\n\r\nrest"];
        let mut from = parts[0].chain(parts[1]).chain(parts[2]);
        let mut heads = Heads::new();
        for expected in [&b"one"[..], b"two", b"three", b""] {
            assert_eq!(heads.next(&mut from).await.unwrap(), Some(expected));
        }
        assert_eq!(heads.next(&mut from).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_head_fits_to_the_last_byte_and_not_beyond() {
        let fits = [&vec![b'x'; HEAD_BYTES - 4][..], END_OF_HEAD].concat();
        let mut heads = Heads::new();
        let head = heads.next(&mut &fits[..]).await.unwrap().map(<[u8]>::len);
        assert_eq!(head, Some(HEAD_BYTES - 4));
        let long = vec![b'x'; HEAD_BYTES + 100];
        assert_eq!(Heads::new().next(&mut &long[..]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn bodies_are_skipped_wherever_they_are_cut() {
        let whole = b"one\r\n\r\nbodytwo\r\n\r\nbodythree\r\n\r\nbo";
        for cut in 0..whole.len() {
            let (first, second) = whole.split_at(cut);
            let mut from = first.chain(second);
            let mut heads = Heads::with_bodies(4);
            for (expected, is_whole) in [("one", true), ("two", true), ("three", false)] {
                let head = heads.next(&mut from).await.unwrap();
                assert_eq!(head, Some(expected.as_bytes()), "cut at {cut}");
                assert_eq!(heads.skip_body(&mut from).await.unwrap(), is_whole);
            }
        }
    }
}
