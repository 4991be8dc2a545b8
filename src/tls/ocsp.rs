//! OCSP responses (RFC 6960) about our own certificates, stapled to handshakes.
//!
//! A response is stapled when a careful client would take it: about this certificate, signed by its issuer or by a
//! responder that the issuer named, good, and of now. Anything else is reported and not stapled.

use std::fmt;
use std::path::Path;

use boring::error::ErrorStack;
use boring::hash::{MessageDigest, hash};
use boring::x509::X509Ref;

use super::parts::{Parts, Serial};

mod request;
mod response;

pub use request::request;
pub use response::well_formed;

/// Most bytes of a response; usual ones have under 2 KiB.
pub const MAX_BYTES: u64 = 64 << 10;
/// A responder's clock may be this much ahead.
const SKEW_S: i64 = 300;

/// Why a response is not stapled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OcspError {
    /// It cannot be read; the system's reason.
    Unreadable(String),
    /// Over 64 KiB.
    TooLarge,
    /// It is not DER of an OCSP response, or not of the basic kind.
    Malformed,
    /// The responder answered with an error; its number (RFC 6960 section 4.2.1).
    Responder(u8),
    /// The certificate's file does not hold the one that issued it, which tells whether the answer is right.
    NoIssuer,
    /// It says nothing about this certificate.
    OtherCertificate,
    /// The certificate is revoked.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
    /// It begins later.
    NotYetValid,
    /// It is over.
    Expired,
    /// It has no time of the next one.
    Endless,
    /// It has an extension that must be understood; its number.
    Critical(String),
    /// It is signed with SHA-1 or something unknown.
    Algorithm,
    /// Neither the issuer nor a responder that it named signed it.
    Signature,
}

impl fmt::Display for OcspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::TooLarge => write!(f, "is over 64 KiB"),
            Self::Malformed => write!(f, "is no OCSP response in DER form"),
            Self::Responder(number) => write!(f, "the responder answered with the error {number}"),
            Self::NoIssuer => write!(
                f,
                "cannot be judged: the certificate's file does not hold its issuer"
            ),
            Self::OtherCertificate => write!(f, "says nothing about this certificate"),
            Self::Revoked => write!(f, "says that the certificate is revoked"),
            Self::Unknown => write!(f, "says that the responder does not know the certificate"),
            Self::NotYetValid => write!(f, "begins later"),
            Self::Expired => write!(f, "is over"),
            Self::Endless => write!(f, "has no nextUpdate"),
            Self::Critical(id) => {
                write!(f, "has the critical extension {id}, which is not known")
            }
            Self::Algorithm => write!(f, "is signed with SHA-1 or an unknown algorithm"),
            Self::Signature => write!(
                f,
                "is signed neither by the certificate's issuer nor by a responder of it"
            ),
        }
    }
}

impl std::error::Error for OcspError {}

impl OcspError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "give the service's user leave to read it",
            Self::TooLarge | Self::Malformed => {
                "the file is what a responder answers: openssl ocsp -respout FILE"
            }
            Self::NoIssuer => "put the intermediate behind the certificate in its file",
            Self::Revoked => "clients that ask elsewhere refuse it: order another certificate",
            Self::OtherCertificate | Self::Signature => {
                "ask the responder that the certificate names, about this certificate"
            }
            Self::NotYetValid => "compare the clocks",
            Self::Expired => "fetch a new one before the old one is over",
            Self::Responder(_)
            | Self::Unknown
            | Self::Endless
            | Self::Critical(_)
            | Self::Algorithm => "ask the certificate's authority",
        }
    }
}

/// A response that may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Staple {
    der: Vec<u8>,
    this_update_s: i64,
    next_update_s: i64,
}

