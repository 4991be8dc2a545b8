//! Certificate revocation lists (RFC 5280 section 5).
//!
//! A list is taken when every certificate of its issuer can be looked up in it: complete, signed by an authority of
//! the bundle, with an end. Lists for a part of the certificates, lists of changes and lists about other issuers'
//! certificates are refused, because what they do not say would be read as "not revoked".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boring::x509::X509Name;
use der::Tag;
use der::asn1::{AnyRef, ObjectIdentifier};

use super::parts::{Extension, Fields, Serial, Signed, context, extensions, find, time};

/// Most bytes of a file of lists.
pub const MAX_BYTES: u64 = 16 << 20;
/// Most lists of a file.
pub const MAX_LISTS: usize = 256;

/// `XN_FLAG_RFC2253`: the name in one line, the most specific part first.
const RFC2253: i32 = 0x0111_0317;

const DELTA: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
const DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
const ENTRY_ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.29");
const ENTRY_REASON: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
const ENTRY_INVALID_SINCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.24");

/// Why a revocation list is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlError {
    /// It cannot be read; the system's reason.
    Unreadable(String),
    /// Over 16 MiB, or over 256 lists.
    TooLarge,
    /// No PEM block `X509 CRL` is in the file.
    Missing,
    /// The list with this number in the file is not DER of a revocation list.
    Malformed(usize),
    /// The issuer's list has no time of the next one: nobody could tell that it is old.
    Endless(String),
    /// The issuer's list holds changes only.
    Delta(String),
    /// The issuer's list is about a part of its certificates, or about those of others.
    Partial(String),
    /// The issuer's list has an extension that must be understood; its number.
    Critical(String, String),
    /// The issuer is not among the authorities, or may not sign lists.
    UnknownIssuer(String),
    /// The issuer's list is signed with SHA-1 or something unknown.
    Algorithm(String),
    /// The issuer did not sign this list.
    Signature(String),
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::TooLarge => write!(f, "is over 16 MiB or holds more than {MAX_LISTS} lists"),
            Self::Missing => write!(f, "holds no readable X509 CRL in PEM form"),
            Self::Malformed(number) => write!(f, "list {number} is not a revocation list"),
            Self::Endless(issuer) => write!(f, "the list of {issuer} has no nextUpdate"),
            Self::Delta(issuer) => write!(f, "the list of {issuer} holds changes only (delta CRL)"),
            Self::Partial(issuer) => write!(
                f,
                "the list of {issuer} is about a part of its certificates, or about those of others"
            ),
            Self::Critical(issuer, id) => write!(
                f,
                "the list of {issuer} has the critical extension {id}, which is not known"
            ),
            Self::UnknownIssuer(issuer) => write!(
                f,
                "the list of {issuer} comes from no authority that may sign lists here"
            ),
            Self::Algorithm(issuer) => {
                write!(
                    f,
                    "the list of {issuer} is signed with SHA-1 or an unknown algorithm"
                )
            }
            Self::Signature(issuer) => write!(f, "the list of {issuer} has a wrong signature"),
        }
    }
}

impl std::error::Error for CrlError {}

impl CrlError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "give the service's user leave to read it",
            Self::TooLarge => "keep the newest list of each authority only",
            Self::Missing | Self::Malformed(_) => {
                "a list in DER becomes PEM with: openssl crl -inform DER -in FILE"
            }
            Self::Endless(_) | Self::Delta(_) | Self::Partial(_) | Self::Critical(..) => {
                "ask the authority for its complete list"
            }
            Self::UnknownIssuer(_) => "put the certificate of the list's issuer into the ca file",
            Self::Algorithm(_) => "ask the authority for a list signed with SHA-256",
            Self::Signature(_) => "fetch the list again, and see that the ca file holds its issuer",
        }
    }
}

/// What a list says. Nobody has verified it yet.
pub struct Crl {
    this_update_s: i64,
    next_update_s: i64,
    /// Sorted.
    revoked: Vec<Serial>,
}

impl Crl {
    /// Seconds since 1970 at which it was made.
    pub(super) fn this_update_s(&self) -> i64 {
        self.this_update_s
    }

    /// Seconds since 1970 at which the next one is due.
    pub(super) fn next_update_s(&self) -> i64 {
        self.next_update_s
    }

    /// True if the certificate with this number is on it, for whatever reason.
    pub(super) fn holds(&self, serial: &Serial) -> bool {
        self.revoked.binary_search(serial).is_ok()
    }

    /// How many certificates are on it.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// True if no certificate is on it.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crl")
            .field("this_update_s", &self.this_update_s)
            .field("next_update_s", &self.next_update_s)
            .field("revoked", &self.revoked.len())
            .finish()
    }
}

/// A list with what is needed to verify it.
pub struct Unverified<'a> {
    /// `Name`, as it stands there.
    pub(super) issuer: &'a [u8],
    pub(super) signed: Signed<'a>,
    /// What it says.
    pub crl: Crl,
}

