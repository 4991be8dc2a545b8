//! The request for a certificate (PKCS #10, RFC 2986): a new key for every order.

use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::stack::Stack;
use boring::x509::extension::SubjectAlternativeName;
use boring::x509::{X509NameBuilder, X509Req};

use super::validation::new_key;

/// A request, and the key it is for.
pub(super) struct Request {
    /// In DER.
    pub(super) der: Vec<u8>,
    /// PKCS #8 in PEM. Never printed.
    pub(super) key: Vec<u8>,
}

/// Makes a key over P-256 and asks for a certificate for all `domains`. No common name: it has 64 bytes at most, and
/// authorities read the names from subjectAltName.
pub(super) fn make(domains: &[String]) -> Result<Request, ErrorStack> {
    let key = new_key()?;
    let mut builder = X509Req::builder()?;
    builder.set_version(0)?;
    builder.set_subject_name(&X509NameBuilder::new()?.build())?;
    builder.set_pubkey(&key)?;
    let mut names = SubjectAlternativeName::new();
    for domain in domains {
        names.dns(domain);
    }
    let mut extensions = Stack::new()?;
    extensions.push(names.build(&builder.x509v3_context(None))?)?;
    builder.add_extensions(&extensions)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(Request {
        der: builder.build().to_der()?,
        key: key.private_key_to_pem_pkcs8()?,
    })
}

#[cfg(test)]
mod tests {
    use boring::pkey::PKey;

    use super::*;

    #[test]
    fn it_is_signed_by_a_key_of_its_own_and_names_all() {
        let domains = ["a.test".to_owned(), "b.example.test".to_owned()];
        let made = make(&domains).unwrap();
        let read = X509Req::from_der(&made.der).unwrap();
        let key = PKey::private_key_from_pem(&made.key).unwrap();
        assert!(read.verify(&key).unwrap());
        assert!(read.public_key().unwrap().public_eq(&key));
        assert_eq!(read.subject_name().entries().count(), 0);
        for domain in &domains {
            let bytes = domain.as_bytes();
            assert!(made.der.windows(bytes.len()).any(|window| window == bytes));
        }
        assert_ne!(make(&domains).unwrap().key, made.key);
    }
}
