//! Kind `redirect`: sends the client to another place.

mod config;
mod filter;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::RedirectConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Redirect;

#[derive(Debug)]
struct Redirect;

impl Kind for Redirect {
    fn name(&self) -> &'static str {
        "redirect"
    }

    fn summary(&self) -> &'static str {
        "sends the client to another place"
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
        let config: RedirectConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), diagnostics)?;
        Some(Built::new(filter))
    }
}
