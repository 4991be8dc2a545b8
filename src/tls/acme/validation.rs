//! The certificate of a tls-alpn-01 validation (RFC 8737 section 3).

use std::fmt::Write as _;
use std::path::Path;

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::x509::extension::SubjectAlternativeName;
use boring::x509::{X509, X509Extension, X509NameBuilder};
use sha2::{Digest, Sha256};

use super::error::{AcmeError, Stage};
use crate::tls::certificate::Certificate;

/// The protocol of a validation, as it stands in the ALPN list (RFC 7301): the one that must be chosen for it. The
/// connection ends after the handshake.
pub const PROTOCOL: &[u8] = b"\x0aacme-tls/1";

/// id-pe-acmeIdentifier (RFC 8737 section 6.1).
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// True if a ClientHello with this ALPN extension is a validation: it offers `acme-tls/1` and nothing else.
pub fn is_validation(alpn: Option<&[u8]>) -> bool {
    // The extension is the list behind its length in two bytes.
    let Some([0, length, list @ ..]) = alpn else {
        return false;
    };
    usize::from(*length) == list.len() && list == PROTOCOL
}

/// An ECDSA key over P-256.
pub(super) fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// The certificate that shows the authority the key authorization for `domain`, signed by itself.
pub(super) fn certificate(domain: &str, key_authorization: &str) -> Result<Certificate, AcmeError> {
    let failed = |error: ErrorStack| AcmeError::new(Stage::Validation, error);
    let key = new_key().map_err(failed)?;
    let leaf = leaf(domain, key_authorization, &key).map_err(failed)?;
    let chain = leaf.to_pem().map_err(failed)?;
    let key = key.private_key_to_pem_pkcs8().map_err(failed)?;
    let name = Path::new("tls-alpn-01");
    Certificate::parse(name, &chain, name, &key)
        .map_err(|error| AcmeError::new(Stage::Validation, error))
}

fn leaf(domain: &str, key_authorization: &str, key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = BigNum::from_u32(1)?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    let mut name = X509NameBuilder::new()?;
    // A common name has 64 bytes; nobody reads it here.
    name.append_entry_by_text("CN", "acme validation")?;
    let name = name.build();
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(key)?;
    let (begin, end) = (Asn1Time::from_unix(0)?, Asn1Time::days_from_now(7)?);
    builder.set_not_before(&begin)?;
    builder.set_not_after(&end)?;
    let names = {
        let context = builder.x509v3_context(None, None);
        SubjectAlternativeName::new().dns(domain).build(&context)?
    };
    builder.append_extension(&names)?;
    // An OCTET STRING of 32 bytes. The text is digits alone, so nothing of the authority's is read as a command.
    let mut value = String::from("critical,DER:0420");
    for byte in Sha256::digest(key_authorization) {
        // Writing to a string cannot fail.
        let _ = write!(value, "{byte:02x}");
    }
    let proof = X509Extension::new(None, None, ACME_IDENTIFIER, &value)?;
    builder.append_extension(&proof)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

#[cfg(test)]
mod tests;
