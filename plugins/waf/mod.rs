//! Kind `waf`: a web application firewall that runs SecLang rules, the OWASP Core Rule Set above all.
//!
//! The engine is the package `farmgate-waf` beside this room; here it meets requests. [`config`] has
//! the words, [`rules`] the files and their sharing, [`filter`] the phases of a request, [`exclude`]
//! the exclusions, [`audit`] the log, [`redact`] what it hides, [`encoding`] compressed bodies.

mod audit;
mod config;
mod encoding;
mod exclude;
mod filter;
mod metrics;
mod redact;
mod response;
mod rules;
mod schema;
#[cfg(test)]
mod tests;
mod verdict;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::WafConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &Waf;

#[derive(Debug)]
struct Waf;

impl Kind for Waf {
    fn name(&self) -> &'static str {
        "waf"
    }

    fn summary(&self) -> &'static str {
        "a web application firewall that runs SecLang rules, as the OWASP Core Rule Set"
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
        name: &str,
        table: &Table,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Built> {
        let config: WafConfig = decode(table, diagnostics)?;
        let filter = config.compile(name, services, diagnostics)?;
        Some(Built::new(filter))
    }
}
