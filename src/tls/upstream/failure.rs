//! Why a handshake with an endpoint failed.

use std::fmt;
use std::io;

use boring::ssl;

/// Where the library's reasons for alerts of the other side begin.
const ALERTS: i32 = 1_000;
/// How the library calls its TLS part.
const TLS_PART: &str = "SSL routines";
/// `no_application_protocol` (RFC 7301 section 3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// Why a handshake with an endpoint failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// We do not believe the endpoint's certificate; why.
    Certificate(String),
    /// The endpoint ended it with this alert (RFC 8446 section 6.2).
    Alert(u8),
    /// The endpoint does not speak the configured HTTP version (ALPN).
    Protocol,
    /// The endpoint closed the connection.
    Closed,
    /// Not done in time.
    TimedOut,
    /// The connection broke, or the two sides have nothing in common; the library's or the system's words.
    Other(String),
}

impl TlsFailure {
    /// What the library says. A certificate that we refused is known to the caller alone.
    pub(super) fn of(error: &ssl::Error) -> Self {
        if let Some(io) = error.io_error() {
            return match io.kind() {
                io::ErrorKind::UnexpectedEof => Self::Closed,
                kind => Self::Other(kind.to_string()),
            };
        }
        let Some(stack) = error.ssl_error() else {
            return Self::Closed;
        };
        let ours = stack.errors().iter();
        let mut ours = ours.filter(|error| error.library() == Some(TLS_PART));
        let alert = ours.clone().find_map(|error| {
            let alert = error.reason_code().checked_sub(ALERTS)?;
            u8::try_from(alert).ok()
        });
        match (alert, ours.next()) {
            (Some(NO_APPLICATION_PROTOCOL), _) => Self::Protocol,
            (Some(alert), _) => Self::Alert(alert),
            (None, Some(error)) => {
                let reason = error.reason().unwrap_or("unknown").to_ascii_lowercase();
                Self::Other(reason.replace('_', " "))
            }
            (None, None) => Self::Other("unknown".to_owned()),
        }
    }

    /// True for alerts by which an endpoint refuses a handshake. TLS 1.3 lets a client send before it hears them, but
    /// a server that sends one has read nothing of it.
    pub fn refuses_the_handshake(&self) -> bool {
        match self {
            Self::Protocol => true,
            Self::Alert(alert) => {
                matches!(
                    alert,
                    40 | 42..=46 | 48 | 49 | 51 | 70 | 71 | 112 | 113 | 115 | 116
                )
            }
            _ => false,
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) => write!(f, "its certificate is refused: {why}"),
            Self::Alert(alert) => match name_of(*alert) {
                Some(name) => write!(f, "it sent the TLS alert {name}"),
                None => write!(f, "it sent the TLS alert {alert}"),
            },
            Self::Protocol => write!(f, "it does not speak the configured protocol (ALPN)"),
            Self::Closed => write!(f, "it closed the connection during the TLS handshake"),
            Self::TimedOut => write!(f, "the TLS handshake took too long"),
            Self::Other(why) => write!(f, "the TLS handshake failed: {why}"),
        }
    }
}

impl std::error::Error for TlsFailure {}

/// RFC 8446 appendix B.2.
fn name_of(alert: u8) -> Option<&'static str> {
    Some(match alert {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        _ => return None,
    })
}