/// Reads one list in DER; `number` is its place in the file, for messages.
///
/// # Errors
/// It is not a list, or not one that says everything about its issuer's certificates.
pub fn parse(der: &[u8], number: usize) -> Result<Unverified<'_>, CrlError> {
    let malformed = |_| CrlError::Malformed(number);
    let raw = Raw::read(der).map_err(malformed)?;
    let issuer = || name(raw.issuer);
    let Some(next_update_s) = raw.next_update_s else {
        return Err(CrlError::Endless(issuer()));
    };
    if find(&raw.extensions, DELTA).is_some() {
        return Err(CrlError::Delta(issuer()));
    }
    if find(&raw.extensions, DISTRIBUTION_POINT).is_some() {
        return Err(CrlError::Partial(issuer()));
    }
    let critical = |one: &Extension<'_>| CrlError::Critical(issuer(), one.id.to_string());
    if let Some(unknown) = raw.extensions.iter().find(|one| one.critical) {
        return Err(critical(unknown));
    }
    let mut revoked = Vec::new();
    if let Some(list) = raw.revoked {
        let mut fields = Fields::of(list).map_err(malformed)?;
        while !fields.is_empty() {
            let (serial, extensions) = fields.next().and_then(entry).map_err(malformed)?;
            for one in &extensions {
                match one.id {
                    ENTRY_ISSUER => return Err(CrlError::Partial(issuer())),
                    ENTRY_REASON | ENTRY_INVALID_SINCE => {}
                    _ if one.critical => return Err(critical(one)),
                    _ => {}
                }
            }
            revoked.push(serial);
        }
    }
    revoked.sort_unstable();
    Ok(Unverified {
        issuer: raw.issuer,
        signed: raw.signed,
        crl: Crl {
            this_update_s: raw.this_update_s,
            next_update_s,
            revoked,
        },
    })
}

struct Raw<'a> {
    issuer: &'a [u8],
    signed: Signed<'a>,
    this_update_s: i64,
    next_update_s: Option<i64>,
    revoked: Option<AnyRef<'a>>,
    extensions: Vec<Extension<'a>>,
}

impl<'a> Raw<'a> {
    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut outer = Fields::open(der)?;
        let signed = Signed::read(&mut outer)?;
        outer.end()?;
        let mut fields = Fields::open(signed.body)?;
        let has_extensions = match fields.take_if(Tag::Integer)? {
            Some(version) if version.value() == [1] => true,
            Some(_) => return Err(Tag::Integer.value_error().into()),
            None => false,
        };
        // RFC 5280 section 5.1.1.2: the algorithm stands twice and is the same.
        if fields.raw()? != signed.algorithm {
            return Err(Tag::Sequence.value_error().into());
        }
        let issuer = fields.raw()?;
        let this_update_s = time(fields.next()?)?;
        let mut next_update_s = None;
        for tag in [Tag::UtcTime, Tag::GeneralizedTime] {
            if let (None, Some(found)) = (next_update_s, fields.take_if(tag)?) {
                next_update_s = Some(time(found)?);
            }
        }
        let revoked = fields.take_if(Tag::Sequence)?;
        let extensions = match fields.take_if(context(0, true))? {
            Some(_) if !has_extensions => return Err(Tag::Integer.value_error().into()),
            Some(tagged) => {
                let mut inside = Fields::inside(tagged)?;
                let all = extensions(inside.next()?)?;
                inside.end()?;
                all
            }
            None => Vec::new(),
        };
        fields.end()?;
        Ok(Self {
            issuer,
            signed,
            this_update_s,
            next_update_s,
            revoked,
            extensions,
        })
    }
}

fn entry(value: AnyRef<'_>) -> der::Result<(Serial, Vec<Extension<'_>>)> {
    let mut fields = Fields::of(value)?;
    let serial = Serial::read(fields.take(Tag::Integer)?)?;
    time(fields.next()?)?;
    let all = fields.take_if(Tag::Sequence)?.map(extensions).transpose()?;
    fields.end()?;
    Ok((serial, all.unwrap_or_default()))
}

/// A `Name` for messages.
pub(super) fn name(der: &[u8]) -> String {
    let read = X509Name::from_der(der).ok();
    let text = read.and_then(|name| name.print_ex(RFC2253));
    text.unwrap_or_else(|| "an authority without a name".to_owned())
}

/// The DER in the PEM blocks `X509 CRL` of a text; other blocks are passed over.
///
/// # Errors
/// There is none, there are too many, or one is not base64.
pub fn blocks(text: &[u8]) -> Result<Vec<Vec<u8>>, CrlError> {
    const BEGIN: &str = "-----BEGIN X509 CRL-----";
    const END: &str = "-----END X509 CRL-----";
    let text = std::str::from_utf8(text).map_err(|_| CrlError::Missing)?;
    let mut found = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let number = found.len() + 1;
        if number > MAX_LISTS {
            return Err(CrlError::TooLarge);
        }
        let (inside, _) = block.split_once(END).ok_or(CrlError::Malformed(number))?;
        let digits: String = inside.split_ascii_whitespace().collect();
        let der = STANDARD.decode(digits);
        found.push(der.map_err(|_| CrlError::Malformed(number))?);
    }
    if found.is_empty() {
        return Err(CrlError::Missing);
    }
    Ok(found)
}

#[cfg(test)]
pub(in crate::tls) mod tests;
