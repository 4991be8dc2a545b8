//! Why a probe failed: a class from a closed set, and a bounded text for operators.

use std::fmt;

/// Most bytes of a text that is kept.
const MAX_TEXT_BYTES: usize = 200;

/// The classes of failure, for labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureKind {
    /// No connection.
    Connect,
    /// A connection, but no TLS with it.
    Tls,
    /// Not done within the time of one probe.
    Timeout,
    /// The endpoint ended or reset the connection before its answer was whole.
    Cut,
    /// The answer is not what the protocol allows, or larger than a probe reads.
    Garbage,
    /// A status that is not expected.
    Status,
    /// A body that does not contain what is expected.
    Body,
    /// A gRPC server that does not say `SERVING`.
    NotServing,
    /// The probe could not be made: a mistake of ours or of the configuration.
    Internal,
}

impl FailureKind {
    /// All classes, for tables of counters.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Cut,
        Self::Garbage,
        Self::Status,
        Self::Body,
        Self::NotServing,
        Self::Internal,
    ];

    /// For operators and labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Garbage => "garbage",
            Self::Status => "status",
            Self::Body => "body",
            Self::NotServing => "not_serving",
            Self::Internal => "internal",
        }
    }
}

/// One failed probe. Never holds what the endpoint sent, but for a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    /// The class.
    pub kind: FailureKind,
    text: Box<str>,
}

impl ProbeError {
    /// With a text, cut at 200 bytes; control characters are shown as spaces.
    pub fn new(kind: FailureKind, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let end = text.floor_char_boundary(MAX_TEXT_BYTES);
        let kept = text.get(..end).unwrap_or_default();
        let plain = kept.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self {
            kind,
            text: plain.collect(),
        }
    }

    /// What happened, in one line of at most 200 characters.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn cut(text: impl AsRef<str>) -> Self {
        Self::new(FailureKind::Cut, text)
    }

    pub(super) fn garbage(text: impl AsRef<str>) -> Self {
        Self::new(FailureKind::Garbage, text)
    }

    pub(super) fn timeout(text: impl AsRef<str>) -> Self {
        Self::new(FailureKind::Timeout, text)
    }

    pub(super) fn internal(text: impl AsRef<str>) -> Self {
        Self::new(FailureKind::Internal, text)
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.word(), self.text)
    }
}

impl std::error::Error for ProbeError {}
