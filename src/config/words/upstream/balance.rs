//! How an endpoint is chosen: a policy's word, or a table with its options.

use std::fmt;

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::Ratio;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::config::schema::forms;

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum BalanceConfig {
    /// In turn, by weight, smoothly.
    #[default]
    RoundRobin,
    /// The better of two random ones by requests in flight per weight.
    LeastRequest,
    /// The better of two random ones by peak-sensitive moving average of the latency.
    PeakEwma,
    /// The same endpoint for the same key.
    ConsistentHash {
        /// The source of the key, as `header:x-user`. A request without it is balanced by client_ip.
        key: Located<String>,
        /// The table that is looked up.
        algorithm: HashAlgorithm,
        /// How far an endpoint may be over the average load before the next one is taken; none is unbounded.
        bounded_load: Option<Located<Ratio>>,
    },
}

/// The word of a policy.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum BalanceKind {
    /// In turn, by weight, smoothly.
    RoundRobin,
    /// The better of two random ones by requests in flight per weight.
    LeastRequest,
    /// The better of two random ones by peak-sensitive moving average of the latency.
    PeakEwma,
    /// The same endpoint for the same key.
    ConsistentHash,
}

/// The table form of a policy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BalanceTable {
    /// The policy.
    kind: BalanceKind,
    /// Only consistent_hash, where it must be written: the source of the key, as `header:x-user`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    key: Option<Located<String>>,
    /// Only consistent_hash: the table that is looked up. Default ring.
    #[serde(default)]
    #[schemars(with = "Option<HashAlgorithm>")]
    algorithm: Option<Located<HashAlgorithm>>,
    /// Only consistent_hash: how far over the average an endpoint's load may be ("25%").
    #[serde(default)]
    #[schemars(with = "Option<forms::Ratio>")]
    bounded_load: Option<Located<Ratio>>,
}

/// The table behind consistent_hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashAlgorithm {
    /// A ring of points per endpoint (Karger): few keys move when an endpoint comes or goes.
    #[default]
    Ring,
    /// Maglev's table (Eisenbud et al., NSDI 2016): evener and faster, a few more keys move.
    Maglev,
}

impl<'de> Deserialize<'de> for BalanceConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = BalanceConfig;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy (\"least_request\") or a table { kind = \"consistent_hash\", key = \"client_ip\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<BalanceConfig, E> {
                use serde::de::IntoDeserializer;
                build(BalanceTable {
                    kind: BalanceKind::deserialize(text.into_deserializer())?,
                    key: None,
                    algorithm: None,
                    bounded_load: None,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BalanceConfig, A::Error> {
                build(BalanceTable::deserialize(MapAccessDeserializer::new(map))?)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

fn build<E: Error>(table: BalanceTable) -> Result<BalanceConfig, E> {
    let plain = match table.kind {
        BalanceKind::RoundRobin => BalanceConfig::RoundRobin,
        BalanceKind::LeastRequest => BalanceConfig::LeastRequest,
        BalanceKind::PeakEwma => BalanceConfig::PeakEwma,
        BalanceKind::ConsistentHash => {
            let key = table.key.ok_or_else(|| {
                E::custom("consistent_hash needs a key: { kind = \"consistent_hash\", key = \"header:x-user\" }")
            })?;
            return Ok(BalanceConfig::ConsistentHash {
                key,
                algorithm: table.algorithm.map(|a| a.value).unwrap_or_default(),
                bounded_load: table.bounded_load,
            });
        }
    };
    if table.key.is_some() || table.algorithm.is_some() || table.bounded_load.is_some() {
        return Err(E::custom(
            "`key`, `algorithm` and `bounded_load` belong to kind = \"consistent_hash\" only",
        ));
    }
    Ok(plain)
}
