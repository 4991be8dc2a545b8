//! The rules of a phase, in order, and what they do.

use std::sync::Arc;

use super::evaluate::evaluate;
use super::matched::Found;
use super::record::{Pending, is_told};
use super::report::{MATCHES, Refusal, RefusalKind, Verdict};
use super::sight::Sight;
use super::tx::TxValue;
use super::{Ended, Transaction, batch};
use crate::operators::Op;
use crate::plan::compiled::{
    CompiledCtl, CompiledRule, Condition, Exclude, Operator, SetName, SetOp, SetVar,
};
use crate::plan::slots::{CAPTURES, Slot};
use crate::plan::{Gate, Plan, PlanRule};
use crate::seclang::{Allow, Ctl, Disruptive, EngineMode, Phase, Variable};
use crate::work::Kind;

impl Transaction {
    /// Runs the rules of a phase.
    pub(super) fn run(&mut self, phase: Phase) -> Verdict {
        if self.mode == EngineMode::Off || !self.may_run(phase) {
            return Verdict::Continue;
        }
        let plan = Arc::clone(&self.plan);
        let rules = plan.rules(phase);
        let mut hits = batch::take();
        hits.run(&plan, phase, self);
        let mut at = 0;
        let mut verdict = Verdict::Continue;
        while let Some((number, rule)) = hits.next(rules, at) {
            at = number + 1;
            if self.work.is_over() {
                break;
            }
            if self.is_removed(rule.number) {
                continue;
            }
            let Some(compiled) = plan.rule_set().compiled(rule.number) else {
                continue;
            };
            if !self.holds(&plan, rule, compiled, &hits) {
                continue;
            }
            if let Some(refusal) = self.follow(compiled) {
                verdict = Verdict::Refuse(refusal);
                break;
            }
            if !self.may_run(phase) || self.mode == EngineMode::Off {
                break;
            }
            if let Some(to) = rule.skip_to {
                at = to as usize;
            } else if compiled.rule.skip > 0 {
                at = plan.skip(phase, number, compiled.rule.skip);
            }
        }
        batch::give_back(hits);
        if verdict != Verdict::Continue {
            self.ended = Ended::Refused;
            return verdict;
        }
        if self.work.is_over() && !self.told_over_budget && phase != Phase::Log {
            self.told_over_budget = true;
            return Verdict::Refuse(Refusal {
                rule: 0,
                kind: RefusalKind::OverBudget,
            });
        }
        Verdict::Continue
    }

    /// False when `allow` or a refusal ended what this phase belongs to.
    fn may_run(&self, phase: Phase) -> bool {
        match self.ended {
            Ended::Not => true,
            Ended::Phase(ended) => ended != phase,
            Ended::Request => phase > Phase::RequestBody,
            Ended::All | Ended::Refused => phase == Phase::Log,
        }
    }

    fn is_removed(&self, rule: u32) -> bool {
        self.removed_rules
            .iter()
            .any(|rules| rules.binary_search(&rule).is_ok())
    }

    /// True if every condition of the rule holds; what matched is recorded, and done, on the way.
    fn holds(
        &mut self,
        plan: &Plan,
        rule: &PlanRule,
        compiled: &CompiledRule,
        hits: &batch::Batch,
    ) -> bool {
        self.matched.clear();
        self.work.spend(Kind::Rule, 1);
        let removed: Vec<Arc<Exclude>> = self
            .removed_targets
            .iter()
            .filter(|(rules, _)| rules.binary_search(&rule.number).is_ok())
            .map(|(_, exclude)| Arc::clone(exclude))
            .collect();
        let removed: Vec<&Exclude> = removed.iter().map(|exclude| &**exclude).collect();
        let mut pending: Vec<Pending> = Vec::new();
        let mut left_out = 0u32;
        let told = is_told(compiled);
        for (place, condition) in compiled.conditions.iter().enumerate() {
            let gate = if place == 0 { rule.gate } else { Gate::Ask };
            let told = told && place == compiled.told;
            if gate == Gate::True || condition.targets.is_empty() {
                self.act(plan, compiled, condition);
                if told {
                    pending.push(self.pending(compiled, None));
                }
                continue;
            }
            let mut found = std::mem::take(&mut self.found);
            match gate {
                Gate::Check(check) => {
                    let mut work = self.work;
                    hits.found(check, condition, &removed, self, &mut work, &mut found);
                    self.work = work;
                }
                _ => self.ask(plan, compiled, condition, &removed, &mut found),
            }
            let any = !found.is_empty();
            for one in found.drain(..) {
                self.set_captures(condition, &one);
                self.set_place(plan, condition, &one);
                if !self.matched.push(one) {
                    self.give_up();
                }
                self.act(plan, compiled, condition);
                if told && pending.len() < MATCHES {
                    pending.push(self.pending_or_count(compiled, pending.len()));
                } else if told {
                    left_out = left_out.saturating_add(1);
                }
                if self.work.is_over() {
                    break;
                }
            }
            self.found = found;
            if !any {
                return false;
            }
        }
        // What a chain has to say, it says at its end.
        if compiled.conditions.len() > 1 {
            let data = self.log_data(compiled);
            pending
                .iter_mut()
                .for_each(|pending| pending.data.clone_from(&data));
        }
        self.matches_left_out = self.matches_left_out.saturating_add(left_out);
        self.record(compiled, pending);
        true
    }

