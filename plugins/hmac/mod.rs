//! Kind `hmac`: lets in requests that are signed, as webhooks are.

mod claim;
mod config;
mod filter;
mod scheme;
mod seen;
mod sign;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::HmacConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &HmacKind;

/// The word after `kind =`.
const NAME: &str = "hmac";

#[derive(Debug)]
struct HmacKind;

impl Kind for HmacKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "lets in requests that are signed, as webhooks are"
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
        let config: HmacConfig = decode(table, diagnostics)?;
        let filter = config.compile(name, services, diagnostics)?;
        Some(Built::new(filter))
    }
}
