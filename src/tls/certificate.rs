//! A certificate chain with its key, read from PEM and checked as a whole before anybody is shown it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{Id, PKey, Private};
use boring::x509::{X509, X509Ref};

use super::ocsp::Staple;

/// Largest file that is read; a chain of ten RSA certificates has 20 KiB.
const MAX_BYTES: u64 = 1 << 20;
/// Most certificates of one chain.
const MAX_CHAIN: usize = 16;

/// Which signatures a key can make, as far as the choice for a client depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of any length.
    Rsa,
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
}

impl KeyKind {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::P256 => "p256",
            Self::P384 => "p384",
        }
    }
}

/// A chain, its key, and the names it is for.
pub struct Certificate {
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
    kind: KeyKind,
    names: Vec<String>,
    not_after: i64,
    fingerprint: [u8; 32],
    file: PathBuf,
    /// What its authority says about it, for clients that ask.
    staple: ArcSwapOption<Staple>,
}

/// What is wrong with a certificate or its key, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError {
    /// The file to look at.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a certificate or its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The file cannot be read; the system's reason.
    Unreadable(String),
    /// Over 1 MiB, or over 16 certificates.
    TooLarge,
    /// No PEM block of this kind is in it, or the one that is there is broken.
    Missing(&'static str),
    /// The key is of a kind that no policy offers.
    KeyKind(String),
    /// RSA under 2,048 bits.
    WeakKey(u32),
    /// The file is not there.
    Absent,
    /// The key belongs to another certificate.
    KeyMismatch,
    /// The key belongs to a later certificate of the file: the chain stands upside down.
    LeafNotFirst,
    /// The certificate with this number did not issue the one before it.
    BrokenChain(usize),
    /// It has expired, and what was read before has not.
    Expired,
    /// No DNS name and no address in subjectAltName.
    NoName,
    /// A name that no client can ask for.
    BadName(String),
    /// The system has no file of authorities where one is looked for.
    NoAuthorities,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::TooLarge => write!(
                f,
                "is over 1 MiB or holds more than {MAX_CHAIN} certificates"
            ),
            Self::Missing(what) => write!(f, "holds no readable {what} in PEM form"),
            Self::KeyKind(kind) => write!(f, "the key is {kind}; RSA, P-256 and P-384 are served"),
            Self::WeakKey(bits) => write!(f, "the RSA key has {bits} bits, 2048 are the least"),
            Self::Absent => write!(f, "there is no such file"),
            Self::KeyMismatch => write!(f, "the key does not fit its certificate"),
            Self::LeafNotFirst => write!(f, "the certificate of the key does not stand first"),
            Self::BrokenChain(number) => {
                write!(f, "certificate {number} did not issue the one before it")
            }
            Self::Expired => write!(f, "the certificate has expired"),
            Self::NoName => write!(
                f,
                "the certificate names neither a DNS name nor an address (subjectAltName)"
            ),
            Self::NoAuthorities => write!(f, "the system's authorities are not there"),
            Self::BadName(name) => write!(f, "the certificate's name {name:?} cannot be asked for"),
        }
    }
}

