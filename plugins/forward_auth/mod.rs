//! Kind `forward_auth`: asks another service whether a request may pass.

mod answer;
mod ask;
mod config;
mod decisions;
mod filter;
mod flights;
mod question;
#[cfg(test)]
mod tests;
mod words;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use words::ForwardAuthConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &ForwardAuth;

#[derive(Debug)]
struct ForwardAuth;

impl Kind for ForwardAuth {
    fn name(&self) -> &'static str {
        "forward_auth"
    }

    fn summary(&self) -> &'static str {
        "asks another service whether a request may pass"
    }

    fn readme(&self) -> &'static str {
        include_str!("README.md")
    }

    fn example(&self) -> &'static str {
        include_str!("example.toml")
    }

    fn schema(&self) -> &'static str {
        words::SCHEMA
    }

    fn build(
        &self,
        _name: &str,
        table: &Table,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: ForwardAuthConfig = decode(table, diagnostics)?;
        config
            .compile(&table.place(), services, diagnostics)
            .map(Built::new)
    }
}
