//! What a responder says, and whether it may say so.

use boring::hash::MessageDigest;
use boring::x509::{X509, X509Ref};
use der::Tag;
use der::asn1::{AnyRef, ObjectIdentifier};

use super::{About, OcspError};
use crate::tls::parts::{
    Extension, Fields, OCSP_SIGNING, Parts, Serial, Signed, Usage, context, extensions, time,
};
use crate::tls::signature::{SignatureError, is_weak};

/// Most certificates that come with a response, and most answers in it.
const MAX_CERTIFICATES: usize = 8;
const MAX_ANSWERS: usize = 64;

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// The hashes that a `CertID` may be made with.
const HASHES: [(ObjectIdentifier, fn() -> MessageDigest); 4] = [
    (
        ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
        MessageDigest::sha1,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
        MessageDigest::sha256,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        MessageDigest::sha384,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        MessageDigest::sha512,
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Good,
    Revoked,
    Unknown,
}

/// What is said about one certificate.
pub(super) struct Answer<'a> {
    hash: ObjectIdentifier,
    issuer_name: &'a [u8],
    issuer_key: &'a [u8],
    serial: Serial,
    status: Status,
    pub(super) this_update_s: i64,
    next_update_s: Option<i64>,
    extensions: Vec<Extension<'a>>,
}

/// A response without an error.
pub(super) struct Response<'a> {
    signed: Signed<'a>,
    certificates: Vec<&'a [u8]>,
    answers: Vec<Answer<'a>>,
    extensions: Vec<Extension<'a>>,
}

/// True if the bytes are a response without an error; nobody has verified it.
pub fn well_formed(der: &[u8]) -> bool {
    Response::read(der).is_ok()
}

impl<'a> Response<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, OcspError> {
        let malformed = |_| OcspError::Malformed;
        let mut fields = Fields::open(der).map_err(malformed)?;
        let status = fields.take(Tag::Enumerated).map_err(malformed)?;
        match status.value() {
            [0] => {}
            [error] => return Err(OcspError::Responder(*error)),
            _ => return Err(OcspError::Malformed),
        }
        basic(fields).and_then(Self::of).map_err(malformed)
    }

    /// `BasicOCSPResponse`.
    fn of(der: &'a [u8]) -> der::Result<Self> {
        let mut outer = Fields::open(der)?;
        let signed = Signed::read(&mut outer)?;
        let mut certificates = Vec::new();
        if let Some(tagged) = outer.take_if(context(0, true))? {
            let mut list = Fields::of(Fields::inside(tagged)?.next()?)?;
            while !list.is_empty() && certificates.len() < MAX_CERTIFICATES {
                certificates.push(list.raw()?);
            }
        }
        outer.end()?;
        let mut fields = Fields::open(signed.body)?;
        // Version 1 is never written, and there is no other.
        let responder = fields.next()?.header().tag();
        if responder != context(1, true) && responder != context(2, true) {
            return Err(Tag::Sequence.value_error().into());
        }
        time(fields.take(Tag::GeneralizedTime)?)?;
        let mut list = Fields::of(fields.next()?)?;
        let mut answers = Vec::new();
        while !list.is_empty() {
            if answers.len() == MAX_ANSWERS {
                return Err(Tag::Sequence.length_error().into());
            }
            answers.push(Answer::read(list.next()?)?);
        }
        let extensions = tagged_extensions(&mut fields)?;
        fields.end()?;
        Ok(Self {
            signed,
            certificates,
            answers,
            extensions,
        })
    }

    /// The answer about this certificate. Of several the worst one counts.
    pub(super) fn answer(&self, about: &About) -> Result<&Answer<'a>, OcspError> {
        let ours = self.answers.iter().filter(|one| one.is_about(about));
        let answer = ours.max_by_key(|one| one.status != Status::Good);
        let answer = answer.ok_or(OcspError::OtherCertificate)?;
        let all = self.extensions.iter().chain(&answer.extensions);
        match all.into_iter().find(|one| one.critical) {
            Some(unknown) => Err(OcspError::Critical(unknown.id.to_string())),
            None => Ok(answer),
        }
    }

    /// That the issuer signed it, or a responder whose certificate the issuer made for that (RFC 6960 section
    /// 4.2.2.2). Whether that certificate is revoked is not asked: responders renew theirs often.
    pub(super) fn verify(&self, issuer: &X509Ref, now_s: i64) -> Result<(), OcspError> {
        let key = issuer.public_key().map_err(|_| OcspError::Signature)?;
        match self.signed.verify(&key) {
            Ok(()) => return Ok(()),
            Err(SignatureError::Algorithm) => return Err(OcspError::Algorithm),
            Err(SignatureError::Wrong) => {}
        }
        for der in &self.certificates {
            let Ok(responder) = X509::from_der(der) else {
                continue;
            };
            let is_named = is_responder(der, &responder, issuer, now_s).unwrap_or(false);
            let own = responder.public_key();
            if is_named && own.is_ok_and(|own| self.signed.verify(&own).is_ok()) {
                return Ok(());
            }
        }
        Err(OcspError::Signature)
    }
}

