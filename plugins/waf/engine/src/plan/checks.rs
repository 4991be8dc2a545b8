//! Which conditions the batch may judge, and where they look.
//!
//! A *check* is the first condition of a rule, when it asks a fixed operator of values that stand before
//! the phase begins. A *class* is a choice of values that conditions make (all arguments, the header
//! `User-Agent`). For every phase and class the plan knows which checks are asked after which
//! transformations; with the classes of a string this gives, in one list of steps, everything that
//! is ever asked of it.

use std::collections::HashMap;

use super::chains::{Chains, ROOT};
use super::compiled::{CompiledRule, Condition, Operator, Ops, Selector, View};
use super::literals::{self, Clause, LONGEST};
use super::prefilter::Prefilter;
use super::profile::Profile;
use crate::operators::{Op, regex};
use crate::seclang::{OperatorName, Rule, Variable};

/// A set of classes, a bit each.
pub(crate) type Classes = u128;

/// Most classes; conditions that would need more are evaluated one by one.
const MOST_CLASSES: usize = 128;

/// A choice of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Class {
    lists: (Variable, Option<Variable>),
    names: bool,
    /// In lower case; none for all.
    name: Option<Box<[u8]>>,
}

/// A condition that the batch judges.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) op: u32,
    /// Every one must be met before the operator is asked.
    pub(crate) clauses: Vec<u32>,
    /// A clause that is met is a match: lists of phrases.
    pub(crate) decided: bool,
    /// The classes it looks at.
    classes: Classes,
    /// Its transformations, as a node of the tree.
    node: u16,
    multi_match: bool,
}

/// Everything that the batch knows of a rule set.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) list: Vec<Check>,
    pub(crate) prefilter: Prefilter,
    classes: Vec<Class>,
    /// What a list's values, and names, belong to: by variable.
    of_list: Vec<Membership>,
    /// The checks that are asked of every string of their classes: no literal is known of them.
    pub(crate) always: Box<[u64]>,
    /// Words of a set of checks.
    pub(crate) words: usize,
}

/// The classes of one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Membership {
    /// Of every value, and of every name.
    pub(crate) values: Classes,
    pub(crate) names: Classes,
    /// Of the value, and of the name, that has this name (lower case).
    pub(crate) named: HashMap<Box<[u8]>, (Classes, Classes), foldhash::fast::RandomState>,
}

impl Checks {
    /// Finds the conditions that the batch may judge, and numbers them in `compiled`.
    pub(crate) fn new(compiled: &mut [CompiledRule], ops: &Ops) -> Result<Self, String> {
        let mut classes = Vec::new();
        let mut list: Vec<Check> = Vec::new();
        let mut needs = Vec::new();
        for rule in compiled.iter_mut() {
            let Some(condition) = rule.conditions.first_mut() else {
                continue;
            };
            let Some((op, clauses)) = judge(condition, &rule.rule, ops) else {
                continue;
            };
            let Some(looks) = classes_of(condition, &mut classes) else {
                continue;
            };
            condition.check = u16::try_from(list.len()).ok();
            if condition.check.is_none() {
                break;
            }
            list.push(Check {
                op,
                clauses: Vec::new(),
                decided: ops
                    .get(op)
                    .and_then(Op::phrases)
                    .is_some_and(|phrases| phrases.iter().all(|phrase| phrase.len() <= LONGEST)),
                classes: looks,
                node: condition.node,
                multi_match: condition.multi_match,
            });
            needs.push(clauses);
        }
        // The first clause of every check has the check's number, so that one AND gives the candidates.
        // A check without clauses has an empty one, which `always` meets.
        let mut clauses: Vec<Clause> = needs
            .iter()
            .map(|needs| needs.first().cloned().unwrap_or_default())
            .collect();
        for ((check, needs), number) in list.iter_mut().zip(&needs).zip(0u32..) {
            if needs.is_empty() {
                continue;
            }
            check.clauses.push(number);
            for more in needs.iter().skip(1) {
                check
                    .clauses
                    .push(u32::try_from(clauses.len()).map_err(|error| error.to_string())?);
                clauses.push(more.clone());
            }
        }
        for condition in compiled
            .iter_mut()
            .filter_map(|rule| rule.conditions.first_mut())
        {
            if let Some(phrases) = negated_phrases(condition, ops) {
                condition.absent = u32::try_from(clauses.len()).ok();
                clauses.push(phrases);
            }
        }
        let words = list.len().div_ceil(64);
        let mut always = vec![0u64; words];
        for (check, number) in list.iter().zip(0usize..) {
            if let (true, Some(word)) = (check.clauses.is_empty(), always.get_mut(number >> 6)) {
                *word |= 1 << (number & 63);
            }
        }
        let mut of_list = vec![Membership::default(); Variable::ALL.len()];
        for (class, bit) in classes.iter().zip(0u32..) {
            for variable in [Some(class.lists.0), class.lists.1].into_iter().flatten() {
                let Some(member) = of_list.get_mut(variable as usize) else {
                    continue;
                };
                let bit = 1u128 << bit;
                match (&class.name, class.names) {
                    (None, false) => member.values |= bit,
                    (None, true) => member.names |= bit,
                    (Some(name), false) => member.named.entry(name.clone()).or_default().0 |= bit,
                    (Some(name), true) => member.named.entry(name.clone()).or_default().1 |= bit,
                }
            }
        }
        Ok(Self {
            prefilter: Prefilter::new(&clauses)?,
            always: always.into(),
            words,
            list,
            classes,
            of_list,
        })
    }