impl Problem {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => {
                "it must be there, and the service's user needs leave to read it"
            }
            Self::TooLarge => "a chain is the certificate and its intermediates, not a CA bundle",
            Self::Missing(_) => "a PEM block begins with -----BEGIN; encrypted keys are not read",
            Self::KeyKind(_) | Self::WeakKey(_) => "ask for a certificate with a P-256 key",
            Self::Absent => "relative paths count from the folder of the configuration file",
            Self::KeyMismatch => "the two files must come from one order",
            Self::LeafNotFirst => "put the server's own certificate first, then its intermediates",
            Self::BrokenChain(_) => {
                "each certificate must be followed by its issuer, without the root"
            }
            Self::Expired => "put a valid one in its place",
            Self::NoAuthorities => "install ca-certificates, or write ca = \"FILE\"",
            Self::NoName | Self::BadName(_) => {
                "clients look at subjectAltName only; the common name does not count"
            }
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.problem)
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Reads and checks a chain and its key. That it is expired is no error here: see [`Certificate::not_after`].
    ///
    /// # Errors
    /// The file at fault and what is wrong with it.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain_text = read(certificate)?;
        let key_text = read(key)?;
        Self::parse(certificate, &chain_text, key, &key_text)
    }

    /// The same for a certificate of our own that we show as a client: it needs no DNS name.
    ///
    /// # Errors
    /// The file at fault and what is wrong with it.
    pub fn open_own(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain_text = read(certificate)?;
        let key_text = read(key)?;
        Self::parse_for(certificate, &chain_text, key, &key_text, false)
    }

    /// The same for texts that were read already; the paths are for messages.
    ///
    /// # Errors
    /// The file at fault and what is wrong with it.
    pub fn parse(
        certificate: &Path,
        chain_text: &[u8],
        key_file: &Path,
        key_text: &[u8],
    ) -> Result<Self, CertificateError> {
        Self::parse_for(certificate, chain_text, key_file, key_text, true)
    }

    fn parse_for(
        certificate: &Path,
        chain_text: &[u8],
        key_file: &Path,
        key_text: &[u8],
        server: bool,
    ) -> Result<Self, CertificateError> {
        let wrong = |file: &Path, problem| CertificateError {
            file: file.to_owned(),
            problem,
        };
        let mut chain = X509::stack_from_pem(chain_text)
            .map_err(|_| wrong(certificate, Problem::Missing("certificate")))?;
        if chain.len() > MAX_CHAIN {
            return Err(wrong(certificate, Problem::TooLarge));
        }
        if chain.is_empty() {
            return Err(wrong(certificate, Problem::Missing("certificate")));
        }
        let key = PKey::private_key_from_pem(key_text)
            .map_err(|_| wrong(key_file, Problem::Missing("private key")))?;
        let kind = kind_of(&key).map_err(|problem| wrong(key_file, problem))?;
        let fits = |one: &X509| one.public_key().is_ok_and(|public| public.public_eq(&key));
        let leaf = chain.remove(0);
        if !fits(&leaf) {
            return Err(if chain.iter().any(fits) {
                wrong(certificate, Problem::LeafNotFirst)
            } else {
                wrong(key_file, Problem::KeyMismatch)
            });
        }
        let mut issued = &leaf;
        for (number, issuer) in chain.iter().enumerate() {
            if !is_issuer(issuer, issued) {
                return Err(wrong(certificate, Problem::BrokenChain(number + 2)));
            }
            issued = issuer;
        }
        let names = match names_of(&leaf) {
            Ok(names) => names,
            Err(problem) if server => return Err(wrong(certificate, problem)),
            Err(_) => Vec::new(),
        };
        let unreadable = |_| wrong(certificate, Problem::Missing("certificate"));
        let digest = leaf.digest(MessageDigest::sha256()).map_err(unreadable)?;
        let mut fingerprint = [0; 32];
        for (to, from) in fingerprint.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        let not_after = unix(&leaf).map_err(unreadable)?;
        Ok(Self {
            leaf,
            chain,
            key,
            kind,
            names,
            not_after,
            fingerprint,
            file: certificate.to_owned(),
            staple: ArcSwapOption::empty(),
        })
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> &X509Ref {
        &self.leaf
    }

    /// Its intermediates, in order.
    pub fn chain(&self) -> &[X509] {
        &self.chain
    }

    /// The private key. Never printed.
    pub fn key(&self) -> &PKey<Private> {
        &self.key
    }

    /// The key's kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// True if this is the same certificate with the same chain and key.
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
            && self.key.public_eq(&other.key)
            && self.chain.len() == other.chain.len()
            && self
                .chain
                .iter()
                .zip(&other.chain)
                .all(|(one, other)| one.to_der().ok() == other.to_der().ok())
    }

    /// DNS names in lower case, in the certificate's order; wildcards as `*.example.test`. Addresses as they stand in
    /// a Host: IPv6 in brackets.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Seconds since 1970 at which it expires.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// SHA-256 of the server's certificate.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The authority's certificate, when the file has it: without it there is nothing to staple.
    pub fn issuer(&self) -> Option<&X509Ref> {
        self.chain.first().map(|issuer| &**issuer)
    }

    /// What its authority says about it, as it was found last. See [`Staple::is_fresh`].
    pub fn staple(&self) -> Option<Arc<Staple>> {
        self.staple.load_full()
    }

    /// Staples this from the next handshake on.
    pub fn set_staple(&self, staple: Option<Arc<Staple>>) {
        self.staple.store(staple);
    }

    /// The file it came from.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.file)
            .field("names", &self.names)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    let wrong = |problem| CertificateError {
        file: file.to_owned(),
        problem,
    };
    let unreadable = |error: std::io::Error| {
        wrong(match error.kind() {
            std::io::ErrorKind::NotFound => Problem::Absent,
            _ => Problem::Unreadable(error.to_string()),
        })
    };
    let text = super::read::read(file, MAX_BYTES).map_err(unreadable)?;
    text.ok_or_else(|| wrong(Problem::TooLarge))
}

fn kind_of(key: &PKey<Private>) -> Result<KeyKind, Problem> {
    match key.id() {
        Id::RSA if key.bits() < 2048 => Err(Problem::WeakKey(key.bits())),
        Id::RSA => Ok(KeyKind::Rsa),
        Id::EC => {
            let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
            match curve {
                Some(Nid::X9_62_PRIME256V1) => Ok(KeyKind::P256),
                Some(Nid::SECP384R1) => Ok(KeyKind::P384),
                _ => Err(Problem::KeyKind("of another curve".to_owned())),
            }
        }
        other => Err(Problem::KeyKind(format!("of kind {}", other.as_raw()))),
    }
}

/// True if `issuer` made `issued`: the names fit, and so does the signature.
fn is_issuer(issuer: &X509, issued: &X509) -> bool {
    issuer.issued(issued).is_ok()
        && issuer
            .public_key()
            .is_ok_and(|key| issued.verify(&key).unwrap_or(false))
}

fn names_of(leaf: &X509) -> Result<Vec<String>, Problem> {
    let mut names: Vec<String> = Vec::new();
    for name in leaf.subject_alt_names().into_iter().flatten() {
        let name = match (name.dnsname(), name.ipaddress()) {
            (Some(name), _) => {
                let name = name.to_ascii_lowercase();
                if !is_name(&name) {
                    return Err(Problem::BadName(name));
                }
                name
            }
            (_, Some(bytes)) => match address(bytes) {
                Some(address) => address,
                None => continue,
            },
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(Problem::NoName);
    }
    Ok(names)
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    let six = <[u8; 16]>::try_from(bytes).ok()?;
    Some(format!("[{}]", Ipv6Addr::from(six)))
}

/// A DNS name, or one with `*` as its whole first label and two labels after it (RFC 9525 section 6.3).
pub(super) fn is_name(name: &str) -> bool {
    let (plain, least) = match name.strip_prefix("*.") {
        Some(rest) => (rest, 2),
        None => (name, 1),
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && plain.split('.').count() >= least && plain.split('.').all(is_label)
}

/// `notAfter` in seconds since 1970.
fn unix(leaf: &X509) -> Result<i64, boring::error::ErrorStack> {
    let epoch = boring::asn1::Asn1Time::from_unix(0)?;
    let since = epoch.diff(leaf.not_after())?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

#[cfg(test)]
pub(in crate::tls) mod tests;
