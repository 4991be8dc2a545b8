//! Kind `access_control`: lets clients in by their address.

mod cidr_set;
mod config;
mod filter;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::AccessControlConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &AccessControl;

#[derive(Debug)]
struct AccessControl;

impl Kind for AccessControl {
    fn name(&self) -> &'static str {
        "access_control"
    }

    fn summary(&self) -> &'static str {
        "lets clients in by their address"
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
        let config: AccessControlConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), services, diagnostics)?;
        Some(Built::new(filter))
    }
}
