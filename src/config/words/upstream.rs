//! `[[upstream]]`: a named group of endpoints.

use std::fmt;

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::address::EndpointAddress;
use super::defaults::{RetryConfig, TimeoutsConfig};
use super::tls::UpstreamTlsConfig;
use crate::config::schema::forms;

pub mod balance;
pub mod discovery;
pub mod health;
pub mod limits;

pub use balance::{BalanceConfig, HashAlgorithm};
pub use discovery::{DiscoveryConfig, DiscoveryKind, DnsRecord};
pub use health::{
    ExpectConfig, HealthConfig, HealthKind, OutlierConfig, SlowEndpointConfig, SuccessRateConfig,
};
pub use limits::{AdaptiveConfig, BreakerConfig, FallbackConfig, UpstreamLimitsConfig};

/// A named group of endpoints. An endpoint's identity over a reload is (upstream, address).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// The name routes and metrics use.
    #[schemars(with = "forms::Name")]
    pub name: Located<String>,
    /// The endpoints: an address, or a table with address, weight, priority and zone.
    #[serde(default)]
    #[schemars(with = "Vec<forms::Endpoint>")]
    pub endpoints: Vec<Located<EndpointConfig>>,
    /// How an endpoint is chosen. Default round_robin.
    #[serde(default)]
    #[schemars(with = "forms::Balance")]
    pub balance: Located<BalanceConfig>,
    /// What is spoken to the origin. Default http1.
    #[serde(default)]
    #[schemars(with = "UpstreamProtocol")]
    pub protocol: Located<UpstreamProtocol>,
    /// The PROXY header that every connection to an endpoint begins with, before TLS: it names the client, so
    /// that no connection serves a second request. With protocol http1 only. Without it none is sent.
    #[serde(default)]
    #[schemars(with = "Option<ProxyHeader>")]
    pub proxy_protocol: Option<Located<ProxyHeader>>,
    /// TLS towards the endpoints. Without it none is spoken.
    #[serde(default)]
    #[schemars(with = "Option<UpstreamTlsConfig>")]
    pub tls: Option<Located<UpstreamTlsConfig>>,
    /// The Host the origin sees: `keep` the client's (the default), `endpoint`, or a name.
    #[serde(default)]
    #[schemars(with = "String")]
    pub host: Located<HostHeader>,
    /// Timeouts towards the origin.
    #[serde(default)]
    #[schemars(with = "Option<TimeoutsConfig>")]
    pub timeouts: Option<Located<TimeoutsConfig>>,
    /// Connections kept for reuse.
    #[serde(default)]
    pub pool: PoolConfig,
    /// When a request is tried again.
    #[serde(default)]
    #[schemars(with = "Option<RetryConfig>")]
    pub retry: Option<Located<RetryConfig>>,
    /// How the names among the endpoints are resolved.
    #[serde(default)]
    pub dns: DnsConfig,
    /// Whether endpoints of the node's own zone come first; the others get what these cannot take. Default false.
    #[serde(default)]
    #[schemars(with = "Option<bool>")]
    pub prefer_zone: Option<Located<bool>>,
    /// Time in which an endpoint that comes (back) grows into its share. Without it it has its share at once.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub slow_start: Option<Located<Duration>>,
    /// Below this share of healthy endpoints all of them are used. 0% is never, while one is healthy. Default 50%.
    #[serde(default)]
    #[schemars(with = "Option<forms::Ratio>")]
    pub panic_threshold: Option<Located<Ratio>>,
    /// Where the endpoints come from, instead of `endpoints`.
    #[serde(default)]
    #[schemars(with = "Option<DiscoveryConfig>")]
    pub discovery: Option<Located<DiscoveryConfig>>,
    /// Active checks of the endpoints. Without it none are made.
    #[serde(default)]
    #[schemars(with = "Option<HealthConfig>")]
    pub health: Option<Located<HealthConfig>>,
    /// Passive checks: endpoints that fail requests are left out for a while. Without it none are.
    #[serde(default)]
    #[schemars(with = "Option<OutlierConfig>")]
    pub outlier: Option<Located<OutlierConfig>>,
    /// Requests at a time, and the queue for those above.
    #[serde(default)]
    #[schemars(with = "Option<UpstreamLimitsConfig>")]
    pub limits: Option<Located<UpstreamLimitsConfig>>,
    /// The circuit breaker. Without it there is none.
    #[serde(default)]
    #[schemars(with = "Option<BreakerConfig>")]
    pub breaker: Option<Located<BreakerConfig>>,
    /// What is done when there is no answer to give, tried in order.
    #[serde(default)]
    #[schemars(with = "Vec<FallbackConfig>", length(max = 8))]
    pub fallback: Vec<Located<FallbackConfig>>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointConfig {
    /// `IP:PORT`, `NAME:PORT` (resolved in the background) or `unix:PATH`.
    pub address: Located<EndpointAddress>,
    /// Share of the requests relative to the others. 0 takes none. Default 1.
    pub weight: Located<u32>,
    /// A higher number is used when the lower ones are short. Default 0.
    pub priority: Located<u8>,
    /// The zone it runs in.
    pub zone: Option<String>,
}

