//! The bench: start everything, load each contestant in turns, compare.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::case::{self, ALL, CRS_VARIABLE, Case, RuleFolder};
use crate::certificate::CertificateFiles;
use crate::contestant::{self, Contestant, Running, Setting};
use crate::engines;
use crate::generator::{Generator, Seen};
use crate::interrupt;
use crate::machine::Machine;
use crate::measure::{cpu_time, resident_mib};
use crate::process::{Process, free_port};
use crate::report::{self, CaseReport, Measured, Row};

/// Load average above which the bench says that its figures are not to be trusted.
const QUIET_LOAD: f64 = 0.7;
/// The longest wait for a contestant to come to rest, and how many looks without any CPU time are rest.
const SETTLE_LIMIT: Duration = Duration::from_secs(3);
const QUIET_STEPS: u32 = 3;
/// Memory with the face of a file system, on every Linux.
const MEMORY_FOLDER: &str = "/dev/shm";

/// What `bench` is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchOptions {
    /// Cases to run: folders of `cases`, or what stands before the first `_` of several, or `all`
    #[arg(default_value = "proxy")]
    cases: Vec<String>,
    /// Name the cases and what they ask, and run none
    #[arg(long)]
    list: bool,
    /// Seconds of each measured run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Rounds; each loads every contestant once, every other one in the opposite order
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of load before each measured run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    warm_up: u64,
    /// Only these contestants (all that are found when not given)
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
    /// Core of the contestants, and core of the generator and the origin
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1], value_name = "CORE,CORE")]
    cores: Vec<usize>,
    /// Also write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the ratios, but do not hold them against the budget
    #[arg(long)]
    no_budget: bool,
    /// The folder that holds `cases`, `rivals` and `generator.lua`
    #[arg(long, default_value = env!("CARGO_MANIFEST_DIR"))]
    folder: PathBuf,
}

impl BenchOptions {
    fn cores(&self) -> Result<(usize, usize), String> {
        match self.cores.as_slice() {
            [contestants, load] => Ok((*contestants, *load)),
            _ => Err("--cores wants two numbers, as in 0,1".into()),
        }
    }
}

