//! `farmgate-waf-suite peer`: the regression tests and the corpora through nginx with libmodsecurity.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use farmgate_waf_suite::overrides::{On, Overrides};
use farmgate_waf_suite::peer::Peer;
use farmgate_waf_suite::report::Report;
use farmgate_waf_suite::{corpus, load, places};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["peer"] => peer(),
        ["corpus", folder] => corpus(Path::new(folder)),
        _ => Err("usage: farmgate-waf-suite peer | corpus FOLDER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn rules() -> Result<(PathBuf, Vec<PathBuf>), String> {
    let folder = places::crs()?.ok_or_else(|| format!("set {}", places::CRS_VARIABLE))?;
    let files = vec![
        folder.join("crs-setup.conf.example"),
        folder.join("rules/*.conf"),
    ];
    Ok((folder, files))
}

fn peer() -> Result<(), String> {
    let (folder, rules) = rules()?;
    let stages = load::stages(&folder.join("tests"))?;
    let mut peer = Peer::start(&rules, &places::crs_test_settings())?;
    let mut seen = Vec::new();
    for stage in &stages {
        seen.push((
            stage,
            peer.ask(&stage.request)
                .map_err(|e| format!("{}: {e}", stage.id))?,
        ));
    }
    let report = Report::of(seen, &Overrides::default(), On::Engine)?;
    let version = Peer::version().unwrap_or_default();
    println!(
        "{}",
        report.text(&format!("nginx with libmodsecurity {version}"))
    );
    Ok(())
}

/// What the other engine does with a corpus, rules at their defaults, refusing.
fn corpus(folder: &Path) -> Result<(), String> {
    let (_, rules) = rules()?;
    let mut peer = Peer::start(&rules, "SecRuleEngine On\n")?;
    let samples = corpus::read(folder)?;
    let mut refused = 0;
    for sample in &samples {
        let seen = peer.ask(&sample.request)?;
        let rules: Vec<u64> = seen.found.iter().map(|found| found.rule).collect();
        refused += usize::from(seen.status == Some(403));
        println!("{} {} {rules:?}", seen.status.unwrap_or(0), sample.name);
    }
    println!("{refused} of {} refused", samples.len());
    Ok(())
}
