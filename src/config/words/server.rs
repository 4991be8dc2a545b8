//! `[server]`: the process itself. A change of `threads`, `control` or `state` needs an upgrade.

use farmgate_plugin_api::decode::{Located, RelPath};
use farmgate_plugin_api::units::Duration;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::schema::forms;

/// The process: threads, sockets, state and how it ends.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Worker threads; 0 (the default) is one per core. Changed by `farmgate upgrade`, not by a reload.
    #[schemars(with = "u16", range(max = 1024))]
    pub threads: Located<u16>,
    /// Path of the control socket. Without it `$RUNTIME_DIRECTORY/control.sock`, or none without that variable.
    #[schemars(with = "Option<forms::Path>")]
    pub control: Option<Located<RelPath>>,
    /// Folder for what outlives the process: last good configuration, history, discovered endpoints.
    /// Without it nothing outlives the process.
    #[schemars(with = "Option<forms::Path>")]
    pub state: Option<Located<RelPath>>,
    /// The zone this node runs in, compared with the `zone` of endpoints.
    pub zone: Option<String>,
    /// How in-flight work is finished on shutdown and upgrade.
    #[schemars(with = "DrainConfig")]
    pub drain: Located<DrainConfig>,
    /// How another process takes over.
    pub upgrade: UpgradeConfig,
    /// Reload when a configuration file changes.
    pub watch: WatchConfig,
}

/// How in-flight work is finished.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrainConfig {
    /// How long idle kept-alive connections are still served; longer than every `keepalive`. Default 80s.
    #[schemars(with = "forms::Duration")]
    pub idle_grace: Located<Duration>,
    /// When everything is over, finished or not. Default 300s.
    #[schemars(with = "forms::Duration")]
    pub deadline: Located<Duration>,
    /// How long `health_path` answers 503 before the listeners close, for load balancers to notice. Default 0s.
    #[schemars(with = "forms::Duration")]
    pub lb_grace: Located<Duration>,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            idle_grace: Duration::from_secs(80).into(),
            deadline: Duration::from_secs(300).into(),
            lb_grace: Duration::ZERO.into(),
        }
    }
}

/// How another process takes over.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpgradeConfig {
    /// How long the check, and then the start of the new process, may take; after that it is killed and this one
    /// serves on. From 1s to 1h. Default 30s.
    #[schemars(with = "forms::Duration")]
    pub ready: Located<Duration>,
    /// How many old processes may drain at once; a further upgrade is refused. Default 3.
    #[schemars(with = "u8", range(min = 1, max = 16))]
    pub draining: Located<u8>,
}

impl Default for UpgradeConfig {
    fn default() -> Self {
        Self {
            ready: Duration::from_secs(30).into(),
            draining: 3.into(),
        }
    }
}

/// Reload on change of a file.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchConfig {
    /// Watch the configuration files and reload when one changes. Default false.
    pub enabled: bool,
    /// How long the files must be quiet before the reload. Default 500ms.
    #[schemars(with = "forms::Duration")]
    pub debounce: Located<Duration>,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            debounce: Duration::from_millis(500).into(),
        }
    }
}
