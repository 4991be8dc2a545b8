//! Kind `headers`: removes, sets and adds header fields of requests and responses.

mod config;
mod filter;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Table, decode};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::{Built, Filter, Kind, Phases, Services};

use config::HeadersConfig;
use filter::HeadersFilter;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Headers;

#[derive(Debug)]
struct Headers;

impl Kind for Headers {
    fn name(&self) -> &'static str {
        "headers"
    }

    fn summary(&self) -> &'static str {
        "removes, sets and adds header fields of requests and responses"
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
        let config: HeadersConfig = decode(table, diagnostics)?;
        let filter = HeadersFilter::from(config);
        if filter.phases() == Phases::NONE {
            let text = "this plugin edits nothing";
            diagnostics.push(
                Diagnostic::warning(codes::IDLE, &table.place(), text)
                    .with_help("write request = { ... } or response = { ... }"),
            );
        }
        Some(Built::new(filter))
    }
}
