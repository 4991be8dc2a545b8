//! What a rule that stays may read, write, end and remove.

use std::sync::Arc;

use super::super::compiled::{
    CompiledCtl, CompiledRule, Macros, Operator, Part, Selector, SetName, SetOp, View,
};
use super::super::slots::Slot;
use super::Fold;
use crate::seclang::{Ctl, Disruptive, Variable};

impl Fold<'_> {
    /// Notes what a rule that stays may read, write, end and remove.
    pub(super) fn keep(&mut self, compiled: &CompiledRule) {
        for macros in compiled
            .message
            .iter()
            .chain(&compiled.tags)
            .chain(&compiled.redirect)
        {
            self.read_text(macros);
        }
        for condition in &compiled.conditions {
            for target in &condition.targets {
                match (&target.view, &target.selector) {
                    (View::Tx, Selector::Slot(slot)) => self.touched[usize::from(slot.0)] = true,
                    (View::Tx, _) => self.touched.fill(true),
                    _ => {}
                }
            }
            if let Operator::Dynamic(_, text) = &condition.operator {
                self.read_text(text);
            }
            if let Some(text) = &condition.log_data {
                self.read_text(text);
            }
            for set in &condition.set_vars {
                if let SetOp::Set(text) | SetOp::Add(text) | SetOp::Subtract(text) = &set.op {
                    self.read_text(text);
                }
                match &set.name {
                    SetName::Slot(slot) => self.write(*slot),
                    SetName::Macros(name) => self.write_made_up(name),
                }
            }
            for ctl in &condition.ctls {
                match ctl {
                    CompiledCtl::RemoveRules(rules) => self.removals.push(Arc::clone(rules)),
                    CompiledCtl::RemoveTarget(rules, exclude)
                        if exclude.variable == Variable::Tx =>
                    {
                        self.narrowed.push(Arc::clone(rules));
                    }
                    CompiledCtl::Plain(Ctl::RuleEngine(_)) => self.may_end = true,
                    CompiledCtl::RemoveTarget(..) | CompiledCtl::Plain(_) => {}
                }
            }
        }
        self.may_skip |= compiled.rule.skip > 0;
        // What comes after a refusal does not run, but the log phase sees TX.
        self.may_end |= compiled.rule.disruptive != Disruptive::Pass;
    }

    fn read_text(&mut self, text: &Macros) {
        for part in &text.0 {
            match part {
                Part::Tx(slot) => self.touched[usize::from(slot.0)] = true,
                Part::Value(Variable::Tx, _) => self.touched.fill(true),
                _ => {}
            }
        }
    }

    fn write(&mut self, slot: Slot) {
        if !self.forced.contains(&slot) {
            self.unknown[usize::from(slot.0)] = true;
        }
        self.touched[usize::from(slot.0)] = true;
    }

    /// A name with macros in it may be any that begins like it.
    fn write_made_up(&mut self, name: &Macros) {
        let prefix = match name.0.first() {
            Some(Part::Literal(prefix)) => prefix.to_ascii_lowercase(),
            _ => Vec::new(),
        };
        for at in 0..self.set.slots.len() {
            let Ok(slot) = u16::try_from(at).map(Slot) else {
                break;
            };
            if self.set.slots.name(slot).starts_with(&prefix) {
                self.write(slot);
            }
        }
    }
}
