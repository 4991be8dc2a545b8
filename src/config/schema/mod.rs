//! JSON Schema (draft 2020-12) of the configuration, for editors and for `farmgate schema`.

pub mod forms;
mod kinds;
mod plain;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::words::{
    AdminConfig, CacheConfig, CachePolicyConfig, DefaultsConfig, ListenerConfig, RouteConfig,
    ServerConfig, TelemetryConfig, TlsConfig, UpstreamConfig,
};

/// The top of a file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Farmgate configuration")]
#[expect(dead_code, reason = "only its schema is used")]
struct Document {
    /// The process; in one file at most.
    #[schemars(default)]
    server: ServerConfig,
    /// The read-only address; in one file at most.
    admin: Option<AdminConfig>,
    /// Log, metrics, explain; in one file at most.
    #[schemars(default)]
    telemetry: TelemetryConfig,
    /// For every route that does not say otherwise; in one file at most.
    #[schemars(default)]
    defaults: DefaultsConfig,
    /// The shared cache; in one file at most.
    cache: Option<CacheConfig>,
    /// Bound addresses.
    #[schemars(default)]
    listener: Vec<ListenerConfig>,
    /// Certificates and rules of TLS, by name.
    #[schemars(default)]
    tls: Vec<TlsConfig>,
    /// Named groups of endpoints.
    #[schemars(default)]
    upstream: Vec<UpstreamConfig>,
    /// What of the answers is kept, by name.
    #[schemars(default)]
    cache_policy: Vec<CachePolicyConfig>,
    /// What goes where.
    #[schemars(default)]
    route: Vec<RouteConfig>,
    /// Named plugins.
    #[schemars(default)]
    plugin: Vec<forms::NamedPlugin>,
}

/// The schema of a file, with the options of every kind in `kinds`: (kind, its JSON Schema).
///
/// # Errors
/// A kind's schema is no JSON object; the text names the kind.
pub fn schema(kinds: &[(&str, &str)]) -> Result<Value, String> {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = generator.into_root_schema_for::<Document>().to_value();
    plain::make_plain(&mut root);
    kinds::plug_in(&mut root, kinds)?;
    Ok(root)
}

#[cfg(test)]
mod tests;
