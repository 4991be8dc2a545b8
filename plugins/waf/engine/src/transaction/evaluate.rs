//! A condition, evaluated value by value. This is what the language means; the batch is a faster way
//! to the same matches.

use super::matched::Found;
use super::sight::Sight;
use crate::operators::{Captures, Op};
use crate::plan::compiled::{Condition, Exclude, Operator, Ops, Selector, Target, View};
use crate::work::{Kind, Work};

/// Buffers for transformed values, kept between values.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) first: Vec<u8>,
    pub(crate) second: Vec<u8>,
}

/// The operator of a condition, its argument expanded.
pub(crate) enum Asked<'a> {
    Fixed(&'a Op),
    Dynamic(crate::seclang::OperatorName, Vec<u8>),
}

impl<'a> Asked<'a> {
    pub(crate) fn new(condition: &Condition, ops: &'a Ops, sight: &Sight<'_>) -> Option<Self> {
        Some(match &condition.operator {
            Operator::Fixed(at) => Self::Fixed(ops.get(*at)?),
            Operator::Dynamic(name, argument) => {
                let mut text = Vec::new();
                sight.expand(argument, &mut text);
                Self::Dynamic(*name, text)
            }
        })
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Fixed(op) => op.kind(),
            Self::Dynamic(..) => Kind::Plain,
        }
    }

    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Fixed(op) => op.matches(value, None),
            Self::Dynamic(name, argument) => Op::matches_argument(*name, argument, value),
        }
    }

    /// The work of [`Self::captures`].
    fn groups(&self) -> Kind {
        match self.kind() {
            Kind::Regex => Kind::Groups,
            kind => kind,
        }
    }

    /// What the operator captures of a value that it matches.
    pub(crate) fn captures(&self, value: &[u8]) -> Captures {
        let mut captures = Captures::default();
        if let Self::Fixed(op) = self {
            op.matches(value, Some(&mut captures));
        }
        captures
    }
}

/// Evaluates a condition and adds every value it holds for to `found`.
pub(crate) fn evaluate(
    condition: &Condition,
    removed: &[&Exclude],
    ops: &Ops,
    sight: &Sight<'_>,
    buffers: &mut Buffers,
    work: &mut Work,
    found: &mut Vec<Found>,
) {
    let Some(asked) = Asked::new(condition, ops, sight) else {
        return;
    };
    for target in &condition.targets {
        if !work.spend(Kind::Entries, looks(target, sight)) {
            return;
        }
        if target.count {
            let value = count(target, condition, removed, sight).to_string();
            ask(
                condition,
                &asked,
                target,
                b"",
                value.as_bytes(),
                buffers,
                work,
                found,
            );
            continue;
        }
        sight.each(target, &mut |name, value| {
            if !work.is_over() && !is_excluded(condition, removed, target, name) {
                ask(condition, &asked, target, name, value, buffers, work, found);
            }
        });
    }
}

/// How many entries are looked at to find the values of a target.
fn looks(target: &Target, sight: &Sight<'_>) -> usize {
    match (target.view, &target.selector) {
        (View::Stored { lists, .. }, _) => [Some(lists.0), lists.1]
            .into_iter()
            .flatten()
            .map(|list| sight.values.of(list).1.len())
            .sum(),
        (View::Tx, Selector::All) => sight.slots.len() + sight.tx.made_up(),
        (View::Tx, Selector::Slots(slots, _)) => slots.len() + sight.tx.made_up(),
        (View::MatchedVars | View::MatchedVarsNames, _) => sight.matched.all().len(),
        _ => 1,
    }
}

/// How many values a target has.
fn count(target: &Target, condition: &Condition, removed: &[&Exclude], sight: &Sight<'_>) -> usize {
    let mut count = 0;
    sight.each(target, &mut |name, _| {
        count += usize::from(!is_excluded(condition, removed, target, name))
    });
    count
}

/// True if the value of this name is left out of the rule.
pub(crate) fn is_excluded(
    condition: &Condition,
    removed: &[&Exclude],
    target: &Target,
    name: &[u8],
) -> bool {
    condition
        .excluded
        .iter()
        .chain(removed.iter().copied())
        .any(|exclude| exclude.covers(target.variable, name))
}

#[allow(clippy::too_many_arguments)] // One value, and where everything about it goes.
fn ask(
    condition: &Condition,
    asked: &Asked<'_>,
    target: &Target,
    name: &[u8],
    value: &[u8],
    buffers: &mut Buffers,
    work: &mut Work,
    found: &mut Vec<Found>,
) {
    let mut test = |value: &[u8], work: &mut Work| {
        if !work.spend(asked.kind(), value.len()) {
            return;
        }
        if asked.matches(value) != condition.negated {
            work.spend(Kind::Found, value.len() + name.len());
            let captures = (condition.capture && !condition.negated).then(|| {
                work.spend(asked.groups(), value.len());
                asked.captures(value)
            });
            found.push(Found {
                variable: target.variable,
                count: target.count,
                name: name.to_vec(),
                value: value.to_vec(),
                captures,
            });
        }
    };
    if condition.multi_match {
        test(value, work);
    }
    let Buffers { first, second } = buffers;
    let mut changed = false;
    for transformation in &condition.transformations {
        if !work.spend(Kind::Transform, value.len()) {
            return;
        }
        let next = if changed {
            let next = transformation.apply(first, second);
            if next {
                std::mem::swap(first, second);
            }
            next
        } else {
            transformation.apply(value, first)
        };
        changed |= next;
        if next && condition.multi_match {
            test(first, work);
        }
    }
    if !condition.multi_match {
        test(if changed { first } else { value }, work);
    }
}
