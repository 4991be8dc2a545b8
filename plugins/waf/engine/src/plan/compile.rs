//! From rules as written to rules as the engine runs them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::chains::Chains;
use super::compiled::{
    CompiledCtl, CompiledRule, Condition, Exclude, Macros, Operator, Ops, Part, Selector, SetName,
    SetOp, SetVar, Target, view_of,
};
use super::slots::Slots;
use crate::operators::{Op, regex};
use crate::seclang::{
    self, Ctl, Files, OperatorName, Piece, Place, Problem, Rule, TargetRemoval, Text, Variable,
};

/// What makes two operators the same: name, argument, and the folder of files it names.
type OpKey = (OperatorName, Box<[u8]>, Box<Path>);

/// What compiling needs and fills.
pub(crate) struct Compiler<'f> {
    pub(crate) files: &'f dyn Files,
    pub(crate) slots: Slots,
    pub(crate) chains: Chains,
    pub(crate) ops: Ops,
    pub(crate) problems: Vec<Problem>,
    known_ops: HashMap<OpKey, u32>,
}

/// Names under which the two views of a document are kept; no argument can have them, as they stand
/// in a collection of their own.
pub(crate) const XML_TEXT: &[u8] = b"/*";
/// See [`XML_TEXT`].
pub(crate) const XML_ATTRIBUTES: &[u8] = b"//@*";

