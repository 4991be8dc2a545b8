//! Rules as the engine runs them: names became numbers, operators are compiled. The same for every
//! plan over a rule set.

use std::sync::Arc;

use crate::operators::Op;
use crate::operators::regex::Regex;
use crate::plan::slots::Slot;
use crate::seclang::{Ctl, OperatorName, Rule, Variable};
use crate::transform::Transformation;

/// A rule with its conditions compiled.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) rule: Arc<Rule>,
    pub(crate) conditions: Vec<Condition>,
    /// The condition whose matches the record shows: the first that looks at the transaction, and not
    /// at what other rules noted.
    pub(crate) told: usize,
    pub(crate) message: Option<Macros>,
    pub(crate) tags: Vec<Macros>,
    pub(crate) redirect: Option<Macros>,
}

/// One link of a chain.
#[derive(Debug)]
pub(crate) struct Condition {
    /// What is looked at; empty: the condition always holds.
    pub(crate) targets: Vec<Target>,
    /// What is left out.
    pub(crate) excluded: Vec<Exclude>,
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
    pub(crate) transformations: Vec<Transformation>,
    /// The node of this list of transformations in the rule set's [`super::chains::Chains`].
    pub(crate) node: u16,
    pub(crate) multi_match: bool,
    pub(crate) capture: bool,
    pub(crate) set_vars: Vec<SetVar>,
    pub(crate) ctls: Vec<CompiledCtl>,
    pub(crate) log_data: Option<Macros>,
    /// The check that stands for this condition in the batch, if it has one.
    pub(crate) check: Option<u16>,
    /// A clause of the prefilter without which the operator of this negated condition cannot match: a
    /// single value that is known not to meet it need not be asked.
    pub(crate) absent: Option<u32>,
}

impl CompiledRule {
    /// True if what its conditions matched can be seen afterwards: by a later condition or in a text.
    pub(crate) fn shows_matches(&self) -> bool {
        let own = self.message.iter().chain(&self.tags).chain(&self.redirect);
        own.into_iter().any(Macros::show_matches)
            || self
                .conditions
                .iter()
                .any(|condition| condition.sees_matches() || condition.writes_matches())
    }
}

impl Condition {
    /// True if what it does is done at most once: of its values no more than one can match, or it does
    /// nothing.
    pub(crate) fn acts_once(&self) -> bool {
        let one = |target: &Target| target.count || matches!(target.selector, Selector::Slot(_));
        let idle = self.set_vars.is_empty() && self.ctls.is_empty();
        idle || (self.targets.len() <= 1 && self.targets.iter().all(one) && !self.multi_match)
    }

    fn writes_matches(&self) -> bool {
        let set = |set: &SetVar| {
            let value = match &set.op {
                SetOp::Set(text) | SetOp::Add(text) | SetOp::Subtract(text) => text.show_matches(),
                SetOp::Constant(_) | SetOp::Unset => false,
            };
            value || matches!(&set.name, SetName::Macros(name) if name.show_matches())
        };
        let operator = matches!(&self.operator, Operator::Dynamic(_, text) if text.show_matches());
        operator
            || self.set_vars.iter().any(set)
            || self.log_data.as_ref().is_some_and(Macros::show_matches)
    }

    /// True if it looks at the transaction itself.
    pub(crate) fn sees_transaction(&self) -> bool {
        self.targets
            .iter()
            .any(|target| matches!(target.view, View::Stored { .. } | View::Computed))
    }

    /// True if it looks at what this chain matched before.
    pub(crate) fn sees_matches(&self) -> bool {
        self.targets
            .iter()
            .any(|target| !matches!(target.view, View::Stored { .. } | View::Computed | View::Tx))
    }
}

/// The operator of a condition.
#[derive(Debug)]
pub(crate) enum Operator {
    /// Compiled when the rules were loaded.
    Fixed(u32),
    /// Its argument is known only per transaction.
    Dynamic(OperatorName, Macros),
}

/// A variable or collection to look at.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) variable: Variable,
    pub(crate) view: View,
    pub(crate) selector: Selector,
    pub(crate) count: bool,
}

/// Where the values of a variable are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// In the values, under one variable or two; the names or the values of the entries.
    Stored {
        lists: (Variable, Option<Variable>),
        names: bool,
    },
    /// In TX.
    Tx,
    /// Of the last match.
    MatchedVar,
    MatchedVarName,
    /// Of all matches of this chain.
    MatchedVars,
    MatchedVarsNames,
    /// Worked out when asked for.
    Computed,
}

