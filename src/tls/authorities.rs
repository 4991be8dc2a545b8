//! The authorities whose certificates are believed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use boring::x509::X509;
use boring::x509::store::{X509Store, X509StoreBuilder};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::tls::certificate::{CertificateError, Problem, read};

/// Where systems keep the authorities they believe, after what `SSL_CERT_FILE` says: Debian and Alpine, Fedora, SUSE,
/// the BSDs and macOS.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's authorities as they were read last, shared by all upstreams that use them: it is a big file.
static SHARED: Mutex<Weak<Authorities>> = Mutex::new(Weak::new());

/// Authorities, read and ready.
pub(super) struct Authorities {
    store: X509Store,
    digest: [u8; 32],
}

impl Authorities {
    /// Those of this PEM file.
    pub(super) fn open(file: &Path) -> Result<Arc<Self>, CertificateError> {
        Self::parse(file, &read(file)?).map(Arc::new)
    }

    /// The system's.
    pub(super) fn system() -> Result<Arc<Self>, CertificateError> {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let found = named.or_else(|| {
            let mut all = SYSTEM.iter().map(PathBuf::from);
            all.find(|file| file.is_file())
        });
        let file = found.ok_or_else(|| CertificateError {
            file: PathBuf::from(SYSTEM[0]),
            problem: Problem::NoAuthorities,
        })?;
        let text = read(&file)?;
        let digest: [u8; 32] = Sha256::digest(&text).into();
        let mut shared = SHARED.lock();
        if let Some(known) = shared.upgrade().filter(|known| known.digest == digest) {
            return Ok(known);
        }
        let fresh = Arc::new(Self::parse(&file, &text)?);
        *shared = Arc::downgrade(&fresh);
        Ok(fresh)
    }

    fn parse(file: &Path, text: &[u8]) -> Result<Self, CertificateError> {
        let wrong = |problem| CertificateError {
            file: file.to_owned(),
            problem,
        };
        let broken = |_| wrong(Problem::Missing("certificate"));
        let all = X509::stack_from_pem(text).map_err(broken)?;
        if all.is_empty() {
            return Err(wrong(Problem::Missing("certificate")));
        }
        let mut store = X509StoreBuilder::new().map_err(broken)?;
        for one in &all {
            store.add_cert(one).map_err(broken)?;
        }
        Ok(Self {
            store: store.build(),
            digest: Sha256::digest(text).into(),
        })
    }

    /// For a context.
    pub(super) fn store(&self) -> &X509Store {
        &self.store
    }

    /// Of the file's text.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}
