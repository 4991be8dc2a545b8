//! One HTTP/1.1 connection, written out by hand: a library would retry, pool, or hide which of two
//! sides ended it when.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep_until};

use crate::client::dial::Bytestream;

/// A head, or a line of the chunked coding, that does not fit is refused.
const HEAD_BYTES: usize = 32 * 1024;
/// Most headers of an answer.
const HEADERS: usize = 64;
/// Bytes of a wrong answer's body that are shown.
const SHOWN_BYTES: usize = 80;

/// A connection on which one exchange follows the other.
pub(super) struct Connection {
    reader: Reader,
    writer: WriteHalf<Box<dyn Bytestream>>,
}

/// What is sent. The parts go out one by one, the pause between them.
pub(super) struct Order {
    /// The head, or the whole request.
    pub(super) head: Bytes,
    /// The body.
    pub(super) parts: Vec<Bytes>,
    /// Before each part of the body.
    pub(super) pause: Duration,
}

impl Order {
    /// A request without a body.
    pub(super) fn whole(head: impl Into<Bytes>) -> Self {
        Self {
            head: head.into(),
            parts: Vec::new(),
            pause: Duration::ZERO,
        }
    }
}

/// What may come after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another request.
    Open,
    /// Nothing: the server said so.
    Closing,
}

/// How a pause on a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// It is still open.
    Open,
    /// It was closed this long before the end of the pause.
    Closed(Duration),
    /// Something came that nobody had asked for.
    Unasked(String),
}

impl Connection {
    /// On a stream that is open and unused.
    pub(super) fn new(stream: Box<dyn Bytestream>) -> Self {
        let (reader, writer) = split(stream);
        Self {
            reader: Reader {
                stream: reader,
                buffer: BytesMut::with_capacity(8 * 1024),
            },
            writer,
        }
    }

    /// Sends and reads the answer, which must be 200 with exactly `expected` as its body.
    pub(super) async fn exchange(
        &mut self,
        order: &Order,
        expected: &Bytes,
    ) -> Result<After, String> {
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        let send = send(writer, order);
        let read = reader.answer(expected);
        tokio::pin!(send, read);
        // An answer that comes before the request has gone is as good as any; a write that fails is
        // explained by what can still be read.
        tokio::select! {
            answer = &mut read => match answer {
                Ok(after) => {
                    send.await.map_err(|error| format!("send: {error}"))?;
                    Ok(after)
                }
                Err(reason) => Err(reason),
            },
            sent = &mut send => match sent {
                Ok(()) => read.await,
                Err(error) => match read.await {
                    Ok(_) => Err(format!("send: {error}, though an answer came")),
                    Err(reason) => Err(format!("send: {error}; {reason}")),
                },
            },
        }
    }

    /// Waits until `end` and looks whether the connection stays open.
    pub(super) async fn idle(&mut self, end: Instant) -> Idle {
        if !self.reader.buffer.is_empty() {
            return Idle::Unasked(shown(&self.reader.buffer));
        }
        tokio::select! {
            // The read is tried first: what is there already must be seen, however short the pause.
            biased;
            read = self.reader.stream.read_buf(&mut self.reader.buffer) => match read {
                Ok(1..) => Idle::Unasked(shown(&self.reader.buffer)),
                // A reset of an idle connection ends it as well as a close does.
                Ok(0) | Err(_) => Idle::Closed(end.saturating_duration_since(Instant::now())),
            },
            () = sleep_until(end) => Idle::Open,
        }
    }
}

async fn send(writer: &mut WriteHalf<Box<dyn Bytestream>>, order: &Order) -> std::io::Result<()> {
    writer.write_all(&order.head).await?;
    for part in &order.parts {
        writer.flush().await?;
        tokio::time::sleep(order.pause).await;
        writer.write_all(part).await?;
    }
    writer.flush().await
}

struct Reader {
    stream: ReadHalf<Box<dyn Bytestream>>,
    buffer: BytesMut,
}

