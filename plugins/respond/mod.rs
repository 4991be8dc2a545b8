//! Kind `respond`: answers without an origin.

mod config;
mod filter;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::RespondConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Respond;

#[derive(Debug)]
struct Respond;

impl Kind for Respond {
    fn name(&self) -> &'static str {
        "respond"
    }

    fn summary(&self) -> &'static str {
        "answers without an origin"
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
        let config: RespondConfig = decode(table, diagnostics)?;
        let filter = config.compile(services, diagnostics)?;
        Some(Built::new(filter))
    }
}
