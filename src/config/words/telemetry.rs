//! `[telemetry]`: the evidence a request leaves.

use std::fmt;

use farmgate_plugin_api::decode::{Located, RelPath, current};
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// Access log, metrics, and the ring behind `farmgate explain ID`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// One line per request. Without it none is written.
    #[schemars(with = "Option<AccessLogConfig>")]
    pub access_log: Option<Located<AccessLogConfig>>,
    /// Bounds of the metrics.
    pub metrics: MetricsConfig,
    /// Requests kept for `farmgate explain ID`.
    pub explain: ExplainConfig,
}

/// Where the access log goes and what it holds.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLogConfig {
    /// `stdout`, `journald` or a path. A file is opened again by `farmgate reopen-logs`.
    #[schemars(with = "String")]
    pub path: Located<LogTarget>,
    /// Form of a line. Default json.
    #[serde(default)]
    pub format: LogFormat,
    /// Request headers to log besides the fixed fields. Credential headers stay redacted.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 32))]
    pub request_headers: Vec<Located<String>>,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// The systemd journal, by its native protocol.
    Journald,
    /// A file.
    File(RelPath),
}

impl<'de> Deserialize<'de> for LogTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = LogTarget;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"stdout\", \"journald\" or a path")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<LogTarget, E> {
                Ok(match text {
                    "" => return Err(E::custom("an empty path names no file")),
                    "stdout" => LogTarget::Stdout,
                    "journald" => LogTarget::Journald,
                    path => LogTarget::File(RelPath::at(path, current::folder().as_deref())),
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Bounds of the metrics.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Most time series; over it label values fold into "other". Default 20000.
    #[schemars(with = "u32", range(min = 100, max = 10_000_000))]
    pub max_series: Located<u32>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            max_series: 20_000.into(),
        }
    }
}

/// The ring behind `farmgate explain ID`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainConfig {
    /// Requests kept; 0 keeps none. Default 20000.
    #[schemars(with = "u32", range(max = 10_000_000))]
    pub keep: Located<u32>,
}

impl Default for ExplainConfig {
    fn default() -> Self {
        Self {
            keep: 20_000.into(),
        }
    }
}
