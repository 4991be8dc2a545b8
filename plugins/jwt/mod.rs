//! Kind `jwt`: lets requests in by the tokens they carry.
//!
//! [`filter`] finds the token ([`place`]), looks whether it was verified before ([`cache`]), and
//! else has it judged ([`rules`]): read ([`token`]), its signature verified ([`key`], with the keys
//! of [`jwks`] in [`store`]), its claims checked ([`claims`]) and turned into an identity
//! ([`identity`]). Keys are fetched in the background ([`fetch`]) and kept on disk ([`disk`]).

mod algorithm;
mod cache;
mod claims;
mod compile;
mod config;
mod disk;
mod fetch;
mod filter;
mod identity;
mod jwks;
mod key;
mod metrics;
mod place;
mod providers;
mod refusal;
mod rules;
mod schema;
mod sources;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod url;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::JwtConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Jwt;

#[derive(Debug)]
struct Jwt;

impl Kind for Jwt {
    fn name(&self) -> &'static str {
        "jwt"
    }

    fn summary(&self) -> &'static str {
        "lets requests in by JSON Web Tokens of your identity providers"
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
        let config: JwtConfig = decode(table, diagnostics)?;
        let filter = config.compile(services, diagnostics)?;
        Some(Built::new(filter))
    }
}
