//! What is decided before any request comes: rules compiled once ([`RuleSet`]), and folded for the
//! paranoia and thresholds of one place of use ([`Plan`]).

pub(crate) mod chains;
pub(crate) mod checks;
pub(crate) mod compile;
pub(crate) mod compiled;
mod fold;
mod literals;
pub(crate) mod prefilter;
pub(crate) mod profile;
pub(crate) mod slots;
mod starts;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use compile::{Exclusion, PreparedExclusion, RuleChoice};

use crate::seclang::{self, EngineMode, Files, Item, Phase, Problem, Rule, Settings, Source};
use crate::transaction::tx::TxValue;
use chains::Chains;
use checks::{Checks, PhaseChecks};
use compile::Compiler;
use compiled::{CompiledRule, Ops};
use slots::{Slot, Slots};

/// Rules that stand in every set, see the file.
const HOST_RULES: &str = include_str!("host.conf");

/// Set in TX when a request has more arguments than the limits allow.
pub(crate) const TOO_MANY_ARGUMENTS: &[u8] = b"arguments_over_limit";

/// Rules, compiled. Shared by every plan over them.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
    compiled: Vec<CompiledRule>,
    /// Rules (by number) and markers in the order of the files.
    order: Vec<Place>,
    ops: Ops,
    chains: Chains,
    checks: Checks,
    slots: Slots,
    settings: Settings,
    files: Vec<PathBuf>,
}

/// An entry of the order of the files.
#[derive(Debug)]
pub(crate) enum Place {
    Rule(u32),
    Marker(Box<str>),
}

impl RuleSet {
    /// Reads and compiles rules. Gives the warnings too.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(
        sources: &[Source],
        files: &dyn Files,
    ) -> Result<(Arc<Self>, Vec<Problem>), Vec<Problem>> {
        let own = seclang::load(sources, files)?;
        let host = seclang::load(
            &[Source::Text {
                name: "host rules".into(),
                text: HOST_RULES.into(),
            }],
            files,
        )?;
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        let mut order = Vec::new();
        let by_id: HashSet<Box<str>> = own
            .program
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Rule(rule) => rule.skip_after.clone(),
                Item::Marker(_) => None,
            })
            .collect();
        let known: HashSet<u64> = own
            .program
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Rule(rule) => Some(rule.id),
                Item::Marker(_) => None,
            })
            .collect();
        let host = host.program.items.into_iter().filter(|item| match item {
            Item::Rule(rule) => !known.contains(&rule.id),
            Item::Marker(_) => true,
        });
        for item in host.chain(own.program.items) {
            match item {
                Item::Rule(rule) => {
                    let id = rule.id.to_string();
                    order.push(Place::Rule(u32::try_from(rules.len()).unwrap_or(u32::MAX)));
                    rules.push(Arc::from(rule));
                    // `skipAfter` may name a rule: it goes on behind it, as behind a marker.
                    if by_id.contains(id.as_str()) {
                        order.push(Place::Marker(id.into()));
                    }
                }
                Item::Marker(name) => order.push(Place::Marker(name)),
            }
        }
        let mut compiler = Compiler::new(files);
        compiler.slots.intern(TOO_MANY_ARGUMENTS);
        for (name, _) in fold::FORCED {
            compiler.slots.intern(name);
        }
        let mut compiled = compiler.rules(&rules);
        let Compiler {
            slots,
            chains,
            ops,
            problems,
            ..
        } = compiler;
        if !problems.is_empty() {
            return Err(problems);
        }
        let checks = Checks::new(&mut compiled, &ops).map_err(|message| {
            vec![Problem {
                place: None,
                message,
                help: None,
            }]
        })?;
        let set = Self {
            rules,
            compiled,
            order,
            ops,
            chains,
            checks,
            slots,
            settings: own.program.settings,
            files: own.files,
        };
        Ok((Arc::new(set), own.warnings))
    }

    /// Every file that was read, to be watched.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|rule| &**rule)
    }

    /// What the files say outside of rules.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the files say of the engine's mode, if anything.
    pub fn engine(&self) -> Option<EngineMode> {
        self.settings.engine
    }

    /// Bytes of memory that the automata take; the largest part of a rule set.
    pub fn memory(&self) -> usize {
        self.ops
            .list
            .iter()
            .map(|op| op.memory_usage())
            .sum::<usize>()
            .saturating_add(self.checks.prefilter.memory())
    }

    /// Makes an exclusion ready for this set.
    ///
    /// # Errors
    /// A pattern that is none, as text.
    pub fn exclusion(&self, exclusion: &Exclusion) -> Result<PreparedExclusion, String> {
        PreparedExclusion::prepare(exclusion, &self.rules)
    }

    pub(crate) fn compiled(&self, number: u32) -> Option<&CompiledRule> {
        self.compiled.get(number as usize)
    }

    pub(crate) fn ops(&self) -> &Ops {
        &self.ops
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn chains(&self) -> &Chains {
        &self.chains
    }
}

