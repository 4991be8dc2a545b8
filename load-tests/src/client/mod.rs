//! The generator of the cases with TLS, in a process of its own so that it has a core of its own: [`dial`] opens
//! connections, [`exchange`] asks on them, [`drive`] does so in closed loops, [`tally`] counts.

pub(crate) mod dial;
mod drive;
pub(crate) mod exchange;
pub(crate) mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::dial::Dial;
use self::exchange::Order;
use crate::case::Load;
use crate::generator::Run;

/// How long a connection or an answer may take; wrk's limit too.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What the client is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientOptions {
    /// The case's load.toml
    #[arg(long)]
    load: PathBuf,
    /// Address of the contestant
    #[arg(long)]
    address: SocketAddr,
    /// Process of the contestant, whose CPU time is read
    #[arg(long)]
    watch: u32,
    /// Length of the run
    #[arg(long)]
    seconds: u64,
}

/// What came out of a run.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// What was seen from outside.
    pub(crate) run: Run,
    cpu_us: u64,
}

impl Outcome {
    fn new(run: Run, cpu: Duration) -> Self {
        Self {
            run,
            cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// CPU time of the watched process during the run.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_us)
    }
}

/// Runs once and prints the outcome as `RESULT` and a line of JSON.
pub(crate) fn run(options: &ClientOptions) -> Result<ExitCode, String> {
    let load = Load::read(&options.load)?;
    let order = Order::new(&load)?;
    let dial = Dial::new(options.address, &load, None)?;
    let length = Duration::from_secs(options.seconds);
    let outcome = runtime()?.block_on(drive::drive(load, dial, order, length, options.watch))?;
    let line = serde_json::to_string(&outcome).map_err(|error| error.to_string())?;
    println!("RESULT {line}");
    Ok(ExitCode::SUCCESS)
}

/// One thread for everything.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
