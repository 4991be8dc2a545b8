//! One ended request as the access log and `explain` keep it.
//!
//! All texts of a record lie in one buffer, so that a request costs two allocations (the buffer and the shared
//! record) and copies a few hundred bytes; no names are reference-counted across cores. The formatting happens
//! on the writer's thread.

use std::net::IpAddr;
use std::sync::Arc;

use crate::telemetry::reason::Reason;
use crate::telemetry::redact;

/// A text of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Text {
    /// The request id.
    RequestId,
    /// Name of the listener.
    Listener,
    /// Name of the route.
    Route,
    /// Name of the upstream.
    Upstream,
    /// Address of the endpoint of the last attempt.
    Endpoint,
    /// The method as received.
    Method,
    /// The host as matched.
    Host,
    /// The target as received, query included. Secrets in the query are hidden when it is written.
    Path,
    /// `HTTP/1.1`, `HTTP/2.0`.
    Protocol,
    /// User-Agent.
    UserAgent,
    /// Referer; secrets in its query are hidden when it is written.
    Referer,
    /// Trace id of the W3C traceparent.
    TraceId,
    /// Who the request was authenticated as.
    Consumer,
}

const TEXTS: usize = Text::Consumer as usize + 1;

/// Longest path or referer that is kept, in bytes; what is longer ends in `...`.
pub const MAX_PATH_BYTES: usize = 8 * 1024;
/// Longest other text.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Extra headers that one record holds.
pub const MAX_HEADERS: usize = 16;
/// What a usual record needs for its texts.
const USUAL_BYTES: usize = 384;
const CUT: &[u8] = b"...";

/// A place in the buffer. `u16` fits: 2 paths, 11 texts and 16 headers at their longest are under 64 KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u16,
    length: u16,
}

const _: () = assert!(
    2 * MAX_PATH_BYTES + (TEXTS - 2 + MAX_HEADERS) * MAX_TEXT_BYTES + 32 * CUT.len()
        <= u16::MAX as usize
);

/// Where the time of a request went, in nanoseconds; none for what did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting for a place at the upstream.
    pub queue_ns: Option<u64>,
    /// Connecting, TLS included.
    pub connect_ns: Option<u64>,
    /// From the request sent to the head of the response.
    pub first_byte_ns: Option<u64>,
    /// From the first byte of the request to the last byte of the response.
    pub total_ns: u64,
}

/// What is remembered of one request. Fill the fields, `set` the texts, then `submit` it in an `Arc`.
#[derive(Debug)]
pub struct AccessRecord {
    /// When the request ended, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Number of the configuration that decided.
    pub generation: u64,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// Where the time went.
    pub timings: Timings,
    /// The client's address after trusted hops; none on a unix socket.
    pub client: Option<IpAddr>,
    /// The status sent; 0 if none was, 499 if the client left first.
    pub status: u16,
    /// Attempts made; 0 if no endpoint was asked.
    pub attempt: u8,
    /// Why it ended.
    pub reason: Reason,
    spans: [Span; TEXTS],
    text: Vec<u8>,
    headers: Vec<(Arc<str>, Span)>,
}

impl AccessRecord {
    /// A record that ended at `unix_ms` (see `clock::unix_ms`) for `reason` with `status`.
    pub fn new(unix_ms: u64, reason: Reason, status: u16) -> Self {
        AccessRecord {
            unix_ms,
            generation: 0,
            bytes_in: 0,
            bytes_out: 0,
            timings: Timings::default(),
            client: None,
            status,
            attempt: 0,
            reason,
            spans: [Span::default(); TEXTS],
            text: Vec::with_capacity(USUAL_BYTES),
            headers: Vec::new(),
        }
    }

    /// Copies a text; bytes of any value, cut at its limit. Set each text at most once (a second call wins but
    /// its bytes count again).
    #[inline]
    pub fn set(&mut self, text: Text, value: impl AsRef<[u8]>) {
        let limit = match text {
            Text::Path | Text::Referer => MAX_PATH_BYTES,
            _ => MAX_TEXT_BYTES,
        };
        let span = self.append(value.as_ref(), limit);
        if let Some(place) = self.spans.get_mut(text as usize) {
            *place = span;
        }
    }

    /// Adds a configured extra header. Credential headers are refused here too; `name` is in lower case.
    pub fn header(&mut self, name: &Arc<str>, value: &[u8]) {
        if self.headers.len() < MAX_HEADERS && !redact::is_credential_header(name) {
            let span = self.append(value, MAX_TEXT_BYTES);
            self.headers.push((name.clone(), span));
        }
    }

    /// The bytes of a text; empty if it was not set.
    pub fn get(&self, text: Text) -> &[u8] {
        self.spans
            .get(text as usize)
            .map_or(&[], |span| self.slice(*span))
    }

    /// The extra headers in the order they were added.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .iter()
            .map(|(name, span)| (&**name, self.slice(*span)))
    }

    /// Memory it holds, in bytes.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.text.capacity()
            + self.headers.capacity() * size_of::<(Arc<str>, Span)>()
    }

    fn append(&mut self, value: &[u8], limit: usize) -> Span {
        let kept = value.get(..limit).unwrap_or(value);
        let cut: &[u8] = if kept.len() < value.len() { CUT } else { &[] };
        let start = self.text.len();
        let length = kept.len() + cut.len();
        match (u16::try_from(start), u16::try_from(start + length)) {
            (Ok(start), Ok(end)) => {
                self.text.extend_from_slice(kept);
                self.text.extend_from_slice(cut);
                Span {
                    start,
                    length: end - start,
                }
            }
            // Only a caller that sets texts twice gets here.
            _ => Span::default(),
        }
    }

    fn slice(&self, span: Span) -> &[u8] {
        let start = usize::from(span.start);
        self.text
            .get(start..start + usize::from(span.length))
            .unwrap_or_default()
    }
}
