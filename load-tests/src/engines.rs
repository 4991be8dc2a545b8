//! The engines of firewalls without a proxy around them: Farmgate's ([`crate::judge`]) and libmodsecurity's
//! (`modsecurity.c`), each a process of one thread on the contestants' core that judges the case's request.

mod report;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::report::EngineRow;
pub(crate) use self::report::EnginesReport;
use crate::case::{Case, Load, RuleFolder, numbered};
use crate::contestant::Places;
use crate::generator::parse;
use crate::interrupt;
use crate::process::{Process, find};

/// Name of the one under test.
const FARMGATE: &str = "farmgate-waf";
/// Name of the rival.
const MODSECURITY: &str = "libmodsecurity";
/// How long rules may take to be compiled. The rival needs some seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// CPU time of a turn, and of the warm-up before it.
const TURN: Duration = Duration::from_millis(200);
const WARM_UP: Duration = Duration::from_millis(50);
/// How much longer than its CPU time a turn may take: the core may be busy with something else.
const SLACK: Duration = Duration::from_secs(60);

/// What came out of a turn.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judged {
    pub(crate) requests: u64,
    /// CPU time of the process.
    pub(crate) cpu_us: u64,
    /// Whether the rules refused the request. It is benign: at paranoia level 1 none may.
    pub(crate) refused: bool,
}

/// Where the engines work, and with what.
pub(crate) struct Bench<'a> {
    /// The folder `load-tests`.
    pub(crate) sources: &'a Path,
    pub(crate) rules: &'a RuleFolder,
    pub(crate) core: usize,
    /// An empty one.
    pub(crate) folder: &'a Path,
    pub(crate) rounds: u32,
}

impl Bench<'_> {
    /// Lets all engines judge the request of `case` at its levels of paranoia, in turns.
    /// One that is not on this machine is named and left out.
    pub(crate) fn run(&self, case: &Case, levels: &[u8]) -> Result<EnginesReport, String> {
        let modsecurity = match self.compile_modsecurity() {
            Ok(program) => Some(program),
            Err(reason) => {
                println!("skipped: {MODSECURITY} ({reason})");
                None
            }
        };
        let mut judges = Vec::new();
        for level in levels {
            judges.push(self.farmgate(case, *level)?);
            if let Some(program) = &modsecurity {
                match self.modsecurity(program, &case.load, *level) {
                    Ok(judge) => judges.push(judge),
                    Err(reason) => println!("skipped: {MODSECURITY} ({reason})"),
                }
            }
        }
        for _ in 0..self.rounds {
            judges.reverse();
            for judge in &mut judges {
                judge.turn(WARM_UP)?;
                let judged = judge.turn(TURN)?;
                judge.row.rounds.push(judged);
            }
            interrupt::pause()?;
        }
        if self.rounds % 2 == 1 {
            judges.reverse();
        }
        let rows = judges.into_iter().map(|judge| judge.row).collect();
        Ok(EnginesReport::new(&case.name, rows))
    }

    fn farmgate(&self, case: &Case, level: u8) -> Result<Judge, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let RuleFolder(rules) = self.rules;
        let words: [OsString; 5] = [
            "judge".into(),
            format!("--paranoia={level}").into(),
            "--rules".into(),
            rules.into(),
            "--load".into(),
        ];
        let load = case.folder.join("load.toml").into();
        self.start(FARMGATE, level, &own, words.into_iter().chain([load]))
    }

    fn modsecurity(&self, program: &Path, load: &Load, level: u8) -> Result<Judge, String> {
        let folder = self.folder.join(format!("{MODSECURITY}-{level}"));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<PathBuf, String>(path)
        };
        let template = self.sources.join("rivals/waf/modsecurity.conf");
        let text = fs::read_to_string(&template)
            .map_err(|error| format!("{}: {error}", template.display()))?;
        let mut places = Places::default();
        places.add("FOLDER", folder.display());
        places.add("CRS", self.rules.0.display());
        places.add("PARANOIA", level);
        let rules = write("modsecurity.conf", places.fill(&text).as_bytes())?;
        let request = write("request", &numbered(&raw(load), 1))?;
        self.start(
            MODSECURITY,
            level,
            program,
            [rules, request].map(OsString::from),
        )
    }

    fn start(
        &self,
        name: &'static str,
        level: u8,
        program: &Path,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Judge, String> {
        let log = self.folder.join(format!("{name}-{level}.log"));
        let mut process = Process::start_listening(name, program, words, self.core, log)?;
        let ready = process.line(0, START_LIMIT)?;
        let version = ready
            .strip_prefix("READY ")
            .ok_or_else(|| format!("{name} is not ready: {ready}"))?;
        Ok(Judge {
            process,
            row: EngineRow::new(name, level, version),
        })
    }

    /// The rival's program, compiled. The reason it gives says what is missing.
    fn compile_modsecurity(&self) -> Result<PathBuf, String> {
        let compiler = find("CC", "cc")?.ok_or("no C compiler; apt-get install gcc")?;
        let program = self.folder.join("modsecurity");
        let output = Command::new(compiler)
            .args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-o"])
            .arg(&program)
            .arg(self.sources.join("modsecurity.c"))
            .arg("-lmodsecurity")
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(program);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let first = said
            .lines()
            .find(|line| line.contains("error"))
            .unwrap_or("cc failed");
        Err(format!("{first}; apt-get install libmodsecurity-dev"))
    }
}

