//! `[[listener]]`: a bound address, its protocols and its limits.

use std::num::NonZeroU32;

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::{ByteRate, Cidr, Duration, Rate, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::ListenAddress;
use super::plugin::PluginEntry;
use crate::config::schema::forms;

/// A bound address. Its identity over a reload is the address.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// The name routes and metrics use.
    #[schemars(with = "forms::Name")]
    pub name: Located<String>,
    /// `IP:PORT` or `unix:PATH`. `[::]:80` is IPv6 only.
    #[schemars(with = "forms::Address")]
    pub address: Located<ListenAddress>,
    /// Protocols that are spoken. Default http1, and h2 where `tls` stands.
    #[serde(default)]
    #[schemars(with = "Option<Vec<ListenerProtocol>>")]
    pub protocols: Option<Vec<Located<ListenerProtocol>>>,
    /// The `[[tls]]` whose certificates are served here. Without it clients speak without TLS.
    #[serde(default)]
    #[schemars(with = "Option<forms::Name>")]
    pub tls: Option<Located<String>>,
    /// The PROXY header (HAProxy, v1 and v2) before everything else. Default off. From anyone but
    /// `trusted_proxies` it is refused and counted.
    #[serde(default)]
    #[schemars(with = "ProxyProtocol")]
    pub proxy_protocol: Located<ProxyProtocol>,
    /// Networks whose PROXY, X-Forwarded-For and Forwarded headers are believed. Their connections
    /// are not counted per IP.
    #[serde(default)]
    #[schemars(with = "Vec<forms::Cidr>")]
    pub trusted_proxies: Vec<Located<Cidr>>,
    /// A path answered before routing: 200, or 503 while draining. Default none, or as `[server] platform` says.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub health_path: Option<Located<String>>,
    /// Plugins that run before routing, on every request; the only place for the `accept` phase.
    #[serde(default)]
    #[schemars(with = "Vec<forms::Plugin>")]
    pub plugins: Vec<Located<PluginEntry>>,
    /// Bounds of connections, heads and bodies.
    #[serde(default)]
    pub limits: ListenerLimitsConfig,
    /// Timeouts towards the client.
    #[serde(default)]
    pub timeouts: ListenerTimeoutsConfig,
    /// Bounds of HTTP/2 connections. How many streams: `limits.streams`.
    #[serde(default)]
    pub h2: H2Config,
    /// Slowest request body that is accepted. Without it only `body_idle` and `request` bound it.
    #[serde(default)]
    #[schemars(with = "Option<forms::ByteRate>")]
    pub min_body_rate: Option<Located<ByteRate>>,
    /// How the path of a request is normalised.
    #[serde(default)]
    pub uri: UriConfig,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListenerProtocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2 by ALPN; needs `tls`.
    H2,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

/// Whether a PROXY header is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// Not read.
    #[default]
    Off,
    /// Read when a trusted proxy sends one.
    Optional,
    /// A connection without one is closed.
    Required,
}

/// Bounds of a listener.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerLimitsConfig {
    /// Open connections. Default 10000.
    #[schemars(with = "u32", range(min = 1))]
    pub connections: Located<u32>,
    /// Open connections of one client address (IPv6 by /64). Without it only `connections` bounds them.
    #[schemars(with = "Option<u32>", range(min = 1))]
    pub connections_per_ip: Option<Located<u32>>,
    /// New connections per time.
    #[schemars(with = "Option<forms::Rate>")]
    pub connection_rate: Option<Located<Rate>>,
    /// New connections per time of one client address (IPv6 by /64).
    #[schemars(with = "Option<forms::Rate>")]
    pub connection_rate_per_ip: Option<Located<Rate>>,
    /// Header lines of a request; more is 431. At most 250. Default 100.
    #[schemars(with = "u16", range(min = 1, max = 250))]
    pub headers: Located<u16>,
    /// Bytes of a request's head; more is 431. Default 64KiB.
    #[schemars(with = "forms::Size")]
    pub header_bytes: Located<Size>,
    /// Bytes of the target; more is 414. At most 60KiB. Default 8KiB.
    #[schemars(with = "forms::Size")]
    pub uri_bytes: Located<Size>,
    /// Bytes of a request's body; more is 413. A route may say otherwise. Default 100MiB.
    #[schemars(with = "forms::Size")]
    pub body_bytes: Located<Size>,
    /// Streams open at once on one HTTP/2 connection. Default 128.
    #[schemars(with = "u32", range(min = 1, max = 100_000))]
    pub streams: Located<u32>,
}

