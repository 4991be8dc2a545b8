//! Chapter 1, words: what an operator may write, in the order of a configuration file.
//!
//! Only shapes and defaults stand here. What the words mean together is decided in `compile`. The
//! doc comment of a field is its description in the JSON Schema and in the generated reference.

use std::collections::BTreeSet;

pub mod address;
pub mod admin;
pub mod cache;
pub mod defaults;
pub mod listener;
pub mod plugin;
pub mod route;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod upstream;

pub use address::{EndpointAddress, ListenAddress};
pub use admin::AdminConfig;
pub use cache::{CacheConfig, CachePolicyConfig};
pub use defaults::{
    BackoffConfig, DefaultsConfig, RetryBudgetConfig, RetryConfig, RetryMethod, RetryOn,
    TimeoutsConfig,
};
pub use listener::{
    EscapedSlash, H2Config, ListenerConfig, ListenerLimitsConfig, ListenerProtocol,
    ListenerTimeoutsConfig, ProxyProtocol, UriConfig,
};
pub use plugin::{PluginConfig, PluginEntry};
pub use route::{
    Condition, ConditionTest, Conditions, RouteClass, RouteConfig, RouteLimitsConfig,
    RouteTimeoutsConfig, RouteUpstreams, UpstreamShare,
};
pub use server::{DrainConfig, OverloadConfig, Platform, ServerConfig, WatchConfig};
pub use telemetry::{
    AccessLogConfig, ExplainConfig, LogFormat, LogTarget, MetricsConfig, TelemetryConfig,
};
pub use tls::{
    AcmeChallenge, AcmeConfig, CertificateConfig, ClientAuthConfig, ClientAuthMode,
    ForwardIdentity, HandshakeConfig, OwnCertificateConfig, SessionTicketsConfig, TlsConfig,
    TlsPolicy, TlsVersion, UpstreamTlsConfig,
};
pub use upstream::{
    AdaptiveConfig, BalanceConfig, BreakerConfig, DiscoveryConfig, DiscoveryKind, DnsConfig,
    DnsRecord, EndpointConfig, ExpectConfig, FallbackConfig, HashAlgorithm, HealthConfig,
    HealthKind, HostHeader, OutlierConfig, PoolConfig, ProxyHeader, SlowEndpointConfig,
    SuccessRateConfig, UpstreamConfig, UpstreamLimitsConfig, UpstreamProtocol,
};

/// Everything that was written, of all files together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[server]`: the process.
    pub server: ServerConfig,
    /// `[admin]`: the read-only address; none without the table.
    pub admin: Option<AdminConfig>,
    /// `[telemetry]`: log, metrics, explain.
    pub telemetry: TelemetryConfig,
    /// `[defaults]`: for every route that does not say otherwise.
    pub defaults: DefaultsConfig,
    /// `[cache]`: the shared cache; none without the table.
    pub cache: Option<CacheConfig>,
    /// `[[listener]]`, in written order.
    pub listeners: Vec<ListenerConfig>,
    /// `[[tls]]`, in written order.
    pub tls: Vec<TlsConfig>,
    /// `[[upstream]]`, in written order.
    pub upstreams: Vec<UpstreamConfig>,
    /// `[[cache_policy]]`, in written order.
    pub cache_policies: Vec<CachePolicyConfig>,
    /// `[[route]]`, in written order.
    pub routes: Vec<RouteConfig>,
    /// `[[plugin]]`, in written order.
    pub plugins: Vec<PluginConfig>,
    /// Every name that was written, as (kind of table, name): of tables that could not be decoded,
    /// too, so that a reference to one of them is not reported as unknown. Tables that stand once have
    /// the empty name.
    pub declared: BTreeSet<(&'static str, String)>,
}

impl Config {
    /// True if a table of this kind with this name was written, right or wrong.
    pub fn declares(&self, kind: &'static str, name: &str) -> bool {
        // A reference to the environment that could not be replaced is reported where it stands.
        name.contains("${") || self.declared.contains(&(kind, name.to_owned()))
    }
}
