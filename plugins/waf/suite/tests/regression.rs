//! The regression tests of the Core Rule Set where there is one, and the project's own everywhere.

use farmgate_waf::plan::Plan;
use farmgate_waf::seclang::{EngineMode, Source};
use farmgate_waf_suite::overrides::{On, Overrides};
use farmgate_waf_suite::report::Report;
use farmgate_waf_suite::{engine, load, places};

#[test]
fn crs_in_process() {
    let Some(folder) = places::crs().unwrap() else {
        println!("CRS suite: not run ({} is not set)", places::CRS_VARIABLE);
        return;
    };
    let rules = engine::load_crs(&folder).unwrap();
    let (plan, _) = Plan::compile(&rules, &engine::paranoia(4));
    let stages = load::stages(&folder.join("tests")).unwrap();
    let overrides = Overrides::read(&places::ours().join("overrides.toml")).unwrap();
    let seen = stages.iter().map(|stage| {
        let run = engine::run(&plan, EngineMode::DetectionOnly, &stage.request);
        (stage, run.evidence(&stage.output))
    });
    let report = Report::of(seen, &overrides, On::Engine).unwrap();
    println!("{}", report.text("CRS suite, in process"));
    report.verdict().unwrap();
}

#[test]
fn own_rules_in_process() {
    let folder = places::ours();
    let sources = [Source::Pattern("rules/*.conf".into())];
    let rules = engine::load(&folder, &sources).unwrap();
    let (plan, _) = Plan::compile(&rules, &engine::paranoia(4));
    let stages = load::stages(&folder.join("cases")).unwrap();
    let seen = stages.iter().map(|stage| {
        let run = engine::run(&plan, EngineMode::DetectionOnly, &stage.request);
        (stage, run.evidence(&stage.output))
    });
    let report = Report::of(seen, &Overrides::default(), On::Engine).unwrap();
    println!("{}", report.text("own rules, in process"));
    report.verdict().unwrap();
}
