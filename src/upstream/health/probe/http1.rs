//! One exchange in HTTP/1.1 (RFC 9112), read no further than a probe needs.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::chunked;
use super::expected::Expected;
use super::request::Question;
use crate::upstream::health::dial::Connection;
use crate::upstream::health::failure::ProbeError;
use crate::upstream::health::options::{MAX_BODY_BYTES, MAX_HEAD_BYTES};

/// Most headers of an answer.
const MAX_HEADERS: usize = 100;

/// Read at once.
const PIECE_BYTES: usize = 8 * 1024;

/// How the end of the body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

struct Head {
    status: u16,
    framing: Framing,
}

pub(super) async fn ask(
    io: &mut Box<dyn Connection>,
    question: &Question,
    expected: &Expected<'_>,
) -> Result<(), ProbeError> {
    let lost = |error: std::io::Error| {
        ProbeError::cut(format!("the endpoint did not take the request: {error}"))
    };
    io.write_all(&question.http1()).await.map_err(lost)?;
    io.flush().await.map_err(lost)?;
    let mut answer = Answer {
        io,
        buffer: BytesMut::new(),
    };
    let head = answer.head().await?;
    expected.judge_status(head.status)?;
    let has_body = !expected.is_head && !matches!(head.status, 101 | 204 | 304);
    let body = match has_body {
        true => answer.body(head.framing).await?,
        false => Vec::new(),
    };
    expected.judge_body(&body)
}

/// An answer that is being read.
pub(super) struct Answer<'a> {
    io: &'a mut Box<dyn Connection>,
    pub(super) buffer: BytesMut,
}

impl Answer<'_> {
    /// Reads more; false at the end of the connection.
    pub(super) async fn fill(&mut self) -> Result<bool, ProbeError> {
        self.buffer.reserve(PIECE_BYTES);
        match self.io.read_buf(&mut self.buffer).await {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(ProbeError::cut(format!(
                "the connection broke before the answer was whole: {error}"
            ))),
        }
    }

    /// Reads more; the end of the connection is the failure that `what` was cut.
    pub(super) async fn need(&mut self, what: &str) -> Result<(), ProbeError> {
        match self.fill().await? {
            true => Ok(()),
            false => Err(ProbeError::cut(format!("the answer ended within {what}"))),
        }
    }

    /// The final head; interim ones (100..=199, but for 101) are passed over.
    async fn head(&mut self) -> Result<Head, ProbeError> {
        let mut passed = 0;
        loop {
            match parse(&self.buffer)? {
                Some((bytes, head)) => {
                    self.buffer.advance(bytes);
                    passed += bytes;
                    if !(100..200).contains(&head.status) || head.status == 101 {
                        return Ok(head);
                    }
                }
                None if passed + self.buffer.len() >= MAX_HEAD_BYTES => {
                    return Err(ProbeError::garbage("the answer's head is over 16 KiB"));
                }
                None if self.buffer.is_empty() => {
                    if !self.fill().await? {
                        return Err(ProbeError::cut("closed without an answer"));
                    }
                }
                None => self.need("its head").await?,
            }
        }
    }

    async fn body(&mut self, framing: Framing) -> Result<Vec<u8>, ProbeError> {
        let most = match framing {
            Framing::Chunked => return chunked::read(self).await,
            Framing::Length(length) => {
                usize::try_from(length).map_or(MAX_BODY_BYTES, |length| length.min(MAX_BODY_BYTES))
            }
            Framing::UntilClose => MAX_BODY_BYTES,
        };
        while self.buffer.len() < most {
            if !self.fill().await? {
                if framing == Framing::UntilClose {
                    break;
                }
                let got = self.buffer.len();
                return Err(ProbeError::cut(format!(
                    "the answer ended after {got} bytes of its body"
                )));
            }
        }
        self.buffer.truncate(most);
        Ok(Vec::from(std::mem::take(&mut self.buffer)))
    }
}

/// A whole head at the front and its length; none if more is needed.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Head)>, ProbeError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response
        .parse(bytes)
        .map_err(|error| ProbeError::garbage(format!("the answer is not HTTP/1: {error}")))?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    if !(100..=999).contains(&status) {
        return Err(ProbeError::garbage("the answer has no status"));
    }
    let framing = framing(response.headers)?;
    Ok(Some((length, Head { status, framing })))
}

/// RFC 9112 section 6.3, without the leave to guess: two framings, or two lengths, are wrong.
fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, ProbeError> {
    let mut length: Option<u64> = None;
    let mut is_chunked = false;
    for header in headers {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
            match number.filter(|number| is_number && length.is_none_or(|known| known == *number)) {
                Some(number) => length = Some(number),
                None => return Err(ProbeError::garbage("the answer has no usable length")),
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                let why = "the answer has a transfer-encoding that was not asked for";
                return Err(ProbeError::garbage(why));
            }
            is_chunked = true;
        }
    }
    match (length, is_chunked) {
        (Some(_), true) => Err(ProbeError::garbage(
            "the answer has a length and chunks as well",
        )),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::Chunked),
        (None, false) => Ok(Framing::UntilClose),
    }
}