impl<'f> Compiler<'f> {
    pub(crate) fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            slots: Slots::new(),
            chains: Chains::new(),
            ops: Ops::default(),
            problems: Vec::new(),
            known_ops: HashMap::new(),
        }
    }

    fn problem(&mut self, place: &Place, message: String) {
        self.problems.push(Problem {
            place: Some(place.clone()),
            message,
            help: None,
        });
    }

    /// Compiles every rule. `rules` are all of them, for `ctl`s that choose by tag or message.
    pub(crate) fn rules(&mut self, rules: &[Arc<Rule>]) -> Vec<CompiledRule> {
        let mut compiled: Vec<CompiledRule> =
            rules.iter().map(|rule| self.rule(rule, rules)).collect();
        let targets = compiled
            .iter_mut()
            .flat_map(|rule| &mut rule.conditions)
            .flat_map(|condition| &mut condition.targets);
        for target in targets.filter(|target| target.variable == Variable::Tx) {
            if let Selector::Pattern(pattern) = &target.selector {
                target.selector =
                    Selector::Slots(self.slots.matching(pattern), Arc::clone(pattern));
            }
        }
        compiled
    }

    fn rule(&mut self, rule: &Arc<Rule>, all: &[Arc<Rule>]) -> CompiledRule {
        let redirect = match &rule.disruptive {
            seclang::Disruptive::Redirect(to) => Some(self.macros(to)),
            _ => None,
        };
        let conditions: Vec<Condition> = rule
            .conditions
            .iter()
            .map(|condition| self.condition(condition, all))
            .collect();
        CompiledRule {
            told: conditions
                .iter()
                .position(Condition::sees_transaction)
                .unwrap_or(0),
            conditions,
            message: rule.message.as_ref().map(|text| self.macros(text)),
            tags: rule.tags.iter().map(|text| self.macros(text)).collect(),
            redirect,
            rule: Arc::clone(rule),
        }
    }

    fn condition(&mut self, condition: &seclang::Condition, all: &[Arc<Rule>]) -> Condition {
        let place = &condition.place;
        let (excluded, targets): (Vec<_>, Vec<_>) =
            condition.targets.iter().partition(|target| target.excluded);
        let node = self.chains.intern(&condition.transformations);
        if node.is_none() {
            self.problem(
                place,
                "the rules have more than 65,535 different lists of transformations".into(),
            );
        }
        Condition {
            targets: targets
                .into_iter()
                .filter_map(|target| self.target(target, place))
                .collect(),
            excluded: excluded
                .into_iter()
                .filter_map(|target| self.exclude(target.variable, &target.selector, place))
                .collect(),
            operator: self.operator(condition),
            negated: condition.operator.negated,
            transformations: condition.transformations.clone(),
            node: node.unwrap_or_default(),
            multi_match: condition.multi_match,
            capture: condition.capture,
            set_vars: condition
                .set_vars
                .iter()
                .map(|set| self.set_var(set))
                .collect(),
            ctls: condition
                .ctls
                .iter()
                .filter_map(|ctl| self.ctl(ctl, all, place))
                .collect(),
            log_data: condition.log_data.as_ref().map(|text| self.macros(text)),
            check: None,
            absent: None,
        }
    }

    fn target(&mut self, target: &seclang::Target, place: &Place) -> Option<Target> {
        let selector = match (&target.selector, target.variable) {
            (seclang::Selector::Name(name), Variable::Tx) => {
                Selector::Slot(self.slots.intern(name))
            }
            (selector, _) => self.selector(selector, place)?,
        };
        Some(Target {
            variable: target.variable,
            view: view_of(target.variable),
            selector,
            count: target.count,
        })
    }

    fn exclude(
        &mut self,
        variable: Variable,
        selector: &seclang::Selector,
        place: &Place,
    ) -> Option<Exclude> {
        Some(Exclude {
            variable,
            selector: self.selector(selector, place)?,
        })
    }

    fn selector(&mut self, selector: &seclang::Selector, place: &Place) -> Option<Selector> {
        Some(match selector {
            seclang::Selector::All => Selector::All,
            seclang::Selector::Name(name) => Selector::Name(name.to_ascii_lowercase().into()),
            seclang::Selector::XmlText => Selector::Name(XML_TEXT.into()),
            seclang::Selector::XmlAttributes => Selector::Name(XML_ATTRIBUTES.into()),
            seclang::Selector::Pattern(pattern) => match any_case(pattern) {
                Ok(regex) => Selector::Pattern(Arc::new(regex)),
                Err(error) => {
                    self.problem(place, format!("the selector /{pattern}/: {error}"));
                    return None;
                }
            },
        })
    }

    fn operator(&mut self, condition: &seclang::Condition) -> Operator {
        let written = &condition.operator;
        let Some(argument) = written.argument.literal() else {
            if !Op::takes_macros(written.name) {
                self.problem(
                    &condition.place,
                    "this operator takes no macros in its argument".into(),
                );
            }
            return Operator::Dynamic(written.name, self.macros(&written.argument));
        };
        let beside = Path::new(&*condition.place.file)
            .parent()
            .unwrap_or(Path::new(""));
        let key = (written.name, Box::from(argument), Box::from(beside));
        if let Some(known) = self.known_ops.get(&key) {
            return Operator::Fixed(*known);
        }
        match Op::compile(written.name, argument, beside, self.files) {
            Ok(op) => {
                let at = u32::try_from(self.ops.list.len()).unwrap_or(u32::MAX);
                self.ops.list.push(Arc::new(op));
                self.known_ops.insert(key, at);
                Operator::Fixed(at)
            }
            Err(error) => {
                self.problem(&condition.place, error);
                Operator::Fixed(u32::MAX)
            }
        }
    }

    pub(crate) fn macros(&mut self, text: &Text) -> Macros {
        Macros(
            text.0
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(bytes) => Part::Literal(bytes.clone()),
                    Piece::Macro(Variable::Tx, Some(name)) => Part::Tx(self.slots.intern(name)),
                    Piece::Macro(variable, key) => Part::Value(
                        *variable,
                        key.as_ref().map(|key| key.to_ascii_lowercase().into()),
                    ),
                })
                .collect(),
        )
    }

    fn set_var(&mut self, set: &seclang::SetVar) -> SetVar {
        let name = match set.name.literal() {
            Some(name) => SetName::Slot(self.slots.intern(name)),
            None => SetName::Macros(self.macros(&set.name)),
        };
        let op = match &set.op {
            seclang::SetVarOp::Set(text) => match text.literal() {
                Some(constant) => SetOp::Constant(constant.into()),
                None => SetOp::Set(self.macros(text)),
            },
            seclang::SetVarOp::Add(text) => SetOp::Add(self.macros(text)),
            seclang::SetVarOp::Subtract(text) => SetOp::Subtract(self.macros(text)),
            seclang::SetVarOp::Unset => SetOp::Unset,
        };
        SetVar { name, op }
    }

    fn ctl(&mut self, ctl: &Ctl, all: &[Arc<Rule>], place: &Place) -> Option<CompiledCtl> {
        let (choice, removal) = match ctl {
            Ctl::RuleRemoveById(first, last) => (RuleChoice::Id(*first, *last), None),
            Ctl::RuleRemoveByTag(tag) => (RuleChoice::Tag(tag.to_string()), None),
            Ctl::RuleRemoveByMsg(message) => (RuleChoice::Message(message.to_string()), None),
            Ctl::RuleRemoveTargetById(first, last, removal) => {
                (RuleChoice::Id(*first, *last), Some(removal))
            }
            Ctl::RuleRemoveTargetByTag(tag, removal) => {
                (RuleChoice::Tag(tag.to_string()), Some(removal))
            }
            Ctl::RuleRemoveTargetByMsg(message, removal) => {
                (RuleChoice::Message(message.to_string()), Some(removal))
            }
            other => return Some(CompiledCtl::Plain(other.clone())),
        };
        let rules = match choose(&choice, all) {
            Ok(rules) => rules,
            Err(error) => {
                self.problem(place, error);
                return None;
            }
        };
        Some(match removal {
            None => CompiledCtl::RemoveRules(rules),
            Some(removal) => CompiledCtl::RemoveTarget(
                rules,
                Arc::new(self.exclude(removal.variable, &removal.selector, place)?),
            ),
        })
    }
}

