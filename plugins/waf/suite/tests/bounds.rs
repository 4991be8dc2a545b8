//! Bounds of the engine: what a client piles up before its attack must not hide the attack.

use std::sync::Arc;

use farmgate_waf::plan::{Plan, PlanOptions};
use farmgate_waf::seclang::{EngineMode, Source};
use farmgate_waf_suite::engine::{self, Run};
use farmgate_waf_suite::places;

/// Runs a request by the rules, folded and naive; both must have the status.
fn run(rules: &str, head: &str, status: u16) -> Run {
    let source = Source::Text {
        name: "rules".into(),
        text: rules.into(),
    };
    let rules = engine::load(&places::ours(), &[source]).unwrap();
    let plans: [Arc<Plan>; 2] = [
        Plan::compile(&rules, &PlanOptions::default()).0,
        Plan::naive(&rules, &PlanOptions::default()).0,
    ];
    let request = format!("{head}\r\n\r\n");
    let [plan, naive] = plans.map(|plan| engine::run(&plan, EngineMode::On, request.as_bytes()));
    assert_eq!((plan.status, naive.status), (status, status));
    plan
}

/// A list with an attack inside.
fn list(before: usize, harmless: &str, attack: &str, after: usize, separator: &str) -> String {
    let some = |from, count| (from..from + count).map(|at| format!("a{at}={harmless}"));
    some(0, before)
        .chain([format!("x{attack}")])
        .chain(some(before, after))
        .collect::<Vec<_>>()
        .join(separator)
}

/// The two links of a chain of the Core Rule Set: words that are harmless alone.
const CHAIN: &str = "SecRule ARGS \"@rx runtime\" \"id:1,phase:1,deny,status:403,log,chain\"\n\
    SecRule MATCHED_VARS \"@rx java\"\n";

#[test]
fn a_chain_sees_every_value_that_matched_before() {
    for before in [0, 1, 254, 255, 256, 300, 900] {
        let query = list(before, "runtime", "=java.runtime", 20, "&");
        run(CHAIN, &format!("GET /?{query} HTTP/1.1\r\nHost: a"), 403);
    }
    let query = list(900, "runtime", "=runtime", 20, "&");
    run(CHAIN, &format!("GET /?{query} HTTP/1.1\r\nHost: a"), 200);
}

#[test]
fn more_matches_than_are_kept_end_the_transaction() {
    let rules = CHAIN.replace("ARGS", "REQUEST_COOKIES");
    let cookies = list(66_000, "runtime", "=java.runtime", 3, "; ");
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}");
    run(&rules, &head, 503);
}

#[test]
fn more_made_up_names_than_are_kept_end_the_transaction() {
    let rules = "SecRule REQUEST_COOKIES \"@unconditionalMatch\" \
        \"id:1,phase:1,pass,nolog,setvar:'tx.c_%{MATCHED_VAR_NAME}=1'\"\n\
        SecRule TX:/^c_.*evil/ \"@eq 1\" \"id:2,phase:1,deny,status:403,log\"\n";
    for (before, status) in [(0, 403), (2047, 403), (2048, 503), (2500, 503)] {
        let cookies = list(before, "1", "evil=1", 0, "; ");
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}");
        let run = run(rules, &head, status);
        assert_eq!(run.transaction.names_refused(), status == 503);
    }
}

#[test]
fn matches_that_are_not_recorded_count_all_the_same() {
    let rules = "SecRule ARGS \"@streq bad\" \
        \"id:1,phase:1,pass,log,setvar:'tx.blocking_inbound_anomaly_score=+1'\"\n\
        SecRule TX:blocking_inbound_anomaly_score \"@ge 300\" \"id:2,phase:1,deny,status:403,nolog\"\n";
    let query = list(299, "bad", "=bad", 0, "&");
    let run = run(rules, &format!("GET /?{query} HTTP/1.1\r\nHost: a"), 403);
    assert_eq!(run.transaction.inbound_score(), 300);
    assert_eq!(run.transaction.matches().len(), 128);
    assert_eq!(run.transaction.matches_left_out(), 172);
}

#[test]
fn arguments_beyond_the_limit_refuse_the_request() {
    let rules = "SecRule ARGS \"@contains evil\" \"id:1,phase:2,deny,status:403,log\"\n";
    for (before, status) in [(999, 403), (1000, 400), (1500, 400)] {
        let query = list(before, "1", "=evil", 0, "&");
        run(rules, &format!("GET /?{query} HTTP/1.1\r\nHost: a"), status);
    }
}
