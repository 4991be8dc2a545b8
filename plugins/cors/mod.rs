//! Kind `cors`: says which other origins may read the answers, and answers preflights.

mod config;
mod filter;
mod origins;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::CorsConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Cors;

#[derive(Debug)]
struct Cors;

impl Kind for Cors {
    fn name(&self) -> &'static str {
        "cors"
    }

    fn summary(&self) -> &'static str {
        "says which other origins may read the answers, and answers preflights"
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
        let config: CorsConfig = decode(table, diagnostics)?;
        let filter = config.compile(services, diagnostics)?;
        Some(Built::new(filter))
    }
}
