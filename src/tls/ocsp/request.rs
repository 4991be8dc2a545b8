//! The question to a responder.

use boring::hash::MessageDigest;
use boring::x509::X509Ref;

use super::About;

/// `AlgorithmIdentifier` of SHA-1, which responders index by (RFC 5019 section 2.1.1). It names; it does not protect.
const SHA1: [u8; 11] = [
    0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00,
];

/// The body of a POST with `Content-Type: application/ocsp-request` (RFC 6960 appendix A.1) that asks about `leaf`,
/// which `issuer` issued: one certificate, no nonce, so that responders may answer from their caches (RFC 5019).
/// `None` for a certificate that cannot be named in a request.
pub fn request(leaf: &X509Ref, issuer: &X509Ref) -> Option<Vec<u8>> {
    let about = About::read(leaf, issuer)?;
    let [name, key] = about.hashes(MessageDigest::sha1()).ok()?;
    let mut id = SHA1.to_vec();
    for (tag, value) in [(0x04, &*name), (0x04, &*key), (0x02, about.serial.bytes())] {
        id.extend(tagged(tag, value)?);
    }
    // CertID, Request, requestList, TBSRequest, OCSPRequest.
    (0..5).try_fold(id, |inside, _| tagged(0x30, &inside))
}

/// A value with its tag and length; everything here is short (under 128 bytes).
fn tagged(tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(value.len())
        .ok()
        .filter(|length| *length < 128)?;
    let mut all = vec![tag, length];
    all.extend_from_slice(value);
    Some(all)
}
