//! Why a handshake failed, out of what the library says.

use std::ffi::c_int;

use boring::error::ErrorStack;
use boring::ssl::{Error, ErrorCode, NameType, SslRef};

use super::clients::{ClientRefusal, refusal_of};
use crate::telemetry::HandshakeFailure;

/// Reasons of the library's SSL part (`SSL_R_*` in BoringSSL's ssl.h).
const CLIENTHELLO_TLSEXT: c_int = 132;
const HTTPS_PROXY_REQUEST: c_int = 155;
const HTTP_REQUEST: c_int = 156;
const NO_SHARED_CIPHER: c_int = 184;
const PEER_DID_NOT_RETURN_A_CERTIFICATE: c_int = 192;
const UNSUPPORTED_PROTOCOL: c_int = 240;
const WRONG_VERSION_NUMBER: c_int = 247;
const NO_COMMON_SIGNATURE_ALGORITHMS: c_int = 253;
const NO_SHARED_GROUP: c_int = 266;
const NO_APPLICATION_PROTOCOL: c_int = 307;
/// Alerts of the peer are this and their number (RFC 8446 section 6).
const ALERT: c_int = 1000;
const LAST_ALERT: c_int = ALERT + 255;

/// Why the handshake of `ssl` failed with `error`.
pub fn failure_of(ssl: Option<&SslRef>, error: &Error) -> HandshakeFailure {
    if let Some(refusal) = ssl.and_then(refusal_of) {
        return refusal.into();
    }
    match (error.code(), error.ssl_error()) {
        (_, Some(stack)) => of_stack(ssl, stack),
        (ErrorCode::SYSCALL | ErrorCode::ZERO_RETURN, None) => HandshakeFailure::Closed,
        _ => HandshakeFailure::Protocol,
    }
}

/// True for who speaks HTTP/1 in the clear: nothing was written to such a client, so it can be told in its own words.
pub fn is_http(error: &Error) -> bool {
    let stack = error.ssl_error();
    let mut reasons = stack.iter().flat_map(|stack| stack.errors());
    reasons.any(|one| {
        one.library() == Some("SSL routines")
            && matches!(one.reason_code(), HTTP_REQUEST | HTTPS_PROXY_REQUEST)
    })
}

impl From<ClientRefusal> for HandshakeFailure {
    fn from(refusal: ClientRefusal) -> Self {
        match refusal {
            ClientRefusal::NoCertificate => Self::CertificateMissing,
            ClientRefusal::UnknownCa => Self::CertificateUnknownCa,
            ClientRefusal::Expired => Self::CertificateExpired,
            ClientRefusal::NotYetValid => Self::CertificateNotYetValid,
            ClientRefusal::Revoked => Self::CertificateRevoked,
            ClientRefusal::StaleCrl | ClientRefusal::NoCrl => Self::CertificateCrl,
            ClientRefusal::Purpose => Self::CertificatePurpose,
            ClientRefusal::Name => Self::CertificateName,
            ClientRefusal::Bad => Self::CertificateInvalid,
        }
    }
}

fn of_stack(ssl: Option<&SslRef>, stack: &ErrorStack) -> HandshakeFailure {
    let reasons = stack
        .errors()
        .iter()
        .filter(|error| error.library() == Some("SSL routines"))
        .map(boring::error::Error::reason_code);
    let mut last = HandshakeFailure::Protocol;
    for reason in reasons {
        last = match reason {
            // Ours: the callback that chooses by name said no.
            CLIENTHELLO_TLSEXT => match ssl.and_then(|ssl| ssl.servername(NameType::HOST_NAME)) {
                Some(_) => HandshakeFailure::UnknownServerName,
                None => HandshakeFailure::NoServerName,
            },
            HTTP_REQUEST | HTTPS_PROXY_REQUEST | WRONG_VERSION_NUMBER => HandshakeFailure::NotTls,
            NO_SHARED_CIPHER | NO_COMMON_SIGNATURE_ALGORITHMS | NO_SHARED_GROUP => {
                HandshakeFailure::Cipher
            }
            PEER_DID_NOT_RETURN_A_CERTIFICATE => HandshakeFailure::CertificateMissing,
            UNSUPPORTED_PROTOCOL => HandshakeFailure::Version,
            NO_APPLICATION_PROTOCOL => HandshakeFailure::Alpn,
            ALERT..=LAST_ALERT => HandshakeFailure::Rejected,
            _ => continue,
        };
        break;
    }
    last
}
