//! Kind `validate`: refuses requests that are not as a JSON Schema or an OpenAPI document says.

mod body;
mod config;
mod contract;
mod document;
mod fault;
mod filter;
mod json;
mod media;
mod openapi;
mod schema;
mod schemas;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::ValidateConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Validate;

#[derive(Debug)]
struct Validate;

impl Kind for Validate {
    fn name(&self) -> &'static str {
        "validate"
    }

    fn summary(&self) -> &'static str {
        "refuses requests that are not as a JSON Schema or an OpenAPI document says"
    }

    fn readme(&self) -> &'static str {
        include_str!("README.md")
    }

    fn example(&self) -> &'static str {
        include_str!("example.toml")
    }

    fn schema(&self) -> &'static str {
        schema::SCHEMA
    }

    fn build(
        &self,
        _name: &str,
        table: &Table,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: ValidateConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), services, diagnostics)?;
        Some(Built::new(filter))
    }
}
