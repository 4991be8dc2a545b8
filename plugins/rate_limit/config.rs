//! The words of the `rate_limit` kind.

use std::collections::BTreeMap;

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::{Located, Secret};
use farmgate_plugin_api::units::{Cidr, Duration};
use farmgate_plugin_api::words::{RequestField, Status};
use serde::Deserialize;

/// The table of a `rate_limit` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitConfig {
    #[serde(default)]
    pub(super) limits: Located<Vec<Located<LimitConfig>>>,
    #[serde(default)]
    pub(super) concurrency: Located<Vec<Located<GateConfig>>>,
    #[serde(default)]
    pub(super) plans: BTreeMap<String, Located<PlanConfig>>,
    pub(super) default_plan: Option<Located<String>>,
    #[serde(default)]
    pub(super) exempt: ExemptConfig,
    pub(super) max_delay: Option<Located<Duration>>,
    pub(super) max_waiting: Option<Located<u32>>,
    pub(super) top: Option<Located<u32>>,
    pub(super) status: Option<Located<Status>>,
    #[serde(default = "yes")]
    pub(super) headers: bool,
    #[serde(default)]
    pub(super) dry_run: bool,
    pub(super) max_keys: Option<Located<u32>>,
}

/// A rate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitConfig {
    pub(super) key: Located<Source>,
    pub(super) rate: u32,
    pub(super) per: Duration,
    pub(super) burst: Option<u32>,
    #[serde(default)]
    pub(super) reveal: bool,
}

/// A limit of requests in flight.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GateConfig {
    pub(super) key: Source,
    pub(super) most: Located<u32>,
}

/// What holds for one plan.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PlanConfig {
    pub(super) limits: Vec<Located<LimitConfig>>,
    pub(super) concurrency: Vec<Located<GateConfig>>,
}

/// Who is not limited.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExemptConfig {
    pub(super) cidrs: Located<Vec<Cidr>>,
    pub(super) consumers: Located<Vec<String>>,
    pub(super) header: Option<Located<RequestField>>,
    pub(super) secret: Option<Located<Secret>>,
}

fn yes() -> bool {
    true
}