/// Rules, chosen by what operators know of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleChoice {
    /// Ids from the first to the last, both counted.
    Id(u64, u64),
    /// A regular expression that is found in one of the tags.
    Tag(String),
    /// A regular expression that is found in the message.
    Message(String),
}

/// Rules, or one of their targets, that an operator excludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Which rules.
    pub rules: RuleChoice,
    /// Only these values; without them the rules do not run at all.
    pub target: Option<TargetRemoval>,
}

/// An [`Exclusion`] made ready for one rule set.
#[derive(Clone, Debug)]
pub struct PreparedExclusion {
    pub(crate) rules: Arc<[u32]>,
    pub(crate) target: Option<Arc<Exclude>>,
}

impl PreparedExclusion {
    /// How many rules it concerns.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    pub(crate) fn prepare(exclusion: &Exclusion, all: &[Arc<Rule>]) -> Result<Self, String> {
        let target = match &exclusion.target {
            None => None,
            Some(removal) => {
                // Nothing but the selector is compiled, so an empty compiler does.
                let mut compiler = Compiler::new(&NoFiles);
                let place = Place {
                    file: "".into(),
                    line: 0,
                };
                match compiler.exclude(removal.variable, &removal.selector, &place) {
                    Some(exclude) => Some(Arc::new(exclude)),
                    None => {
                        return Err(compiler
                            .problems
                            .pop()
                            .map(|problem| problem.message)
                            .unwrap_or_default());
                    }
                }
            }
        };
        Ok(Self {
            rules: choose(&exclusion.rules, all)?,
            target,
        })
    }
}

/// No file at all.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        Err(format!("{}: not here", path.display()))
    }

    fn expand(&self, _: &str, _: Option<&Path>) -> Result<Vec<std::path::PathBuf>, String> {
        Ok(Vec::new())
    }
}

fn any_case(pattern: &str) -> Result<regex::Regex, String> {
    regex::compile(format!("(?i){pattern}").as_bytes()).map_err(|error| error.to_string())
}

/// The numbers of the rules that a choice means.
fn choose(choice: &RuleChoice, all: &[Arc<Rule>]) -> Result<Arc<[u32]>, String> {
    let pattern = match choice {
        RuleChoice::Id(..) => None,
        RuleChoice::Tag(pattern) | RuleChoice::Message(pattern) => Some(
            regex::compile(pattern.as_bytes())
                .map_err(|error| format!("the pattern `{pattern}`: {error}"))?,
        ),
    };
    let found = |text: &Text| {
        let plain: Vec<u8> = text
            .0
            .iter()
            .flat_map(|piece| match piece {
                Piece::Literal(bytes) => bytes.to_vec(),
                Piece::Macro(..) => Vec::new(),
            })
            .collect();
        pattern
            .as_ref()
            .is_some_and(|pattern| pattern.is_match(&plain))
    };
    Ok(all
        .iter()
        .zip(0u32..)
        .filter(|(rule, _)| match choice {
            RuleChoice::Id(first, last) => (*first..=*last).contains(&rule.id),
            RuleChoice::Tag(_) => rule.tags.iter().any(found),
            RuleChoice::Message(_) => rule.message.as_ref().is_some_and(found),
        })
        .map(|(_, number)| number)
        .collect())
}