/// The table form of an endpoint.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct EndpointTable {
    /// `IP:PORT`, `NAME:PORT` (resolved in the background) or `unix:PATH`.
    #[schemars(with = "String")]
    address: Located<EndpointAddress>,
    /// Share of the requests relative to the others. 0 takes none. Default 1.
    #[serde(default = "one")]
    #[schemars(with = "u32", range(max = 65535))]
    weight: Located<u32>,
    /// A higher number is used when the lower ones are short. Default 0.
    #[serde(default)]
    #[schemars(with = "u8")]
    priority: Located<u8>,
    /// The zone it runs in.
    #[serde(default)]
    zone: Option<String>,
}

fn one() -> Located<u32> {
    1.into()
}

impl<'de> Deserialize<'de> for EndpointConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = EndpointConfig;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address (\"10.0.0.1:80\") or a table { address = \"10.0.0.1:80\", weight = 1 }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<EndpointConfig, E> {
                Ok(EndpointConfig {
                    address: Located::here(EndpointAddress::parse(text).map_err(E::custom)?),
                    weight: one(),
                    priority: 0.into(),
                    zone: None,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EndpointConfig, A::Error> {
                let table = EndpointTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(EndpointConfig {
                    address: table.address,
                    weight: table.weight,
                    priority: table.priority,
                    zone: table.zone,
                })
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// What is spoken to the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2; without tls by prior knowledge, as gRPC wants it.
    H2,
    /// What ALPN gives.
    Auto,
}

/// The version of the PROXY header that endpoints get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyHeader {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The Host the origin sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's.
    #[default]
    Keep,
    /// The address of the endpoint, as written.
    Endpoint,
    /// This name.
    Name(String),
}

impl<'de> Deserialize<'de> for HostHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = HostHeader;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"keep\", \"endpoint\" or a host name")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<HostHeader, E> {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
                match text {
                    "keep" => Ok(HostHeader::Keep),
                    "endpoint" => Ok(HostHeader::Endpoint),
                    name if !name.is_empty() && name.len() <= 255 && name.chars().all(plain) => {
                        Ok(HostHeader::Name(name.to_owned()))
                    }
                    other => Err(E::custom(format!(
                        "{other:?} is no host name; expected \"keep\", \"endpoint\" or a name such as \"app.internal\""
                    ))),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Connections kept for reuse, of all threads together.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// Idle connections kept to this upstream; 0 keeps none. Default 256.
    #[schemars(with = "u32", range(max = 1_000_000))]
    pub idle: Located<u32>,
    /// How long an idle connection is kept; shorter than the origin's own. Default 60s.
    #[schemars(with = "forms::Duration")]
    pub idle_timeout: Located<Duration>,
    /// A connection older than this is not used again. Without it age does not count.
    #[schemars(with = "Option<forms::Duration>")]
    pub max_age: Option<Located<Duration>>,
    /// A connection that carried so many requests is not used again. Without it they do not count.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub max_requests: Option<Located<u32>>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            idle: 256.into(),
            idle_timeout: Duration::from_secs(60).into(),
            max_age: None,
            max_requests: None,
        }
    }
}

/// How long an answer of the name service is used.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// A shorter time to live counts as this. Default 1s.
    #[schemars(with = "forms::Duration")]
    pub min_ttl: Located<Duration>,
    /// A longer time to live counts as this. Default 5m.
    #[schemars(with = "forms::Duration")]
    pub max_ttl: Located<Duration>,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            min_ttl: Duration::from_secs(1).into(),
            max_ttl: Duration::from_secs(300).into(),
        }
    }
}
