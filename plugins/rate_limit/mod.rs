//! Kind `rate_limit`: limits requests per client, user or anything else.

mod compile;
mod config;
mod exempt;
mod fields;
mod filter;
mod gcra;
mod in_flight;
mod saved;
mod schema;
mod show;
mod store;
mod tier;
mod tiers;
mod top;
mod waiting;

#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::RateLimitConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &RateLimit;

#[derive(Debug)]
struct RateLimit;

impl Kind for RateLimit {
    fn name(&self) -> &'static str {
        "rate_limit"
    }

    fn summary(&self) -> &'static str {
        "limits requests per client, user or anything else"
    }

    fn readme(&self) -> &'static str {
        include_str!("README.md")
    }

    fn example(&self) -> &'static str {
        include_str!("example.toml")
    }

    fn schema(&self) -> &'static str {
        schema::SCHEMA
    }

    fn build(
        &self,
        _name: &str,
        table: &Table,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: RateLimitConfig = decode(table, diagnostics)?;
        let filter = config.compile(&table.place(), services, diagnostics)?;
        Some(Built::new(filter))
    }
}
