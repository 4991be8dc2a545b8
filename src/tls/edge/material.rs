//! What the `[[tls]]` of one process share over reloads.

use std::sync::Arc;

use boring::error::ErrorStack;
use parking_lot::Mutex;

use crate::tls::files::Certificates;
use crate::tls::secrets::Secrets;

/// What the `[[tls]]` of one process share over reloads.
#[derive(Debug, Default)]
pub struct Material {
    /// Certificates by their files.
    pub certificates: Certificates,
    /// Secrets of those that are configured without, by name: their sessions outlive reloads and upgrades, not the
    /// node's end.
    local: Mutex<Vec<(Arc<str>, Secrets)>>,
}

/// Most names whose secrets are remembered; the oldest go.
const MAX_LOCAL: usize = 1024;

impl Material {
    pub(super) fn local_secrets(&self, name: &Arc<str>) -> Result<Secrets, ErrorStack> {
        let mut local = self.local.lock();
        if let Some((_, secrets)) = local.iter().find(|(known, _)| known == name) {
            return Ok(secrets.clone());
        }
        let secrets = Secrets::random()?;
        remember(&mut local, name, secrets.clone());
        Ok(secrets)
    }

    /// Remembers these secrets, those of an old process, instead of our own.
    pub(super) fn keep_local(&self, name: &Arc<str>, secrets: Secrets) {
        let mut local = self.local.lock();
        local.retain(|(known, _)| known != name);
        remember(&mut local, name, secrets);
    }
}

fn remember(local: &mut Vec<(Arc<str>, Secrets)>, name: &Arc<str>, secrets: Secrets) {
    if local.len() >= MAX_LOCAL {
        local.remove(0);
    }
    local.push((Arc::clone(name), secrets));
}
