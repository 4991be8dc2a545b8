//! A filter: a configured plugin standing in chains, and the phases it is called in.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::credential::Credential;
use crate::exchange::{BufferedBody, Request, Response, UpstreamRequest};
use crate::facts::{ConnectionFacts, Facts};
use crate::verdict::{Accept, Answer, FilterError};

/// The phases a filter wants to be called in: a set, read once when the configuration is compiled.
/// A chain of a phase holds only the filters that asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(u16);

impl Phases {
    /// No phase.
    pub const NONE: Self = Self(0);
    /// A connection was accepted; nothing was read. Only on listeners.
    pub const ACCEPT: Self = Self(1);
    /// The request's head is complete.
    pub const REQUEST_HEAD: Self = Self(1 << 1);
    /// The request's body was read to its end (needs [`BodyMode::Buffered`]).
    pub const REQUEST_BODY: Self = Self(1 << 2);
    /// The head goes to an endpoint; once per attempt.
    pub const UPSTREAM_REQUEST: Self = Self(1 << 3);
    /// A piece of the request's body goes by (needs [`BodyMode::Streamed`]).
    pub const REQUEST_CHUNK: Self = Self(1 << 4);
    /// The origin's head came; once per fetch, before the cache stores it.
    pub const ORIGIN_HEAD: Self = Self(1 << 5);
    /// A piece of the origin's body; once per fetch.
    pub const ORIGIN_BODY: Self = Self(1 << 6);
    /// A head goes to the client: the origin's, a cached one, a reply or our own error.
    pub const RESPONSE_HEAD: Self = Self(1 << 7);
    /// A piece of the body goes to the client.
    pub const RESPONSE_BODY: Self = Self(1 << 8);
    /// The request is over.
    pub const LOG: Self = Self(1 << 9);

    /// Every phase with its name, in the order of a request's life.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::ACCEPT, "accept"),
        (Self::REQUEST_HEAD, "request_head"),
        (Self::REQUEST_BODY, "request_body"),
        (Self::UPSTREAM_REQUEST, "upstream_request"),
        (Self::REQUEST_CHUNK, "request_chunk"),
        (Self::ORIGIN_HEAD, "origin_head"),
        (Self::ORIGIN_BODY, "origin_body"),
        (Self::RESPONSE_HEAD, "response_head"),
        (Self::RESPONSE_BODY, "response_body"),
        (Self::LOG, "log"),
    ];

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if every phase of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How a filter wants the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Not at all.
    None,
    /// Piece by piece as it passes ([`Filter::request_chunk`]); nothing waits.
    Streamed,
    /// Read to its end before the origin is asked ([`Filter::request_body`]).
    Buffered {
        /// Most bytes held for one request.
        limit: u64,
        /// What happens to a longer body.
        over: OverLimit,
    },
}

/// What happens to a body over the limit of [`BodyMode::Buffered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// The client gets 413.
    Refuse,
    /// The filter sees the first `limit` bytes; the rest streams on unseen.
    Partial,
}

/// How a request ended, for the `log` phase.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status sent to the client; none if nothing was sent.
    pub status: Option<StatusCode>,
    /// The reason token of the access log.
    pub reason: &'static str,
    /// Body bytes received from and sent to the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// From the complete head to the end, in microseconds.
    pub total_us: u64,
}

/// Most lines of a filter's report that are shown.
pub const MAX_REPORT_LINES: usize = 20;

/// A request that is only asked about.
#[derive(Clone, Copy)]
pub struct Explained<'a> {
    /// What is known of it.
    pub facts: &'a dyn Facts,
    /// The target as a client would send it.
    pub raw_target: &'a [u8],
    /// The route it would take.
    pub route: &'a str,
    /// The body it would have.
    pub body: &'a [u8],
}

/// What a filter compresses of what goes to clients. A cache keeps such forms of what it stores, so
/// that nothing is compressed per delivery.
#[derive(Clone)]
pub struct Compression {
    /// With `zstd` (RFC 8878).
    pub zstd: bool,
    /// With `br` (RFC 7932).
    pub br: bool,
    /// With `gzip` (RFC 1952).
    pub gzip: bool,
    /// Smallest body, bytes.
    pub min_bytes: u64,
    /// True for a Content-Type that is to be compressed.
    pub suits: Arc<dyn Fn(&HeaderValue) -> bool + Send + Sync>,
}

