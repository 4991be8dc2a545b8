//! The words of the `grpc_web` kind.

use farmgate_plugin_api::Services;
use serde::Deserialize;

use super::filter::GrpcWebFilter;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "others": {
      "enum": ["pass", "refuse"], "default": "pass",
      "description": "What becomes of requests that are neither gRPC-Web nor gRPC: pass them on, or refuse them with 415."
    }
  }
}"#;

/// The table of a `grpc_web` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrpcWebConfig {
    #[serde(default)]
    others: Others,
}

/// What becomes of requests that are neither gRPC-Web nor gRPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Others {
    /// They go on as they are.
    #[default]
    Pass,
    /// They get 415.
    Refuse,
}

impl GrpcWebConfig {
    pub(super) fn compile(self, services: &dyn Services) -> GrpcWebFilter {
        GrpcWebFilter {
            others: self.others,
            bridged: services.counter("bridged", "Requests that went on as gRPC."),
            refused: services.counter("refused", "Requests that were refused."),
        }
    }
}
