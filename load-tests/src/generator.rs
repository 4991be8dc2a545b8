//! The load generators: wrk for plain HTTP/1.1, our own where there is TLS or a cache. All are one thread in a closed
//! loop: each connection sends its next request when it has the answer, so the latencies are those of a saturated
//! proxy.

use std::env;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cached;
use crate::case::{Case, Load};
use crate::client::Outcome;
use crate::contestant::Running;
use crate::measure::cpu_time;
use crate::process::{Process, find, first_line};

/// How much longer than asked a run may take before it is given up.
const SLACK: Duration = Duration::from_secs(30);

/// What the generator measured in one run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Answers received, of any status; or handshakes finished.
    pub(crate) requests: u64,
    /// Length of the run.
    pub(crate) duration_us: u64,
    /// Bytes received; by our own client, of bodies.
    pub(crate) bytes: u64,
    /// Half of the answers came within this.
    pub(crate) p50_us: u64,
    /// 99 of 100 answers came within this.
    pub(crate) p99_us: u64,
    /// 999 of 1000 answers came within this.
    pub(crate) p999_us: u64,
    /// Connections that could not be made, or not with the case's cryptography.
    pub(crate) connect_errors: u64,
    /// Connections that broke while an answer was awaited.
    pub(crate) read_errors: u64,
    /// Connections that broke while a request was sent.
    pub(crate) write_errors: u64,
    /// Answers that took longer than 2 s.
    pub(crate) timeouts: u64,
    /// Answers with a status of 400 and above; for our own client, with another than 2xx or another body.
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
}

/// A run, with what it cost and brought about beside it.
pub(crate) struct Seen {
    /// What the generator measured.
    pub(crate) run: Run,
    /// CPU time that the contestant spent on it.
    pub(crate) cpu: Duration,
    /// Requests at the origin per request or per group; None where there is no cache.
    pub(crate) origin_fetches: Option<f64>,
}

/// Reads the line that `generator.lua`, our own client or a judge prints.
pub(crate) fn parse<T: DeserializeOwned>(printed: &str) -> Result<T, String> {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .ok_or_else(|| format!("the generator printed no result: {printed}"))?;
    serde_json::from_str(line).map_err(|error| format!("the generator's result `{line}`: {error}"))
}

/// A generator, found, with what it runs.
pub(crate) struct Generator {
    program: PathBuf,
    core: usize,
    kind: Kind,
    /// What it calls itself.
    pub(crate) version: String,
}

enum Kind {
    /// With its script.
    Wrk(PathBuf),
    /// `farmgate-load client`.
    Own,
    /// `farmgate-load cached`, with the address of the origin.
    Cached(SocketAddr),
}

impl Generator {
    /// The one for `case` with its `origin`. wrk is found by $WRK or in PATH; `script` is generator.lua.
    pub(crate) fn find(
        case: &Case,
        script: PathBuf,
        origin: SocketAddr,
        core: usize,
    ) -> Result<Self, String> {
        let own = |kind, version: &str| {
            Ok(Self {
                program: env::current_exe().map_err(|error| error.to_string())?,
                core,
                kind,
                version: version.to_owned(),
            })
        };
        if case.load.cache.is_some() {
            return own(Kind::Cached(origin), "farmgate-load cached");
        }
        if case.load.tls.is_some() {
            return own(Kind::Own, "farmgate-load client (BoringSSL, hyper)");
        }
        let program = find("WRK", "wrk")?
            .ok_or("wrk is missing: apt-get install wrk, or name one with $WRK")?;
        let version = first_line(&program, &["-v"]).unwrap_or_default();
        // "wrk debian/4.1.0-3+b2 [epoll] Copyright ...": the rest is of no interest.
        let version = version.split(" [").next().unwrap_or_default().to_owned();
        Ok(Self {
            program,
            core,
            kind: Kind::Wrk(script),
            version,
        })
    }

