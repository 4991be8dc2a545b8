//! `multipart/byteranges` (RFC 9110 section 14.6): what stands around the parts of a body.

use http::HeaderValue;

use super::{ByteRange, content_range};

/// The frame of one multipart answer. The boundary is made of a number that the caller draws at random, so that a
/// body cannot contain it on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart<'a> {
    boundary: u128,
    content_type: Option<&'a HeaderValue>,
    length: u64,
}

impl<'a> Multipart<'a> {
    /// `length` is the whole body's; `content_type` the stored response's own.
    pub fn new(boundary: u128, content_type: Option<&'a HeaderValue>, length: u64) -> Self {
        Self {
            boundary,
            content_type,
            length,
        }
    }

    /// Content-Type of the answer.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={:032x}", self.boundary)
    }

    /// What stands before one part.
    pub fn before(&self, range: ByteRange) -> Vec<u8> {
        let mut head = format!("\r\n--{:032x}\r\n", self.boundary).into_bytes();
        if let Some(content_type) = self.content_type {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(content_type.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"Content-Range: ");
        head.extend_from_slice(content_range(range, self.length).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        head
    }

    /// What stands after the last part.
    pub fn end(&self) -> Vec<u8> {
        format!("\r\n--{:032x}--\r\n", self.boundary).into_bytes()
    }

    /// Content-Length of the answer.
    pub fn bytes(&self, ranges: &[ByteRange]) -> u64 {
        let around = |bytes: Vec<u8>| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        ranges
            .iter()
            .map(|range| around(self.before(*range)).saturating_add(range.bytes()))
            .fold(around(self.end()), u64::saturating_add)
    }
}
