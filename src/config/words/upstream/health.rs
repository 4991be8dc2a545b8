//! `[upstream.health]` and `[upstream.outlier]`: how an endpoint that is ill is found.

use std::collections::BTreeMap;

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema::forms;

/// Active checks: each endpoint is asked on a connection of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// What is asked.
    pub kind: HealthKind,
    /// Only http: the path. Default /.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub path: Option<Located<String>>,
    /// Only http: the method. Default GET.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub method: Option<Located<String>>,
    /// Only http: the Host. Default the endpoint's address.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub host: Option<Located<String>>,
    /// Only http: further headers.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", length(max = 32))]
    pub headers: BTreeMap<String, Located<String>>,
    /// Only http: what a good answer is.
    #[serde(default)]
    pub expect: ExpectConfig,
    /// Only grpc: the service that is asked about; without it the server as a whole.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub service: Option<Located<String>>,
    /// Another port than that of the traffic.
    #[serde(default)]
    #[schemars(with = "Option<u16>", range(min = 1))]
    pub port: Option<Located<u16>>,
    /// Time between two checks of an endpoint, a tenth more or less. At least 100ms. Default 5s.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub interval: Option<Located<Duration>>,
    /// Time of a whole check, at most the interval. Default 2s, or the interval.
    #[serde(default)]
    #[schemars(with = "Option<forms::Duration>")]
    pub timeout: Option<Located<Duration>>,
    /// So many good checks in a row bring an endpoint back. Default 2.
    #[serde(default)]
    #[schemars(with = "Option<u32>", range(min = 1, max = 100))]
    pub rise: Option<Located<u32>>,
    /// So many bad checks in a row take it out. Default 3.
    #[serde(default)]
    #[schemars(with = "Option<u32>", range(min = 1, max = 100))]
    pub fall: Option<Located<u32>>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthKind {
    /// A request whose answer is looked at.
    Http,
    /// A connection, with TLS where the upstream has it.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc,
}

/// What a good answer is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectConfig {
    /// Its status: one of these, or within one of these ranges. Default 200-299.
    #[schemars(with = "Vec<String>", length(max = 32))]
    pub status: Vec<Located<String>>,
    /// Contained in the first 64 KiB of the body.
    #[schemars(with = "Option<String>")]
    pub body: Option<Located<String>>,
}

/// Passive checks: an endpoint that fails requests is left out for a while.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierConfig {
    /// So many answers of 500 and above, or lost ones, in a row. 0 is never. Default 5.
    #[schemars(with = "Option<u32>")]
    pub consecutive_5xx: Option<Located<u32>>,
    /// So many connections in a row that could not be made. 0 is never. Default 2.
    #[schemars(with = "Option<u32>")]
    pub consecutive_connect_failures: Option<Located<u32>>,
    /// A share of good answers far below that of the others. Without it it is not looked at.
    #[schemars(with = "Option<SuccessRateConfig>")]
    pub success_rate: Option<Located<SuccessRateConfig>>,
    /// Answers far slower than those of the others. Without it they are not looked at.
    #[schemars(with = "Option<SlowEndpointConfig>")]
    pub latency: Option<Located<SlowEndpointConfig>>,
    /// How often success_rate and latency are looked at. Default 10s.
    #[schemars(with = "Option<forms::Duration>")]
    pub interval: Option<Located<Duration>>,
    /// How long the first ejection lasts; each further one twice as long as the last. Default 30s.
    #[schemars(with = "Option<forms::Duration>")]
    pub base_ejection: Option<Located<Duration>>,
    /// The longest ejection. Default 5m.
    #[schemars(with = "Option<forms::Duration>")]
    pub max_ejection: Option<Located<Duration>>,
    /// The largest share of the endpoints that may be out at a time; the last one never is. Default 50%.
    #[schemars(with = "Option<forms::Ratio>")]
    pub max_ejected: Option<Located<Ratio>>,
}

/// A share of good answers far below that of the others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SuccessRateConfig {
    /// With fewer endpoints that have enough requests nobody is compared. Default 5.
    #[schemars(with = "Option<u32>", range(min = 2))]
    pub min_endpoints: Option<Located<u32>>,
    /// Requests that an endpoint must have had in the interval. Default 100.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub min_requests: Option<Located<u32>>,
    /// So many standard deviations below the mean, in tenths. Default 19.
    #[schemars(with = "Option<u32>", range(min = 1, max = 100))]
    pub deviation_tenths: Option<Located<u32>>,
}

/// Answers far slower than those of the others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlowEndpointConfig {
    /// So many times the median of the others. Default 3.
    #[schemars(with = "Option<u32>", range(min = 2, max = 100))]
    pub factor: Option<Located<u32>>,
    /// And at least so slow. Default 50ms.
    #[schemars(with = "Option<forms::Duration>")]
    pub at_least: Option<Located<Duration>>,
    /// Requests that an endpoint must have had in the interval. Default 50.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub min_requests: Option<Located<u32>>,
}
