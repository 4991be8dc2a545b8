//! Kind `grpc_web`: browsers talk to gRPC services.

mod config;
mod filter;
#[cfg(test)]
mod tests;

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use farmgate_plugin_api::{Built, Kind, Services};

use config::GrpcWebConfig;

/// The kind, for the list of all kinds.
pub const KIND: &dyn Kind = &GrpcWeb;

#[derive(Debug)]
struct GrpcWeb;

impl Kind for GrpcWeb {
    fn name(&self) -> &'static str {
        "grpc_web"
    }

    fn summary(&self) -> &'static str {
        "makes gRPC of browsers' gRPC-Web, and back"
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
        let config: GrpcWebConfig = decode(table, diagnostics)?;
        Some(Built::new(config.compile(services)))
    }
}