    /// Makes a cache store what the case asks for; nothing where there is none. Fails when it does not store it.
    pub(crate) fn warm(
        &self,
        case: &Case,
        contestant: &Running,
        folder: &Path,
    ) -> Result<(), String> {
        match &self.kind {
            Kind::Cached(origin) => {
                let arguments = cached_arguments(case, contestant, *origin, 0);
                self.print(arguments, 0, folder).map(|_| ())
            }
            Kind::Wrk(_) | Kind::Own => Ok(()),
        }
    }

    /// Loads a contestant for `seconds`; `folder` takes the generator's output.
    pub(crate) fn run(
        &self,
        case: &Case,
        contestant: &Running,
        seconds: u64,
        folder: &Path,
    ) -> Result<Seen, String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, contestant.port));
        let watched = contestant.process.id();
        match &self.kind {
            Kind::Wrk(script) => {
                let arguments = wrk_arguments(&case.load, script, address, seconds);
                let before = cpu_time(watched)?;
                let run = parse(&self.print(arguments, seconds, folder)?)?;
                Ok(Seen {
                    run,
                    cpu: cpu_time(watched)?.saturating_sub(before),
                    origin_fetches: None,
                })
            }
            Kind::Own => {
                let arguments = vec![
                    "client".into(),
                    "--load".into(),
                    case.folder.join("load.toml").into(),
                    format!("--address={address}").into(),
                    format!("--watch={watched}").into(),
                    format!("--seconds={seconds}").into(),
                ];
                let outcome: Outcome = parse(&self.print(arguments, seconds, folder)?)?;
                Ok(Seen {
                    cpu: outcome.cpu(),
                    run: outcome.run,
                    origin_fetches: None,
                })
            }
            Kind::Cached(origin) => {
                let arguments = cached_arguments(case, contestant, *origin, seconds);
                let outcome: cached::Outcome = parse(&self.print(arguments, seconds, folder)?)?;
                Ok(Seen {
                    cpu: Duration::from_micros(outcome.cpu_us),
                    origin_fetches: Some(outcome.origin_fetches()),
                    run: outcome.run,
                })
            }
        }
    }

    fn print(
        &self,
        arguments: Vec<OsString>,
        seconds: u64,
        folder: &Path,
    ) -> Result<String, String> {
        let log = folder.join("generator.log");
        let process = Process::start("generator", &self.program, arguments, self.core, log)?;
        process.finish(Duration::from_secs(seconds) + SLACK)
    }
}

fn cached_arguments(
    case: &Case,
    contestant: &Running,
    origin: SocketAddr,
    seconds: u64,
) -> Vec<OsString> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, contestant.port));
    vec![
        "cached".into(),
        "--load".into(),
        case.folder.join("load.toml").into(),
        format!("--address={address}").into(),
        format!("--origin={origin}").into(),
        format!("--watch={}", contestant.process.id()).into(),
        format!("--seconds={seconds}").into(),
    ]
}

fn wrk_arguments(load: &Load, script: &Path, address: SocketAddr, seconds: u64) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "-t1".into(),
        format!("-c{}", load.connections).into(),
        format!("-d{seconds}s").into(),
        "-s".into(),
        script.into(),
    ];
    // In these letters: wrk adds a Host of its own beside any other spelling.
    let host = format!("Host: {}", load.host);
    for header in load.headers.iter().chain([&host]) {
        arguments.extend(["-H".into(), header.into()]);
    }
    arguments.push(format!("http://{address}{}", load.target).into());
    let body = load.body.as_ref().map_or("-".into(), OsString::from);
    arguments.extend(["--".into(), body]);
    if load.numbered {
        arguments.push("numbered".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_result_among_other_lines() {
        let run: Run = parse(
            "Running 1s test\n  1 threads\nRESULT {\"requests\":10,\"duration_us\":2000000,\
             \"bytes\":5,\"p50_us\":1,\"p99_us\":2,\"p999_us\":3,\"connect_errors\":1,\
             \"read_errors\":2,\"write_errors\":3,\"timeouts\":4,\"bad_statuses\":5}\n",
        )
        .unwrap();
        assert_eq!(run.losses(), 15);
        assert_eq!(run.rate(), 5.0);
        assert!(parse::<Run>("unable to connect\n").is_err());
    }
}
