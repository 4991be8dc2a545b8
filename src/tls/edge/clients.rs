//! Client authentication in force, and its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::tls::clients::{ClientAuth, ClientAuthority, ClientMode, ClientsError};
use crate::tls::files::Stamp;
use crate::tls::identity::SanRule;

/// Whose client certificates are believed.
#[derive(Clone, Debug)]
pub struct ClientsSpec {
    /// Whether a client without one is let in.
    pub mode: ClientMode,
    /// The bundle of authorities.
    pub ca: PathBuf,
    /// Their revocation lists.
    pub crl: Option<PathBuf>,
    /// Names of which a certificate must hold one; none: any will do.
    pub rules: Vec<SanRule>,
}

/// Client authentication in force, and what its files were when they were read.
pub(super) struct Clients {
    pub(super) auth: Arc<ClientAuth>,
    pub(super) stamps: Mutex<[Option<Stamp>; 2]>,
}

impl ClientsSpec {
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.ca), self.crl.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    pub(super) fn stamps(&self) -> [Option<Stamp>; 2] {
        [Stamp::of(&self.ca), self.crl.as_deref().and_then(Stamp::of)]
    }

    pub(super) fn open(&self) -> Result<(ClientAuthority, [Option<Stamp>; 2]), ClientsError> {
        let stamps = self.stamps();
        let authority = ClientAuthority::open(&self.ca, self.crl.as_deref(), self.rules.clone())?;
        Ok((authority, stamps))
    }
}
