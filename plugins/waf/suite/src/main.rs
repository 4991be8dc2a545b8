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
        ["peer", "own"] => peer_own(),
        ["ask", rules, request] => ask(Path::new(rules), Path::new(request)),
        ["corpus", folder] => corpus(Path::new(folder)),
        _ => Err("usage: farmgate-waf-suite peer [own] | corpus FOLDER | ask RULES REQUEST".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The Core Rule Set for the other engine: its setup, settings, its rules.
fn crs_rules(settings: &str) -> Result<(PathBuf, String), String> {
    let folder = places::crs()?.ok_or_else(|| format!("set {}", places::CRS_VARIABLE))?;
    let at = folder.display();
    let text =
        format!("Include {at}/crs-setup.conf.example\n{settings}\nInclude {at}/rules/*.conf\n");
    Ok((folder, text))
}

/// The regression tests of the Core Rule Set.
fn peer() -> Result<(), String> {
    let (folder, rules) = crs_rules(&places::crs_test_settings())?;
    stages(&folder.join("tests"), &rules)
}

/// The project's own.
fn peer_own() -> Result<(), String> {
    let folder = places::ours();
    let settings = places::own_test_settings();
    let rules = format!("{settings}\nInclude {}/rules/*.conf\n", folder.display());
    stages(&folder.join("cases"), &rules)
}

fn stages(folder: &Path, rules: &str) -> Result<(), String> {
    let stages = load::stages(folder)?;
    let mut peer = Peer::start(rules)?;
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

/// What the other engine says of one request: a file of bytes, with rules of a file.
fn ask(rules: &Path, request: &Path) -> Result<(), String> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let rules = String::from_utf8(read(rules)?).map_err(|error| error.to_string())?;
    let seen = Peer::start(&rules)?.ask(&read(request)?)?;
    println!("{:?}", seen.status);
    for found in seen.found {
        println!("{}", String::from_utf8_lossy(&found.line));
    }
    Ok(())
}

/// What the other engine does with a corpus, rules at their defaults, refusing.
fn corpus(folder: &Path) -> Result<(), String> {
    let (_, rules) = crs_rules("SecRuleEngine On\n")?;
    let mut peer = Peer::start(&rules)?;
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
