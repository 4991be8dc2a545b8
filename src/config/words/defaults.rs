//! `[defaults]`, and the tables that routes and upstreams share with it.

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::{Duration, Ratio, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plugin::PluginEntry;
use crate::config::schema::forms;

/// For every route that does not say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultsConfig {
    /// Plugins that run before the route's own; `defaults = false` on a route leaves them out.
    #[schemars(with = "Vec<forms::Plugin>")]
    pub plugins: Vec<Located<PluginEntry>>,
    /// The retry table of routes whose route and upstream have none.
    #[schemars(with = "Option<RetryConfig>")]
    pub retry: Option<Located<RetryConfig>>,
    /// The timeouts of routes whose route and upstream have none.
    #[schemars(with = "Option<TimeoutsConfig>")]
    pub timeouts: Option<Located<TimeoutsConfig>>,
}

/// When a request is tried again on another endpoint. Of the route's, the upstream's and the
/// defaults' table the first one counts, whole: keys are never merged. Where none is written, the
/// defaults of the keys count.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Attempts, counting the first try. 1 is no retry. Default 2.
    #[schemars(with = "u8", range(min = 1, max = 16))]
    pub attempts: Located<u8>,
    /// What is tried again. Default connect and reset_before_response.
    #[schemars(with = "Vec<RetryOn>")]
    pub on: Vec<Located<RetryOn>>,
    /// Methods that are tried again; without it the idempotent ones. Any other is tried again only
    /// while none of its bytes were sent.
    #[schemars(with = "Option<Vec<RetryMethod>>")]
    pub methods: Option<Vec<Located<RetryMethod>>>,
    /// Time of one attempt until the response's head; without it only the timeouts bound it.
    #[schemars(with = "Option<forms::Duration>")]
    pub per_try: Option<Located<Duration>>,
    /// The pause before the next attempt.
    pub backoff: BackoffConfig,
    /// How many retries there may be.
    pub budget: RetryBudgetConfig,
    /// A request whose body is longer is not tried again once some of it was sent. Default 64KiB.
    #[schemars(with = "Option<forms::Size>")]
    pub replay_body: Option<Located<Size>>,
}

/// The pause before the next attempt: at random up to `base`, then up to twice that, and so on. There is none where
/// nothing was sent yet and another endpoint is left; Retry-After of an answer is kept to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackoffConfig {
    /// Of the first. Default 25ms.
    #[schemars(with = "Option<forms::Duration>")]
    pub base: Option<Located<Duration>>,
    /// At most. Default 250ms.
    #[schemars(with = "Option<forms::Duration>")]
    pub max: Option<Located<Duration>>,
}

/// How many retries an upstream gets, over all routes: what is above is not made, so that retries cannot become a storm.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryBudgetConfig {
    /// As a share of the requests. 100% is as good as none. Default 20%.
    #[schemars(with = "Option<forms::Ratio>")]
    pub share: Option<Located<Ratio>>,
    /// So many are always allowed. Default 10.
    #[schemars(with = "Option<u32>", range(max = 100_000))]
    pub min_per_second: Option<Located<u32>>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 2.into(),
            on: vec![RetryOn::Connect.into(), RetryOn::ResetBeforeResponse.into()],
            methods: None,
            per_try: None,
            backoff: BackoffConfig::default(),
            budget: RetryBudgetConfig::default(),
            replay_body: None,
        }
    }
}

/// What is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// The connection could not be made.
    Connect,
    /// The connection was lost before the first byte of a response, or `per_try` ran out.
    ResetBeforeResponse,
    /// `per_try` ran out.
    PerTry,
    /// An answer of 500 to 599.
    #[serde(rename = "5xx")]
    Status5xx,
    /// An answer of 502, 503 or 504.
    GatewayError,
    /// An answer of 429.
    #[serde(rename = "429")]
    Status429,
}

/// A method that may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RetryMethod {
    /// GET
    Get,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// POST: not idempotent, so only if the origin can stand it twice.
    Post,
    /// PATCH: not idempotent, so only if the origin can stand it twice.
    Patch,
}

/// Timeouts towards the origin. Of the route's, the upstream's and the defaults' table the first one
/// counts, whole: keys are never merged. Where none is written, the defaults of the keys count.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// TCP and TLS. Default 2s.
    #[schemars(with = "forms::Duration")]
    pub connect: Located<Duration>,
    /// From the request's last byte to the response's first. Default 15s.
    #[schemars(with = "forms::Duration")]
    pub first_byte: Located<Duration>,
    /// Between two reads of a response or a tunnel. Default 60s.
    #[schemars(with = "forms::Duration")]
    pub idle: Located<Duration>,
    /// Of one write towards the origin. Default 30s.
    #[schemars(with = "forms::Duration")]
    pub write: Located<Duration>,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2).into(),
            first_byte: Duration::from_secs(15).into(),
            idle: Duration::from_secs(60).into(),
            write: Duration::from_secs(30).into(),
        }
    }
}
