//! Kind `fault`: delays, aborts and throttles some requests on purpose, for a limited time.

mod active;
mod config;
mod filter;
mod moment;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::FaultConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Fault;

#[derive(Debug)]
struct Fault;

impl Kind for Fault {
    fn name(&self) -> &'static str {
        "fault"
    }

    fn summary(&self) -> &'static str {
        "delays, aborts and throttles some requests on purpose, for a limited time"
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
        let config: FaultConfig = decode(table, diagnostics)?;
        config
            .compile(&table.place(), services, diagnostics)
            .map(Built::new)
    }
}
