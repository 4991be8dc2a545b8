//! Requests as bytes, and answers read into a buffer that is kept: what a hit costs here must stay below what it costs
//! the contestant.

use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::body::{Bodies, object};
use crate::case::Load;

/// What one read takes at most. Below the second level of a processor's cache, so that large bodies do not pass
/// through memory once more.
const BUFFER_BYTES: usize = 128 * 1024;
/// Fields that an answer may have.
const FIELDS: usize = 64;
/// Of a body that is not looked at in whole, so much is.
const SAMPLE_BYTES: usize = 1024;
/// Bodies up to this length are always looked at in whole ...
const SMALL_BODY_BYTES: usize = 16 * 1024;
/// ... and of longer ones every so many on each connection, the first one among them.
const WHOLE_EVERY: u64 = 16;

/// The case's request, around the name of the object.
pub(super) struct Requests {
    target: String,
    rest: String,
}

impl Requests {
    pub(super) fn new(load: &Load) -> Self {
        let mut rest = format!(" HTTP/1.1\r\nhost: {}\r\n", load.host);
        for line in &load.headers {
            rest.push_str(line);
            rest.push_str("\r\n");
        }
        rest.push_str("\r\n");
        Self {
            target: load.target.clone(),
            rest,
        }
    }

    /// Writes the request for `name` in the place of what `request` held. Gives back the object's number.
    fn write(&self, name: &str, request: &mut Vec<u8>) -> u64 {
        request.clear();
        request.extend_from_slice(b"GET ");
        let begin = request.len();
        request.extend_from_slice(self.target.as_bytes());
        request.extend_from_slice(name.as_bytes());
        let number = object(&request[begin..]);
        request.extend_from_slice(self.rest.as_bytes());
        number
    }
}

/// What is wrong with an answer. The connection is of no use after either.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection broke.
    Broken(io::Error),
    /// Another status, length or body than the origin's.
    Bad(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => error.fmt(out),
            Self::Bad(what) => out.write_str(what),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// A connection on which one request follows another.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    request: Vec<u8>,
    answers: u64,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            request: Vec::new(),
            answers: 0,
        }
    }

    /// Asks for `name` and reads an answer with a body of `bytes` bytes to its end.
    pub(super) async fn ask(
        &mut self,
        requests: &Requests,
        name: &str,
        bytes: usize,
        bodies: &Bodies,
    ) -> Result<(), Fault> {
        let number = requests.write(name, &mut self.request);
        self.stream.write_all(&self.request).await?;
        let (head_bytes, filled) = self.read_head(bytes).await?;
        let whole = bytes <= SMALL_BODY_BYTES || self.answers.is_multiple_of(WHOLE_EVERY);
        self.answers += 1;
        let sampled = if whole { bytes } else { SAMPLE_BYTES };
        let check = |offset: usize, part: &[u8]| {
            if offset + part.len() > bytes {
                return Err(Fault::Bad("more than its length"));
            }
            let seen = part.len().min(sampled.saturating_sub(offset));
            if bodies.has(number, offset, &part[..seen]) {
                Ok(())
            } else {
                Err(Fault::Bad("the body is not the object's"))
            }
        };
        let mut got = filled - head_bytes;
        check(0, &self.buffer[head_bytes..filled])?;
        while got < bytes {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            check(got, &self.buffer[..read])?;
            got += read;
        }
        Ok(())
    }

    /// Reads a head, which must announce a body of `bytes` bytes. Gives back its length and that of what was read.
    async fn read_head(&mut self, bytes: usize) -> Result<(usize, usize), Fault> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                let is_full = filled == self.buffer.len();
                return Err(if is_full {
                    Fault::Bad("a head without an end")
                } else {
                    io::Error::from(io::ErrorKind::UnexpectedEof).into()
                });
            }
            filled += read;
            let mut fields = [httparse::EMPTY_HEADER; FIELDS];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(&self.buffer[..filled]);
            let Ok(parsed) = parsed else {
                return Err(Fault::Bad("no head of HTTP/1"));
            };
            let httparse::Status::Complete(length) = parsed else {
                continue;
            };
            if head.code != Some(200) {
                return Err(Fault::Bad("another status than 200"));
            }
            let mut lengths = head
                .headers
                .iter()
                .filter(|field| field.name.eq_ignore_ascii_case("content-length"));
            let announced = lengths
                .next()
                .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
            if announced != Some(bytes) {
                return Err(Fault::Bad("another length than the origin's"));
            }
            return Ok((length, filled));
        }
    }
}