/// True if `issuer` made this certificate for answering in its name, and it is not over.
fn is_responder(der: &[u8], responder: &X509, issuer: &X509Ref, now_s: i64) -> Option<bool> {
    let parts = Parts::read(der).ok()?;
    let is_for = parts.is_for(OCSP_SIGNING).ok()? == Some(true);
    let signs = parts.allows(Usage::DigitalSignature).ok()?;
    let key = issuer.public_key().ok()?;
    let now = boring::asn1::Asn1Time::from_unix(now_s).ok()?;
    let is_now = *responder.not_before() <= *now && *now < *responder.not_after();
    Some(
        is_for
            && signs
            && is_now
            && !is_weak(responder)
            && issuer.issued(responder).is_ok()
            && responder.verify(&key).ok()?,
    )
}

/// The `BasicOCSPResponse` in what follows the status.
fn basic(mut fields: Fields<'_>) -> der::Result<&[u8]> {
    let mut inside = Fields::inside(fields.take(context(0, true))?)?;
    fields.end()?;
    let mut bytes = Fields::of(inside.next()?)?;
    inside.end()?;
    let kind: ObjectIdentifier = bytes.take(Tag::ObjectIdentifier)?.decode_as()?;
    if kind != BASIC {
        return Err(Tag::ObjectIdentifier.value_error().into());
    }
    let response = bytes.take(Tag::OctetString)?;
    bytes.end()?;
    Ok(response.value())
}

/// `[1] Extensions`, if they are there.
fn tagged_extensions<'a>(fields: &mut Fields<'a>) -> der::Result<Vec<Extension<'a>>> {
    match fields.take_if(context(1, true))? {
        Some(tagged) => extensions(Fields::inside(tagged)?.next()?),
        None => Ok(Vec::new()),
    }
}

impl<'a> Answer<'a> {
    fn read(value: AnyRef<'a>) -> der::Result<Self> {
        let mut fields = Fields::of(value)?;
        let mut id = Fields::of(fields.next()?)?;
        let hash = Fields::of(id.next()?)?
            .take(Tag::ObjectIdentifier)?
            .decode_as()?;
        let issuer_name = id.take(Tag::OctetString)?.value();
        let issuer_key = id.take(Tag::OctetString)?.value();
        let serial = Serial::read(id.take(Tag::Integer)?)?;
        id.end()?;
        let tag = fields.next()?.header().tag();
        let status = if tag == context(0, false) {
            Status::Good
        } else if tag == context(1, true) {
            Status::Revoked
        } else if tag == context(2, false) {
            Status::Unknown
        } else {
            return Err(Tag::Sequence.value_error().into());
        };
        let this_update_s = time(fields.take(Tag::GeneralizedTime)?)?;
        let next_update_s = match fields.take_if(context(0, true))? {
            Some(tagged) => Some(time(Fields::inside(tagged)?.next()?)?),
            None => None,
        };
        let extensions = tagged_extensions(&mut fields)?;
        fields.end()?;
        Ok(Self {
            hash,
            issuer_name,
            issuer_key,
            serial,
            status,
            this_update_s,
            next_update_s,
            extensions,
        })
    }

    fn is_about(&self, about: &About) -> bool {
        let known = HASHES.iter().find(|(id, _)| *id == self.hash);
        let hashes = known.and_then(|(_, digest)| about.hashes(digest()).ok());
        let Some([name, key]) = hashes else {
            return false;
        };
        self.serial == about.serial && self.issuer_name == name && self.issuer_key == key
    }

    /// When it is over, if it is good.
    pub(super) fn judge(&self) -> Result<i64, OcspError> {
        match self.status {
            Status::Good => self.next_update_s.ok_or(OcspError::Endless),
            Status::Revoked => Err(OcspError::Revoked),
            Status::Unknown => Err(OcspError::Unknown),
        }
    }
}