/// Which of a collection's values.
#[derive(Debug)]
pub(crate) enum Selector {
    All,
    /// In lower case.
    Name(Box<[u8]>),
    Slot(Slot),
    Pattern(Arc<Regex>),
    /// In TX: the names that the rules know and the pattern takes; names that are made per transaction
    /// are held against the pattern then.
    Slots(Box<[Slot]>, Arc<Regex>),
}

/// Values that are left out: of this variable, with these names.
#[derive(Debug)]
pub(crate) struct Exclude {
    pub(crate) variable: Variable,
    pub(crate) selector: Selector,
}

impl Exclude {
    /// True if it takes out the value of this name under this variable.
    pub(crate) fn covers(&self, variable: Variable, name: &[u8]) -> bool {
        self.variable == variable && self.selector.takes(name)
    }
}

impl Selector {
    /// True if a value of this name is chosen. Slots are compared by their reader, not here.
    pub(crate) fn takes(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Name(wanted) => name.eq_ignore_ascii_case(wanted),
            Self::Slot(_) => false,
            Self::Pattern(regex) | Self::Slots(_, regex) => regex.is_match(name),
        }
    }
}

/// Text whose macros are resolved to where their values are.
#[derive(Debug, Clone)]
pub(crate) struct Macros(pub(crate) Vec<Part>);

impl Macros {
    /// True if a macro tells what was matched.
    fn show_matches(&self) -> bool {
        let shows = |variable| {
            !matches!(
                view_of(variable),
                View::Stored { .. } | View::Computed | View::Tx
            )
        };
        self.0
            .iter()
            .any(|part| matches!(part, Part::Value(variable, _) if shows(*variable)))
    }
}

/// A part of it.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Literal(Box<[u8]>),
    Tx(Slot),
    /// The first value of a variable, or that of this name (lower case).
    Value(Variable, Option<Box<[u8]>>),
}

/// `setvar`, resolved.
#[derive(Debug)]
pub(crate) struct SetVar {
    pub(crate) name: SetName,
    pub(crate) op: SetOp,
}

/// What it names.
#[derive(Debug)]
pub(crate) enum SetName {
    Slot(Slot),
    /// Made of macros; put into lower case when expanded.
    Macros(Macros),
}

/// What it does.
#[derive(Debug)]
pub(crate) enum SetOp {
    /// Sets a constant; ready to be shared.
    Constant(Arc<[u8]>),
    Set(Macros),
    Add(Macros),
    Subtract(Macros),
    Unset,
}

/// `ctl` with its patterns compiled.
#[derive(Debug)]
pub(crate) enum CompiledCtl {
    /// Needs nothing compiled.
    Plain(Ctl),
    /// Removes the rules whose tag (or message) matches: worked out when the rules were loaded.
    RemoveRules(Arc<[u32]>),
    /// Takes a target away from rules.
    RemoveTarget(Arc<[u32]>, Arc<Exclude>),
}

/// The compiled operators of a rule set, each once.
#[derive(Debug, Default)]
pub(crate) struct Ops {
    pub(crate) list: Vec<Arc<Op>>,
}

impl Ops {
    pub(crate) fn get(&self, at: u32) -> Option<&Op> {
        self.list.get(at as usize).map(|op| &**op)
    }
}

/// Where the values of a variable are.
pub(crate) fn view_of(variable: Variable) -> View {
    use Variable as V;
    let stored = |lists, names| View::Stored { lists, names };
    match variable {
        V::Args => stored((V::ArgsGet, Some(V::ArgsPost)), false),
        V::ArgsNames => stored((V::ArgsGet, Some(V::ArgsPost)), true),
        V::ArgsGetNames => stored((V::ArgsGet, None), true),
        V::ArgsPostNames => stored((V::ArgsPost, None), true),
        V::RequestCookiesNames => stored((V::RequestCookies, None), true),
        V::RequestHeadersNames => stored((V::RequestHeaders, None), true),
        V::ResponseHeadersNames => stored((V::ResponseHeaders, None), true),
        V::Tx => View::Tx,
        V::MatchedVar => View::MatchedVar,
        V::MatchedVarName => View::MatchedVarName,
        V::MatchedVars => View::MatchedVars,
        V::MatchedVarsNames => View::MatchedVarsNames,
        V::Duration
        | V::Env
        | V::FullRequest
        | V::FullRequestLength
        | V::HighestSeverity
        | V::ModsecBuild
        | V::Rule
        | V::Time
        | V::TimeDay
        | V::TimeEpoch
        | V::TimeHour
        | V::TimeMin
        | V::TimeMon
        | V::TimeSec
        | V::TimeWday
        | V::TimeYear => View::Computed,
        other => stored((other, None), false),
    }
}
