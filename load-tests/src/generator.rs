//! The load generator: wrk, one thread, closed loop. Each connection sends its next request
//! when it has the answer, so the latencies are those of a saturated proxy.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::case::Load;
use crate::process::{Process, find, first_line};

/// How much longer than asked a run may take before it is given up.
const SLACK: Duration = Duration::from_secs(30);

/// What the generator measured in one run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Answers received, of any status.
    pub(crate) requests: u64,
    /// Length of the run.
    pub(crate) duration_us: u64,
    /// Bytes received.
    pub(crate) bytes: u64,
    /// Half of the answers came within this.
    pub(crate) p50_us: u64,
    /// 99 of 100 answers came within this.
    pub(crate) p99_us: u64,
    /// 999 of 1000 answers came within this.
    pub(crate) p999_us: u64,
    /// Connections that could not be made.
    pub(crate) connect_errors: u64,
    /// Connections that broke while an answer was awaited.
    pub(crate) read_errors: u64,
    /// Connections that broke while a request was sent.
    pub(crate) write_errors: u64,
    /// Answers that took longer than wrk's 2 s.
    pub(crate) timeouts: u64,
    /// Answers with a status of 400 and above.
    pub(crate) bad_statuses: u64,
}

impl Run {
    /// Requests that went wrong, in whatever way.
    pub(crate) fn losses(&self) -> u64 {
        self.connect_errors
            + self.read_errors
            + self.write_errors
            + self.timeouts
            + self.bad_statuses
    }

    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.duration_us.max(1) as f64
    }

    /// Reads the line that `generator.lua` prints.
    fn parse(printed: &str) -> Result<Self, String> {
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))
            .ok_or_else(|| format!("wrk printed no result: {printed}"))?;
        serde_json::from_str(line).map_err(|error| format!("wrk's result `{line}`: {error}"))
    }
}

/// wrk, found, with what it runs.
pub(crate) struct Generator {
    program: PathBuf,
    script: PathBuf,
    core: usize,
    /// What it calls itself.
    pub(crate) version: String,
}

impl Generator {
    /// Finds wrk by $WRK or in PATH; `script` is generator.lua.
    pub(crate) fn find(script: PathBuf, core: usize) -> Result<Self, String> {
        let program = find("WRK", "wrk")?
            .ok_or("wrk is missing: apt-get install wrk, or name one with $WRK")?;
        let version = first_line(&program, &["-v"]).unwrap_or_default();
        // "wrk debian/4.1.0-3+b2 [epoll] Copyright ...": the rest is of no interest.
        let version = version.split(" [").next().unwrap_or_default().to_owned();
        Ok(Self {
            program,
            script,
            core,
            version,
        })
    }

    /// Loads the proxy on loopback `port` for `seconds`; `folder` takes wrk's output.
    pub(crate) fn run(
        &self,
        load: &Load,
        port: u16,
        seconds: u64,
        folder: &Path,
    ) -> Result<Run, String> {
        let mut arguments: Vec<OsString> = vec![
            "-t1".into(),
            format!("-c{}", load.connections).into(),
            format!("-d{seconds}s").into(),
            "-s".into(),
            self.script.clone().into(),
        ];
        // In these letters: wrk adds a Host of its own beside any other spelling.
        let host = format!("Host: {}", load.host);
        for header in load.headers.iter().chain([&host]) {
            arguments.extend(["-H".into(), header.into()]);
        }
        arguments.push(format!("http://127.0.0.1:{port}{}", load.target).into());
        let log = folder.join("wrk.log");
        let wrk = Process::start("wrk", &self.program, arguments, self.core, log)?;
        Run::parse(&wrk.finish(Duration::from_secs(seconds) + SLACK)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_result_among_other_lines() {
        let run = Run::parse(
            "Running 1s test\n  1 threads\nRESULT {\"requests\":10,\"duration_us\":2000000,\
             \"bytes\":5,\"p50_us\":1,\"p99_us\":2,\"p999_us\":3,\"connect_errors\":1,\
             \"read_errors\":2,\"write_errors\":3,\"timeouts\":4,\"bad_statuses\":5}\n",
        )
        .unwrap();
        assert_eq!(run.losses(), 15);
        assert_eq!(run.rate(), 5.0);
        assert!(Run::parse("unable to connect\n").is_err());
    }
}
