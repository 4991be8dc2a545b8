//! Kind `basic_auth`: asks for a user name and a password.

mod config;
mod filter;
mod flights;
mod login;
mod password;
#[cfg(test)]
mod tests;
mod users;
mod verdicts;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::BasicAuthConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &BasicAuth;

/// The word after `kind =`.
const NAME: &str = "basic_auth";

#[derive(Debug)]
struct BasicAuth;

impl Kind for BasicAuth {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "asks for a user name and a password"
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
        let config: BasicAuthConfig = decode(table, diagnostics)?;
        let filter = config.compile(services, diagnostics)?;
        Some(Built::new(filter))
    }
}
