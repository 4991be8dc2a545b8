//! Where endpoints' addresses come from, one source a file.

pub mod allow;
pub mod ask;
mod book;
pub mod dial;
pub mod dns;
pub mod dns_source;
pub mod etcd;
mod fetch;
pub mod file;
pub mod follow;
mod hickory;
pub mod http;
pub mod kept;
mod resolv_conf;
pub mod source;
pub mod sources;
pub mod system;
pub mod targets;

pub use book::NameStatus;
pub use dns::{Resolver, ResolverOptions, Sink};
pub use system::SystemLookup;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// IPv4 and IPv6 addresses, in any order.
    pub addresses: Vec<IpAddr>,
    /// The shortest time to live of the records.
    pub ttl: Duration,
}

/// Why a lookup failed, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError(pub String);

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LookupError {}

/// The future of one lookup.
pub type LookupFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, LookupError>> + Send + 'a>>;

/// Looks names up; the one place that talks to the network.
pub trait Lookup: Send + Sync + 'static {
    /// Finds the addresses of `host`, A and AAAA.
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a>;
}
