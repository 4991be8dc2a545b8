//! Bad requests cost little for each byte, twice as much when they are twice as long, stop at their budget,
//! and are judged as the naive evaluation judges them. With the project's own rules, and the Core Rule
//! Set where there is one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use farmgate_waf::plan::{Plan, RuleSet};
use farmgate_waf::seclang::Source;
use farmgate_waf::transaction::Limits;
use farmgate_waf_suite::worst::search;
use farmgate_waf_suite::worst::{Case, corpus, words};
use farmgate_waf_suite::{engine, places};

/// Rules with a mark of phase 5, by name.
struct Rules {
    name: &'static str,
    set: Arc<RuleSet>,
    words: Vec<Vec<u8>>,
}

const LAST: &str = "SecAction \"id:990099,phase:5,pass,nolog,setvar:'tx.last_ran=1'\"";

fn rules() -> &'static [Rules] {
    static RULES: OnceLock<Vec<Rules>> = OnceLock::new();
    RULES.get_or_init(|| {
        let last = || Source::Text {
            name: "last".into(),
            text: LAST.into(),
        };
        let pattern = |text: &str| Source::Pattern(text.into());
        let mut all = vec![(
            "own rules",
            engine::load(&places::ours(), &[pattern("rules/*.conf"), last()]).unwrap(),
        )];
        if let Some(folder) = places::crs().unwrap() {
            let sources = [
                pattern("crs-setup.conf.example"),
                pattern("rules/*.conf"),
                last(),
            ];
            all.push(("CRS", engine::load(&folder, &sources).unwrap()));
        }
        all.into_iter()
            .map(|(name, set)| Rules {
                name,
                words: words::of(&set),
                set,
            })
            .collect()
    })
}

/// What a byte may cost, in units, by paranoia level. A unit is about a nanosecond.
const MOST: [(u8, f64); 2] = [(1, 1000.0), (4, 3000.0)];

fn per_byte(case: &Case, plan: &Arc<Plan>) -> f64 {
    let work = case.run(plan, Limits::default()).transaction.work();
    work as f64 / case.bytes() as f64
}

#[test]
fn a_byte_costs_little_wherever_it_stands() {
    for rules in rules() {
        for (level, most) in MOST {
            let plan = Plan::compile(&rules.set, &engine::paranoia(level)).0;
            for size in [4096, 16 * 1024] {
                for case in corpus::cases(size, &rules.words) {
                    let cost = per_byte(&case, &plan);
                    // A name that stands for a thousand values is the one thing that a few bytes repeat.
                    let most = if case.name.starts_with("JSON") {
                        4.0 * most
                    } else {
                        most
                    };
                    assert!(
                        cost <= most,
                        "{}, paranoia {level}, {}: {cost:.0} units a byte",
                        rules.name,
                        case.name
                    );
                }
            }
        }
    }
}

#[test]
fn twice_as_long_costs_twice_as_much() {
    for rules in rules() {
        let plan = Plan::compile(&rules.set, &engine::paranoia(4)).0;
        let cases = |size| corpus::cases(size, &rules.words);
        for (short, long) in cases(8 * 1024).iter().zip(&cases(16 * 1024)) {
            let (work, time) = short.measure(&plan, Limits::default(), 3);
            let (more_work, more_time) = long.measure(&plan, Limits::default(), 3);
            let longer = long.bytes() as f64 / short.bytes() as f64;
            // Words come one after another, and the longer text has more of them.
            let allowed = if short.attacks.contains("every filter") {
                2.0
            } else {
                1.3
            };
            let grown = more_work as f64 / work as f64;
            assert!(
                grown <= longer * allowed,
                "{}, {}: {work} units became {more_work}, bytes grew {longer:.2} times",
                rules.name,
                short.name
            );
            // Other tests run beside this one: only what grows far faster is caught by the clock.
            assert!(
                more_time <= time.mul_f64(longer * 6.0) + Duration::from_millis(20),
                "{}, {}: {time:?} became {more_time:?}",
                rules.name,
                short.name
            );
        }
    }
}

#[test]
fn a_budget_cuts_once_and_the_last_phase_runs() {
    for rules in rules() {
        for level in [1, 4] {
            let plan = Plan::compile(&rules.set, &engine::paranoia(level)).0;
            for case in corpus::cases(16 * 1024, &rules.words) {
                let (work, time) = case.measure(&plan, Limits::default(), 2);
                let limits = Limits {
                    work: work / 2,
                    ..Limits::default()
                };
                let mut cut = case.run(&plan, limits);
                for _ in 0..2 {
                    let again = case.run(&plan, limits);
                    if again.took < cut.took {
                        cut = again;
                    }
                }
                let name = format!("{}, paranoia {level}, {}", rules.name, case.name);
                assert_eq!(cut.over_budget, 1, "{name}");
                assert_eq!(cut.transaction.tx_number("last_ran"), Some(1), "{name}");
                assert!(
                    cut.took <= time + Duration::from_millis(20),
                    "{name}: {:?} of {time:?}",
                    cut.took
                );
            }
        }
    }
}

#[test]
fn bad_requests_are_judged_as_the_naive_evaluation_does() {
    for rules in rules() {
        for level in [1, 4] {
            let options = engine::paranoia(level);
            let plan = Plan::compile(&rules.set, &options).0;
            let naive = Plan::naive(&rules.set, &options).0;
            for case in corpus::cases(1500, &rules.words) {
                let [plan, naive] = [&plan, &naive].map(|plan| case.run(plan, Limits::default()));
                let name = format!("{}, paranoia {level}, {}", rules.name, case.name);
                let [left, right] = [&plan.transaction, &naive.transaction];
                assert_eq!(left.matches(), right.matches(), "{name}");
                assert_eq!(left.matches_left_out(), right.matches_left_out(), "{name}");
                assert_eq!(left.inbound_score(), right.inbound_score(), "{name}");
                assert_eq!(left.outbound_score(), right.outbound_score(), "{name}");
            }
        }
    }
}

#[test]
fn a_search_finds_nothing_worse() {
    for rules in rules() {
        let plan = Plan::compile(&rules.set, &engine::paranoia(1)).0;
        let (genome, cost) = search::climb(
            1,
            &rules.words,
            |step| step < 400,
            |genome| per_byte(&genome.case(1024), &plan),
        );
        let (_, most) = MOST[0];
        assert!(
            cost <= 2.0 * most,
            "{}: {cost:.0} units a byte: {genome:?}",
            rules.name
        );
    }
}
