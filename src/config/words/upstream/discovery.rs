//! `[upstream.discovery]`: where the endpoints come from, if not from this file.

use std::net::SocketAddr;

use farmgate_plugin_api::decode::{Located, RelPath, Secret};
use farmgate_plugin_api::units::{Cidr, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema::forms;

/// Where the endpoints come from. The last good set is kept in `[server] state`, so that a node starts and goes on while
/// the source is dead.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// The kind of source.
    #[schemars(with = "DiscoveryKind")]
    pub kind: Located<DiscoveryKind>,
    /// Only dns, where it must be written: the name that is asked for.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub name: Option<Located<String>>,
    /// Only dns: the records that are asked for. Default srv without a port, a with one.
    #[serde(default)]
    #[schemars(with = "Option<DnsRecord>")]
    pub record: Option<Located<DnsRecord>>,
    /// Only dns with a, aaaa or both, where it must be written: the port of every address.
    #[serde(default)]
    #[schemars(with = "Option<u16>", range(min = 1))]
    pub port: Option<Located<u16>>,
    /// Only dns: the servers that are asked, one after the other. Without it those of /etc/resolv.conf.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 8))]
    pub resolvers: Vec<Located<SocketAddr>>,
    /// Only dns: a shorter time to live counts as this. Default 1s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub min_ttl: Option<Located<Duration>>,
    /// Only dns: a longer time to live counts as this. Default 5m.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub max_ttl: Option<Located<Duration>>,
    /// Only dns: when a name that has no record is asked for again, at the latest. Default 30s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub negative_ttl: Option<Located<Duration>>,
    /// Only file, where it must be written: a .json or .toml file; it is looked at each second.
    #[serde(default)]
    #[schemars(with = "Option<forms::Path>")]
    pub path: Option<Located<RelPath>>,
    /// Only http, where it must be written: the address of the same document.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub url: Option<Located<String>>,
    /// Only http: the time between two questions. Default 10s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub interval: Option<Located<Duration>>,
    /// Only etcd, where it must be written: the members of the cluster, as `http://10.0.0.1:2379`.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 16))]
    pub members: Vec<Located<String>>,
    /// Only etcd, where it must be written: every key below it is an endpoint.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub prefix: Option<Located<String>>,
    /// Only http: value of the header Authorization.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub authorization: Option<Located<Secret>>,
    /// Only etcd: the user, with `password`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub user: Option<Located<String>>,
    /// Only etcd: the user's password.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Located<Secret>>,
    /// Only http and etcd: how long one question may take. Default 5s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub timeout: Option<Located<Duration>>,
    /// After so long without an answer the set counts as stale: traffic goes on with it, and the node says so. Default
    /// 1h.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub max_stale: Option<Located<Duration>>,
    /// Networks that endpoints may be in; an address outside is refused. Without it link-local addresses and those of
    /// the clouds' metadata services are.
    #[serde(default)]
    #[schemars(with = "Option<Vec<forms::Cidr>>", length(max = 256))]
    pub allow: Option<Vec<Located<Cidr>>>,
}

/// The kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscoveryKind {
    /// Records of the name service.
    Dns,
    /// A file.
    File,
    /// A document behind a URL.
    Http,
    /// The keys below a prefix in etcd.
    Etcd,
}

/// The records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DnsRecord {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Both.
    Both,
    /// Names with ports, priorities and weights (RFC 2782).
    Srv,
}
