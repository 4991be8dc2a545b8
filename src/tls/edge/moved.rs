//! Ticket secrets that go along with an upgrade: those of a `[[tls]]` that shares none with other nodes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Edge, Material};
use crate::tls::secrets::Secrets;

/// The secrets of one `[[tls]]`, in the form that another process takes over.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedTickets {
    /// Its name.
    pub tls: String,
    /// Newest first, in base64.
    secrets: Vec<String>,
}

/// Without the secrets.
impl fmt::Debug for MovedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovedTickets")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Edge {
    /// What another process needs to resume the sessions made here; none when it reads the same file of secrets.
    pub fn moved_tickets(&self) -> Option<MovedTickets> {
        let is_local = self.spec.secrets.is_none();
        let secrets = || self.tickets.secrets();
        is_local.then(|| MovedTickets {
            tls: self.spec.name.to_string(),
            secrets: secrets().each().map(|one| STANDARD.encode(one)).collect(),
        })
    }

    /// Resumes the sessions of another process from now on, and makes tickets with its secrets. To be called before
    /// the first handshake: tickets that were made here are worth nothing afterwards.
    ///
    /// # Errors
    /// They cannot be used, or this `[[tls]]` has secrets of its own. Nothing has changed then.
    pub fn take_tickets(
        &self,
        moved: &MovedTickets,
        material: &Material,
    ) -> Result<(), &'static str> {
        if self.spec.secrets.is_some() {
            return Err("its sessions rest on shared secrets now");
        }
        let decoded = moved.secrets.iter().map(|one| STANDARD.decode(one).ok());
        let secrets = decoded.collect::<Option<Vec<_>>>().and_then(Secrets::of);
        let secrets = secrets.ok_or("its secrets cannot be used")?;
        material.keep_local(&self.spec.name, secrets.clone());
        self.tickets.replace(secrets);
        Ok(())
    }
}
