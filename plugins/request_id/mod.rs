//! Kind `request_id`: gives every request an id.

mod config;
mod filter;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::RequestIdConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &RequestId;

#[derive(Debug)]
struct RequestId;

impl Kind for RequestId {
    fn name(&self) -> &'static str {
        "request_id"
    }

    fn summary(&self) -> &'static str {
        "gives every request an id, or keeps a trusted one"
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
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: RequestIdConfig = decode(table, diagnostics)?;
        Some(Built::new(config.compile(services)))
    }
}
