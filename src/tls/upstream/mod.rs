//! TLS towards endpoints: what `[upstream.tls]` decides, and the handshake with an endpoint.
//!
//! The engine's own connector is not used: it speaks TLS 1.0, believes SHA-1, loads authorities at every connect
//! and leaves them out of the key by which connections are shared. Here all of it is decided once: [`UpstreamTls`]
//! holds the words and the [`Connector`] made from the files they name, which a change of a file replaces.
//! [`Connector::handshake`] ends before a byte of a request is sent, or says in [`TlsFailure`] why not.

pub mod connector;
pub mod failure;
mod follow;
pub mod names;
pub mod stream;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::certificate::CertificateError;
pub use connector::Connector;
pub use failure::TlsFailure;
pub use follow::Followed;
use follow::Seen;
pub use names::{ServerRule, server_name};
pub use stream::TlsStream;

/// Oldest version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// What is configured for the endpoints of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name asked for, in lower case: from [`server_name`].
    pub sni: String,
    /// Of these the certificate must hold one; empty: `sni`.
    pub san: Vec<ServerRule>,
    /// PEM file of the authorities; none: the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Oldest version.
    pub oldest: Oldest,
    /// Whether the endpoint's certificate is verified at all.
    pub verify: bool,
}

/// TLS towards the endpoints of one upstream, with files that may change while it is used.
pub struct UpstreamTls {
    settings: Settings,
    connector: ArcSwap<Connector>,
    seen: Mutex<Seen>,
}

impl UpstreamTls {
    /// Reads the files. Blocks: not for threads that serve.
    ///
    /// # Errors
    /// The file at fault and what is wrong with it.
    pub fn open(settings: Settings) -> Result<Self, CertificateError> {
        let connector = ArcSwap::from_pointee(Connector::build(&settings)?);
        Ok(Self {
            settings,
            connector,
            seen: Mutex::default(),
        })
    }

    /// What handshakes are made with now. Its [`key`](Connector::key) tells connections made with it from others, so
    /// take it once for both.
    pub fn connector(&self) -> Arc<Connector> {
        self.connector.load_full()
    }

    /// Reads the files again; true if something changed. Connections made before are not used again then, ones in
    /// use finish. Blocks: not for threads that serve.
    ///
    /// # Errors
    /// The file at fault and what is wrong with it; what was read last stays in force.
    pub fn refresh(&self) -> Result<bool, CertificateError> {
        let fresh = Connector::build(&self.settings)?;
        let changed = fresh.digest() != self.connector.load().digest();
        if changed {
            self.connector.store(Arc::new(fresh));
        }
        Ok(changed)
    }

    /// The files it was read from, to be watched.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.settings.own.iter();
        let own = own.flat_map(|(certificate, key)| [certificate.as_path(), key.as_path()]);
        self.settings.ca.as_deref().into_iter().chain(own)
    }

    /// The name asked for.
    pub fn sni(&self) -> &str {
        &self.settings.sni
    }
}

#[cfg(test)]
mod tests;
