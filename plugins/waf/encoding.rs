//! Request bodies as rules see them: decoded, piece by piece, never more than the limits allow.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::Bytes;
use farmgate_waf::transaction::{Transaction, Verdict};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

use super::config::Compressed;

/// Decoded bytes that go to the rules at once.
const PIECE: usize = 16 * 1024;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    #[default]
    Plain,
    Gzip,
    /// zlib, as HTTP means by deflate.
    Deflate,
    /// In a way that is not read here.
    Unknown,
}

impl Encoding {
    /// The encoding that the fields of a request name.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut known = Self::Plain;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for word in value.as_bytes().split(|byte| *byte == b',') {
                let word = word.trim_ascii();
                let one = if word.is_empty() || word.eq_ignore_ascii_case(b"identity") {
                    continue;
                } else if word.eq_ignore_ascii_case(b"gzip") || word.eq_ignore_ascii_case(b"x-gzip")
                {
                    Self::Gzip
                } else if word.eq_ignore_ascii_case(b"deflate") {
                    Self::Deflate
                } else {
                    Self::Unknown
                };
                // One upon another is what bombs are made of.
                known = if known == Self::Plain {
                    one
                } else {
                    Self::Unknown
                };
            }
        }
        known
    }
}

/// What became of a body.
pub(super) enum Seen {
    /// Rules judged it; true when it was longer than what they saw.
    Judged(Verdict, bool),
    /// It is longer than the limits allow.
    TooLarge,
    /// Its encoding is not read, or not wanted.
    Encoded,
}

/// A body and how it is to be looked at.
pub(super) struct Job {
    pub(super) pieces: Vec<Bytes>,
    pub(super) encoding: Encoding,
    pub(super) compressed: Compressed,
    /// More came, or comes, than the pieces.
    pub(super) partial: bool,
    /// Most decoded bytes.
    pub(super) most: u64,
    /// What is longer, or cannot be read, is refused.
    pub(super) strict: bool,
}

impl Job {
    /// Shows the body to the rules, and judges it.
    pub(super) fn run(self, transaction: &mut Transaction) -> Seen {
        let (partial, strict, encoding) = (self.partial, self.strict, self.encoding);
        let refused = encoding != Encoding::Plain && self.compressed == Compressed::Refuse;
        let unread = refused || encoding == Encoding::Unknown;
        if unread && strict && !self.pieces.is_empty() {
            return Seen::Encoded;
        }
        let over = match encoding {
            _ if unread => !self.pieces.is_empty(),
            Encoding::Gzip => {
                let most = self.most;
                decode(
                    MultiGzDecoder::new(self.reader()),
                    most,
                    partial,
                    transaction,
                )
            }
            Encoding::Deflate => {
                let most = self.most;
                decode(ZlibDecoder::new(self.reader()), most, partial, transaction)
            }
            Encoding::Plain | Encoding::Unknown => {
                // All of them: what is over the limit of one variable counts for the length.
                let mut over = false;
                for piece in &self.pieces {
                    over |= !transaction.request_piece(piece);
                }
                over
            }
        };
        if over && strict {
            return Seen::TooLarge;
        }
        let verdict = transaction.request_end(partial || over);
        Seen::Judged(verdict, partial || over)
    }

    fn reader(self) -> Pieces {
        Pieces(self.pieces.into())
    }
}

/// Feeds what the decoder gives; true if it is over a limit.
fn decode(mut from: impl Read, most: u64, partial: bool, transaction: &mut Transaction) -> bool {
    let mut piece = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        match from.read(&mut piece) {
            Ok(0) => return false,
            Ok(len) => {
                bytes += len as u64;
                let fits = transaction.request_piece(piece.get(..len).unwrap_or_default());
                if !fits || bytes > most {
                    return true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The end is not here yet.
            Err(_) if partial => return false,
            Err(_) => {
                transaction.body_error("the content is not what Content-Encoding says");
                return false;
            }
        }
    }
}

struct Pieces(VecDeque<Bytes>);

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(first) = self.0.front_mut() {
            if first.is_empty() {
                self.0.pop_front();
                continue;
            }
            let len = first.len().min(out.len());
            let part = first.split_to(len);
            if let Some(out) = out.get_mut(..len) {
                out.copy_from_slice(&part);
            }
            return Ok(len);
        }
        Ok(0)
    }
}
