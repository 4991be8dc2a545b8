//! What is asked of an endpoint, how often, and what counts as a good answer.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::probe::request;

/// Most headers of one probe.
pub const MAX_HEADERS: usize = 32;

/// Most bytes of an answer's body that are read and searched.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Most bytes of an answer's head.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// One question to an endpoint. `Debug` leaves the values of headers out: some are secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Probe {
    /// One HTTP request on a connection of its own.
    Http {
        /// `GET`, `HEAD`, `OPTIONS` or any other token; `CONNECT` is refused.
        method: String,
        /// Path and query, from `/`.
        path: String,
        /// The `Host` header; none: the endpoint as configured.
        host: Option<String>,
        /// Headers of the operator's, in order. They replace `user-agent` and `accept`; the ones that frame a
        /// message or belong to the connection are refused.
        headers: Vec<(String, String)>,
        /// Statuses that are good, 200..=599.
        status: Vec<RangeInclusive<u16>>,
        /// What the first 64 KiB of the body must contain.
        body: Option<Box<[u8]>>,
        /// HTTP/2: over TLS when ALPN agrees, in the clear by prior knowledge (RFC 9113 section 3.3).
        http2: bool,
    },
    /// A connection is made and closed. Where the upstream speaks TLS, the handshake is part of it. It proves that
    /// the kernel accepts connections: a process that hangs or is stopped still looks well.
    Tcp,
    /// `grpc.health.v1.Health/Check` over HTTP/2; good is `SERVING`.
    Grpc {
        /// The service asked about; empty: the server as a whole.
        service: String,
    },
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http {
                method,
                path,
                host,
                headers,
                status,
                body,
                http2,
            } => {
                let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
                f.debug_struct("Http")
                    .field("method", method)
                    .field("path", path)
                    .field("host", host)
                    .field("headers", &names)
                    .field("status", status)
                    .field("body_bytes", &body.as_ref().map(|body| body.len()))
                    .field("http2", http2)
                    .finish()
            }
            Self::Tcp => f.write_str("Tcp"),
            Self::Grpc { service } => f.debug_struct("Grpc").field("service", service).finish(),
        }
    }
}

impl Probe {
    /// For operators and labels.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Tcp => "tcp",
            Self::Grpc { .. } => "grpc",
        }
    }
}

/// Active health checks of one upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthOptions {
    /// What is asked.
    pub probe: Probe,
    /// Between the starts of two probes of one endpoint. 100 ms..=1 h.
    pub interval: Duration,
    /// For connection, handshake, request and answer together. 10 ms up to `interval`.
    pub timeout: Duration,
    /// Good probes in a row that bring an endpoint back. 1..=100.
    pub rise: u32,
    /// Failed probes in a row that take an endpoint out. 1..=100.
    pub fall: u32,
    /// Up to this share is taken off each interval at random, so that endpoints and nodes do not stay in step.
    /// Never added: `fall` times `interval` stays the longest time to notice. 0..=0.5.
    pub jitter: f32,
    /// Where to ask instead of the endpoint's own port. No meaning for unix sockets.
    pub port: Option<u16>,
}

impl Default for HealthOptions {
    /// `GET /` each 5 s, 2 s to answer with 200..=399, 2 up, 3 down.
    fn default() -> Self {
        Self {
            probe: Probe::Http {
                method: "GET".to_owned(),
                path: "/".to_owned(),
                host: None,
                headers: Vec::new(),
                status: vec![200..=399],
                body: None,
                http2: false,
            },
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            jitter: 0.1,
            port: None,
        }
    }
}