    /// The classes of a list.
    pub(crate) fn membership(&self, variable: Variable) -> Option<&Membership> {
        self.of_list.get(variable as usize)
    }

    /// The lists that checks look at.
    pub(crate) fn lists(&self) -> Vec<Variable> {
        let mut lists: Vec<Variable> = self
            .classes
            .iter()
            .flat_map(|class| [Some(class.lists.0), class.lists.1])
            .flatten()
            .collect();
        lists.sort_unstable();
        lists.dedup();
        lists
    }
}

/// True if the condition holds for an empty value: some transformations make something of it, as a digest
/// or a length.
fn holds_for_nothing(condition: &Condition, op: &Op) -> bool {
    let (mut value, mut next) = (Vec::new(), Vec::new());
    let mut holds = op.matches(&value, None);
    for transformation in &condition.transformations {
        if transformation.apply(&value, &mut next) {
            std::mem::swap(&mut value, &mut next);
        }
        holds |= op.matches(&value, None);
    }
    holds
}

/// The operator and the clauses of a condition, if the batch may judge it.
fn judge(condition: &Condition, rule: &Rule, ops: &Ops) -> Option<(u32, Vec<Clause>)> {
    let Operator::Fixed(at) = condition.operator else {
        return None;
    };
    let op = ops.get(at)?;
    // What is empty has no entry to be found by; and a condition that holds for nothing is rare.
    let fixed = condition.targets.iter().all(|target| {
        !target.count
            && target.variable != Variable::ReqbodyProcessor
            && matches!(target.view, View::Stored { .. })
            && matches!(target.selector, Selector::All | Selector::Name(_))
    });
    if condition.negated
        || condition.targets.is_empty()
        || !fixed
        || holds_for_nothing(condition, op)
    {
        return None;
    }
    let argument = rule
        .conditions
        .first()
        .and_then(|written| written.operator.argument.literal())?;
    let clauses = match op {
        Op::Rx(_) => literals::needs(&regex::hir(argument).ok()?),
        Op::Phrases(_) => {
            let mut phrases: Vec<Box<[u8]>> =
                op.phrases()?.iter().map(|phrase| cut(phrase)).collect();
            phrases.sort_unstable();
            phrases.dedup();
            vec![phrases]
        }
        Op::Contains(_)
        | Op::Text(
            OperatorName::ContainsWord | OperatorName::BeginsWith | OperatorName::EndsWith,
            _,
        ) => {
            vec![vec![cut(argument)]]
        }
        Op::Sqli
        | Op::Xss
        | Op::ByteRange(_)
        | Op::Utf8Encoding
        | Op::UrlEncoding
        | Op::RxGlobal(_)
        | Op::Verify(_) => Vec::new(),
        _ => return None,
    };
    // Without a literal the batch saves nothing on a single short value.
    let single = condition.targets.iter().all(|target| {
        !target.variable.is_collection() || matches!(target.selector, Selector::Name(_))
    });
    (!(clauses.is_empty() && single)).then_some((at, clauses))
}

/// The phrases of a condition that holds for a single value without any of them.
fn negated_phrases(condition: &Condition, ops: &Ops) -> Option<Clause> {
    let Operator::Fixed(at) = condition.operator else {
        return None;
    };
    let [target] = condition.targets.as_slice() else {
        return None;
    };
    let single = matches!(
        target.view,
        View::Stored {
            lists: (_, None),
            names: false
        }
    ) && matches!(target.selector, Selector::All)
        && !target.variable.is_collection()
        && !target.count;
    let plain = condition.transformations.is_empty() && condition.excluded.is_empty();
    let phrases = ops.get(at)?.phrases()?;
    (condition.negated && single && plain)
        .then(|| phrases.iter().map(|phrase| cut(phrase)).collect())
}

