//! The words of the `forward_auth` kind.

use std::fmt;

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::Duration;
use farmgate_plugin_api::words::{RequestField, ResponseField};
use serde::Deserialize;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "url": { "type": "string", "description": "Who is asked: an http URL." },
    "upstream": { "type": "string", "description": "Instead of url: the upstream that is asked." },
    "path": { "type": "string", "default": "/", "description": "With upstream: the path, and query, that is asked for." },
    "method": { "enum": ["GET", "HEAD", "POST"], "default": "GET", "description": "The method of the question; it has no body." },
    "send_headers": { "type": "array", "items": { "type": "string" }, "maxItems": 32, "default": ["authorization", "cookie"], "description": "Request fields that go along." },
    "forward": { "type": "array", "items": { "enum": ["method", "uri", "path", "host", "proto", "client_ip"] }, "description": "What else goes along, as X-Forwarded-* fields." },
    "copy_headers": { "type": "array", "items": { "type": "string" }, "maxItems": 32, "description": "Fields of the answer that go on with the request, as an identity." },
    "client_headers": { "type": "array", "items": { "type": "string" }, "maxItems": 32, "description": "Fields of a refusal that the client gets." },
    "consumer": { "type": "string", "description": "The field of the answer that names the consumer." },
    "plan": { "type": "string", "description": "The field of the answer that names the consumer's plan." },
    "keep_credential": { "type": "boolean", "default": false, "description": "Leave the credentials in the request that goes on." },
    "timeout": { "type": "string", "default": "1s", "description": "How long an answer may take; at most 1m." },
    "max_waiting": { "type": "integer", "minimum": 1, "maximum": 1024, "default": 256, "description": "Questions that wait for their answer at once; more fail." },
    "cache": {
      "type": "object", "additionalProperties": false, "required": ["key"],
      "properties": {
        "key": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 16, "description": "The sources that tell decisions apart; whatever is sent must be among them." },
        "ttl": { "type": "string", "default": "30s", "description": "How long a decision is kept; at most 1h." },
        "max_entries": { "type": "integer", "minimum": 1, "maximum": 1000000, "default": 10000, "description": "Decisions that are kept." }
      },
      "description": "Decisions are kept; without it every request is asked about."
    }
  }
}"#;

/// The table of a `forward_auth` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardAuthConfig {
    pub(super) url: Option<Located<String>>,
    pub(super) upstream: Option<Located<String>>,
    pub(super) path: Option<Located<String>>,
    #[serde(default)]
    pub(super) method: QuestionMethod,
    pub(super) send_headers: Option<Located<Vec<Located<RequestField>>>>,
    pub(super) forward: Option<Located<Vec<Located<Forwarded>>>>,
    pub(super) copy_headers: Option<Located<Vec<Located<RequestField>>>>,
    pub(super) client_headers: Option<Located<Vec<ResponseField>>>,
    pub(super) consumer: Option<ResponseField>,
    pub(super) plan: Option<Located<ResponseField>>,
    #[serde(default)]
    pub(super) keep_credential: bool,
    pub(super) timeout: Option<Located<Duration>>,
    pub(super) max_waiting: Option<Located<u32>>,
    pub(super) cache: Option<CacheConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheConfig {
    pub(super) key: Located<Vec<Source>>,
    pub(super) ttl: Option<Located<Duration>>,
    pub(super) max_entries: Option<Located<u32>>,
}

/// The method of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum QuestionMethod {
    #[default]
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "HEAD")]
    Head,
    #[serde(rename = "POST")]
    Post,
}

/// What is told of a request beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Forwarded {
    /// `X-Forwarded-Method`.
    Method,
    /// `X-Forwarded-Uri`: path and query.
    Uri,
    /// `X-Forwarded-Uri`: the path alone.
    Path,
    /// `X-Forwarded-Host`.
    Host,
    /// `X-Forwarded-Proto`.
    Proto,
    /// `X-Forwarded-For`.
    ClientIp,
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "method",
            Self::Uri => "uri",
            Self::Path => "path",
            Self::Host => "host",
            Self::Proto => "proto",
            Self::ClientIp => "client_ip",
        })
    }
}
