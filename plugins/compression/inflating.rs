//! Request bodies as origins get them: decoded, within bounds.
//!
//! The decoder is the firewall's: what one of them reads, the other reads in the same way.

use farmgate_waf::body::inflate::{Decoder, InflateError, InflateLimits};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::config::Taken;

/// How requests are encoded that are decoded here, and how far.
#[derive(Clone, Debug)]
pub(super) struct Inflating {
    pub(super) encodings: Vec<Taken>,
    /// The same as a field's value, for those who sent another.
    pub(super) accept: http::HeaderValue,
    pub(super) limits: InflateLimits,
}

/// What a request says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing: it is plain.
    Plain,
    /// It is encoded in a way that is decoded here.
    Encoded,
    /// In another way.
    Unknown,
}

impl Inflating {
    /// Reads Content-Encoding. One encoding upon another is what bombs are made of: it is not known.
    pub(super) fn said(&self, headers: &HeaderMap) -> Said {
        let mut said = Said::Plain;
        for line in headers.get_all(CONTENT_ENCODING) {
            for word in line.as_bytes().split(|byte| *byte == b',') {
                let word = word.trim_ascii();
                if word.is_empty() || word.eq_ignore_ascii_case(b"identity") {
                    continue;
                }
                let known = self.encodings.iter().any(|one| one.is(word));
                said = match (said, known) {
                    (Said::Plain, true) => Said::Encoded,
                    _ => Said::Unknown,
                };
            }
        }
        said
    }

    /// Decodes a body. `encoding` is what [`Inflating::said`] found.
    pub(super) fn decode(
        encoding: &[u8],
        pieces: &[bytes::Bytes],
        limits: InflateLimits,
    ) -> Result<Vec<u8>, InflateError> {
        let decoder = Decoder::new(encoding, limits).map_err(|_| InflateError::Broken)?;
        let mut out = Vec::new();
        let Some(mut decoder) = decoder else {
            pieces.iter().for_each(|piece| out.extend_from_slice(piece));
            return Ok(out);
        };
        for piece in pieces {
            for part in piece.chunks(PIECE) {
                decoder.push(part, &mut out)?;
            }
        }
        decoder.finish(&mut out)?;
        Ok(out)
    }
}

/// Bytes that go to the decoder at once: the ratio is looked at between them.
const PIECE: usize = 16 * 1024;
