//! Kind `compression`: compresses answers on their way to clients, and decodes what clients send compressed.

pub mod accept;
mod config;
mod encoder;
mod filter;
mod inflating;
mod kinds;
mod places;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::CompressionConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Compression;

#[derive(Debug)]
struct Compression;

impl Kind for Compression {
    fn name(&self) -> &'static str {
        "compression"
    }

    fn summary(&self) -> &'static str {
        "compresses answers, and decodes what clients send compressed"
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
        let config: CompressionConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), services, diagnostics)?;
        Some(Built::new(filter))
    }
}
