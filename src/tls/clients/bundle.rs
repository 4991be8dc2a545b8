//! The files of client authentication: the authorities, and what they took back.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use boring::error::ErrorStack;
use boring::x509::X509;
use boring::x509::store::{X509Store, X509StoreBuilder};
use sha2::{Digest as _, Sha256};

use crate::tls::crl::{self, Crl, CrlError, name};
use crate::tls::identity::SanRule;
use crate::tls::parts::{Parts, Usage};
use crate::tls::signature::SignatureError;

/// Most bytes of a bundle.
const MAX_BYTES: u64 = 1 << 20;
/// Most certificates of a bundle.
const MAX_AUTHORITIES: usize = 256;

/// What is wrong with the files of client authentication, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsError {
    /// The file to look at.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: ClientsProblem,
}

/// What is wrong with a file of client authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientsProblem {
    /// The bundle cannot be read; the system's reason.
    Unreadable(String),
    /// The bundle is over 1 MiB, or over 256 certificates.
    TooLarge,
    /// The bundle holds no certificate, or one that is broken.
    Missing,
    /// The certificate with this number in the bundle is no authority's.
    NotAnAuthority(usize, String),
    /// The revocation lists.
    Crl(CrlError),
}

impl fmt::Display for ClientsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.problem)
    }
}

impl fmt::Display for ClientsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::TooLarge => write!(
                f,
                "is over 1 MiB or holds more than {MAX_AUTHORITIES} certificates"
            ),
            Self::Missing => write!(f, "holds no readable certificate in PEM form"),
            Self::NotAnAuthority(number, subject) => write!(
                f,
                "certificate {number}, {subject}, is no authority's (basicConstraints)"
            ),
            Self::Crl(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientsError {}

impl ClientsProblem {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "give the service's user leave to read it",
            Self::TooLarge => "keep the authorities that sign client certificates only",
            Self::Missing => "a PEM block begins with -----BEGIN CERTIFICATE-----",
            Self::NotAnAuthority(..) => {
                "the file is for certificates of authorities (CA:TRUE), not of clients or servers"
            }
            Self::Crl(error) => error.help(),
        }
    }
}

/// A certificate of the bundle.
struct Authority {
    certificate: X509,
    /// `Name`, as it stands there.
    subject: Vec<u8>,
    id: IssuerId,
    signs_lists: bool,
}

/// SHA-256 over an authority's name and key: a cross certificate has the same, and so the same list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct IssuerId([u8; 32]);

impl IssuerId {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        let digest = Sha256::new().chain_update(parts.subject);
        Self(digest.chain_update(parts.key_info).finalize().into())
    }
}

/// Revocation lists by issuer.
pub(super) type Lists = HashMap<IssuerId, Crl>;

/// The authorities of a file.
pub(super) struct Bundle(Vec<Authority>);

impl Bundle {
    pub(super) fn parse(text: &[u8]) -> Result<Self, ClientsProblem> {
        let all = X509::stack_from_pem(text).map_err(|_| ClientsProblem::Missing)?;
        if all.is_empty() {
            return Err(ClientsProblem::Missing);
        }
        if all.len() > MAX_AUTHORITIES {
            return Err(ClientsProblem::TooLarge);
        }
        let take = |(place, certificate): (usize, X509)| {
            let der = certificate.to_der().map_err(|_| ClientsProblem::Missing)?;
            let parts = Parts::read(&der).map_err(|_| ClientsProblem::Missing)?;
            if !parts.is_authority().unwrap_or(false) {
                let subject = name(parts.subject);
                return Err(ClientsProblem::NotAnAuthority(place + 1, subject));
            }
            Ok(Authority {
                subject: parts.subject.to_vec(),
                id: IssuerId::of(&parts),
                signs_lists: parts.allows(Usage::CrlSign).unwrap_or(false),
                certificate,
            })
        };
        let all: Result<_, _> = all.into_iter().enumerate().map(take).collect();
        all.map(Self)
    }

    /// The library's form.
    pub(super) fn store(&self) -> Result<X509Store, ErrorStack> {
        let mut builder = X509StoreBuilder::new()?;
        for one in &self.0 {
            builder.add_cert(&one.certificate)?;
        }
        Ok(builder.build())
    }

    /// SHA-256 over the authorities and rules, in whatever order they stand.
    pub(super) fn digest(&self, rules: &[SanRule]) -> [u8; 32] {
        let mut ids: Vec<&[u8; 32]> = self.0.iter().map(|one| &one.id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut digest = Sha256::new();
        digest.update((ids.len() as u64).to_be_bytes());
        ids.iter().for_each(|id| digest.update(id));
        let mut rules: Vec<String> = rules.iter().map(|rule| format!("{rule:?}\n")).collect();
        rules.sort_unstable();
        rules.iter().for_each(|rule| digest.update(rule));
        digest.finalize().into()
    }

    /// Every subject once.
    pub(super) fn names(self) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = self.0.into_iter().map(|one| one.subject).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Reads and verifies revocation lists. Of two by one issuer the newer one counts.
    pub(super) fn lists(&self, text: &[u8]) -> Result<Lists, CrlError> {
        let mut lists = Lists::new();
        for (place, der) in crl::blocks(text)?.iter().enumerate() {
            let read = crl::parse(der, place + 1)?;
            let mut problem = CrlError::UnknownIssuer as fn(String) -> CrlError;
            let mut found = None;
            let named = self.0.iter().filter(|one| one.subject == read.issuer);
            for one in named.filter(|one| one.signs_lists) {
                let Ok(key) = one.certificate.public_key() else {
                    continue;
                };
                match read.signed.verify(&key) {
                    Ok(()) => found = Some(one.id),
                    Err(SignatureError::Algorithm) => problem = CrlError::Algorithm,
                    Err(SignatureError::Wrong) => problem = CrlError::Signature,
                }
            }
            let id = found.ok_or_else(|| problem(name(read.issuer)))?;
            let is_newer = |other: &Crl| other.this_update_s() < read.crl.this_update_s();
            if lists.get(&id).is_none_or(is_newer) {
                lists.insert(id, read.crl);
            }
        }
        Ok(lists)
    }
}

/// The text of a bundle.
pub(super) fn read_bundle(file: &Path) -> Result<Vec<u8>, ClientsProblem> {
    match read(file, MAX_BYTES) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(ClientsProblem::TooLarge),
        Err(why) => Err(ClientsProblem::Unreadable(why)),
    }
}

/// The text of a file of revocation lists.
pub(super) fn read_lists(file: &Path) -> Result<Vec<u8>, ClientsProblem> {
    match read(file, crl::MAX_BYTES) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(ClientsProblem::Crl(CrlError::TooLarge)),
        Err(why) => Err(ClientsProblem::Crl(CrlError::Unreadable(why))),
    }
}

/// `None` for a file over `most` bytes.
fn read(file: &Path, most: u64) -> Result<Option<Vec<u8>>, String> {
    crate::tls::read::read(file, most).map_err(|error| error.to_string())
}
