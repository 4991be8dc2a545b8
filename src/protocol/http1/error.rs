//! Why a request is refused before any filter sees it: a closed set, so that it can label a metric.

/// Declares the reasons once: variant, token and status.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident => $token:literal, $status:literal;)*) => {
        /// Why a request was refused. Every reason has one status and one token.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])* $name,)*
        }

        impl Reason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The snake_case token: label of the metric and word in the access log.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $token,)* }
            }

            /// The status the client gets.
            pub const fn status(self) -> u16 {
                match self { $(Reason::$name => $status,)* }
            }
        }
    };
}

reasons! {
    /// The request line is not `method SP target SP version`; an HTTP/0.9 line is one of these.
    BadRequestLine => "bad_request_line", 400;
    /// The method is not a token.
    BadMethod => "bad_method", 400;
    /// CONNECT: this proxy opens no tunnels.
    ConnectNotAllowed => "connect_not_allowed", 405;
    /// The version is not of the form HTTP/d.d.
    BadVersion => "bad_version", 400;
    /// A well-formed version that is neither 1.0 nor 1.1.
    UnsupportedVersion => "unsupported_version", 505;
    /// The target is empty, holds a control byte or a fragment, or has a form that this method may not use.
    BadTarget => "bad_target", 400;
    /// The target is longer than `uri_bytes`.
    UriTooLong => "uri_too_long", 414;
    /// A CR that no LF follows.
    BareCr => "bare_cr", 400;
    /// An LF that no CR precedes.
    BareLf => "bare_lf", 400;
    /// A header line that begins with white space.
    ObsFold => "obs_fold", 400;
    /// A header line without a colon, or whose name is empty or not a token.
    BadHeaderName => "bad_header_name", 400;
    /// White space between a header name and its colon.
    SpaceBeforeColon => "space_before_colon", 400;
    /// A control byte in a header value.
    BadHeaderValue => "bad_header_value", 400;
    /// More header lines than `headers`.
    TooManyHeaders => "too_many_headers", 431;
    /// A head longer than `header_bytes`.
    HeadTooLarge => "head_too_large", 431;
    /// No Host in HTTP/1.1.
    MissingHost => "missing_host", 400;
    /// Several Host lines.
    DuplicateHost => "duplicate_host", 400;
    /// A Host or an authority that is not `host[:port]`.
    BadHost => "bad_host", 400;
    /// An absolute target that names another authority than Host.
    HostMismatch => "host_mismatch", 400;
    /// Connection names something that is not a token, or a field that the framing or routing needs.
    BadConnection => "bad_connection", 400;
    /// Several Content-Length lines, or a list in one.
    DuplicateContentLength => "duplicate_content_length", 400;
    /// A Content-Length that is not 1*DIGIT or does not fit 64 bits.
    BadContentLength => "bad_content_length", 400;
    /// Transfer-Encoding together with Content-Length.
    LengthWithTransferEncoding => "length_with_transfer_encoding", 400;
    /// A Transfer-Encoding that is not exactly `chunked`, or several of them.
    BadTransferEncoding => "bad_transfer_encoding", 400;
    /// Transfer-Encoding in HTTP/1.0.
    TransferEncodingInHttp10 => "transfer_encoding_in_http10", 400;
    /// A chunk whose size, line end or end of data is not what RFC 9112 section 7.1 says.
    BadChunk => "bad_chunk", 400;
    /// Chunk extensions with control bytes, or with too many bytes over the whole body.
    BadChunkExtension => "bad_chunk_extension", 400;
    /// A trailer field that is malformed.
    BadTrailer => "bad_trailer", 400;
    /// A trailer field that must stand in the head: framing, routing, authentication and the like.
    ForbiddenTrailer => "forbidden_trailer", 400;
    /// A trailer section over its limit.
    TrailersTooLarge => "trailers_too_large", 431;
    /// A body over its limit.
    BodyTooLarge => "body_too_large", 413;
    /// A `%` in the path that two hexadecimal digits do not follow.
    BadEscape => "bad_escape", 400;
    /// `%00` in the path.
    EscapedNul => "escaped_nul", 400;
    /// `%2F` in the path where the listener says `escaped_slash = "reject"`.
    EscapedSlash => "escaped_slash", 400;
    /// The head was not complete in time. Said by the reader that owns the clock.
    HeaderTimeout => "header_timeout", 408;
    /// The body stood still for too long. Said by the reader that owns the clock.
    BodyTimeout => "body_timeout", 408;
    /// The body came slower than `min_body_rate`. Said by the reader that owns the clock.
    BodyTooSlow => "body_too_slow", 408;
}

/// A refusal: what the client gets and what the evidence says. The connection is closed after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status: 400, 405, 408, 413, 414, 431 or 505.
    pub status: u16,
    /// The reason.
    pub reason: Reason,
}

impl Reject {
    /// The refusal for this reason, with its status.
    pub const fn new(reason: Reason) -> Self {
        Self {
            status: reason.status(),
            reason,
        }
    }
}

impl From<Reason> for Reject {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.reason.as_str())
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn tokens_are_distinct_snake_case() {
        let mut tokens: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(tokens.iter().all(|token| {
            token
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        }));
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), Reason::ALL.len());
    }

    #[test]
    fn statuses_are_client_errors_or_505() {
        for reason in Reason::ALL {
            let status = reason.status();
            assert!(
                [400, 405, 408, 413, 414, 431, 505].contains(&status),
                "{reason:?}"
            );
        }
    }
}
