//! What bad requests cost: `cargo run --release -p farmgate-waf-suite --example worst -- [--size BYTES]
//! [--seconds SECONDS] [--regexes] [NAME]`, with the Core Rule Set that `FARMGATE_CRS_DIR` names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farmgate_waf::operators::regex;
use farmgate_waf::plan::{Plan, RuleSet};
use farmgate_waf::transaction::Limits;
use farmgate_waf_suite::worst::search::{self, Genome};
use farmgate_waf_suite::worst::{Case, corpus, words};
use farmgate_waf_suite::{engine, places};

struct Asked {
    size: usize,
    seconds: u64,
    regexes: bool,
    name: String,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        size: 64 * 1024,
        seconds: 0,
        regexes: false,
        name: String::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let next = words.next().unwrap_or_default();
            next.parse::<u64>()
                .map_err(|error| format!("{word} {next}: {error}"))
        };
        match word.as_str() {
            "--size" => {
                asked.size = usize::try_from(number()?).map_err(|error| error.to_string())?;
            }
            "--seconds" => asked.seconds = number()?,
            "--regexes" => asked.regexes = true,
            name => asked.name = name.to_owned(),
        }
    }
    Ok(asked)
}

fn main() -> Result<(), String> {
    let asked = asked()?;
    let rules = match places::crs()? {
        Some(folder) => engine::load_crs_plain(&folder)?,
        None => engine::load(
            &places::ours(),
            &[farmgate_waf::seclang::Source::Pattern(
                "rules/*.conf".into(),
            )],
        )?,
    };
    if asked.regexes {
        regexes(&rules, &asked);
        return Ok(());
    }
    let all = words::of(&rules);
    let plans = [1, 4].map(|level| Plan::compile(&rules, &engine::paranoia(level)).0);
    println!(
        "{:26} {:>7}  {:>22}  {:>22}",
        "ns, units per byte, ratio", "bytes", "paranoia 1", "paranoia 4"
    );
    let before = resident();
    for case in corpus::cases(asked.size, &all) {
        if case.name.starts_with(&asked.name) {
            row(&case, &plans);
        }
    }
    println!(
        "this thread keeps {} KiB more than before; a microsecond has {:.0} units",
        resident().saturating_sub(before),
        farmgate_waf::work::calibrate()
    );
    heap(&asked, &all, &plans);
    if asked.seconds > 0 {
        let half = Duration::from_secs(asked.seconds) / 2;
        let [plan, _] = &plans;
        for (title, by_time) in [("most units", false), ("most time", true)] {
            let begin = Instant::now();
            let (genome, score) = search::climb(
                7,
                &all,
                |_| begin.elapsed() < half,
                |genome| score(&genome.case(2048), plan, by_time),
            );
            println!("\n{title} per byte: {score:.0}\n{genome:?}");
            row(&genome.case(asked.size), &plans);
        }
    }
    Ok(())
}

/// KiB of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// Which requests take most memory for each of their bytes, many of them at the same time.
fn heap(asked: &Asked, words: &[Vec<u8>], plans: &[Arc<Plan>]) {
    const HELD: usize = 32;
    let mut all: Vec<(f64, String)> = Vec::new();
    for case in corpus::cases(asked.size, words) {
        let Some(plan) = plans.last() else { return };
        let before = resident();
        let held: Vec<_> = (0..HELD)
            .map(|_| case.run(plan, Limits::default()))
            .collect();
        let more = resident().saturating_sub(before) * 1024;
        all.push((
            more as f64 / (held.len() * case.bytes()) as f64,
            case.name.clone(),
        ));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (factor, name) in all.iter().take(6) {
        println!(
            "{name:26} {factor:6.1} bytes of memory a byte (paranoia 4, as the system sees it)"
        );
    }
}

fn score(case: &Case, plan: &Arc<Plan>, by_time: bool) -> f64 {
    let (work, took) = case.measure(plan, Limits::default(), if by_time { 2 } else { 1 });
    let cost = if by_time {
        took.as_nanos() as f64
    } else {
        work as f64
    };
    cost / case.bytes() as f64
}

fn row(case: &Case, plans: &[Arc<Plan>]) {
    let bytes = case.bytes();
    let mut line = format!("{:26} {bytes:7}", case.name);
    for plan in plans {
        let (work, took) = case.measure(plan, Limits::default(), 3);
        let per = |value: f64| value / bytes as f64;
        let (time, work) = (per(took.as_nanos() as f64), per(work as f64));
        line += &format!("  {time:8.1} {work:8.1} {:4.2}", time / work);
    }
    println!("{line}");
}

/// The worst string for every regex alone.
fn regexes(rules: &RuleSet, asked: &Asked) {
    let mut all = Vec::new();
    for (id, pattern) in words::regexes(rules) {
        if !asked.name.is_empty() && !id.to_string().starts_with(&asked.name) {
            continue;
        }
        let Ok(compiled) = regex::compile(pattern) else {
            continue;
        };
        let pieces: Vec<Vec<u8>> = pattern
            .split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
            .filter(|word| !word.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        let time = |genome: &Genome, size: usize| {
            let text = genome.text(size);
            let mut best = Duration::MAX;
            for _ in 0..2 {
                let begin = Instant::now();
                std::hint::black_box(compiled.is_match(std::hint::black_box(&text)));
                best = best.min(begin.elapsed());
            }
            best.as_nanos() as f64 / size as f64
        };
        let begin = Instant::now();
        let budget = Duration::from_millis(asked.seconds.max(1) * 1000 / 10);
        let (genome, _) = search::climb(
            id,
            &pieces,
            |_| begin.elapsed() < budget,
            |genome| time(genome, 4096),
        );
        all.push((time(&genome, asked.size), id, genome));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (time, id, genome) in all.iter().take(40) {
        println!(
            "{id} {time:8.1} ns/byte  {}",
            genome.text(100).escape_ascii()
        );
    }
}