/// A literal as the prefilter takes it.
fn cut(literal: &[u8]) -> Box<[u8]> {
    literal
        .get(..literal.len().min(LONGEST))
        .unwrap_or_default()
        .to_ascii_lowercase()
        .into()
}

fn classes_of(condition: &Condition, classes: &mut Vec<Class>) -> Option<Classes> {
    let mut set = 0;
    for target in &condition.targets {
        let View::Stored { lists, names } = target.view else {
            return None;
        };
        let name = match &target.selector {
            Selector::All => None,
            Selector::Name(name) => Some(name.clone()),
            Selector::Slot(_) | Selector::Pattern(_) | Selector::Slots(..) => return None,
        };
        let class = Class { lists, names, name };
        let at = match classes.iter().position(|known| *known == class) {
            Some(at) => at,
            None if classes.len() < MOST_CLASSES => {
                classes.push(class);
                classes.len() - 1
            }
            None => return None,
        };
        set |= 1u128 << at;
    }
    Some(set)
}

/// The checks of one phase of a plan: by class, then by node.
#[derive(Debug, Default)]
pub(crate) struct PhaseChecks {
    words: usize,
    by_class: Vec<Vec<(u16, Asked)>>,
    /// The classes that any check of the phase looks at.
    pub(crate) classes: Classes,
    /// The lists that have such classes.
    pub(crate) lists: Vec<Variable>,
}

/// Checks asked after the same transformations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// At the end of their transformations.
    pub(crate) last: Box<[u64]>,
    /// With `multiMatch`, at every step that changes the value.
    pub(crate) every: Box<[u64]>,
}

impl Asked {
    pub(super) fn new(words: usize) -> Self {
        Self {
            last: vec![0; words].into(),
            every: vec![0; words].into(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.add_last(other);
        self.add_every(other);
    }

    pub(super) fn add_last(&mut self, other: &Self) {
        for (mine, theirs) in self.last.iter_mut().zip(&other.last) {
            *mine |= theirs;
        }
    }

    pub(super) fn add_every(&mut self, other: &Self) {
        for (mine, theirs) in self.every.iter_mut().zip(&other.every) {
            *mine |= theirs;
        }
    }
}

impl PhaseChecks {
    /// Gathers the checks of these conditions.
    pub(crate) fn new(checks: &Checks, chains: &Chains, asked: impl Iterator<Item = u16>) -> Self {
        let mut phase = Self {
            words: checks.words,
            by_class: vec![Vec::new(); checks.classes.len()],
            ..Self::default()
        };
        for number in asked {
            let Some(check) = checks.list.get(usize::from(number)) else {
                continue;
            };
            phase.classes |= check.classes;
            let mut nodes = vec![check.node];
            if check.multi_match {
                nodes = chains.path(check.node);
                nodes.push(ROOT);
            }
            for (by_node, bit) in phase.by_class.iter_mut().zip(0u32..) {
                if check.classes & (1u128 << bit) == 0 {
                    continue;
                }
                for node in &nodes {
                    let at = match by_node.iter().position(|(known, _)| known == node) {
                        Some(at) => at,
                        None => {
                            by_node.push((*node, Asked::new(checks.words)));
                            by_node.len() - 1
                        }
                    };
                    let Some((_, asked)) = by_node.get_mut(at) else {
                        continue;
                    };
                    let words = if check.multi_match {
                        &mut asked.every
                    } else {
                        &mut asked.last
                    };
                    if let Some(word) = words.get_mut(usize::from(number >> 6)) {
                        *word |= 1 << (number & 63);
                    }
                }
            }
        }
        phase.lists = checks
            .lists()
            .into_iter()
            .filter(|list| {
                checks.membership(*list).is_some_and(|member| {
                    let named = member
                        .named
                        .values()
                        .fold(0, |all, (values, names)| all | values | names);
                    (member.values | member.names | named) & phase.classes != 0
                })
            })
            .collect();
        phase
    }

    /// What is asked of a string of these classes.
    pub(crate) fn profile(&self, chains: &Chains, classes: Classes) -> Profile {
        let mut by_node: Vec<(u16, Asked)> = Vec::new();
        for (asked, bit) in self.by_class.iter().zip(0u32..) {
            if classes & (1u128 << bit) == 0 {
                continue;
            }
            for (node, more) in asked {
                match by_node.iter_mut().find(|(known, _)| known == node) {
                    Some((_, asked)) => asked.add(more),
                    None => by_node.push((*node, more.clone())),
                }
            }
        }
        Profile::new(chains, self.words, &by_node)
    }
}
