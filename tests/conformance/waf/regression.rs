//! The regression tests of the Core Rule Set where there is one, and the project's own everywhere.

use farmgate_waf_suite::corpus;
use farmgate_waf_suite::judge::Evidence;
use farmgate_waf_suite::load::{self, Stage};
use farmgate_waf_suite::overrides::{On, Overrides};
use farmgate_waf_suite::places;
use farmgate_waf_suite::report::Report;

use super::live::Live;

const DETECTION: &str = "engine = \"detection_only\"\nparanoia = 4";
const REFUSING: &str = "engine = \"on\"\nparanoia = 1";

const CRS: [&str; 2] = ["crs-setup.conf.example", "rules/*.conf"];

async fn report(live: &Live, stages: &[Stage], overrides: &Overrides, title: &str) {
    let requests: Vec<(String, Vec<u8>)> = stages
        .iter()
        .map(|stage| (stage.id.clone(), stage.request.clone()))
        .collect();
    let mut seen = live.ask(&requests).await;
    live.logged(&requests, &mut seen).await;
    let report = Report::of(stages.iter().zip(seen), overrides, On::Proxy)
        .expect("tests with sound regexes");
    println!("{}", report.text(title));
    report.verdict().unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crs_over_sockets() {
    let Some(folder) = places::crs().expect("a rule set") else {
        println!("CRS suite: not run ({} is not set)", places::CRS_VARIABLE);
        return;
    };
    let live = Live::start(&folder, &CRS, &places::crs_test_settings(), DETECTION).await;
    let stages = load::stages(&folder.join("tests")).expect("tests that load");
    let overrides =
        Overrides::read(&places::ours().join("overrides.toml")).expect("overrides that load");
    report(&live, &stages, &overrides, "CRS suite, over sockets").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_rules_over_sockets() {
    let folder = places::ours();
    let patterns = [
        "rules/10-setup.conf",
        "rules/20-request.conf",
        "rules/30-response.conf",
    ];
    let live = Live::start(&folder, &patterns, "", DETECTION).await;
    let stages = load::stages(&folder.join("cases")).expect("tests that load");
    report(
        &live,
        &stages,
        &Overrides::default(),
        "own rules, over sockets",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpora_over_sockets() {
    let Some(folder) = places::crs().expect("a rule set") else {
        println!(
            "corpora with the CRS: not run ({} is not set)",
            places::CRS_VARIABLE
        );
        return;
    };
    let live = Live::start(&folder, &CRS, "", REFUSING).await;
    for (name, status) in [("benign", 200), ("attacks", 403)] {
        let samples = corpus::read(&places::ours().join(name)).expect("a corpus");
        let requests: Vec<(String, Vec<u8>)> = samples
            .into_iter()
            .map(|sample| (sample.name, sample.request))
            .collect();
        let seen = live.ask(&requests).await;
        let wrong = |evidence: &Evidence| evidence.status != Some(status);
        let wrong: Vec<String> = requests
            .iter()
            .zip(&seen)
            .filter(|(_, evidence)| wrong(evidence))
            .map(|((name, _), evidence)| format!("{name}: {:?}", evidence.status))
            .collect();
        println!(
            "{name} corpus over sockets: {} of {} not {status}",
            wrong.len(),
            seen.len()
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