/// A running engine.
struct Judge {
    process: Process,
    row: EngineRow,
}

impl Judge {
    fn turn(&mut self, cpu: Duration) -> Result<Judged, String> {
        self.process.tell(&cpu.as_millis().to_string())?;
        self.row.turns += 1;
        let line = self.process.line(self.row.turns, cpu + SLACK)?;
        let judged: Judged = parse(&line)?;
        match judged.requests {
            0 => Err(format!("{} judged nothing", self.row.name)),
            _ => Ok(judged),
        }
    }
}

/// The request as it goes over a connection.
fn raw(load: &Load) -> Vec<u8> {
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\n",
        load.method(),
        load.target,
        load.host
    );
    for line in &load.headers {
        text = text + line + "\r\n";
    }
    if load.body.is_some() {
        text = text + "Content-Length: " + &load.content.len().to_string() + "\r\n";
    }
    [text.as_bytes(), b"\r\n", &load.content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_requests_are_what_their_documents_say() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
        let load = |name: &str| Case::open(&cases, name).unwrap().load;
        let get = load("waf_get");
        let text = String::from_utf8(raw(&get)).unwrap();
        assert_eq!(text.len(), 1010);
        assert_eq!(text.split("\r\n").count() - 3, 11, "headers");
        assert_eq!(get.target.matches('=').count(), 4, "arguments");
        let cookie = get.headers.iter().find(|line| line.starts_with("cookie:"));
        assert_eq!(cookie.unwrap().matches("; ").count(), 3, "cookies");
        let json: serde_json::Value = serde_json::from_slice(&load("waf_json").content).unwrap();
        assert_eq!(leaves(&json), 97);
        let form = load("waf_form");
        assert_eq!(form.content.split(|byte| *byte == b'&').count(), 132);
        for (name, kib) in [("waf_json", 2.05), ("waf_form", 16.3)] {
            let load = load(name);
            assert!(
                (load.content.len() as f64 / 1024.0 - kib).abs() < 0.05,
                "{name}"
            );
            assert!(raw(&load).starts_with(b"POST /v1/"));
            assert!(raw(&load).ends_with(&load.content));
        }
        let memory = load("waf_memory");
        assert_eq!(raw(&memory), raw(&get));
    }

    fn leaves(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => items.iter().map(leaves).sum(),
            serde_json::Value::Object(members) => members.values().map(leaves).sum(),
            _ => 1,
        }
    }
}
