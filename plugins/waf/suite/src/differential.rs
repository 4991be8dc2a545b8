//! A plan beside the naive evaluation of the same rules: they must agree on everything that is seen.

use std::sync::Arc;

use farmgate_waf::plan::{Plan, PlanOptions, RuleSet};
use farmgate_waf::seclang::EngineMode;

use crate::engine::{self, Run};

/// Two plans of the same rules with the same options.
pub struct Pair {
    /// With its prefilter.
    plan: Arc<Plan>,
    /// Every rule on every value.
    naive: Arc<Plan>,
}

impl Pair {
    /// Compiles both.
    pub fn new(rules: &Arc<RuleSet>, options: &PlanOptions) -> Self {
        Self {
            plan: Plan::compile(rules, options).0,
            naive: Plan::naive(rules, options).0,
        }
    }

    /// The work of both on a request, in the engine's units: what keeps a plan that filters nothing from
    /// passing for one that agrees.
    pub fn work(&self, bytes: &[u8]) -> (u64, u64) {
        let of = |plan| {
            engine::run(plan, EngineMode::DetectionOnly, bytes)
                .transaction
                .work()
        };
        (of(&self.plan), of(&self.naive))
    }

    /// Runs a request through both, in detection only and refusing: the second time the plan knows the request's
    /// strings.
    ///
    /// # Errors
    /// What differs: rules, variables, values, data, scores, or the status.
    pub fn compare(&self, bytes: &[u8]) -> Result<(), String> {
        for mode in [EngineMode::DetectionOnly, EngineMode::On] {
            let plan = engine::run(&self.plan, mode, bytes);
            let naive = engine::run(&self.naive, mode, bytes);
            if let Some(difference) = difference(&plan, &naive) {
                let request = String::from_utf8_lossy(bytes);
                return Err(format!(
                    "{mode:?}: {difference}\n--- request\n{request}\n---"
                ));
            }
        }
        Ok(())
    }
}

fn difference(plan: &Run, naive: &Run) -> Option<String> {
    let (left, right) = (plan.transaction.matches(), naive.transaction.matches());
    for (at, pair) in left.iter().zip(right).enumerate() {
        if pair.0 != pair.1 {
            return Some(format!(
                "match {at}: the plan has\n{:?}\nnaive has\n{:?}",
                pair.0, pair.1
            ));
        }
    }
    if left.len() != right.len() {
        let more = left.get(right.len()).or_else(|| right.get(left.len()));
        return Some(format!(
            "{} matches and {}: {more:?}",
            left.len(),
            right.len()
        ));
    }
    let scores = |run: &Run| {
        (
            run.transaction.inbound_score(),
            run.transaction.outbound_score(),
            run.status,
        )
    };
    let (left, right) = (scores(plan), scores(naive));
    (left != right).then(|| format!("scores and status: {left:?} and {right:?}"))
}
