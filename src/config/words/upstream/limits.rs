//! `[upstream.limits]`, `[upstream.breaker]` and `[[upstream.fallback]]`: what is done when an upstream has enough.

use std::collections::BTreeMap;

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::{Duration, Ratio};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::schema::forms;

/// How many requests an upstream gets at a time, exactly, over all threads and routes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamLimitsConfig {
    /// Requests at a time to all endpoints together. Without it they are not limited.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub in_flight: Option<Located<u32>>,
    /// Requests at a time to one endpoint. Without it they are not limited.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub in_flight_per_endpoint: Option<Located<u32>>,
    /// Requests that may wait for a place; further ones get 503 at once. Default 0.
    #[schemars(with = "u32", range(max = 100_000))]
    pub queue: Option<Located<u32>>,
    /// How long one may wait. Default 1s.
    #[schemars(with = "Option<forms::Duration>")]
    pub queue_timeout: Option<Located<Duration>>,
    /// A limit that follows what the origin can do, below `in_flight`. Without it `in_flight` stands as it is.
    #[schemars(with = "Option<AdaptiveConfig>")]
    pub adaptive: Option<Located<AdaptiveConfig>>,
}

/// A limit that follows what the origin can do: it falls when answers become slower, and rises while they do not.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveConfig {
    /// It does not fall below this. Default 8.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub min: Option<Located<u32>>,
    /// It does not rise above this. Default 1000, or `in_flight`.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub max: Option<Located<u32>>,
    /// How much slower than usual answers may be before it falls. Default 50%.
    #[schemars(with = "Option<forms::Ratio>")]
    pub tolerance: Option<Located<Ratio>>,
}

/// A circuit breaker: an upstream that fails too often is left alone for a while. One for all routes and threads.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// The time that is looked back at. Default 10s.
    #[schemars(with = "Option<forms::Duration>")]
    pub window: Option<Located<Duration>>,
    /// With fewer attempts in it nothing is concluded. Default 20.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub min_requests: Option<Located<u32>>,
    /// The share of failures that opens it: no answer, or one of 500 and above. Default 50%.
    #[schemars(with = "Option<forms::Ratio>")]
    pub error_rate: Option<Located<Ratio>>,
    /// An answer whose head takes longer is slow. Without it none is.
    #[schemars(with = "Option<forms::Duration>")]
    pub slow_call: Option<Located<Duration>>,
    /// The share of slow answers that opens it. Default 80%.
    #[schemars(with = "Option<forms::Ratio>")]
    pub slow_rate: Option<Located<Ratio>>,
    /// How long it stays open the first time; twice as long each further time. Default 5s.
    #[schemars(with = "Option<forms::Duration>")]
    pub open_for: Option<Located<Duration>>,
    /// The longest it stays open. Default 60s.
    #[schemars(with = "Option<forms::Duration>")]
    pub max_open_for: Option<Located<Duration>>,
    /// Attempts that are let through then, and must all succeed to close it. Default 1.
    #[schemars(with = "Option<u32>", range(min = 1, max = 1000))]
    pub probes: Option<Located<u32>>,
}

/// What is done when there is no answer to give: the breaker open, no endpoint, the queue full or timed out, the
/// attempts used up. One of `stale`, `upstream` and `status`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FallbackConfig {
    /// What the route's cache still holds, however old, up to its stale_if_error.
    #[schemars(with = "Option<bool>")]
    pub stale: Option<Located<bool>>,
    /// Another upstream, with limits, breaker and fallbacks of its own.
    #[schemars(with = "Option<forms::Name>")]
    pub upstream: Option<Located<String>>,
    /// An answer made here.
    #[schemars(with = "Option<u16>", range(min = 200, max = 599))]
    pub status: Option<Located<u16>>,
    /// Only with status: its body, as text/plain unless `headers` say otherwise.
    #[schemars(with = "Option<String>")]
    pub body: Option<Located<String>>,
    /// Only with status: its headers.
    #[schemars(with = "BTreeMap<String, String>", length(max = 32))]
    pub headers: BTreeMap<String, Located<String>>,
}
