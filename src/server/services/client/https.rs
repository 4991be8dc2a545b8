//! TLS for `https` URLs: verified against the system's authorities and the URL's host.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::tls::upstream::{Connector, Oldest, Settings, UpstreamTls, server_name};

/// Hosts whose settings are remembered.
const MAX_HOSTS: usize = 64;
/// After this time the system's authorities are read again.
const READ_AGAIN: Duration = Duration::from_secs(600);

/// What handshakes with the hosts of URLs are made with.
#[derive(Default)]
pub(super) struct Https {
    /// A PEM file of authorities instead of the system's, for tests.
    authorities: Option<PathBuf>,
    known: Mutex<HashMap<String, (Arc<Connector>, Instant)>>,
}

impl Https {
    /// With these authorities.
    #[cfg(test)]
    pub(super) fn believing(authorities: PathBuf) -> Self {
        Self {
            authorities: Some(authorities),
            ..Self::default()
        }
    }

    /// For this host, whose certificate must be for this name.
    pub(super) async fn connector(&self, host: &str) -> Result<Arc<Connector>, String> {
        let Some(name) = server_name(host) else {
            return Err("an https URL needs a host name, which its certificate is for".to_owned());
        };
        if let Some((connector, read)) = self.known.lock().get(&name)
            && read.elapsed() < READ_AGAIN
        {
            return Ok(Arc::clone(connector));
        }
        let settings = Settings {
            sni: name.clone(),
            san: Vec::new(),
            ca: self.authorities.clone(),
            own: None,
            oldest: Oldest::V12,
            verify: true,
        };
        // The authorities are a big file.
        let opened = tokio::task::spawn_blocking(move || UpstreamTls::open(settings)).await;
        let opened = opened.map_err(|_| "the host is going down".to_owned())?;
        let connector = opened.map_err(|error| error.to_string())?.connector();
        let mut known = self.known.lock();
        if known.len() >= MAX_HOSTS {
            known.clear();
        }
        known.insert(name, (Arc::clone(&connector), Instant::now()));
        Ok(connector)
    }
}
