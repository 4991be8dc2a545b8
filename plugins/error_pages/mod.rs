//! Kind `error_pages`: pages for errors, as HTML or problem+json, as the client asks.

mod accept;
mod config;
mod filter;
mod page;
mod status;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::ErrorPagesConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &ErrorPages;

#[derive(Debug)]
struct ErrorPages;

impl Kind for ErrorPages {
    fn name(&self) -> &'static str {
        "error_pages"
    }

    fn summary(&self) -> &'static str {
        "pages for errors, as HTML or problem+json, as the client asks"
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
        let config: ErrorPagesConfig = decode(table, diagnostics)?;
        let filter = config.compile(services, diagnostics)?;
        Some(Built::new(filter))
    }
}
