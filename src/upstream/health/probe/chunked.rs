//! A body in chunks (RFC 9112 section 7.1), up to 64 KiB of it.

use bytes::Buf;

use super::http1::Answer;
use crate::upstream::health::failure::ProbeError;
use crate::upstream::health::options::{MAX_BODY_BYTES, MAX_HEAD_BYTES};

/// Most bytes of the line before a chunk, extensions included.
const MAX_LINE_BYTES: usize = 1024;

/// Most trailers.
const MAX_TRAILERS: usize = 32;

const WRONG: &str = "the answer's chunks are wrong";

/// The body without its chunks; whole, or its first 64 KiB.
pub(super) async fn read(answer: &mut Answer<'_>) -> Result<Vec<u8>, ProbeError> {
    let mut body = Vec::new();
    loop {
        let mut left = size(answer).await?;
        if left == 0 {
            trailers(answer).await?;
            return Ok(body);
        }
        while left > 0 {
            if answer.buffer.is_empty() {
                answer.need("a chunk").await?;
            }
            let room = MAX_BODY_BYTES.saturating_sub(body.len());
            let here = usize::try_from(left).map_or(room, |left| left.min(room));
            let taken = answer.buffer.len().min(here);
            body.extend_from_slice(&answer.buffer.split_to(taken));
            left = left.saturating_sub(taken as u64);
            if body.len() >= MAX_BODY_BYTES {
                return Ok(body);
            }
        }
        while answer.buffer.len() < 2 {
            answer.need("a chunk").await?;
        }
        if !answer.buffer.starts_with(b"\r\n") {
            return Err(ProbeError::garbage(WRONG));
        }
        answer.buffer.advance(2);
    }
}

async fn size(answer: &mut Answer<'_>) -> Result<u64, ProbeError> {
    loop {
        match httparse::parse_chunk_size(&answer.buffer) {
            // The parser takes a line without a digit for 0.
            Ok(httparse::Status::Complete((bytes, size)))
                if answer.buffer.first().is_some_and(u8::is_ascii_hexdigit) =>
            {
                answer.buffer.advance(bytes);
                return Ok(size);
            }
            Ok(httparse::Status::Partial) if answer.buffer.len() < MAX_LINE_BYTES => {
                answer.need("a chunk").await?;
            }
            Ok(_) | Err(_) => return Err(ProbeError::garbage(WRONG)),
        }
    }
}

/// They are read because the answer is not whole without them, and mean nothing here.
async fn trailers(answer: &mut Answer<'_>) -> Result<(), ProbeError> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MAX_TRAILERS];
        match httparse::parse_headers(&answer.buffer, &mut headers) {
            Ok(httparse::Status::Complete(_)) => return Ok(()),
            Ok(httparse::Status::Partial) if answer.buffer.len() < MAX_HEAD_BYTES => {
                answer.need("its trailers").await?;
            }
            Ok(httparse::Status::Partial) | Err(_) => return Err(ProbeError::garbage(WRONG)),
        }
    }
}
