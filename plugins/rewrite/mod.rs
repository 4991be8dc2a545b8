//! Kind `rewrite`: changes path, query and host towards the origin.

mod config;
mod filter;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::RewriteConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Rewrite;

#[derive(Debug)]
struct Rewrite;

impl Kind for Rewrite {
    fn name(&self) -> &'static str {
        "rewrite"
    }

    fn summary(&self) -> &'static str {
        "changes path, query and host towards the origin"
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
        let config: RewriteConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), diagnostics)?;
        Some(Built::new(filter))
    }
}
