//! What every source of endpoints gives, and what may be asked of one.
//!
//! A source answers with the whole set, never with a difference: a lost message cannot leave an endpoint behind.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::dns_source::DnsOptions;
use super::etcd::EtcdOptions;
use super::file::{CONFIRMED, FileOptions};
use super::http::HttpOptions;
use crate::telemetry::guard::SourceKind;

/// What a source says now: all endpoints, sorted, each address once. None at all is an answer too ("nothing there"):
/// whoever follows the source keeps the last good set then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// By priority, then by address.
    pub endpoints: Vec<Found>,
}

/// One endpoint as a source told it, before it is judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Found {
    /// 0 is used first; a higher number when the lower ones are short.
    pub priority: u8,
    /// Where it listens.
    pub address: SocketAddr,
    /// Share among those of one priority; 0 takes no new requests.
    pub weight: u32,
    /// The zone it is in, where the source knows.
    pub zone: Option<Arc<str>>,
}

impl Found {
    /// An endpoint of weight 1 and priority 0 in no zone.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            priority: 0,
            address,
            weight: 1,
            zone: None,
        }
    }
}

/// Where the endpoints of one upstream come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceOptions {
    /// A name in DNS: A, AAAA or SRV records.
    Dns(DnsOptions),
    /// A file that is watched.
    File(FileOptions),
    /// A document fetched over HTTP.
    Http(HttpOptions),
    /// A prefix of keys in etcd.
    Etcd(EtcdOptions),
}

impl SourceOptions {
    /// The longest time between two good answers of a source at which nothing is wrong.
    pub fn rhythm(&self) -> Duration {
        match self {
            Self::Dns(dns) => dns.max_ttl,
            Self::File(file) => file.interval.max(CONFIRMED),
            Self::Http(http) => http.interval,
            Self::Etcd(etcd) => etcd.refresh,
        }
    }

    /// The kind, for metrics.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Dns(_) => SourceKind::Dns,
            Self::File(_) => SourceKind::File,
            Self::Http(_) => SourceKind::Http,
            Self::Etcd(_) => SourceKind::Etcd,
        }
    }
}

/// Discovery of one upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscoveryOptions {
    /// Who is asked.
    pub source: SourceOptions,
    /// A set older than this is still used, and said to be stale.
    pub max_stale: Duration,
    /// Addresses outside are refused. None: see [`super::allow`].
    pub allow: Option<Vec<IpNet>>,
    /// Most endpoints used of one answer; 4096 unless told.
    pub max_endpoints: usize,
}

/// Why a source could not be asked, or what was wrong with its answer; for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError(String);

/// Most bytes of an error's text: what a server sent may be part of it.
const MAX_ERROR_BYTES: usize = 512;

impl SourceError {
    /// An error with this text, control characters made harmless, cut at 512 bytes.
    pub fn new(text: impl fmt::Display) -> Self {
        let mut kept = String::new();
        for letter in text.to_string().chars() {
            let letter = if letter.is_control() { ' ' } else { letter };
            if kept.len() + letter.len_utf8() > MAX_ERROR_BYTES {
                break;
            }
            kept.push(letter);
        }
        Self(kept)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SourceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_bounded_line() {
        let error = SourceError::new(format!("first\nsecond\u{1b}[31m {}", "é".repeat(600)));
        assert!(error.to_string().starts_with("first second [31m é"));
        assert!(error.to_string().len() <= MAX_ERROR_BYTES);
    }
}
