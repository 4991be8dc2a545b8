//! What a request meets, one subject a file: status, body, fields towards the origin and the client,
//! the access log's line and the metric.

mod balance;
mod buffered;
mod cache;
pub(crate) mod cache_control;
mod cache_evidence;
mod conditions;
mod consumers;
mod deadlines;
mod fields;
mod gone;
mod gone_connecting;
mod gone_tls;
mod grpc;
mod guards;
mod hostile;
mod keepalive;
mod nginx;
mod per_try;
mod plugins;
mod plugins_ask;
mod plugins_grpc_web;
mod plugins_jwt;
mod plugins_keys;
mod plugins_limits;
mod plugins_squeeze;
mod proxy_protocol;
mod replies;
mod retries;
mod routing;
mod sockets;
mod streams;
mod timeouts;
mod upstream_proxy;
mod upstream_tls;
mod upstream_tls_http2;
mod upstream_tls_servers;
pub(crate) mod websocket;

/// One listener, one upstream, one route that takes everything. Further keys of the upstream follow.
pub(crate) const PLAIN: &str = r#"
[[listener]]
name = "web"
address = "@web"

[[route]]
name = "any"
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["@origin"]
"#;
