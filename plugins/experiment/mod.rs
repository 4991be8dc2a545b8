//! Kind `experiment`: shares requests out to the variants of an experiment, the same for the same key.

mod cohort;
mod config;
mod filter;
mod force;
mod visitor;

#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::ExperimentConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Experiment;

#[derive(Debug)]
struct Experiment;

impl Kind for Experiment {
    fn name(&self) -> &'static str {
        "experiment"
    }

    fn summary(&self) -> &'static str {
        "shares requests out to the variants of an experiment, the same for the same key"
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
        name: &str,
        table: &Table,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: ExperimentConfig = decode(table, diagnostics)?;
        let filter = config.compile(name, services, diagnostics)?;
        Some(Built::new(filter))
    }
}
