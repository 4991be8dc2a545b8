//! `[server]`: the process itself. A change of `threads`, `control` or `state` needs an upgrade.

use farmgate_plugin_api::decode::{Located, RelPath};
use farmgate_plugin_api::units::{Duration, Ratio, Size};
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
    /// What stands before the node, and with it the defaults of `drain`, of every `timeouts.keepalive` and of every
    /// `health_path`. Words that are written stand. Default bare.
    #[schemars(with = "Platform")]
    pub platform: Located<Platform>,
    /// How in-flight work is finished on shutdown and upgrade.
    #[schemars(with = "DrainConfig")]
    pub drain: Located<DrainConfig>,
    /// How another process takes over.
    pub upgrade: UpgradeConfig,
    /// Most memory of bodies that are held back, over all requests: request bodies that a plugin wants whole before the
    /// origin is asked, and responses that one holds back. What finds no room is answered with 503. From 1MiB. Default
    /// 1GiB.
    #[schemars(with = "Option<forms::Size>")]
    pub body_memory: Option<Located<Size>>,
    /// From where on the node turns requests away, those of class `bulk` first.
    pub overload: OverloadConfig,
    /// Reload when a configuration file changes.
    pub watch: WatchConfig,
}

/// The load balancer before the node. What each fills in: docs/reference/platforms.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// None, or one that no other word is for.
    #[default]
    Bare,
    /// AWS Application Load Balancer: speaks HTTP itself, and keeps connections to the node for 60 s.
    AwsAlb,
    /// AWS Network Load Balancer: passes TCP on, and forgets a connection after 350 s without a packet.
    AwsNlb,
    /// Google Cloud Application Load Balancer: keeps connections to the node for 600 s.
    Gcp,
    /// Azure Load Balancer: passes TCP on, and forgets a connection after 4 minutes without a packet.
    Azure,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::AwsAlb => "aws-alb",
            Self::AwsNlb => "aws-nlb",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
        })
    }
}

/// How in-flight work is finished.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrainConfig {
    /// How long idle kept-alive connections wait for their next request once nothing new is accepted; longer than
    /// every `keepalive`. Default 80s, or as `platform` says.
    #[schemars(with = "forms::Duration")]
    pub idle_grace: Located<Duration>,
    /// When everything is over, finished or not, from the beginning of the drain, `lb_grace` included. Default 300s,
    /// or as `platform` says.
    #[schemars(with = "forms::Duration")]
    pub deadline: Located<Duration>,
    /// How long `health_path` answers 503 before the listeners close, for load balancers to notice. Not waited for
    /// when another process takes over. Default 0s, or as `platform` says.
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

/// The node's own overload. Above a limit it turns requests away in the order of their route's `class`, with 503 and
/// `overload`: all of `bulk` before any of `default`, and `critical` last and never all. Checks and operators are always
/// answered. A share of `0%` and a time of `0s` turn a limit off.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverloadConfig {
    /// Most CPU, of what the process may use (its cores, its cgroup's quota). Alone it sheds `bulk` only: a node that is
    /// busy all the time and answers at once has no more than it can do. Default 95%.
    #[schemars(with = "forms::Ratio")]
    pub cpu: Located<Ratio>,
    /// Most memory, of what the process may use (its cgroup's limit, the machine's memory). Default 90%.
    #[schemars(with = "forms::Ratio")]
    pub memory: Located<Ratio>,
    /// Most open files, of the process's limit. Default 90%.
    #[schemars(with = "forms::Ratio")]
    pub open_files: Located<Ratio>,
    /// How late tasks of the serving threads may run, on the mean of 200 ms. From 1ms to 1m. Default 400ms; a
    /// quarter of it is enough where the CPU is above its limit too.
    #[schemars(with = "forms::Duration")]
    pub loop_lag: Located<Duration>,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self {
            cpu: Ratio::percent(95).into(),
            memory: Ratio::percent(90).into(),
            open_files: Ratio::percent(90).into(),
            loop_lag: Duration::from_millis(400).into(),
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
