//! Signatures of revocation lists and OCSP responses. The library verifies; which algorithm it is stands here.

use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{Id, PKeyRef, Public};
use boring::rsa::Padding;
use boring::sign::{RsaPssSaltlen, Verifier};
use boring::x509::X509Ref;
use der::Tag;
use der::asn1::ObjectIdentifier;

use super::parts::{Fields, Signed};

const PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");
const ED25519: ObjectIdentifier = oid("1.3.101.112");

/// `AlgorithmIdentifier` of RSASSA-PSS in the three forms that are in use (RFC 4055, RFC 8446 section 4.2.3): the hash,
/// MGF1 with the same hash, and as much salt as the hash is long. The place of the hash's number is 0.
const PSS_FORM: [u8; 67] = [
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0,
    0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x00, 0x05, 0x00,
    0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30,
    0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x00, 0x05, 0x00, 0xa2, 0x03,
    0x02, 0x01, 0x00,
];

type Hash = fn() -> MessageDigest;

/// The hashes of RSASSA-PSS, their numbers in the form, and the length of the salt.
const PSS_HASHES: [(Hash, u8, u8); 3] = [
    (MessageDigest::sha256, 1, 32),
    (MessageDigest::sha384, 2, 48),
    (MessageDigest::sha512, 3, 64),
];

/// A scheme's number, how it is made of a hash, and the hash.
type Known = (ObjectIdentifier, fn(MessageDigest) -> Scheme, Hash);

const SCHEMES: [Known; 6] = [
    (
        oid("1.2.840.113549.1.1.11"),
        Scheme::Rsa,
        MessageDigest::sha256,
    ),
    (
        oid("1.2.840.113549.1.1.12"),
        Scheme::Rsa,
        MessageDigest::sha384,
    ),
    (
        oid("1.2.840.113549.1.1.13"),
        Scheme::Rsa,
        MessageDigest::sha512,
    ),
    (
        oid("1.2.840.10045.4.3.2"),
        Scheme::Ecdsa,
        MessageDigest::sha256,
    ),
    (
        oid("1.2.840.10045.4.3.3"),
        Scheme::Ecdsa,
        MessageDigest::sha384,
    ),
    (
        oid("1.2.840.10045.4.3.4"),
        Scheme::Ecdsa,
        MessageDigest::sha512,
    ),
];

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

#[derive(Clone, Copy)]
enum Scheme {
    Rsa(MessageDigest),
    Pss(MessageDigest),
    Ecdsa(MessageDigest),
    Ed25519,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureError {
    /// SHA-1 and older, or unknown.
    Algorithm,
    /// It is not this key's, or not over these bytes.
    Wrong,
}

impl Signed<'_> {
    /// Verifies with the issuer's key. RSA (PKCS #1 and PSS) and ECDSA with SHA-2, and Ed25519.
    pub(super) fn verify(&self, key: &PKeyRef<Public>) -> Result<(), SignatureError> {
        let scheme = scheme(self.algorithm).ok_or(SignatureError::Algorithm)?;
        let fits = match scheme {
            Scheme::Rsa(_) | Scheme::Pss(_) => key.id() == Id::RSA,
            Scheme::Ecdsa(_) => key.id() == Id::EC,
            Scheme::Ed25519 => key.id() == Id::ED25519,
        };
        if fits && self.check(scheme, key).unwrap_or(false) {
            Ok(())
        } else {
            Err(SignatureError::Wrong)
        }
    }

    fn check(&self, scheme: Scheme, key: &PKeyRef<Public>) -> Result<bool, ErrorStack> {
        let mut verifier = match scheme {
            Scheme::Rsa(digest) | Scheme::Pss(digest) | Scheme::Ecdsa(digest) => {
                Verifier::new(digest, key)?
            }
            Scheme::Ed25519 => Verifier::new_without_digest(key)?,
        };
        if let Scheme::Pss(digest) = scheme {
            verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
            verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            verifier.set_rsa_mgf1_md(digest)?;
        }
        let verdict = verifier.verify_oneshot(self.signature, self.body);
        // What failed is left in a queue that the next call of anything else on this thread would read.
        drop(ErrorStack::get());
        verdict
    }
}

fn scheme(algorithm: &[u8]) -> Option<Scheme> {
    let mut fields = Fields::open(algorithm).ok()?;
    let id: ObjectIdentifier = fields.take(Tag::ObjectIdentifier).ok()?.decode_as().ok()?;
    if id == PSS {
        let (digest, ..) = PSS_HASHES
            .iter()
            .find(|(_, number, salt)| pss_form(*number, *salt) == algorithm)?;
        return Some(Scheme::Pss(digest()));
    }
    if id == ED25519 {
        return fields.is_empty().then_some(Scheme::Ed25519);
    }
    let (_, scheme, digest) = SCHEMES.iter().find(|(known, ..)| *known == id)?;
    Some(scheme(digest()))
}

fn pss_form(number: u8, salt: u8) -> [u8; 67] {
    let mut form = PSS_FORM;
    for (place, byte) in [(29, number), (59, number), (66, salt)] {
        if let Some(at) = form.get_mut(place) {
            *at = byte;
        }
    }
    form
}

/// True if the certificate's own signature can be forged: SHA-1 and older (RFC 9155).
pub(super) fn is_weak(certificate: &X509Ref) -> bool {
    matches!(
        certificate.signature_algorithm().object().nid(),
        Nid::MD5WITHRSAENCRYPTION
            | Nid::SHA1WITHRSAENCRYPTION
            | Nid::SHA1WITHRSA
            | Nid::ECDSA_WITH_SHA1
            | Nid::DSAWITHSHA1
    )
}