impl Staple {
    /// Reads a file in DER: the answer about `leaf`, which `issuer` issued, at `now_s`, seconds since 1970.
    ///
    /// # Errors
    /// Why it must not be stapled.
    pub fn open(
        file: &Path,
        leaf: &X509Ref,
        issuer: &X509Ref,
        now_s: i64,
    ) -> Result<Self, OcspError> {
        let der = super::read::read(file, MAX_BYTES);
        let der = der.map_err(|error| OcspError::Unreadable(error.to_string()))?;
        Self::parse(&der.ok_or(OcspError::TooLarge)?, leaf, issuer, now_s)
    }

    /// The same for an answer that was read already.
    ///
    /// # Errors
    /// Why it must not be stapled.
    pub fn parse(
        der: &[u8],
        leaf: &X509Ref,
        issuer: &X509Ref,
        now_s: i64,
    ) -> Result<Self, OcspError> {
        if der.len() as u64 > MAX_BYTES {
            return Err(OcspError::TooLarge);
        }
        let response = response::Response::read(der)?;
        let about = About::read(leaf, issuer).ok_or(OcspError::OtherCertificate)?;
        let answer = response.answer(&about)?;
        response.verify(issuer, now_s)?;
        let next_update_s = answer.judge()?;
        let staple = Self {
            der: der.to_vec(),
            this_update_s: answer.this_update_s,
            next_update_s,
        };
        if staple.this_update_s > now_s.saturating_add(SKEW_S) {
            return Err(OcspError::NotYetValid);
        }
        if !staple.is_fresh(now_s) {
            return Err(OcspError::Expired);
        }
        Ok(staple)
    }

    /// The response.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Seconds since 1970 at which it was found to be so.
    pub fn this_update_s(&self) -> i64 {
        self.this_update_s
    }

    /// Seconds since 1970 at which it is over.
    pub fn next_update_s(&self) -> i64 {
        self.next_update_s
    }

    /// True if clients take it at `now_s`, seconds since 1970.
    pub fn is_fresh(&self, now_s: i64) -> bool {
        now_s < self.next_update_s && self.this_update_s <= now_s.saturating_add(SKEW_S)
    }

    /// Seconds since 1970 at which the next one is to be fetched: after half of its time, give or take a tenth of it
    /// by `random`, so that the nodes do not all ask at once. Not before `now_s`.
    pub fn next_fetch_s(&self, now_s: i64, random: u32) -> i64 {
        let lasts_s = i128::from(self.next_update_s) - i128::from(self.this_update_s);
        let jitter_s = lasts_s * i128::from(random) / i128::from(u32::MAX) / 5 - lasts_s / 10;
        let at_s = i128::from(self.this_update_s) + lasts_s / 2 + jitter_s;
        i64::try_from(at_s).unwrap_or(now_s).max(now_s)
    }
}

impl fmt::Debug for Staple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staple")
            .field("bytes", &self.der.len())
            .field("this_update_s", &self.this_update_s)
            .field("next_update_s", &self.next_update_s)
            .finish()
    }
}

/// What a `CertID` is made of.
struct About {
    /// The issuer's `Name`, as it stands there.
    issuer_name: Vec<u8>,
    /// The issuer's key without its algorithm.
    issuer_key: Vec<u8>,
    serial: Serial,
}

impl About {
    fn read(leaf: &X509Ref, issuer: &X509Ref) -> Option<Self> {
        let (leaf, issuer) = (leaf.to_der().ok()?, issuer.to_der().ok()?);
        let (leaf, issuer) = (Parts::read(&leaf).ok()?, Parts::read(&issuer).ok()?);
        Some(Self {
            issuer_name: issuer.subject.to_vec(),
            issuer_key: issuer.key.to_vec(),
            serial: leaf.serial,
        })
    }

    /// The hashes of the issuer's name and key.
    fn hashes(&self, digest: MessageDigest) -> Result<[Vec<u8>; 2], ErrorStack> {
        let name = hash(digest, &self.issuer_name)?.to_vec();
        Ok([name, hash(digest, &self.issuer_key)?.to_vec()])
    }
}

#[cfg(test)]
mod tests;
