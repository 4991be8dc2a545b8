//! The head of a request, read line by line as its bytes come (RFC 9112 sections 2 to 6).

use memchr::memchr;

use super::classes::is_token_byte;
use super::error::{Reason, Reject};
use super::fields::Fields;
use super::{fields, request_line};

/// Limits of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most header lines.
    pub headers: u16,
    /// Most bytes of the whole head: request line, header lines and the empty line.
    pub header_bytes: usize,
    /// Most bytes of the target.
    pub uri_bytes: usize,
}

impl Default for HeadLimits {
    /// 100 lines, 64 KiB, 8 KiB.
    fn default() -> Self {
        Self {
            headers: 100,
            header_bytes: 64 * 1024,
            uri_bytes: 8 * 1024,
        }
    }
}

/// A range of bytes in the buffer that the head was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes of this range; empty when the buffer is another, shorter one.
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        buf.get(self.start..self.end).unwrap_or_default()
    }
}

/// The version of a request that was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// How the body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// That many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
}

/// The form of the target (RFC 9112 section 3.2). Authority-form belongs to CONNECT and is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://authority/path?query`
    AbsoluteHttp,
    /// `https://authority/path?query`
    AbsoluteHttps,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// What framing and routing need of a head. Header fields are not copied: the next reader of the same
/// bytes does that, and cannot find more or less than was checked here.
///
/// One value serves one request at a time; `Head::default()` starts the next one.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The method: a token.
    pub method: Span,
    /// The target as received: free of control bytes, spaces and `#`.
    pub target: Span,
    /// The form of the target.
    pub form: TargetForm,
    /// The authority of an absolute target.
    pub authority: Option<Span>,
    /// The value of Host, trimmed.
    pub host: Option<Span>,
    /// The version.
    pub version: Version,
    /// How the body is delimited.
    pub framing: Framing,
    /// True when the connection may serve another request after this one.
    pub keep_alive: bool,
    /// True when the client waits for `100 Continue` (never in HTTP/1.0).
    pub expect_continue: bool,
    /// True when the client asks for another protocol: Upgrade, nominated by Connection, in HTTP/1.1.
    pub upgrade: bool,
    /// True when `upgrade` is true and asks for exactly `websocket`.
    pub websocket: bool,
    /// Number of header lines.
    pub headers: u16,
    scanner: HeadScanner,
}

/// How far the reading went, so that bytes are looked at once although the buffer grows in pieces.
#[derive(Clone, Debug, Default)]
struct HeadScanner {
    /// Where the first line begins that was not read yet.
    line_start: usize,
    /// No LF stands before this offset, from `line_start` on.
    searched: usize,
    stage: Stage,
    fields: Fields,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing read: one empty line may come first (RFC 9112 section 2.2).
    #[default]
    Start,
    /// The empty line was skipped.
    RequestLine,
    Fields,
}

/// The answer of [`parse_head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadStatus {
    /// More bytes are needed, and the limits allow them.
    Partial,
    /// The head is complete and takes the first `len` bytes of the buffer.
    Complete {
        /// Length of the head in bytes, with the empty line at its end.
        len: usize,
    },
    /// The head is refused. The connection must be closed after the answer.
    Reject(Reject),
}

/// Reads a request head from the front of `buf`.
///
/// Call it again with the same `out` and the same buffer when more bytes were appended; what was read is
/// not read again. The verdict does not depend on how the bytes were cut into pieces. `out` is meaningful
/// after `Complete` only.
///
/// Everything that RFC 9112 lets a recipient repair is refused instead: see [`Reason`].
pub fn parse_head(buf: &[u8], limits: &HeadLimits, out: &mut Head) -> HeadStatus {
    match read_lines(buf, limits, out) {
        Ok(Some(len)) => HeadStatus::Complete { len },
        Ok(None) => HeadStatus::Partial,
        Err(reason) => HeadStatus::Reject(Reject::new(reason)),
    }
}

fn read_lines(buf: &[u8], limits: &HeadLimits, head: &mut Head) -> Result<Option<usize>, Reason> {
    loop {
        let base = head.scanner.line_start;
        let stage = head.scanner.stage;
        if stage != Stage::Fields {
            check_first_byte(buf.get(base))?;
        }
        let window = buf.get(..limits.header_bytes).unwrap_or(buf);
        let unseen = window.get(head.scanner.searched..).unwrap_or_default();
        let Some(found) = memchr(b'\n', unseen) else {
            head.scanner.searched = window.len();
            if stage != Stage::Fields {
                let line = window.get(base..).unwrap_or_default();
                request_line::check_size(line.strip_suffix(b"\r").unwrap_or(line), limits)?;
            }
            return if buf.len() > window.len() {
                Err(Reason::HeadTooLarge)
            } else {
                Ok(None)
            };
        };
        let line_feed = head.scanner.searched + found;
        head.scanner.line_start = line_feed + 1;
        head.scanner.searched = line_feed + 1;
        let line = buf.get(base..line_feed).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            if stage != Stage::Fields {
                // Keeps the verdict the same when the line comes in pieces.
                request_line::check_size(line, limits)?;
            }
            return Err(Reason::BareLf);
        };
        match stage {
            Stage::Start if line.is_empty() => head.scanner.stage = Stage::RequestLine,
            Stage::Start | Stage::RequestLine => {
                request_line::read(line, base, limits, head)?;
                head.scanner.stage = Stage::Fields;
            }
            Stage::Fields if line.is_empty() => {
                let fields = std::mem::take(&mut head.scanner.fields);
                fields::finish(&fields, buf, head)?;
                return Ok(Some(line_feed + 1));
            }
            Stage::Fields => {
                if head.headers >= limits.headers {
                    return Err(Reason::TooManyHeaders);
                }
                head.headers += 1;
                head.scanner.fields.read(line, base, head.version)?;
            }
        }
    }
}

/// Refuses at its first byte what cannot become a request, such as a TLS hello on a plaintext listener.
fn check_first_byte(first: Option<&u8>) -> Result<(), Reason> {
    match first {
        None | Some(b'\r') => Ok(()),
        Some(b'\n') => Err(Reason::BareLf),
        Some(&byte) if is_token_byte(byte) => Ok(()),
        Some(_) => Err(Reason::BadMethod),
    }
}
