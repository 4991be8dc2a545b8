//! The front: one file per command. Words are parsed here, exit codes decided here.

/// Prints a line; a reader that left is no reason to panic.
macro_rules! out {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

/// The same on standard error.
macro_rules! err {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

mod catalogue;
mod check;
mod client;
mod docs;
mod explain;
mod manual;
mod operate;
pub mod origin;
mod purge;
mod run;
mod schema;
mod status;
mod waf;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What a command ends with.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// Refused, or failed for a reason that is not the configuration.
    pub const FAILED: u8 = 1;
    /// The command line is wrong (sysexits EX_USAGE).
    pub const USAGE: u8 = 64;
    /// Nobody answers at the control socket (EX_UNAVAILABLE).
    pub const UNAVAILABLE: u8 = 69;
    /// The configuration is wrong (EX_CONFIG).
    pub const CONFIG: u8 = 78;
}

/// A proxy farm: routes, balances, filters, explains and reloads.
#[derive(Parser)]
#[command(name = "farmgate", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is.
#[derive(Args, Clone)]
pub struct ConfigArgs {
    /// A file or a folder (its *.toml by name); may be given several times.
    #[arg(long, value_name = "PATH", default_value = "/etc/farmgate", num_args = 1..)]
    config: Vec<PathBuf>,
}

/// How to reach a node.
#[derive(Args, Clone)]
pub struct NodeArgs {
    /// The node's control socket.
    #[arg(
        long,
        value_name = "SOCK",
        env = "FARMGATE_CONTROL",
        default_value = "/run/farmgate/control.sock"
    )]
    control: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Serves; the first start is a reload from nothing.
    Run {
        #[command(flatten)]
        config: ConfigArgs,
        /// If the configuration is wrong, start with the last good one kept in the state folder.
        #[arg(long)]
        last_good: bool,
    },
    /// Compiles everything `run` would and reports every mistake; binds nothing.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Warnings count as errors.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// The decision for a request: offline with --config, or of a request a node served by its id.
    Explain(explain::ExplainArgs),
    /// Generation, listeners, upstreams, endpoints, plugins of a running node.
    Status(NodeArgs),
    /// The same, refreshed.
    Top {
        #[command(flatten)]
        node: NodeArgs,
        /// Seconds between two looks.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
        interval: u64,
        /// Stop after so many looks; 0 for never.
        #[arg(long, default_value_t = 0)]
        count: u64,
    },
    /// Reads the configuration again, here; all or nothing.
    ///
    /// Six settings need `farmgate upgrade`: server.threads, server.control, server.state, admin.address, cache.disk
    /// and cache.durability.
    Reload(operate::WaitArgs),
    /// Another process takes over.
    ///
    /// It is started from the binary and the configuration on disk, takes the sockets once it is ready, and the old one
    /// finishes what it has under way. If it cannot serve, the old one goes on and the exit code is 1. This is what
    /// `systemctl reload farmgate` runs.
    Upgrade(operate::WaitArgs),
    /// Finishes what runs and stops.
    Drain(operate::WaitArgs),
    /// The last 20 configurations.
    History(NodeArgs),
    /// Back to an earlier configuration.
    Rollback {
        #[command(flatten)]
        node: NodeArgs,
        /// The generation; without it the one before the current.
        generation: Option<u64>,
    },
    /// Opens log files again, after logrotate moved them.
    ReopenLogs(NodeArgs),
    /// Purges the cache of a node: what is purged is not served any more, on disk too.
    ///
    /// One kind of selector, several times if need be. It is in force when the command returns, and written down: neither
    /// a crash nor a restart brings back what was purged.
    Purge(purge::PurgeArgs),
    /// Changes an endpoint at run time: drain, enable, weight N.
    Endpoint {
        #[command(flatten)]
        node: NodeArgs,
        /// The upstream's name.
        upstream: String,
        /// The endpoint as written in the configuration.
        address: String,
        /// drain, enable or weight.
        #[arg(value_parser = ["drain", "enable", "weight"])]
        action: String,
        /// With weight: from 0 to 1000000.
        weight: Option<u32>,
    },
    /// Opens or closes a circuit breaker.
    Breaker {
        #[command(flatten)]
        node: NodeArgs,
        /// The upstream's name.
        upstream: String,
        /// open: nothing is sent; close: everything is; auto: as the configuration says.
        #[arg(value_parser = ["open", "close", "auto"])]
        action: String,
    },
    /// Switches a named plugin off or on.
    Plugin {
        #[command(flatten)]
        node: NodeArgs,
        /// The plugin's name.
        name: String,
        /// off or on.
        #[arg(value_parser = ["off", "on"])]
        state: String,
    },
    /// Works with the firewall's audit log.
    Waf(waf::WafArgs),
    /// JSON Schema of the configuration.
    Schema,
    /// The plugin kinds of this build, or the options of one.
    Plugins {
        /// The kind.
        kind: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The small demo and test origin.
    Origin(origin::OriginOptions),
    /// Prints completions for a shell: `source <(farmgate completions bash)`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Writes the generated reference.
    #[command(hide = true)]
    Docs {
        /// The folder.
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes the manual pages.
    #[command(hide = true)]
    Man {
        /// The folder.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Runs the command line; the process's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Printing may fail when the reader is gone; there is nobody left to tell.
            let _ = error.print();
            return if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
        }
    };
    match cli.command {
        Command::Run { config, last_good } => run::run(config.config, last_good),
        Command::Check {
            config,
            json,
            deny_warnings,
        } => check::check(&config.config, json, deny_warnings),
        Command::Explain(args) => explain::explain(&args),
        Command::Status(node) => status::status(&node),
        Command::Top {
            node,
            interval,
            count,
        } => status::top(&node, interval, count),
        Command::Reload(args) => operate::reload(&args),
        Command::Drain(args) => operate::drain(&args),
        Command::Upgrade(args) => operate::upgrade(&args),
        Command::Purge(args) => purge::purge(&args),
        Command::Breaker {
            node,
            upstream,
            action,
        } => operate::breaker(&node, &upstream, &action),
        Command::Waf(args) => waf::waf(&args),
        Command::History(node) => operate::history(&node),
        Command::Rollback { node, generation } => operate::rollback(&node, generation),
        Command::ReopenLogs(node) => operate::reopen_logs(&node),
        Command::Endpoint {
            node,
            upstream,
            address,
            action,
            weight,
        } => operate::endpoint(&node, &upstream, &address, &action, weight),
        Command::Plugin { node, name, state } => operate::plugin(&node, &name, state == "on"),
        Command::Schema => schema::schema(),
        Command::Plugins { kind, json } => schema::plugins(kind.as_deref(), json),
        Command::Origin(options) => run::origin(options),
        Command::Completions { shell } => manual::completions(shell),
        Command::Docs { out } => docs::write(&out),
        Command::Man { out } => manual::write(&out),
    }
}
