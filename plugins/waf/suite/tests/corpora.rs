//! Requests that nobody may refuse, and attacks that must be, with the rules at their defaults.

use std::sync::Arc;

use farmgate_waf::plan::Plan;
use farmgate_waf::seclang::EngineMode;
use farmgate_waf_suite::corpus::{self, Sample};
use farmgate_waf_suite::{engine, places};

fn plan() -> Option<Arc<Plan>> {
    let Some(folder) = places::crs().unwrap() else {
        println!(
            "corpora with the CRS: not run ({} is not set)",
            places::CRS_VARIABLE
        );
        return None;
    };
    let rules = engine::load_crs_plain(&folder).unwrap();
    Some(Plan::compile(&rules, &engine::paranoia(1)).0)
}

fn samples(name: &str, least: usize) -> Vec<Sample> {
    let samples = corpus::read(&places::ours().join(name)).unwrap();
    assert!(
        samples.len() >= least,
        "{} of {least} in {name}",
        samples.len()
    );
    samples
}

/// The samples that do not end with one of these statuses, each with the rules that matched.
fn others(plan: &Arc<Plan>, samples: &[Sample], statuses: &[u16]) -> Vec<String> {
    let runs = samples.iter().filter_map(|sample| {
        let run = engine::run(plan, EngineMode::On, &sample.request);
        assert_eq!(run.refused, None, "{}", sample.name);
        let rules: Vec<u64> = run
            .transaction
            .matches()
            .iter()
            .map(|each| each.rule)
            .collect();
        (!statuses.contains(&run.status))
            .then(|| format!("{} {} {rules:?}", sample.name, run.status))
    });
    runs.collect()
}

#[test]
fn benign_requests_pass() {
    let samples = samples("benign", 150);
    if let Some(plan) = plan() {
        let blocked = others(&plan, &samples, &[200]);
        println!(
            "benign corpus: {} of {} blocked at paranoia 1",
            blocked.len(),
            samples.len()
        );
        assert!(blocked.is_empty(), "{}", blocked.join("\n"));
    }
}

#[test]
fn attacks_are_refused() {
    let samples = samples("attacks", 60);
    if let Some(plan) = plan() {
        let passed = others(&plan, &samples, &[403]);
        println!(
            "attack corpus: {} of {} passed at paranoia 1",
            passed.len(),
            samples.len()
        );
        assert!(passed.is_empty(), "{}", passed.join("\n"));
    }
}
