//! Lookups as the system is configured: /etc/hosts first, then the servers of /etc/resolv.conf.
//!
//! A name that /etc/hosts knows is not asked in DNS, as with `hosts: files dns` in
//! nsswitch.conf(5). Both files are read again when they change.

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use parking_lot::Mutex;

use super::{Answer, Lookup, LookupError, LookupFuture};

/// A line of /etc/hosts holds this long, so that a change is seen soon.
const HOSTS_TTL: Duration = Duration::from_secs(10);

/// Most bytes read of a hosts file.
const MAX_HOSTS_BYTES: u64 = 4 << 20;

/// A file's content, and the modification time it was read at.
struct Cached<T> {
    modified: Option<SystemTime>,
    value: T,
}

/// The system's name service.
pub struct SystemLookup {
    hosts_path: PathBuf,
    hosts: Mutex<Option<Cached<Hosts>>>,
    resolver: Mutex<Option<Cached<TokioResolver>>>,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self {
            hosts_path: "/etc/hosts".into(),
            hosts: Mutex::default(),
            resolver: Mutex::default(),
        }
    }
}

impl SystemLookup {
    /// The addresses /etc/hosts has for `host`. The file is small and local, so it is read in
    /// place; this runs in the resolver's task, never in a request.
    fn find_in_hosts(&self, host: &str) -> Option<Vec<IpAddr>> {
        let name = Name::from_utf8(host).ok()?;
        let modified = modified(&self.hosts_path);
        let mut cached = self.hosts.lock();
        if cached.as_ref().is_none_or(|old| old.modified != modified) {
            let mut hosts = Hosts::default();
            if let Ok(file) = std::fs::File::open(&self.hosts_path)
                && let Err(error) = hosts.read_hosts_conf(file.take(MAX_HOSTS_BYTES))
            {
                log::warn!("{} cannot be read: {error}", self.hosts_path.display());
            }
            *cached = Some(Cached {
                modified,
                value: hosts,
            });
        }
        let hosts = &cached.as_ref()?.value;
        let of_type = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(of_type);
        let addresses: Vec<IpAddr> = found
            .flat_map(|lookup| {
                let records = lookup.answers().iter();
                records
                    .filter_map(|record| record.data.ip_addr())
                    .collect::<Vec<_>>()
            })
            .collect();
        (!addresses.is_empty()).then_some(addresses)
    }

    /// The resolver for the servers of /etc/resolv.conf as it is now.
    fn resolver(&self) -> Result<TokioResolver, LookupError> {
        let modified = modified(Path::new("/etc/resolv.conf"));
        let mut cached = self.resolver.lock();
        if let Some(old) = cached.as_ref()
            && old.modified == modified
        {
            return Ok(old.value.clone());
        }
        let mut builder = TokioResolver::builder_tokio().map_err(lookup_error)?;
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // We keep the answers ourselves; a second cache would only stretch their time to live.
        options.cache_size = 0;
        let resolver = builder.build().map_err(lookup_error)?;
        *cached = Some(Cached {
            modified,
            value: resolver.clone(),
        });
        Ok(resolver)
    }
}

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            if let Some(addresses) = self.find_in_hosts(host) {
                return Ok(Answer {
                    addresses,
                    ttl: HOSTS_TTL,
                });
            }
            let found = self
                .resolver()?
                .lookup_ip(host)
                .await
                .map_err(lookup_error)?;
            let records = found.as_lookup().answers();
            let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
            Ok(Answer {
                addresses: found.iter().collect(),
                ttl: Duration::from_secs(u64::from(ttl)),
            })
        })
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok()
}

fn lookup_error(error: impl std::fmt::Display) -> LookupError {
    LookupError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_hosts(text: &str) -> (tempfile::TempDir, SystemLookup) {
        let folder = tempfile::tempdir().unwrap();
        let hosts_path = folder.path().join("hosts");
        std::fs::write(&hosts_path, text).unwrap();
        let system = SystemLookup {
            hosts_path,
            ..SystemLookup::default()
        };
        (folder, system)
    }

    #[tokio::test]
    async fn the_hosts_file_answers_without_dns() {
        let (_folder, system) =
            with_hosts("127.0.0.1 localhost app.internal # here\n::1 localhost\n");
        let answer = system.lookup("app.internal").await.unwrap();
        assert_eq!(answer.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(answer.ttl, HOSTS_TTL);
        let both = system.lookup("LOCALHOST").await.unwrap();
        assert_eq!(both.addresses.len(), 2);
    }

    #[tokio::test]
    async fn a_changed_hosts_file_is_read_again() {
        let (_folder, system) = with_hosts("10.0.0.1 app\n");
        assert!(system.find_in_hosts("app").is_some());
        let file = std::fs::File::options()
            .append(true)
            .open(&system.hosts_path)
            .unwrap();
        std::fs::write(&system.hosts_path, "10.0.0.2 app\n").unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);
        file.set_modified(later).unwrap();
        let answer = system.lookup("app").await.unwrap();
        assert_eq!(answer.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(system.find_in_hosts("other"), None);
    }
}
