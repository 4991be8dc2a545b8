//! Random routes and requests: the tables, the explanation and a plain reading of the rules agree.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::rules::{Plain, Spec, plain, spec};
use super::*;
use crate::snapshot::router::{Level, Outcome, Why};

/// Sets of routes; with [`REQUESTS`] for each set more than 100,000 comparisons.
const CASES: u32 = 350;
const REQUESTS: usize = 300;

#[test]
fn tables_explanations_findings_and_rules_agree() {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let sets = (vec(spec(), 1..32), vec(plain(), REQUESTS));
    let outcome = TestRunner::new(config).run(&sets, |(specs, requests)| {
        let (table, findings) = build(specs.iter().map(Spec::to_match).collect());
        for (at, request) in requests.iter().enumerate() {
            // Explaining looks at every route, so it is compared for every fourth request.
            let same = compare(&specs, &table, &findings, request, at % 4 == 0);
            same.map_err(|error| TestCaseError::fail(format!("{error} for {request:?}")))?;
        }
        Ok(())
    });
    match outcome {
        // Without the other requests of the case.
        Err(TestError::Fail(reason, (specs, _))) => panic!("{reason} among {specs:#?}"),
        outcome => assert!(outcome.is_ok()),
    }
    // Enough of the random requests must find a route for the test to mean something.
    let mut runner = TestRunner::deterministic();
    let mut won = 0;
    for _ in 0..20 {
        let (specs, requests) = sets.new_tree(&mut runner).unwrap().current();
        let fits = |request: &Plain| specs.iter().any(|spec| spec.rank(request).is_some());
        won += requests.iter().filter(|request| fits(request)).count();
    }
    assert!(won > 20 * REQUESTS / 3, "{won}");
}

fn compare(
    specs: &[Spec],
    table: &Router,
    findings: &[Finding],
    request: &Plain,
    explain: bool,
) -> Result<(), TestCaseError> {
    let ranks: Vec<_> = specs.iter().map(|spec| spec.rank(request)).collect();
    let fitting = (0u32..)
        .zip(&ranks)
        .filter_map(|(at, rank)| Some((rank.as_ref()?, at)));
    let expected = fitting.max_by(|(a, first), (b, second)| a.cmp(b).then(second.cmp(first)));
    let expected = expected.map(|(_, at)| at);
    let asked = request.to_asked();
    prop_assert_eq!(find(table, &asked).0, expected);

    if !explain {
        return Ok(());
    }
    let explained = table.explain(&asked);
    prop_assert_eq!(explained.len(), specs.len());
    for ((at, rank), candidate) in (0u32..).zip(&ranks).zip(&explained) {
        prop_assert_eq!(candidate.route, at);
        let unreachable = findings
            .iter()
            .any(|f| matches!(f, Finding::Unreachable { route, .. } if *route == at));
        match &candidate.outcome {
            Outcome::Won => {
                prop_assert_eq!(expected, Some(at));
                prop_assert!(!unreachable, "{} can win", at);
            }
            Outcome::Lost(Why::Outranked { by, level }) => {
                prop_assert!(rank.is_some());
                prop_assert_eq!(Some(*by), expected);
                let winner = ranks[*by as usize].clone().unwrap();
                let mine = rank.clone().unwrap();
                let decided = match () {
                    () if winner.0 != mine.0 => Level::Host,
                    () if winner.1 != mine.1 => Level::Path,
                    () if winner.2 != mine.2 => Level::Conditions,
                    () => Level::Order,
                };
                prop_assert_eq!(*level, decided);
                let told = findings
                    .iter()
                    .any(|f| matches!(f, Finding::SameRank { later, .. } if *later == at));
                if *level == Level::Order && !request.repeats() {
                    prop_assert!(unreachable || told, "{} and {} are of one rank", by, at);
                }
            }
            Outcome::Lost(why) => prop_assert!(rank.is_none(), "{} fits but for {}", at, why),
        }
    }
    Ok(())
}
