//! The DNS servers of the system and the names to try, as resolv.conf(5) has them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use parking_lot::Mutex;

use super::hickory::{MAX_SERVERS, Servers};
use super::source::SourceError;

/// Most bytes read of a resolv.conf.
const MAX_CONF_BYTES: u64 = 64 << 10;

/// The file, read again when it changes.
#[derive(Debug)]
pub(super) struct SystemServers {
    path: PathBuf,
    port: u16,
    patience: Duration,
    known: Mutex<Option<(Option<SystemTime>, Arc<System>)>>,
}

/// What resolv.conf said.
#[derive(Debug)]
pub(super) struct System {
    /// `nameserver`.
    pub(super) servers: Arc<Servers>,
    /// `search` or `domain`.
    search: Vec<Name>,
    /// `options ndots:n`.
    ndots: usize,
}

impl SystemServers {
    /// The file at `path`; its servers are asked on `port`.
    pub(super) fn new(path: PathBuf, port: u16, patience: Duration) -> Self {
        Self {
            path,
            port,
            patience,
            known: Mutex::new(None),
        }
    }

    /// As the file is now. It is small and local, so it is read in place; this never runs in a request.
    pub(super) fn read(&self) -> Result<Arc<System>, SourceError> {
        let modified = std::fs::metadata(&self.path).and_then(|data| data.modified());
        let modified = modified.ok();
        let mut known = self.known.lock();
        if let Some((then, system)) = known.as_ref()
            && *then == modified
        {
            return Ok(system.clone());
        }
        let system = Arc::new(self.parse().map_err(|fault| {
            let path = self.path.display();
            SourceError::new(format!(
                "{path}: {fault}; mend it, or name servers by `resolvers`"
            ))
        })?);
        *known = Some((modified, system.clone()));
        Ok(system)
    }

    fn parse(&self) -> Result<System, String> {
        use std::io::Read;
        let mut text = Vec::new();
        let file = std::fs::File::open(&self.path).map_err(|error| error.to_string())?;
        let mut file = file.take(MAX_CONF_BYTES);
        file.read_to_end(&mut text).map_err(|e| e.to_string())?;
        let (config, options) = parse_resolv_conf(&text).map_err(|error| error.to_string())?;
        let servers = config.name_servers().iter();
        let list = servers.map(|server| SocketAddr::new(server.ip, self.port));
        Ok(System {
            servers: Arc::new(Servers::new(
                list.take(MAX_SERVERS).collect(),
                self.patience,
            )),
            search: config.search().to_vec(),
            ndots: options.ndots,
        })
    }
}

impl System {
    /// `name` as it is tried: as written first if it has enough dots, else with the search domains first.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut plain = name.clone();
        plain.set_fqdn(true);
        if name.is_fqdn() {
            return vec![plain];
        }
        let domains = self.search.iter();
        let mut tried: Vec<Name> = domains
            .filter_map(|domain| name.clone().append_domain(domain).ok())
            .map(|mut full| {
                full.set_fqdn(true);
                full
            })
            .collect();
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let place = if dots >= self.ndots { 0 } else { tried.len() };
        tried.insert(place, plain);
        tried
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, SystemServers) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        std::fs::write(&path, text).unwrap();
        let servers = SystemServers::new(path, 53, Duration::from_secs(1));
        (folder, servers)
    }

    fn names(list: &[Name]) -> Vec<String> {
        list.iter().map(Name::to_string).collect()
    }

    #[test]
    fn resolv_conf_gives_servers_and_names_to_try() {
        let text =
            "nameserver 10.0.0.53\nnameserver 10.0.1.53\nsearch a.test b.test\noptions ndots:2\n";
        let (_folder, servers) = written(text);
        let system = servers.read().unwrap();
        let expected = ["10.0.0.53:53", "10.0.1.53:53"].map(|text| text.parse().unwrap());
        assert_eq!(system.servers.list, expected);
        let short = Name::from_str("orders").unwrap();
        assert_eq!(
            names(&system.candidates(&short)),
            ["orders.a.test.", "orders.b.test.", "orders."]
        );
        let long = Name::from_str("orders.in.shop").unwrap();
        assert_eq!(
            names(&system.candidates(&long)),
            [
                "orders.in.shop.",
                "orders.in.shop.a.test.",
                "orders.in.shop.b.test."
            ]
        );
        let full = Name::from_str("orders.").unwrap();
        assert_eq!(names(&system.candidates(&full)), ["orders."]);
    }

    #[test]
    fn a_changed_resolv_conf_is_read_again_and_a_bad_one_says_what_to_do() {
        let (_folder, servers) = written("nameserver 10.0.0.53\n");
        assert_eq!(servers.read().unwrap().servers.list.len(), 1);
        std::fs::write(&servers.path, "# none\n").unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);
        let file = std::fs::File::options()
            .append(true)
            .open(&servers.path)
            .unwrap();
        file.set_modified(later).unwrap();
        let error = servers.read().unwrap_err().to_string();
        assert!(
            error.ends_with("mend it, or name servers by `resolvers`"),
            "{error}"
        );
    }
}
