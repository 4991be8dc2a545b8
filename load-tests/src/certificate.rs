//! The certificate of a run: made anew, ECDSA P-256, signed by an authority that is made with it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::x509::extension::{BasicConstraints, SubjectAlternativeName};
use boring::x509::{X509, X509Builder, X509NameBuilder};

/// Names in the certificate: those of the requests, and the one Farmgate shows to whoever names no other.
const NAMES: &[&str] = &["bench.test", "www.example.test", "*.example.test"];
/// Longer than any run, shorter than what clients refuse.
const DAYS: u32 = 30;

/// Files in PEM form; they go with the folder they stand in.
pub(crate) struct CertificateFiles {
    /// The authority.
    pub(crate) authority: PathBuf,
    /// The certificate alone, without the authority.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Both in one file, as HAProxy reads them.
    pub(crate) bundle: PathBuf,
}

impl CertificateFiles {
    /// Makes them in `folder`.
    pub(crate) fn make(folder: &Path) -> Result<Self, String> {
        let made = Made::new().map_err(|error| format!("a certificate: {error}"))?;
        let write = |name: &str, text: &[u8]| {
            let path = folder.join(name);
            write_private(&path, text)
                .map_err(|error| format!("{}: {error}", path.display()))
                .map(|()| path)
        };
        Ok(Self {
            authority: write("authority.pem", &made.authority)?,
            certificate: write("certificate.pem", &made.certificate)?,
            key: write("certificate.key", &made.key)?,
            bundle: write("bundle.pem", &[made.certificate, made.key].concat())?,
        })
    }
}

/// Only the owner may read what may hold a key.
fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    // A file that is there already would keep its mode.
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(text)
}

struct Made {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Made {
    fn new() -> Result<Self, ErrorStack> {
        let authority_key = new_key()?;
        let mut authority = start("Farmgate bench authority", 1, &authority_key)?;
        let is_authority = BasicConstraints::new().critical().ca().build()?;
        authority.append_extension(&is_authority)?;
        let issuer = name("Farmgate bench authority")?;
        authority.set_issuer_name(&issuer)?;
        let authority = sign(authority, &authority_key)?;

        let key = new_key()?;
        let mut certificate = start("bench.test", 2, &key)?;
        certificate.set_issuer_name(&issuer)?;
        let mut names = SubjectAlternativeName::new();
        for name in NAMES {
            names.dns(name);
        }
        let names = names.build(&certificate.x509v3_context(None, None))?;
        certificate.append_extension(&names)?;
        let certificate = sign(certificate, &authority_key)?;
        Ok(Self {
            authority: authority.to_pem()?,
            certificate: certificate.to_pem()?,
            key: key.private_key_to_pem_pkcs8()?,
        })
    }
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn name(text: &str) -> Result<boring::x509::X509Name, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", text)?;
    Ok(name.build())
}

/// A version 3 certificate that holds for [`DAYS`]; its issuer and extensions are missing.
fn start(subject: &str, serial: u32, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    let serial = BigNum::from_u32(serial)?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    let subject = name(subject)?;
    builder.set_subject_name(&subject)?;
    builder.set_pubkey(key)?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(DAYS)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;
    Ok(builder)
}

fn sign(mut builder: X509Builder, key: &PKey<Private>) -> Result<X509, ErrorStack> {
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_authority_signed_it_and_the_key_fits() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::make(folder.path()).unwrap();
        let read = |path: &Path| fs::read(path).unwrap();
        let authority = X509::from_pem(&read(&files.authority)).unwrap();
        let certificate = X509::from_pem(&read(&files.certificate)).unwrap();
        let key = PKey::private_key_from_pem(&read(&files.key)).unwrap();
        assert!(
            certificate
                .verify(&authority.public_key().unwrap())
                .unwrap()
        );
        assert!(certificate.public_key().unwrap().public_eq(&key));
        let bundle = String::from_utf8(read(&files.bundle)).unwrap();
        assert!(bundle.contains("BEGIN CERTIFICATE") && bundle.contains("BEGIN PRIVATE KEY"));
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = CertificateFiles::make(Path::new("/nowhere/at/all"))
            .err()
            .unwrap();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
