//! `[[route]]`: what it matches, what runs on it, where it goes.

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::{Cidr, Duration, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cache::PurgeConfig;
use super::defaults::{RetryConfig, TimeoutsConfig};
use super::plugin::PluginEntry;
use crate::config::schema::forms;

pub mod condition;
pub mod target;

pub use condition::{Condition, ConditionTest, Conditions};
pub use target::{RouteUpstreams, UpstreamShare};

/// A match (the AND of what is given; lists are OR), plugins, and an upstream.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The name metrics, logs and explain use.
    #[schemars(with = "forms::Name")]
    pub name: Located<String>,
    /// Names of the listeners; without it every listener.
    #[serde(default)]
    #[schemars(with = "Option<Vec<forms::Name>>")]
    pub listeners: Option<Vec<Located<String>>>,
    /// Host names, exact or `*.name` for one or more labels; without it every host.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub hosts: Option<Vec<Located<String>>>,
    /// Paths: literal, with `{name}` segments, or closed by `/*`, which captures {rest}; without it every path.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub paths: Option<Vec<Located<String>>>,
    /// Methods; without it every method.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub methods: Option<Vec<Located<String>>>,
    /// Request headers, by name.
    #[serde(default)]
    #[schemars(with = "forms::Conditions")]
    pub headers: Conditions,
    /// Query parameters, by name.
    #[serde(default)]
    #[schemars(with = "forms::Conditions")]
    pub query: Conditions,
    /// Cookies, by name.
    #[serde(default)]
    #[schemars(with = "forms::Conditions")]
    pub cookies: Conditions,
    /// Networks of the client; without it every client.
    #[serde(default)]
    #[schemars(with = "Option<Vec<forms::Cidr>>")]
    pub sources: Option<Vec<Located<Cidr>>>,
    /// Names of the client's verified certificate, of which it must hold one: `*.partner.test`, `spiffe://farm/*`;
    /// without it every client.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub client_san: Option<Vec<Located<String>>>,
    /// Names of consumers, as a plugin of the listener finds them; without it everybody.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub consumer: Option<Vec<Located<String>>>,
    /// Plans of consumers; without it every plan, and none.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub consumer_plan: Option<Vec<Located<String>>>,
    /// Tags of consumers, of which one must have one; without it everybody.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub consumer_tags: Option<Vec<Located<String>>>,
    /// Whether the plugins of `[defaults]` run before the route's own. Default true.
    #[serde(default = "yes")]
    pub defaults: bool,
    /// Plugins, in the order they run.
    #[serde(default)]
    #[schemars(with = "Vec<forms::Plugin>")]
    pub plugins: Vec<Located<PluginEntry>>,
    /// How much it matters when the node or an upstream has too much to do: bulk is shed first. Default default.
    #[serde(default)]
    #[schemars(with = "RouteClass")]
    pub class: RouteClass,
    /// Limits that differ from the listener's, and of the requests at a time.
    #[serde(default)]
    pub limits: RouteLimitsConfig,
    /// Timeouts that differ from the upstream's and the listener's.
    #[serde(default)]
    #[schemars(with = "Option<RouteTimeoutsConfig>")]
    pub timeouts: Option<Located<RouteTimeoutsConfig>>,
    /// When a request is tried again; instead of the upstream's table.
    #[serde(default)]
    #[schemars(with = "Option<RetryConfig>")]
    pub retry: Option<Located<RetryConfig>>,
    /// The upstream: a name, or a list of { name, weight }. Without it a plugin must answer.
    #[serde(default)]
    #[schemars(with = "Option<forms::Upstreams>")]
    pub upstream: Option<Located<RouteUpstreams>>,
    /// `cookie:NAME`: we set it, and it keeps a user on one side of a weighted upstream.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub sticky: Option<Located<String>>,
    /// Name of the `[[cache_policy]]` that its answers are kept by; without it nothing is kept.
    #[serde(default)]
    #[schemars(with = "Option<forms::Name>")]
    pub cache: Option<Located<String>>,
    /// Who may send PURGE to this route; to anyone else it is 405. Without it PURGE is a method like any.
    #[serde(default)]
    #[schemars(with = "Option<PurgeConfig>")]
    pub purge: Option<Located<PurgeConfig>>,
}

fn yes() -> bool {
    true
}

/// Limits of a route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimitsConfig {
    /// Bytes of a request's body; narrower or wider than the listener's.
    #[schemars(with = "Option<forms::Size>")]
    pub body_bytes: Option<Located<Size>>,
    /// Requests of this route at a time; further ones get 503 at once. Without it they are not limited.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub in_flight: Option<Located<u32>>,
    /// What tells tenants apart, as `header:x-tenant`, `consumer` or `client_ip`.
    #[schemars(with = "Option<String>")]
    pub tenant: Option<Located<String>>,
    /// Requests of one tenant at a time. Wants `tenant`.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub in_flight_per_tenant: Option<Located<u32>>,
}

/// How much a route matters when there is too much to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteClass {
    /// Shed last.
    Critical,
    /// In between.
    #[default]
    Default,
    /// Shed first.
    Bulk,
}

/// Timeouts of a route: towards the origin (`connect`, `first_byte`, `idle`, `write`: once one of
/// them is written, this table stands whole in the place of the upstream's) and towards the client
/// (each that is written stands in the place of the listener's).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTimeoutsConfig {
    /// TCP and TLS towards the origin.
    #[schemars(with = "Option<forms::Duration>")]
    pub connect: Option<Located<Duration>>,
    /// From the request's last byte to the response's first.
    #[schemars(with = "Option<forms::Duration>")]
    pub first_byte: Option<Located<Duration>>,
    /// Between two reads of a response or a tunnel.
    #[schemars(with = "Option<forms::Duration>")]
    pub idle: Option<Located<Duration>>,
    /// Of one write towards the origin.
    #[schemars(with = "Option<forms::Duration>")]
    pub write: Option<Located<Duration>>,
    /// Until the response's head is sent.
    #[schemars(with = "Option<forms::Duration>")]
    pub request: Option<Located<Duration>>,
    /// Between two reads of a request's body.
    #[schemars(with = "Option<forms::Duration>")]
    pub body_idle: Option<Located<Duration>>,
    /// Silence on an upgraded connection.
    #[schemars(with = "Option<forms::Duration>")]
    pub upgrade_idle: Option<Located<Duration>>,
    /// Most age of an upgraded connection.
    #[schemars(with = "Option<forms::Duration>")]
    pub upgrade_max_age: Option<Located<Duration>>,
}

impl RouteTimeoutsConfig {
    /// The table towards the origin, whole, if one of its words is written.
    pub fn towards_origin(&self) -> Option<TimeoutsConfig> {
        let written = [&self.connect, &self.first_byte, &self.idle, &self.write];
        if written.iter().all(|word| word.is_none()) {
            return None;
        }
        let rest = TimeoutsConfig::default();
        Some(TimeoutsConfig {
            connect: self.connect.clone().unwrap_or(rest.connect),
            first_byte: self.first_byte.clone().unwrap_or(rest.first_byte),
            idle: self.idle.clone().unwrap_or(rest.idle),
            write: self.write.clone().unwrap_or(rest.write),
        })
    }
}