/// A running instance of a plugin kind. Shared by all threads and by every chain it stands in.
///
/// Every method has a default that does nothing, and is called only for the phases that
/// [`Filter::phases`] names. A panic is caught and follows `fail` of the plugin's table.
pub trait Filter: Send + Sync + 'static {
    /// The phases to be called in. Read once, when the configuration is compiled.
    fn phases(&self) -> Phases;

    /// How the request's body is wanted. Read once, when the configuration is compiled.
    fn body_mode(&self) -> BodyMode {
        BodyMode::None
    }

    /// Request header fields that this filter writes as an identity. They are removed from what
    /// clients send, on every listener, before routing.
    fn identity_headers(&self) -> &[http::HeaderName] {
        &[]
    }

    /// Header fields, query keys and cookies that carry a credential for this filter. Their values never reach a log,
    /// and a list that logs such a field is an error. Read once, when the configuration is compiled.
    fn credentials(&self) -> &[Credential] {
        &[]
    }

    /// What it compresses. On a route with a cache these words hold for the forms the cache keeps. Read
    /// once, when the configuration is compiled.
    fn compression(&self) -> Option<Compression> {
        None
    }

    /// Names of upstreams that this filter asks by itself, so that they count as used. Read once, when the
    /// configuration is compiled.
    fn upstreams(&self) -> &[Box<str>] {
        &[]
    }

    /// Names of route captures that the filter's templates read. A route that uses the filter and
    /// does not capture one of them is an error. Read once, when the configuration is compiled.
    fn captures(&self) -> Vec<&str> {
        Vec::new()
    }

    /// `accept`: must not wait and must not be slow; it runs on the accepting thread.
    fn accept(&self, connection: &ConnectionFacts) -> Accept {
        let _ = connection;
        Accept::Continue
    }

    /// `request_head`: the request is known; the route too, unless the filter stands on a listener.
    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let _ = request;
        Answer::CONTINUE
    }

    /// `request_body`: the whole body (or its first part, see [`OverLimit::Partial`]).
    fn request_body<'a>(
        &'a self,
        request: &'a mut dyn Request,
        body: &'a mut BufferedBody,
    ) -> Answer<'a> {
        let _ = (request, body);
        Answer::CONTINUE
    }

    /// `upstream_request`: per attempt, after the engine wrote its own fields.
    fn upstream_request<'a>(&'a self, request: &'a mut dyn UpstreamRequest) -> Answer<'a> {
        let _ = request;
        Answer::CONTINUE
    }

    /// `request_chunk`: a piece of a streamed request body; may be changed or emptied, not delayed.
    ///
    /// # Errors
    /// Ends the request: the origin sees it cut, the client gets 500 if nothing was sent.
    fn request_chunk(
        &self,
        request: &mut dyn Request,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), FilterError> {
        let _ = (request, chunk, end);
        Ok(())
    }

    /// `origin_head`: what is changed here is what a cache stores.
    fn origin_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        let _ = response;
        Answer::CONTINUE
    }

    /// `origin_body`: a piece of the origin's body, before a cache stores it; cannot wait.
    ///
    /// # Errors
    /// Ends the response: the client sees it cut.
    fn origin_body(
        &self,
        request: &mut dyn Request,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), FilterError> {
        let _ = (request, chunk, end);
        Ok(())
    }

    /// `response_head`: every head that goes to the client, own errors and replies too.
    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        let _ = response;
        Answer::CONTINUE
    }

    /// `response_body`: a piece of the body on its way to the client; cannot wait.
    ///
    /// # Errors
    /// Ends the response: the client sees it cut.
    fn response_body(
        &self,
        request: &mut dyn Request,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), FilterError> {
        let _ = (request, chunk, end);
        Ok(())
    }

    /// `log`: the request is over; for counting and queued lines, not for waiting.
    fn log(&self, request: &mut dyn Request, outcome: &Outcome) {
        let _ = (request, outcome);
    }

    /// What the filter would make of a request that nobody sends, in lines for people: for
    /// `farmgate explain`. Without effect: nothing is counted, logged or kept.
    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        let _ = request;
        Vec::new()
    }

    /// How the filter stands now, in lines for people: for `farmgate status`. A control thread asks, while requests are
    /// served. At most [`MAX_REPORT_LINES`] are shown; they hold no secret and no value that may be one.
    fn report(&self) -> Vec<String> {
        Vec::new()
    }
}