/// What a place of use decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PlanOptions {
    /// Paranoia level of rules that count towards a refusal, 1 to 4. Wins over the files.
    pub paranoia: Option<u8>,
    /// Paranoia level of rules that run; `paranoia` unless given.
    pub detection_paranoia: Option<u8>,
    /// Inbound anomaly score from which requests are refused.
    pub inbound: Option<u32>,
    /// Outbound anomaly score from which answers are refused.
    pub outbound: Option<u32>,
}

/// How a rule's first condition is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// By evaluating it.
    Ask,
    /// It is known to hold.
    True,
    /// By what the batch found for this check.
    Check(u16),
}

/// A rule in a phase of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanRule {
    pub(crate) number: u32,
    pub(crate) gate: Gate,
    /// Where `skipAfter` leads, as a place in the phase.
    pub(crate) skip_to: Option<u32>,
}

/// The rules of a set, folded for one use.
#[derive(Debug)]
pub struct Plan {
    /// Distinguishes plans in what threads keep of them.
    number: u64,
    rule_set: Arc<RuleSet>,
    phases: [Vec<PlanRule>; 5],
    /// What the batch asks in each phase; none in a naive plan.
    checks: Option<[PhaseChecks; 5]>,
    initial: Arc<[Option<TxValue>]>,
    forced: Vec<Slot>,
    /// Rules that were carried out when the plan was made, ascending.
    done: Vec<u32>,
}

/// Numbers of plans.
static PLANS: AtomicU64 = AtomicU64::new(0);

impl Plan {
    /// Folds a rule set. The warnings say where the files wanted something else.
    pub fn compile(rules: &Arc<RuleSet>, options: &PlanOptions) -> (Arc<Self>, Vec<Problem>) {
        Self::build(rules, options, false)
    }

    /// A plan that evaluates every condition as it stands, without folding and without the batch. It
    /// must find what the other finds; tests hold them against each other.
    pub fn naive(rules: &Arc<RuleSet>, options: &PlanOptions) -> (Arc<Self>, Vec<Problem>) {
        Self::build(rules, options, true)
    }

    fn build(
        rules: &Arc<RuleSet>,
        options: &PlanOptions,
        naive: bool,
    ) -> (Arc<Self>, Vec<Problem>) {
        let mut folded = fold::fold(rules, options, naive);
        let checks = (!naive).then(|| {
            std::array::from_fn(|phase| {
                let kept = folded
                    .phases
                    .get_mut(phase)
                    .map(Vec::as_mut_slice)
                    .unwrap_or_default();
                let asked = kept
                    .iter_mut()
                    .filter(|rule| rule.gate == Gate::Ask)
                    .filter_map(|rule| {
                        let check = rules.compiled(rule.number)?.conditions.first()?.check?;
                        rule.gate = Gate::Check(check);
                        Some(check)
                    });
                PhaseChecks::new(&rules.checks, &rules.chains, asked)
            })
        });
        let plan = Self {
            number: PLANS.fetch_add(1, Ordering::Relaxed),
            rule_set: Arc::clone(rules),
            phases: folded.phases,
            checks,
            initial: folded.initial,
            forced: folded.forced,
            done: folded.done,
        };
        (Arc::new(plan), folded.warnings)
    }

    /// The rules it is made of.
    pub fn rule_set(&self) -> &Arc<RuleSet> {
        &self.rule_set
    }

    /// True if the exclusion comes too late for all its rules: they have done already what they do to any
    /// request, such as setting defaults, and do not run again.
    pub fn has_done(&self, exclusion: &PreparedExclusion) -> bool {
        let rules = &exclusion.rules;
        !rules.is_empty()
            && rules
                .iter()
                .all(|rule| self.done.binary_search(rule).is_ok())
    }

    /// How many rules run in a phase.
    pub fn len(&self, phase: Phase) -> usize {
        self.rules(phase).len()
    }

    pub(crate) fn rules(&self, phase: Phase) -> &[PlanRule] {
        &self.phases[phase as usize]
    }

    pub(crate) fn initial(&self) -> &Arc<[Option<TxValue>]> {
        &self.initial
    }

    /// True for a name in TX that the options decide: rules do not change it.
    pub(crate) fn is_forced(&self, slot: Slot) -> bool {
        self.forced.contains(&slot)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What the batch asks in a phase; none in a naive plan.
    pub(crate) fn checks(&self, phase: Phase) -> Option<(&Checks, &PhaseChecks)> {
        Some((
            &self.rule_set.checks,
            self.checks.as_ref()?.get(phase as usize)?,
        ))
    }

    /// Where `skip:n` leads from the rule at this place: past the next `n` rules of the files that are of
    /// this phase, whether the plan kept them or not.
    pub(crate) fn skip(&self, phase: Phase, at: usize, skip: u32) -> usize {
        let rules = self.rules(phase);
        let Some(from) = rules.get(at) else {
            return at + 1;
        };
        let mut left = skip;
        let mut number = from.number;
        while left > 0 {
            number += 1;
            match self.rule_set.rules.get(number as usize) {
                None => return rules.len(),
                Some(rule) => left -= u32::from(rule.phase == phase),
            }
        }
        rules.partition_point(|rule| rule.number <= number)
    }
}