/// Runs the cases. The exit code is 1 when a budget is exceeded or could not be checked.
pub(crate) fn run(options: &BenchOptions) -> Result<ExitCode, String> {
    let folder = options.folder.join("cases");
    if options.list {
        list(&folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::watch()?;
    let (core, load_core) = options.cores()?;
    let mut cases = case::chosen(&folder, &options.cases)?
        .iter()
        .map(|name| Case::open(&folder, name))
        .collect::<Result<Vec<_>, _>>()?;
    let rules = RuleFolder::find()?;
    let mut within = true;
    if rules.is_none() && cases.iter().any(|case| case.load.waf.is_some()) {
        println!(
            "waf: not run, set {CRS_VARIABLE} to a folder with the Core Rule Set (rules/ and crs-setup.conf.example)"
        );
        cases.retain(|case| case.load.waf.is_none());
        // Whoever asked for it by name wants to know.
        within = options.cases.iter().any(|word| word == ALL);
        if cases.is_empty() {
            return Ok(exit_code(within || options.no_budget));
        }
    }
    let contestants = find_contestants(&options.only, &cases)?;
    let machine = Machine::describe(&options.folder);
    println!(
        "{}; {} cores; Linux {}; commit {}; {}",
        machine.cpu, machine.cores, machine.kernel, machine.commit, machine.date
    );
    println!(
        "contestants on core {core}, generator and origin on core {load_core}; {} rounds of {} s",
        options.rounds, options.seconds
    );
    if core == load_core {
        println!("note: all on one core; CPU per request holds, rates and latencies do not");
    }

    if machine.load > QUIET_LOAD {
        println!(
            "note: this machine is busy (load {}); the figures will scatter",
            machine.load
        );
    }

    let mut reports = Vec::new();
    for case in &cases {
        let report = run_case(case, &contestants, rules.as_ref(), options)?;
        print!("\n{}", report.table());
        reports.push(report);
    }
    if let Some(file) = &options.json {
        let text = report::json(&machine, options.seconds, &reports);
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    for (case, report) in cases.iter().zip(&reports) {
        for verdict in report.verdicts(&case.budget) {
            match &verdict {
                Ok(line) | Err(line) => println!("{line}"),
            }
            within &= verdict.is_ok();
        }
    }
    Ok(exit_code(within || options.no_budget))
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the cases, those of a group one below the other.
fn list(folder: &Path) -> Result<(), String> {
    for name in case::names(folder)? {
        println!("{name:<20} {}", Case::open(folder, &name)?.title()?);
    }
    Ok(())
}

/// Those of `only` (of all that one of the cases is for, when empty) that are on this machine; the others are named
/// and left out.
fn find_contestants(only: &[String], cases: &[Case]) -> Result<Vec<Contestant>, String> {
    let wanted: Vec<&str> = if only.is_empty() {
        let is_wanted = |name: &&str| {
            let mut loads = cases.iter().map(|case| &case.load);
            loads.any(|load| contestant::takes_part(name, load))
        };
        contestant::names().filter(is_wanted).collect()
    } else {
        only.iter().map(String::as_str).collect()
    };
    let mut found = Vec::new();
    for name in wanted {
        match Contestant::find(name)? {
            Some(contestant) => found.push(contestant),
            None => println!("skipped: {name} (not found on this machine)"),
        }
    }
    Ok(found)
}

fn run_case(
    case: &Case,
    contestants: &[Contestant],
    rules: Option<&RuleFolder>,
    options: &BenchOptions,
) -> Result<CaseReport, String> {
    let (core, load_core) = options.cores()?;
    let folder = temporary(None)?;
    let rules = rules.filter(|_| case.load.waf.is_some());
    let levels = case.load.waf.as_ref().map(|waf| waf.in_process.as_slice());
    let engines = match (rules, levels) {
        (Some(rules), Some(levels @ [_, ..])) => {
            let bench = engines::Bench {
                sources: &options.folder,
                rules,
                core,
                folder: folder.path(),
                rounds: options.rounds,
            };
            Some(bench.run(case, levels)?)
        }
        _ => None,
    };
    let memory = match case.load.cache {
        Some(_) => Some(temporary(Some(Path::new(MEMORY_FOLDER)))?),
        None => None,
    };
    let (_origin, origin) = start_origin(case, load_core, folder.path())?;
    let script = options.folder.join("generator.lua");
    let generator = Generator::find(case, script, origin, load_core)?;
    let certificate = match case.load.tls {
        Some(_) => Some(CertificateFiles::make(folder.path())?),
        None => None,
    };
    let setting = Setting {
        rivals: &options.folder.join("rivals"),
        certificate: certificate.as_ref(),
        origin,
        core,
        folder: folder.path(),
        memory: memory.as_ref().map(TempDir::path),
        rules,
    };
    let mut started: Vec<(Row, Running)> = Vec::new();
    for contestant in contestants {
        if !contestant::takes_part(contestant.name(), &case.load) {
            // Those that other cases name are no news here.
            if !contestant.is_named() {
                println!("skipped: {} is not for {}", contestant.name(), case.name);
            }
            continue;
        }
        match start(case, contestant, &setting, &generator) {
            Ok(running) => started.push((Row::new(contestant, case), running)),
            // One that does not start must not hide the others; the budget sees that it is missing.
            Err(reason) => println!("skipped: {reason}"),
        }
    }
    // Many short rounds: a machine that is disturbed for seconds disturbs some of them, not the median.
    for _ in 0..options.rounds {
        started.reverse();
        for (row, running) in &mut started {
            let load =
                |running: &Running, seconds| generator.run(case, running, seconds, folder.path());
            let warm_up = load(running, options.warm_up)?;
            if rules.is_some() {
                settle(running)?;
            }
            let seen = load(running, options.seconds)?;
            running.process.check_alive()?;
            row.rounds.push(measured(row.name, seen, &warm_up)?);
        }
        interrupt::pause()?;
    }
    if options.rounds % 2 == 1 {
        started.reverse();
    }
    if rules.is_some() {
        for (row, running) in &mut started {
            row.resident_mib = Some(resident_mib(running.process.id())?);
        }
    }
    let rows = started.into_iter().map(|(row, _)| row).collect();
    Ok(CaseReport::new(case, &generator.version, rows, engines))
}

/// Waits until a contestant has done what the warm-up left it. Where a request takes tens of milliseconds, those whose
/// clients have gone are some of the few that fit into a run.
fn settle(running: &mut Running) -> Result<(), String> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    let mut before = cpu_time(running.process.id())?;
    let mut quiet = 0;
    while quiet < QUIET_STEPS && Instant::now() < deadline {
        interrupt::pause()?;
        running.process.check_alive()?;
        let now = cpu_time(running.process.id())?;
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
    Ok(())
}

fn temporary(parent: Option<&Path>) -> Result<TempDir, String> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("farmgate-load-");
    match parent {
        Some(parent) => builder
            .tempdir_in(parent)
            .map_err(|error| format!("a temporary folder in {}: {error}", parent.display())),
        None => builder
            .tempdir()
            .map_err(|error| format!("a temporary folder: {error}")),
    }
}

/// Starts a contestant, and shows a cache what it is to have.
fn start(
    case: &Case,
    contestant: &Contestant,
    setting: &Setting<'_>,
    generator: &Generator,
) -> Result<Running, String> {
    let running = contestant.start(case, setting)?;
    generator
        .warm(case, &running, setting.folder)
        .map_err(|reason| format!("{} was not warmed: {reason}", contestant.name()))?;
    Ok(running)
}

fn measured(name: &str, seen: Seen, warm_up: &Seen) -> Result<Measured, String> {
    let Seen {
        run,
        cpu,
        origin_fetches,
    } = seen;
    if run.requests == 0 {
        return Err(format!("{name} answered nothing"));
    }
    Ok(Measured {
        cpu_us_per_request: cpu.as_secs_f64() * 1e6 / run.requests as f64,
        core_busy: cpu.as_secs_f64() * 1e6 / run.duration_us.max(1) as f64,
        warm_up_losses: warm_up.run.losses(),
        origin_fetches,
        run,
    })
}

fn start_origin(case: &Case, core: usize, folder: &Path) -> Result<(Process, SocketAddr), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let kind = match case.load.cache {
        Some(_) => "origin-storable",
        None => "origin-fixed",
    };
    let mut arguments = vec![
        kind.to_owned(),
        format!("--listen={address}"),
        format!("--size={}", case.load.response_bytes),
    ];
    if case.load.cache.is_none() {
        arguments.push(format!("--request-bytes={}", case.load.content.len()));
    }
    if let Some(cache) = &case.load.cache {
        arguments.push(format!("--head-ms={}", cache.head_ms()));
        arguments.push(format!("--body-ms={}", cache.body_ms()));
    }
    let log = folder.join("origin.log");
    let mut origin = Process::start(kind, &own, &arguments, core, log)?;
    while TcpStream::connect(address).is_err() {
        origin.check_alive()?;
        interrupt::pause()?;
    }
    Ok((origin, address))
}