/// Why options cannot be used. `Display` says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionsError {
    /// Not a token, or `CONNECT`.
    Method(String),
    /// Not a path.
    Path(String),
    /// Not a host.
    Host(String),
    /// A header that is no header, or not the operator's to set. The value is not repeated: it may be a secret.
    Header(String),
    /// More headers than [`MAX_HEADERS`].
    Headers(usize),
    /// A range that is empty or outside 200..=599, or no range at all.
    Status,
    /// A body is expected of `HEAD`, or what is expected is empty or longer than what is read.
    Body(&'static str),
    /// A service with control characters or longer than 255 bytes.
    Service,
    /// A number outside its range: its name and the range.
    Range(&'static str, &'static str),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(text) => write!(f, "{text:?} is no method to ask with; write \"GET\""),
            Self::Path(text) => write!(
                f,
                "{text:?} is no path; write one that starts with / and is percent-encoded where it must be, as in \"/healthz\""
            ),
            Self::Host(text) => write!(
                f,
                "{text:?} is no host; write a name with or without a port, as in \"app.internal\""
            ),
            Self::Header(name) => write!(
                f,
                "header {name:?} cannot be sent by a probe: the name must be a token that does not frame the message \
                 or belong to the connection, the value printable; for host there is a word of its own"
            ),
            Self::Headers(count) => {
                write!(f, "{count} headers; a probe sends at most {MAX_HEADERS}")
            }
            Self::Status => {
                f.write_str("statuses are ranges within 200-599, as in [\"200-299\", \"401\"]")
            }
            Self::Body(why) => f.write_str(why),
            Self::Service => f.write_str(
                "a gRPC service is a name of at most 255 printable bytes, as in \"orders.v1.Orders\"",
            ),
            Self::Range(name, range) => write!(f, "{name} must be within {range}"),
        }
    }
}

impl std::error::Error for OptionsError {}

impl HealthOptions {
    /// Looks at everything once, when the configuration is compiled.
    ///
    /// # Errors
    /// Every mistake, in the order of the words.
    pub fn check(&self) -> Result<(), Vec<OptionsError>> {
        let mut mistakes = Vec::new();
        self.check_probe(&mut mistakes);
        let interval = Duration::from_millis(100)..=Duration::from_secs(3600);
        let timeout = Duration::from_millis(10)..=self.interval;
        for (fits, name, range) in [
            (interval.contains(&self.interval), "interval", "100ms to 1h"),
            (
                timeout.contains(&self.timeout),
                "timeout",
                "10ms to the interval",
            ),
            ((1..=100).contains(&self.rise), "rise", "1 to 100"),
            ((1..=100).contains(&self.fall), "fall", "1 to 100"),
            ((0.0..=0.5).contains(&self.jitter), "jitter", "0% to 50%"),
            (self.port != Some(0), "port", "1 to 65535"),
        ] {
            if !fits {
                mistakes.push(OptionsError::Range(name, range));
            }
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes)
        }
    }

    fn check_probe(&self, mistakes: &mut Vec<OptionsError>) {
        let (method, path, host, headers, status, body) = match &self.probe {
            Probe::Tcp => return,
            Probe::Grpc { service } => {
                if service.len() > 255 || service.chars().any(char::is_control) {
                    mistakes.push(OptionsError::Service);
                }
                return;
            }
            Probe::Http {
                method,
                path,
                host,
                headers,
                status,
                body,
                http2: _,
            } => (method, path, host, headers, status, body),
        };
        if request::method(method).is_none() {
            mistakes.push(OptionsError::Method(method.clone()));
        }
        if request::path(path).is_none() {
            mistakes.push(OptionsError::Path(path.clone()));
        }
        if let Some(host) = host.as_ref().filter(|host| request::host(host).is_none()) {
            mistakes.push(OptionsError::Host(host.clone()));
        }
        if headers.len() > MAX_HEADERS {
            mistakes.push(OptionsError::Headers(headers.len()));
        }
        for (name, value) in headers {
            if request::header(name, value).is_none() {
                mistakes.push(OptionsError::Header(name.clone()));
            }
        }
        let is_range = |range: &RangeInclusive<u16>| {
            !range.is_empty() && *range.start() >= 200 && *range.end() <= 599
        };
        if status.is_empty() || !status.iter().all(is_range) {
            mistakes.push(OptionsError::Status);
        }
        if let Some(body) = body {
            if method == "HEAD" {
                let why = "an answer to HEAD has no body; ask with GET, or expect no body";
                mistakes.push(OptionsError::Body(why));
            } else if body.is_empty() || body.len() > MAX_BODY_BYTES {
                let why =
                    "the expected body must have 1 to 65536 bytes; leave the word out to take any";
                mistakes.push(OptionsError::Body(why));
            }
        }
    }

    /// True if an earlier verdict still answers the question: same probe, same port. How often it is asked and how
    /// many answers it takes may differ.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.probe == other.probe && self.port == other.port
    }
}

#[cfg(test)]
mod tests;