    /// What rules would have to remember is more than the bounds allow: they cannot judge the rest, which is
    /// told as work used up. Whoever floods the tables must not slip past the rules that way.
    fn give_up(&mut self) {
        self.work.limit = self.work.limit.min(self.work.done.saturating_sub(1));
    }

    fn ask(
        &mut self,
        plan: &Plan,
        compiled: &CompiledRule,
        condition: &Condition,
        removed: &[&Exclude],
        found: &mut Vec<Found>,
    ) {
        if let (Some(clause), true) = (condition.absent, removed.is_empty())
            && let Some(one) = self.without(plan, condition, clause)
        {
            found.push(one);
            return;
        }
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut work = self.work;
        evaluate(
            condition,
            removed,
            plan.rule_set().ops(),
            &self.sight(Some(compiled)),
            &mut buffers,
            &mut work,
            found,
        );
        self.work = work;
        self.buffers = buffers;
    }

    /// The value of a negated condition, if the pass over it has told that its operator cannot match.
    fn without(&self, plan: &Plan, condition: &Condition, clause: u32) -> Option<Found> {
        let (checks, _) = plan.checks(Phase::Log)?;
        let variable = condition.targets.first()?.variable;
        let (first, [entry]) = self.values.of(variable) else {
            return None;
        };
        let (_, id) = *self.ids.get(first as usize)?;
        let met = self.strings.met(id, checks.prefilter.words())?;
        let is_met = met.get((clause >> 6) as usize)? & (1 << (clause & 63)) != 0;
        (!is_met).then(|| Found {
            variable,
            count: false,
            name: Vec::new(),
            value: self.values.bytes(entry.value).to_vec(),
            captures: None,
        })
    }

    /// What rules see of this transaction.
    pub(super) fn sight<'a>(&'a self, rule: Option<&'a CompiledRule>) -> Sight<'a> {
        Sight {
            values: &self.values,
            tx: &self.tx,
            slots: self.plan.rule_set().slots(),
            matched: &self.matched,
            rule,
            started: self.started,
            highest_severity: self.highest_severity,
        }
    }

    fn set_captures(&mut self, condition: &Condition, found: &Found) {
        let Some(captures) = found.captures.as_ref().filter(|_| condition.capture) else {
            return;
        };
        for (at, slot) in (0..CAPTURES).zip(0u16..) {
            let value = captures.get(at).map(|bytes| TxValue::Bytes(bytes.into()));
            if value.is_some() || self.tx.get(Slot(slot)).is_some() {
                self.tx.set(Slot(slot), value);
            }
        }
    }

    /// GEO, after `geoLookup` has found the address.
    fn set_place(&mut self, plan: &Plan, condition: &Condition, found: &Found) {
        let Operator::Fixed(at) = condition.operator else {
            return;
        };
        let Some(geo) = plan.rule_set().ops().get(at).and_then(Op::geo) else {
            return;
        };
        let values = &mut self.values;
        values.begin(Variable::Geo);
        geo.look_up(&found.value, &mut |name, value| {
            let (name, value) = (values.keep(name.as_bytes()), values.keep(value));
            values.push(Variable::Geo, name, value);
        });
    }

    /// `setvar` and `ctl` of one condition, once per match.
    fn act(&mut self, plan: &Plan, compiled: &CompiledRule, condition: &Condition) {
        for set in &condition.set_vars {
            self.set_var(plan, compiled, set);
        }
        for ctl in &condition.ctls {
            self.control(ctl);
        }
    }

