//! Kind `api_key`: lets in who has a key, and says who that is.

mod config;
mod consumers;
mod filter;
mod keys;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::ApiKeyConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &ApiKey;

/// The word after `kind =`.
const NAME: &str = "api_key";

#[derive(Debug)]
struct ApiKey;

impl Kind for ApiKey {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "lets in who has a key, and says who that is"
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
        let config: ApiKeyConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), services, diagnostics)?;
        Some(Built::new(filter))
    }
}