impl Default for ListenerLimitsConfig {
    fn default() -> Self {
        Self {
            connections: 10_000.into(),
            connections_per_ip: None,
            connection_rate: None,
            connection_rate_per_ip: None,
            headers: 100.into(),
            header_bytes: Size::kib(64).into(),
            uri_bytes: Size::kib(8).into(),
            body_bytes: Size::mib(100).into(),
            streams: 128.into(),
        }
    }
}

/// Bounds of HTTP/2 connections with clients.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct H2Config {
    /// Bytes of a request's body that a client may send ahead of us. 64KiB to 16MiB. Default 256KiB.
    #[schemars(with = "forms::Size")]
    pub window: Located<Size>,
    /// The same for all requests of a connection together. 64KiB to 64MiB, at least `window`. Default 1MiB.
    #[schemars(with = "forms::Size")]
    pub connection_window: Located<Size>,
    /// Requests that end by a reset before they were answered, whether the client sends it or makes us send it. Ten
    /// answered requests allow one more. Over it the connection ends. Default 100 in 10s.
    #[schemars(with = "forms::Rate")]
    pub resets: Located<Rate>,
    /// Frames that move no request on: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION, empty DATA, refused
    /// streams. What is sent to the client allows more of them. Over it the connection ends. Default 1000 in 10s.
    #[schemars(with = "forms::Rate")]
    pub control_frames: Located<Rate>,
}

impl Default for H2Config {
    fn default() -> Self {
        let in_ten_seconds = |rate| Rate {
            rate,
            per: Duration::from_secs(10),
        };
        Self {
            window: Size::kib(256).into(),
            connection_window: Size::mib(1).into(),
            resets: in_ten_seconds(RESETS).into(),
            control_frames: in_ten_seconds(CONTROL_FRAMES).into(),
        }
    }
}

const RESETS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
const CONTROL_FRAMES: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

/// Timeouts towards the client.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerTimeoutsConfig {
    /// From a request's first byte (of a connection's first request: from the accept) to the end of
    /// its head. Default 10s.
    #[schemars(with = "forms::Duration")]
    pub header: Located<Duration>,
    /// Between two reads of a request's body. Default 30s.
    #[schemars(with = "forms::Duration")]
    pub body_idle: Located<Duration>,
    /// How long a connection may wait for its next request. Default 75s, or as `[server] platform` says.
    #[schemars(with = "forms::Duration")]
    pub keepalive: Located<Duration>,
    /// Most age of a connection: after it what is under way is finished, and HTTP/1 clients are told
    /// `Connection: close`, HTTP/2 clients GOAWAY. Without it connections may grow old.
    #[schemars(with = "Option<forms::Duration>")]
    pub max_age: Option<Located<Duration>>,
    /// Until the response's head is sent; after it only idle times count. Default 5m.
    #[schemars(with = "forms::Duration")]
    pub request: Located<Duration>,
    /// Silence on an upgraded connection (WebSocket). Default 1h.
    #[schemars(with = "forms::Duration")]
    pub upgrade_idle: Located<Duration>,
    /// Most age of an upgraded connection. Without it only `upgrade_idle` counts.
    #[schemars(with = "Option<forms::Duration>")]
    pub upgrade_max_age: Option<Located<Duration>>,
}

impl Default for ListenerTimeoutsConfig {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10).into(),
            body_idle: Duration::from_secs(30).into(),
            keepalive: Duration::from_secs(75).into(),
            max_age: None,
            request: Duration::from_secs(300).into(),
            upgrade_idle: Duration::from_secs(3600).into(),
            upgrade_max_age: None,
        }
    }
}

/// How the path of a request is normalised.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UriConfig {
    /// What happens to `%2F`. Default keep.
    pub escaped_slash: EscapedSlash,
    /// Whether `//` becomes `/`. Default true.
    pub merge_slashes: bool,
}

impl Default for UriConfig {
    fn default() -> Self {
        Self {
            escaped_slash: EscapedSlash::Keep,
            merge_slashes: true,
        }
    }
}

/// What happens to `%2F` in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscapedSlash {
    /// It stays as it is and does not part segments.
    #[default]
    Keep,
    /// It becomes `/`.
    Decode,
    /// The request is answered 400.
    Reject,
}
