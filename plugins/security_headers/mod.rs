//! Kind `security_headers`: tells browsers to be careful, and hides what the origin is made of.

mod config;
mod csp;
mod filter;
#[cfg(test)]
mod tests;
mod words;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::SecurityHeadersConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &SecurityHeaders;

#[derive(Debug)]
struct SecurityHeaders;

impl Kind for SecurityHeaders {
    fn name(&self) -> &'static str {
        "security_headers"
    }

    fn summary(&self) -> &'static str {
        "tells browsers to be careful, and hides what the origin is made of"
    }

    fn readme(&self) -> &'static str {
        include_str!("README.md")
    }

    fn example(&self) -> &'static str {
        include_str!("example.toml")
    }

    fn schema(&self) -> &'static str {
        config::SCHEMA
    }

    fn build(
        &self,
        _name: &str,
        table: &Table,
        _services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: SecurityHeadersConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), diagnostics)?;
        Some(Built::new(filter))
    }
}
