//! One ended request as the access log and `explain` tell it.
//!
//! A record borrows everything from the request that ends: it lives while its line is written, on the thread
//! that served the request, and allocates nothing unless extra headers are logged.

use std::net::IpAddr;
use std::sync::Arc;

use crate::telemetry::cache::{CacheAnswer, Forward};
use crate::telemetry::credentials::{self, Credentials};
use crate::telemetry::reason::Reason;

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
    /// The plan of that consumer.
    Plan,
    /// Version of TLS with the client.
    Tls,
    /// The first name of the client's verified certificate.
    ClientSan,
}

const TEXTS: usize = Text::ClientSan as usize + 1;

/// Longest path or referer that is kept, in bytes; what is longer ends in `...`.
pub const MAX_PATH_BYTES: usize = 8 * 1024;
/// Longest other text.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Extra headers that one record holds.
pub const MAX_HEADERS: usize = 16;
/// Tags of a consumer that one record tells.
pub(super) const MAX_TAGS: usize = 32;

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

/// What the cache did with a request; only of requests on routes with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    /// How it was answered.
    pub answer: CacheAnswer,
    /// Why the origin was asked.
    pub forward: Option<Forward>,
    /// A word about the rest: why the answer was not stored, or why a stale one was sent.
    pub detail: Option<&'static str>,
    /// Seconds of freshness that are left; negative: since when it is stale.
    pub ttl_s: Option<i64>,
}

/// What is told of one request. Fill the fields, `set` the texts, then write it with `with_line`.
#[derive(Debug)]
pub struct AccessRecord<'a> {
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
    /// What the cache did with it.
    pub cache: Option<CacheRecord>,
    /// The tags of the consumer.
    pub tags: &'a [Arc<str>],
    /// Names whose values are hidden besides the built-in ones.
    pub credentials: &'a Credentials,
    texts: [&'a [u8]; TEXTS],
    headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> AccessRecord<'a> {
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
            cache: None,
            tags: &[],
            credentials: &credentials::NONE,
            texts: [&[]; TEXTS],
            headers: Vec::new(),
        }
    }

    /// Sets a text: bytes of any value; what is beyond its limit is cut when it is written.
    #[inline]
    pub fn set(&mut self, text: Text, value: &'a (impl AsRef<[u8]> + ?Sized)) {
        if let Some(place) = self.texts.get_mut(text as usize) {
            *place = value.as_ref();
        }
    }

    /// Adds a configured extra header; `name` is in lower case. Those that carry credentials were refused when the
    /// configuration was compiled; of an earlier one, whose requests still end, others may.
    pub fn header(&mut self, name: &'a str, value: &'a [u8]) {
        if self.headers.len() < MAX_HEADERS && !self.credentials.is_header(name) {
            self.headers.push((name, value));
        }
    }

    /// The bytes of a text; empty if it was not set.
    #[inline]
    pub(super) fn get(&self, text: Text) -> &'a [u8] {
        self.texts.get(text as usize).copied().unwrap_or_default()
    }

    /// The extra headers in the order they were added.
    pub(super) fn headers(&self) -> &[(&'a str, &'a [u8])] {
        &self.headers
    }
}
