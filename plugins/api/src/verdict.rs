//! What a filter answers.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// The answer of a filter that may have to wait. Only waiting costs an allocation.
pub enum Answer<'a> {
    /// Decided at once.
    Now(Verdict),
    /// The verdict needs something that takes time. The future is dropped when the client leaves
    /// or the request's deadline passes.
    Wait(Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>),
}

impl Answer<'_> {
    /// Nothing to object to.
    pub const CONTINUE: Self = Self::Now(Verdict::Continue);

    /// Answers the client with `reply`.
    pub fn reply(reply: Reply) -> Self {
        Self::Now(Verdict::Reply(Box::new(reply)))
    }

    /// The filter could not do its work; `fail` of its table decides what follows.
    pub fn error(message: impl Into<String>) -> Self {
        Self::Now(Verdict::Error(FilterError::new(message)))
    }
}

/// A filter's decision.
#[derive(Debug)]
pub enum Verdict {
    /// Go on with the next filter.
    Continue,
    /// Answer the client now; the origin is not asked. From `response_head` it replaces the response.
    Reply(Box<Reply>),
    /// Close the connection (HTTP/1) or reset the stream (HTTP/2) without an answer.
    Reset,
    /// The filter could not do its work: `fail = "closed"` turns this into a 500, `"open"` into
    /// [`Verdict::Continue`]. Counted in either case.
    Error(FilterError),
}

/// Why a filter could not do its work. The message goes to the log, never to the client.
#[derive(Debug)]
pub struct FilterError {
    message: String,
}

impl FilterError {
    /// A new error; `message` must not hold secrets.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// The text for the log.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The decision of the `accept` phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Serve the connection.
    Continue,
    /// Close it at once.
    Refuse,
}

/// A response made by a filter.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Header fields, without `content-length`, which the engine writes.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty bodies are sent with `content-length: 0`.
    pub body: Bytes,
    /// True: the engine writes its own problem+json body (RFC 9457) with `title` and the request's
    /// id, and `body` is ignored.
    pub problem: bool,
    /// A short word for the access log's `reason` detail, e.g. `rate_limited`.
    pub detail: &'static str,
}

impl Reply {
    /// A reply with this status and an empty body.
    pub fn new(status: StatusCode, detail: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            problem: false,
            detail,
        }
    }

    /// A refusal that the engine renders as problem+json with the request's id.
    pub fn problem(status: StatusCode, detail: &'static str) -> Self {
        Self {
            problem: true,
            ..Self::new(status, detail)
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}
