//! Why a client certificate is refused, and how the client is told.

use std::fmt;

use boring::ssl::SslAlert;
use boring::x509::{X509VerifyError, X509VerifyResult};

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientRefusal {
    /// It showed no certificate.
    NoCertificate,
    /// No authority of the bundle stands behind its certificate.
    UnknownCa,
    /// A certificate of the chain is over.
    Expired,
    /// A certificate of the chain begins later.
    NotYetValid,
    /// A certificate of the chain is on its issuer's revocation list.
    Revoked,
    /// The revocation list of an issuer in the chain is over, so nothing of that issuer is believed.
    StaleCrl,
    /// Revocation lists are configured, but none is of an issuer in the chain.
    NoCrl,
    /// The certificate is not for clients.
    Purpose,
    /// No name of the certificate fits a rule.
    Name,
    /// Anything else: a wrong signature, a broken extension, SHA-1.
    Bad,
}

impl ClientRefusal {
    /// All of them, for metrics that are declared before anything happens.
    pub const ALL: [Self; 10] = [
        Self::NoCertificate,
        Self::UnknownCa,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::StaleCrl,
        Self::NoCrl,
        Self::Purpose,
        Self::Name,
        Self::Bad,
    ];

    /// The word in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownCa => "unknown_ca",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::StaleCrl => "stale_crl",
            Self::NoCrl => "no_crl",
            Self::Purpose => "purpose",
            Self::Name => "name",
            Self::Bad => "bad",
        }
    }

    /// The alert of RFC 8446 section 6.2, and its number.
    ///
    /// A list that is over or missing is our own affair, so the client hears `certificate_unknown`, "some other issue".
    /// In TLS 1.2, which does not know `certificate_required`, the library says `handshake_failure`.
    pub fn alert(self) -> (SslAlert, u8) {
        match self {
            Self::NoCertificate => (SslAlert::CERTIFICATE_REQUIRED, 116),
            Self::UnknownCa => (SslAlert::UNKNOWN_CA, 48),
            Self::Expired | Self::NotYetValid => (SslAlert::CERTIFICATE_EXPIRED, 45),
            Self::Revoked => (SslAlert::CERTIFICATE_REVOKED, 44),
            Self::StaleCrl | Self::NoCrl => (SslAlert::CERTIFICATE_UNKNOWN, 46),
            Self::Purpose => (SslAlert::UNSUPPORTED_CERTIFICATE, 43),
            Self::Name => (SslAlert::ACCESS_DENIED, 49),
            Self::Bad => (SslAlert::BAD_CERTIFICATE, 42),
        }
    }

    /// What the library's refusal of a chain means.
    pub(super) fn of(result: X509VerifyResult) -> Self {
        match result {
            Err(X509VerifyError::CERT_HAS_EXPIRED) => Self::Expired,
            Err(X509VerifyError::CERT_NOT_YET_VALID) => Self::NotYetValid,
            Err(X509VerifyError::INVALID_PURPOSE) => Self::Purpose,
            Err(
                X509VerifyError::UNABLE_TO_GET_ISSUER_CERT
                | X509VerifyError::UNABLE_TO_GET_ISSUER_CERT_LOCALLY
                | X509VerifyError::UNABLE_TO_VERIFY_LEAF_SIGNATURE
                | X509VerifyError::DEPTH_ZERO_SELF_SIGNED_CERT
                | X509VerifyError::SELF_SIGNED_CERT_IN_CHAIN
                | X509VerifyError::CERT_UNTRUSTED
                | X509VerifyError::CERT_REJECTED,
            ) => Self::UnknownCa,
            _ => Self::Bad,
        }
    }
}

impl fmt::Display for ClientRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => "the client showed no certificate",
            Self::UnknownCa => "no known authority stands behind the client's certificate",
            Self::Expired => "a certificate of the client's chain is over",
            Self::NotYetValid => "a certificate of the client's chain begins later",
            Self::Revoked => "a certificate of the client's chain is revoked",
            Self::StaleCrl => "the revocation list of the client's issuer is over",
            Self::NoCrl => "there is no revocation list of the client's issuer",
            Self::Purpose => "the client's certificate is not for clients",
            Self::Name => "no name of the client's certificate fits a rule",
            Self::Bad => "the client's certificate is broken",
        })
    }
}

impl std::error::Error for ClientRefusal {}
