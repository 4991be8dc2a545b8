//! The words of the `rate_limit` kind.

use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::services::Kept;
use farmgate_plugin_api::units::Duration;
use farmgate_plugin_api::words::Status;
use farmgate_plugin_api::{Services, Source};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::fields::{policy, quoted};
use super::filter::{Limit, MAX_LIMITS, Metrics, RateLimitFilter};
use super::gcra::Pace;
use super::store::Store;

const DEFAULT_MAX_KEYS: u32 = 100_000;
/// Most keys of one limit: about a gigabyte of memory.
const MOST_MAX_KEYS: u32 = 10_000_000;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["limits"],
  "properties": {
    "limits": {
      "type": "array", "minItems": 1, "maxItems": 8,
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["key", "rate", "per"],
        "properties": {
          "key": { "type": "string", "description": "The source whose values are counted apart." },
          "rate": { "type": "integer", "minimum": 1, "maximum": 4294967295, "description": "Requests per time." },
          "per": { "type": "string", "description": "The time, with its unit." },
          "burst": { "type": "integer", "minimum": 1, "maximum": 4294967295, "description": "Requests allowed at once; without it as many as rate." }
        }
      },
      "description": "All of them must have room for a request; if one has none, none is charged."
    },
    "status": { "type": "integer", "minimum": 400, "maximum": 599, "default": 429, "description": "The status of refused requests." },
    "headers": { "type": "boolean", "default": true, "description": "Send RateLimit-Policy and RateLimit with every response." },
    "dry_run": { "type": "boolean", "default": false, "description": "Only count what would be refused." },
    "max_keys": { "type": "integer", "minimum": 1, "maximum": 10000000, "default": 100000, "description": "Keys that one limit remembers." }
  }
}"#;

/// The table of a `rate_limit` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitConfig {
    limits: Located<Vec<Located<LimitConfig>>>,
    status: Option<Located<Status>>,
    #[serde(default = "yes")]
    headers: bool,
    #[serde(default)]
    dry_run: bool,
    max_keys: Option<Located<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitConfig {
    key: Source,
    rate: u32,
    per: Duration,
    burst: Option<u32>,
}

fn yes() -> bool {
    true
}

impl RateLimitConfig {
    /// Checks what the words mean together, and finds the stores of earlier configurations again.
    pub(super) fn compile(
        self,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<RateLimitFilter> {
        let before = diagnostics.error_count();
        let count = self.limits.value.len();
        if count == 0 || count > MAX_LIMITS {
            let text = format!("limits holds {count} limits; 1 to {MAX_LIMITS} are possible");
            let error = Diagnostic::error(codes::VALUE, &self.limits.place, text);
            diagnostics.push(error.with_help("a second plugin can hold more of them"));
        }
        let status = check_status(self.status, diagnostics);
        let max_keys = check_max_keys(self.max_keys, diagnostics);
        let mut limits: Vec<Limit> = Vec::new();
        let mut policies = Vec::new();
        for config in &self.limits.value {
            let Some(pace) = check_pace(config, &config.place, diagnostics) else {
                continue;
            };
            let same = limits.iter().filter(|limit| limit.source == config.key);
            let name = match same.count() {
                0 => config.key.to_string(),
                // A second limit on the same key is another limit with another state.
                others => format!("{}#{}", config.key, others + 1),
            };
            let quoted = quoted(&name);
            policies.push(policy(&quoted, config.rate, per_ns(config)));
            limits.push(Limit {
                store: find_store(&name, &config.key, max_keys, services)?,
                source: config.key.clone(),
                quoted: quoted.into(),
                pace,
            });
        }
        if diagnostics.error_count() > before {
            return None;
        }
        limits.sort_by_key(|limit| limit.store.id());
        let policy = HeaderValue::from_maybe_shared(Bytes::from(policies.join(", ")));
        Some(RateLimitFilter {
            limits: limits.into(),
            status,
            policy: policy.ok().filter(|_| self.headers),
            dry_run: self.dry_run,
            max_keys,
            clock: services.clock(),
            metrics: Metrics {
                allowed: services.counter("allowed", "Requests that passed."),
                denied: services.counter("denied", "Requests that were refused."),
                dry_denied: services.counter("dry_denied", "What a dry run would have refused."),
                evicted: services.counter(
                    "evicted",
                    "Keys that still counted and were forgotten to make room for new ones.",
                ),
            },
        })
    }
}

fn check_status(status: Option<Located<Status>>, diagnostics: &mut Diagnostics) -> StatusCode {
    let Some(status) = status else {
        return StatusCode::TOO_MANY_REQUESTS;
    };
    if status.value.0.as_u16() < 400 {
        let text = "a refusal needs a status of 400 or more";
        diagnostics.error(codes::VALUE, &status.place, text);
    }
    status.value.0
}

fn check_max_keys(max_keys: Option<Located<u32>>, diagnostics: &mut Diagnostics) -> usize {
    let Some(max_keys) = max_keys else {
        return usize::try_from(DEFAULT_MAX_KEYS).unwrap_or(usize::MAX);
    };
    if !(1..=MOST_MAX_KEYS).contains(&max_keys.value) {
        let text = format!("max_keys is from 1 to {MOST_MAX_KEYS}");
        diagnostics.error(codes::VALUE, &max_keys.place, text);
    }
    usize::try_from(max_keys.value).unwrap_or(usize::MAX)
}

fn check_pace(config: &LimitConfig, place: &Place, diagnostics: &mut Diagnostics) -> Option<Pace> {
    let burst = config.burst.unwrap_or(config.rate);
    let pace = Pace::new(config.rate, per_ns(config), burst);
    if pace.is_none() {
        let text = "this limit is impossible: rate, per and burst are above 0, and a burst refills \
                    within 400 days";
        diagnostics.error(codes::VALUE, place, text);
    }
    pace
}

fn per_ns(config: &LimitConfig) -> u64 {
    config.per.as_ms().saturating_mul(1_000_000)
}

/// The store of this limit: the one that an earlier configuration made, or a new one.
fn find_store(
    name: &str,
    source: &Source,
    max_keys: usize,
    services: &dyn Services,
) -> Option<Arc<Store>> {
    let keys = match source {
        Source::Global => 1,
        _ => max_keys,
    };
    let mut make = || Arc::new(Store::new(services.clock(), keys)) as Arc<dyn Kept>;
    services.kept(name, &mut make).downcast().ok()
}
