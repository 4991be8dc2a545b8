//! Kind `mirror`: sends copies of some requests to another upstream, and nobody waits for them.

mod config;
mod filter;
mod json;
mod json_path;
mod places;
mod redact;
mod send;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::MirrorConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Mirror;

#[derive(Debug)]
struct Mirror;

impl Kind for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    fn summary(&self) -> &'static str {
        "sends copies of some requests to another upstream, and nobody waits for them"
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
        let config: MirrorConfig = decode(table, diagnostics)?;
        config
            .compile(&table.place(), services, diagnostics)
            .map(Built::new)
    }
}