    fn set_var(&mut self, plan: &Plan, compiled: &CompiledRule, set: &SetVar) {
        let sight = self.sight(Some(compiled));
        let name = match &set.name {
            SetName::Slot(slot) => Ok(*slot),
            SetName::Macros(text) => {
                let mut name = Vec::new();
                sight.expand(text, &mut name);
                name.make_ascii_lowercase();
                Err(name)
            }
        };
        let before = || match &name {
            Ok(slot) => sight.tx.get(*slot).map_or(0, TxValue::number),
            Err(name) => sight.tx.find(sight.slots, name).map_or(0, TxValue::number),
        };
        let number = |text| {
            let mut out = Vec::new();
            sight.expand(text, &mut out);
            crate::operators::number(&out)
        };
        let value = match &set.op {
            SetOp::Constant(bytes) => Some(TxValue::Bytes(Arc::clone(bytes))),
            SetOp::Set(text) => {
                let mut out = Vec::new();
                sight.expand(text, &mut out);
                Some(TxValue::Bytes(out.into()))
            }
            SetOp::Add(text) => Some(TxValue::Number(before().saturating_add(number(text)))),
            SetOp::Subtract(text) => Some(TxValue::Number(before().saturating_sub(number(text)))),
            SetOp::Unset => None,
        };
        let bytes = match &value {
            Some(TxValue::Bytes(bytes)) if !matches!(set.op, SetOp::Constant(_)) => bytes.len(),
            _ => 0,
        };
        let bytes = bytes + name.as_ref().err().map_or(0, Vec::len);
        self.work.spend(Kind::Write, bytes);
        match name {
            Ok(slot) if plan.is_forced(slot) => {}
            Ok(slot) => self.tx.set(slot, value),
            Err(name) => {
                if !self.tx.set_named(plan.rule_set().slots(), &name, value) {
                    self.names_refused = true;
                    self.give_up();
                }
            }
        }
    }

    fn control(&mut self, ctl: &CompiledCtl) {
        match ctl {
            // Once is enough, however many values the rule matched.
            CompiledCtl::RemoveRules(rules) => {
                let removed = &mut self.removed_rules;
                if !removed.iter().any(|known| Arc::ptr_eq(known, rules)) {
                    removed.push(Arc::clone(rules));
                }
            }
            CompiledCtl::RemoveTarget(rules, exclude) => {
                let removed = &mut self.removed_targets;
                if !removed.iter().any(|known| Arc::ptr_eq(&known.1, exclude)) {
                    removed.push((Arc::clone(rules), Arc::clone(exclude)));
                }
            }
            CompiledCtl::Plain(ctl) => match ctl {
                Ctl::AuditEngine(engine) => self.audit = Some(*engine),
                // A rule may switch the engine off or to detection only; it never sharpens what the
                // operator chose for the route.
                Ctl::RuleEngine(EngineMode::On) => self.mode = self.chosen_mode,
                Ctl::RuleEngine(mode) if self.chosen_mode == EngineMode::On => self.mode = *mode,
                Ctl::RuleEngine(EngineMode::Off) => self.mode = EngineMode::Off,
                Ctl::RuleEngine(EngineMode::DetectionOnly) => {}
                Ctl::RequestBodyAccess(on) => self.body.access = *on,
                Ctl::ResponseBodyAccess(on) => self.response.access = Some(*on),
                Ctl::ForceRequestBodyVariable(on) => self.body.force = *on,
                Ctl::RequestBodyProcessor(processor) => self.set_processor(Some(*processor)),
                // The limits are the route's: a rule may lower what it looks at, not raise it.
                Ctl::RequestBodyLimit(bytes) => self.body.limit = self.body.limit.min(*bytes),
                Ctl::ResponseBodyLimit(bytes) => {
                    self.response.limit = self.response.limit.min(*bytes)
                }
                // Resolved when the rules were compiled.
                Ctl::RuleRemoveById(..)
                | Ctl::RuleRemoveByTag(_)
                | Ctl::RuleRemoveByMsg(_)
                | Ctl::RuleRemoveTargetById(..)
                | Ctl::RuleRemoveTargetByTag(..)
                | Ctl::RuleRemoveTargetByMsg(..) => {}
            },
        }
    }

    /// The disruptive action of a rule that matched.
    fn follow(&mut self, compiled: &CompiledRule) -> Option<Refusal> {
        let rule = &compiled.rule;
        let kind = match &rule.disruptive {
            Disruptive::Pass => return None,
            Disruptive::Allow(scope) => {
                if self.mode == EngineMode::On {
                    self.ended = match scope {
                        Allow::Transaction => Ended::All,
                        Allow::Phase => Ended::Phase(rule.phase),
                        Allow::Request => Ended::Request,
                    };
                }
                return None;
            }
            Disruptive::Deny => RefusalKind::Deny {
                status: rule.status,
            },
            Disruptive::Drop => RefusalKind::Drop,
            Disruptive::Redirect(_) => {
                let mut location = Vec::new();
                if let Some(to) = &compiled.redirect {
                    self.sight(Some(compiled)).expand(to, &mut location);
                }
                let status = match rule.status {
                    status @ (301 | 302 | 303 | 307 | 308) => status,
                    _ => 302,
                };
                RefusalKind::Redirect { status, location }
            }
        };
        let refusal = Refusal {
            rule: rule.id,
            kind,
        };
        if rule.phase == Phase::Log {
            return None;
        }
        if self.refusal.is_none() {
            self.refusal = Some(refusal.clone());
        }
        (self.mode == EngineMode::On).then_some(refusal)
    }
}
