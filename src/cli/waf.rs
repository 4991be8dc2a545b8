//! `waf`: works with the firewall's audit log.

mod learn;
mod path;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::exit;
use learn::Table;

/// Longer lines are no audit lines: those have at most about 200 KiB.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Words of `waf`.
#[derive(Args, Clone)]
pub(super) struct WafArgs {
    #[command(subcommand)]
    command: WafCommand,
}

#[derive(Subcommand, Clone)]
enum WafCommand {
    /// Proposes exclusions from an audit log, most frequent first, as TOML for the plugin's table.
    ///
    /// Only what detection-only plugins reported is taken, unless told otherwise: what a plugin that is on refused may
    /// have been an attack. Look at each proposal before you take it.
    Learn(LearnArgs),
}

#[derive(Args, Clone)]
struct LearnArgs {
    /// The audit log; - for standard input.
    #[arg(value_name = "AUDITLOG")]
    log: PathBuf,
    /// Of this plugin; without it the one with most lines.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Take lines of plugins that are on as well.
    #[arg(long)]
    all: bool,
    /// Propose what was seen at least so often.
    #[arg(long, value_name = "N", default_value_t = 1)]
    least: u64,
    /// Propose at most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    most: usize,
}

pub(super) fn waf(args: &WafArgs) -> u8 {
    let WafCommand::Learn(args) = &args.command;
    let read = if args.log == Path::new("-") {
        learn(BufReader::new(io::stdin().lock()), args)
    } else {
        File::open(&args.log).and_then(|file| learn(BufReader::new(file), args))
    };
    match read {
        Ok(table) => {
            out!(
                "{}",
                table.render(args.plugin.as_deref(), args.least, args.most)
            );
            exit::OK
        }
        Err(error) => {
            err!("farmgate: {}: {error}", args.log.display());
            exit::FAILED
        }
    }
}

/// Reads line by line: a log may be larger than memory.
fn learn(mut from: impl BufRead, args: &LearnArgs) -> io::Result<Table> {
    let mut table = Table::new(args.all);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut from)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(table);
        }
        // What is longer is read in pieces, none of which is a whole line.
        table.line(&line);
    }
}
