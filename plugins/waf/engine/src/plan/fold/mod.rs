//! Constant folding: most rules of a large set only keep books, and what they compute is known when the
//! paranoia level and the thresholds are. Their effects become the initial state of TX, conditions
//! that are known to hold are not asked, and rules that cannot match are left out.
//!
//! The rules are walked in the order in which they run. A name in TX is *known* until a rule that was
//! kept may write it. A rule of phase 1 whose conditions all look at known names alone is done at once,
//! unless a rule that was kept before it reads or writes what it sets.

mod effects;

use std::sync::Arc;
use std::time::Instant;

use super::compiled::{
    CompiledRule, Condition, Macros, Operator, Part, Selector, SetName, SetOp, View,
};
use super::slots::{CAPTURES, Slot, Slots};
use super::{Gate, Place, PlanOptions, PlanRule, RuleSet, TOO_MANY_ARGUMENTS};
use crate::seclang::{Disruptive, Phase, Problem};
use crate::transaction::evaluate::{Buffers, evaluate};
use crate::transaction::matched::Matched;
use crate::transaction::record::is_told;
use crate::transaction::sight::Sight;
use crate::transaction::tx::{Tx, TxValue};
use crate::transaction::values::Values;
use crate::work::Work;

/// A name in TX, and what the options say of it.
type Forced = (&'static [u8], fn(&PlanOptions) -> Option<u32>);

/// Names that the options decide, as the OWASP Core Rule Set calls them, and the option.
pub(super) const FORCED: [Forced; 4] = [
    (b"blocking_paranoia_level", |options| {
        options.paranoia.map(u32::from)
    }),
    (b"detection_paranoia_level", |options| {
        options
            .detection_paranoia
            .or(options.paranoia)
            .map(u32::from)
    }),
    (b"inbound_anomaly_score_threshold", |options| {
        options.inbound
    }),
    (b"outbound_anomaly_score_threshold", |options| {
        options.outbound
    }),
];

/// What folding gives.
pub(super) struct Folded {
    pub(super) phases: [Vec<PlanRule>; 5],
    pub(super) initial: Arc<[Option<TxValue>]>,
    pub(super) forced: Vec<Slot>,
    pub(super) done: Vec<u32>,
    pub(super) warnings: Vec<Problem>,
}

/// Folds the rules for the options; `naive`: only what the options force.
pub(super) fn fold(set: &RuleSet, options: &PlanOptions, naive: bool) -> Folded {
    let mut fold = Fold {
        set,
        initial: vec![None; set.slots.len()],
        unknown: vec![false; set.slots.len()],
        touched: vec![false; set.slots.len()],
        forced: Vec::new(),
        may_end: false,
        may_skip: false,
        removals: Vec::new(),
        narrowed: Vec::new(),
        done: Vec::new(),
        naive,
    };
    let mut warnings = Vec::new();
    for (name, option) in FORCED {
        if let (Some(slot), Some(value)) = (set.slots.find(name), option(options)) {
            fold.initial[usize::from(slot.0)] =
                Some(TxValue::Bytes(value.to_string().into_bytes().into()));
            fold.forced.push(slot);
            warnings.extend(fold.contradictions(slot, value));
        }
    }
    fold.unknown[..CAPTURES].fill(true);
    if let Some(slot) = set.slots.find(TOO_MANY_ARGUMENTS) {
        fold.unknown[usize::from(slot.0)] = true;
    }
    let phases = Phase::ALL.map(|phase| fold.phase(phase));
    Folded {
        phases,
        initial: fold.initial.into(),
        forced: fold.forced,
        done: fold.done,
        warnings,
    }
}

struct Fold<'s> {
    set: &'s RuleSet,
    initial: Vec<Option<TxValue>>,
    unknown: Vec<bool>,
    /// Read or written by a rule that was kept.
    touched: Vec<bool>,
    forced: Vec<Slot>,
    /// A rule that was kept may end the phase: what follows is not certain to run.
    may_end: bool,
    /// A rule that was kept has `skip`, which counts rules: any that follows may be left out.
    may_skip: bool,
    /// The rules that `ctl`s of kept rules may remove.
    removals: Vec<Arc<[u32]>>,
    /// The rules from which `ctl`s of kept rules may take values of TX.
    narrowed: Vec<Arc<[u32]>>,
    /// Rules that are done for good: they do not run with requests.
    done: Vec<u32>,
    naive: bool,
}