struct Head {
    status: u16,
    framing: Framing,
    closes: bool,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Reader {
    async fn answer(&mut self, expected: &Bytes) -> Result<After, String> {
        let mut head = self.head().await?;
        while head.status < 200 {
            head = self.head().await?;
        }
        if head.status != 200 {
            // The body often says why; a little of it is there with the head.
            let status = head.status;
            return Err(format!("status {status}: {}", shown(&self.buffer)));
        }
        let mut body = Body { expected, at: 0 };
        match head.framing {
            Framing::Length(length) => {
                if length != expected.len() {
                    let wanted = expected.len();
                    return Err(format!("content-length {length}, not {wanted}"));
                }
                self.part(&mut body, length).await?;
            }
            Framing::Chunked => self.chunks(&mut body).await?,
            Framing::UntilClose => while self.some(&mut body, usize::MAX).await? > 0 {},
        }
        body.end()?;
        let closes = head.closes || matches!(head.framing, Framing::UntilClose);
        Ok(if closes { After::Closing } else { After::Open })
    }

    async fn head(&mut self) -> Result<Head, String> {
        loop {
            if !self.buffer.is_empty()
                && let Some((head, length)) = parse(&self.buffer)?
            {
                self.buffer.advance(length);
                return Ok(head);
            }
            if self.buffer.len() > HEAD_BYTES {
                return Err(format!("a head of more than {HEAD_BYTES} bytes"));
            }
            let had = self.buffer.len();
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) if had == 0 => return Err("closed before an answer".into()),
                Ok(0) => return Err("closed inside the head of the answer".into()),
                Err(error) if had == 0 => return Err(format!("no answer: {error}")),
                Err(error) => return Err(format!("inside the head of the answer: {error}")),
            }
        }
    }

    /// Reads and compares some bytes of a body, at most `most`; how many. 0 is the end of the stream.
    async fn some(&mut self, body: &mut Body<'_>, most: usize) -> Result<usize, String> {
        if self.buffer.is_empty()
            && self
                .stream
                .read_buf(&mut self.buffer)
                .await
                .map_err(|error| body.cut(&error.to_string()))?
                == 0
        {
            return Ok(0);
        }
        let taken = self.buffer.len().min(most);
        body.take(&self.buffer.split_to(taken))?;
        Ok(taken)
    }

    async fn part(&mut self, body: &mut Body<'_>, length: usize) -> Result<(), String> {
        let mut left = length;
        while left > 0 {
            match self.some(body, left).await? {
                0 => return Err(body.cut("closed")),
                taken => left -= taken,
            }
        }
        Ok(())
    }

    async fn chunks(&mut self, body: &mut Body<'_>) -> Result<(), String> {
        loop {
            let line = self.line(body).await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .map_err(|_| format!("the size of a chunk is `{digits}`"))?;
            if size == 0 {
                // Trailers, up to the empty line.
                while !self.line(body).await?.is_empty() {}
                return Ok(());
            }
            self.part(body, size).await?;
            if !self.line(body).await?.is_empty() {
                return Err("a chunk is longer than it says".into());
            }
        }
    }

    async fn line(&mut self, body: &Body<'_>) -> Result<String, String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(at);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.buffer.len() > HEAD_BYTES {
                return Err(format!("a line of more than {HEAD_BYTES} bytes"));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) => return Err(body.cut("closed")),
                Err(error) => return Err(body.cut(&error.to_string())),
            }
        }
    }
}

/// A body as far as it was compared.
struct Body<'a> {
    expected: &'a Bytes,
    at: usize,
}

impl Body<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let end = self.at + bytes.len();
        match self.expected.get(self.at..end) {
            Some(wanted) if wanted == bytes => {
                self.at = end;
                Ok(())
            }
            Some(_) => Err(format!("other bytes after byte {} of the body", self.at)),
            None => Err(format!("more than {} bytes of body", self.expected.len())),
        }
    }

    fn end(&self) -> Result<(), String> {
        if self.at == self.expected.len() {
            return Ok(());
        }
        Err(self.cut("it ended"))
    }

    fn cut(&self, how: &str) -> String {
        let (at, whole) = (self.at, self.expected.len());
        format!("after {at} of {whole} bytes of the body: {how}")
    }
}

fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("no answer of HTTP ({error}): {}", shown(bytes))),
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head {
        status,
        framing: Framing::UntilClose,
        closes: response.version == Some(0),
    };
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        let mut words = value.split(',').map(str::trim);
        if header.name.eq_ignore_ascii_case("connection") {
            head.closes |= words.any(|word| word.eq_ignore_ascii_case("close"));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("content-length")
            && !matches!(head.framing, Framing::Chunked)
        {
            let length = value.trim().parse();
            head.framing =
                Framing::Length(length.map_err(|_| format!("content-length `{value}`"))?);
        }
    }
    Ok(Some((head, length)))
}

fn shown(bytes: &[u8]) -> String {
    let some = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    String::from_utf8_lossy(some)
        .trim()
        .replace(['\r', '\n'], " ")
}