/// What is known of a rule's conditions.
enum Known {
    /// One of them does not hold.
    Never,
    /// All hold.
    Always,
    /// The first holds; the others are not known.
    First,
    Nothing,
}

impl Fold<'_> {
    /// Warnings for rules without conditions that set a forced name to something else.
    fn contradictions(&self, slot: Slot, value: u32) -> Vec<Problem> {
        let name = String::from_utf8_lossy(self.set.slots.name(slot)).into_owned();
        let mut found = Vec::new();
        for compiled in &self.set.compiled {
            let [condition] = compiled.conditions.as_slice() else {
                continue;
            };
            for set in condition
                .set_vars
                .iter()
                .filter(|_| condition.targets.is_empty())
            {
                let (SetName::Slot(written), SetOp::Constant(constant)) = (&set.name, &set.op)
                else {
                    continue;
                };
                if *written == slot && crate::operators::number(constant) != i64::from(value) {
                    found.push(Problem {
                        place: Some(compiled.rule.place.clone()),
                        message: format!(
                            "rule {} sets tx.{name} to {}, but the configuration says {value}, which wins",
                            compiled.rule.id,
                            String::from_utf8_lossy(constant)
                        ),
                        help: Some("let the two agree, or take one of them out".into()),
                    });
                }
            }
        }
        found
    }

    fn phase(&mut self, phase: Phase) -> Vec<PlanRule> {
        let set = self.set;
        let mut kept: Vec<PlanRule> = Vec::new();
        // Markers that lie ahead, with the kept rules that lead to them.
        let mut waiting: Vec<(&str, Vec<usize>)> = Vec::new();
        // A skip that is known to happen: nothing runs until this marker.
        let mut skipping: Option<&str> = None;
        for (at, place) in set.order.iter().enumerate() {
            let number = match place {
                Place::Marker(name) => {
                    if skipping == Some(name) {
                        skipping = None;
                    }
                    if let Some(found) = waiting.iter().position(|(wanted, _)| *wanted == &**name) {
                        let to = u32::try_from(kept.len()).ok();
                        for from in waiting.swap_remove(found).1 {
                            if let Some(rule) = kept.get_mut(from) {
                                rule.skip_to = to;
                            }
                        }
                    }
                    continue;
                }
                Place::Rule(number) => *number,
            };
            let Some(compiled) = set.compiled(number) else {
                continue;
            };
            if compiled.rule.phase != phase || skipping.is_some() {
                continue;
            }
            let known = if self.naive || self.loses_targets(number) {
                Known::Nothing
            } else {
                self.known(compiled)
            };
            let certain = waiting.is_empty() && !self.may_end && !self.may_skip;
            match known {
                Known::Never => continue,
                Known::Always if self.is_bookkeeping(compiled) => match &compiled.rule.skip_after {
                    Some(marker) if self.skips_surely(at, number, marker, &waiting) => {
                        skipping = Some(marker);
                        continue;
                    }
                    None if phase == Phase::RequestHead
                        && certain
                        && self.hoist(number, compiled) =>
                    {
                        self.done.push(number);
                        continue;
                    }
                    _ => {}
                },
                _ => {}
            }
            // A condition that is not asked matches no value: nobody may want to see one.
            let unseen = (compiled.told > 0 || !is_told(compiled))
                && !compiled.shows_matches()
                && compiled
                    .conditions
                    .first()
                    .is_some_and(Condition::acts_once);
            let gate = match known {
                Known::Always | Known::First if unseen => Gate::True,
                _ => Gate::Ask,
            };
            if let Some(marker) = &compiled.rule.skip_after {
                match waiting.iter_mut().find(|(wanted, _)| *wanted == &**marker) {
                    Some((_, from)) => from.push(kept.len()),
                    None => waiting.push((marker, vec![kept.len()])),
                }
            }
            self.keep(compiled);
            kept.push(PlanRule {
                number,
                gate,
                skip_to: None,
            });
        }
        // A marker behind the last rule of the phase.
        let end = u32::try_from(kept.len()).ok();
        for (_, from) in waiting {
            for from in from {
                if let Some(rule) = kept.get_mut(from) {
                    rule.skip_to = end;
                }
            }
        }
        kept
    }

    /// True if a `ctl` may take away what the rule's conditions look at.
    fn loses_targets(&self, number: u32) -> bool {
        self.narrowed
            .iter()
            .any(|list| list.binary_search(&number).is_ok())
    }

    /// What is known of the rule's conditions.
    fn known(&self, compiled: &CompiledRule) -> Known {
        let mut first = false;
        for (place, condition) in compiled.conditions.iter().enumerate() {
            if !self.is_known(condition) {
                return if first { Known::First } else { Known::Nothing };
            }
            if !self.holds(condition) {
                return Known::Never;
            }
            first = true;
            // What a condition sets, the next may read.
            let last = place + 1 == compiled.conditions.len();
            let acts = !condition.set_vars.is_empty() || !condition.ctls.is_empty();
            if acts && !last {
                return Known::First;
            }
        }
        if first { Known::Always } else { Known::Nothing }
    }

    fn is_known(&self, condition: &Condition) -> bool {
        let known = |slot: &Slot| {
            !self
                .unknown
                .get(usize::from(slot.0))
                .copied()
                .unwrap_or(true)
        };
        let argument = match &condition.operator {
            Operator::Fixed(_) => true,
            Operator::Dynamic(_, text) => self.is_known_text(text),
        };
        argument
            && !condition.capture
            && condition.excluded.is_empty()
            && condition
                .targets
                .iter()
                .all(|target| match (&target.view, &target.selector) {
                    (View::Tx, Selector::Slot(slot)) => known(slot),
                    _ => false,
                })
    }

    fn is_known_text(&self, text: &Macros) -> bool {
        text.0.iter().all(|part| match part {
            Part::Literal(_) => true,
            Part::Tx(slot) => !self
                .unknown
                .get(usize::from(slot.0))
                .copied()
                .unwrap_or(true),
            Part::Value(..) => false,
        })
    }

    fn sight<'a>(
        &self,
        values: &'a Values,
        tx: &'a Tx,
        matched: &'a Matched,
        slots: &'a Slots,
    ) -> Sight<'a> {
        Sight {
            values,
            tx,
            slots,
            matched,
            rule: None,
            started: Instant::now(),
            highest_severity: 255,
        }
    }

    fn holds(&self, condition: &Condition) -> bool {
        if condition.targets.is_empty() {
            return true;
        }
        let (values, matched) = (Values::new(), Matched::default());
        let tx = Tx::new(&self.initial.clone().into());
        let sight = self.sight(&values, &tx, &matched, &self.set.slots);
        let mut found = Vec::new();
        let mut work = Work {
            done: 0,
            limit: u64::MAX,
        };
        evaluate(
            condition,
            &[],
            &self.set.ops,
            &sight,
            &mut Buffers::default(),
            &mut work,
            &mut found,
        );
        !found.is_empty()
    }

    /// True for a rule that leaves no trace but in TX and in the order of rules.
    fn is_bookkeeping(&self, compiled: &CompiledRule) -> bool {
        let rule = &compiled.rule;
        rule.disruptive == Disruptive::Pass
            && rule.skip == 0
            && !rule.log
            && !rule.audit_log
            && rule.severity.is_none()
            && compiled
                .conditions
                .iter()
                .all(|condition| condition.ctls.is_empty() && condition.acts_once())
            && !compiled.shows_matches()
    }

    /// True if a skip that is known to happen may be done now: it happens whatever else does, and
    /// whatever is removed at run time removes what it skips too.
    fn skips_surely(
        &self,
        at: usize,
        number: u32,
        marker: &str,
        waiting: &[(&str, Vec<usize>)],
    ) -> bool {
        if self.may_skip {
            return false;
        }
        let compiled = self.set.compiled(number);
        if compiled.is_none_or(|compiled| {
            compiled
                .conditions
                .iter()
                .any(|condition| !condition.set_vars.is_empty())
        }) {
            return false;
        }
        for place in self.set.order.get(at + 1..).unwrap_or_default() {
            match place {
                Place::Marker(name) if &**name == marker => return true,
                // The skip leaves a region that another rule may skip: it is not certain to run.
                Place::Marker(name) if waiting.iter().any(|(wanted, _)| *wanted == &**name) => {
                    return false;
                }
                Place::Marker(_) => {}
                Place::Rule(skipped) => {
                    let phase = |number| {
                        self.set
                            .compiled(number)
                            .map(|compiled| compiled.rule.phase)
                    };
                    let outlives = self.removals.iter().any(|list| {
                        list.binary_search(&number).is_ok() && list.binary_search(skipped).is_err()
                    });
                    if outlives && phase(*skipped) == phase(number) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Does a rule's `setvar`s now; false when that could be seen.
    fn hoist(&mut self, number: u32, compiled: &CompiledRule) -> bool {
        if self
            .removals
            .iter()
            .any(|list| list.binary_search(&number).is_ok())
        {
            return false;
        }
        let sets: Vec<_> = compiled
            .conditions
            .iter()
            .flat_map(|condition| &condition.set_vars)
            .collect();
        let free = |set: &&&super::compiled::SetVar| {
            let slot = match set.name {
                SetName::Slot(slot) => slot,
                SetName::Macros(_) => return false,
            };
            let at = usize::from(slot.0);
            let value = match &set.op {
                SetOp::Constant(_) | SetOp::Unset => true,
                SetOp::Set(text) => self.is_known_text(text),
                SetOp::Add(text) | SetOp::Subtract(text) => {
                    self.is_known_text(text) && !self.unknown[at]
                }
            };
            value && !self.touched[at]
        };
        if sets.iter().filter(free).count() < sets.len() {
            return false;
        }
        for set in sets {
            let SetName::Slot(slot) = set.name else {
                continue;
            };
            if self.forced.contains(&slot) {
                continue;
            }
            let value = self.value_of(slot, &set.op);
            self.initial[usize::from(slot.0)] = value;
            self.unknown[usize::from(slot.0)] = false;
        }
        true
    }

    fn value_of(&self, slot: Slot, op: &SetOp) -> Option<TxValue> {
        let (values, matched) = (Values::new(), Matched::default());
        let tx = Tx::new(&self.initial.clone().into());
        let sight = self.sight(&values, &tx, &matched, &self.set.slots);
        let text = |text: &Macros| {
            let mut out = Vec::new();
            sight.expand(text, &mut out);
            out
        };
        let before = tx.get(slot).map_or(0, TxValue::number);
        match op {
            SetOp::Constant(bytes) => Some(TxValue::Bytes(Arc::clone(bytes))),
            SetOp::Set(macros) => Some(TxValue::Bytes(text(macros).into())),
            SetOp::Add(macros) => Some(TxValue::Number(
                before.saturating_add(crate::operators::number(&text(macros))),
            )),
            SetOp::Subtract(macros) => Some(TxValue::Number(
                before.saturating_sub(crate::operators::number(&text(macros))),
            )),
            SetOp::Unset => None,
        }
    }
}
