//! Lists of actions: `id:1,phase:2,deny,msg:'it''s text',setvar:tx.a=+1`.

use super::super::action::{Allow, Ctl, Disruptive, Sanitise, SetVar, SetVarOp, Severity};
use super::super::problem::{Notes, shown};
use super::super::rule::Phase;
use super::super::text::{Piece, Text};
use super::super::variable::Variable;
use super::action_list::split;
use super::action_words::{NOTHING_KEPT, PHASES, SEVERITIES, WORDS, Word};
use super::targets::is_persistent;
use super::text::{lower_case, text};
use super::{ctl, lookup, number, utf8};
use crate::transform::Transformation;

/// An action, read.
#[derive(Clone, Debug)]
pub(in super::super) enum Action {
    Id(u64),
    Phase(Phase),
    Disruptive(Disruptive),
    Block,
    Status(u16),
    Message(Text),
    Severity(Severity),
    Tag(Text),
    Revision(Box<str>),
    Version(Box<str>),
    Maturity(u8),
    Accuracy(u8),
    Log(bool),
    AuditLog(bool),
    Chain,
    Capture,
    MultiMatch,
    Skip(u32),
    SkipAfter(Box<str>),
    Transform(Transformation),
    TransformNone,
    SetVar(SetVar),
    Ctl(Ctl),
    LogData(Text),
    Sanitise(Sanitise),
}

/// Reads a list of actions. What is wrong is noted and left out.
pub(in super::super) fn actions(list: &[u8], notes: &mut Notes<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut rest = list;
    while let Some((name, value, after)) = split(rest, notes) {
        rest = after;
        read(name, value.as_deref(), &mut actions, notes);
    }
    actions
}

/// Reads one action.
fn read(name: &[u8], value: Option<&[u8]>, actions: &mut Vec<Action>, notes: &mut Notes<'_>) {
    let Some(word) = lookup(WORDS, name) else {
        notes.unknown("action", name, WORDS.iter().map(|(_, word)| *word));
        return;
    };
    let name = shown(name);
    let simple = match word {
        Word::AuditLog => Some(Action::AuditLog(true)),
        Word::Block => Some(Action::Block),
        Word::Capture => Some(Action::Capture),
        Word::Chain => Some(Action::Chain),
        Word::Deny => Some(Action::Disruptive(Disruptive::Deny)),
        Word::Drop => Some(Action::Disruptive(Disruptive::Drop)),
        Word::Log => Some(Action::Log(true)),
        Word::MultiMatch => Some(Action::MultiMatch),
        Word::NoAuditLog => Some(Action::AuditLog(false)),
        Word::NoLog => Some(Action::Log(false)),
        Word::Pass => Some(Action::Disruptive(Disruptive::Pass)),
        Word::SanitiseMatched => Some(Action::Sanitise(Sanitise::Matched)),
        _ => None,
    };
    if let Some(simple) = simple {
        if value.is_some() {
            notes.error(
                format!("`{name}` takes no value"),
                format!("write `{name}` alone"),
            );
        }
        actions.push(simple);
        if matches!(word, Word::NoLog) {
            actions.push(Action::AuditLog(false));
        }
        return;
    }
    match (word, value) {
        (Word::Allow, value) => allow(value, actions, notes),
        (Word::SanitiseMatchedBytes, value) => matched_bytes(value, actions, notes),
        (Word::Idle(why), _) => notes.warn(format!("`{name}` has no effect"), why),
        (Word::Refused(why, instead), _) => {
            notes.error(format!("`{name}` is not supported: {why}"), instead);
        }
        (_, None | Some(b"")) => {
            notes.error(
                format!("`{name}` needs a value"),
                format!("write `{name}:value`"),
            );
        }
        (word, Some(value)) => with_value(word, &name, value, actions, notes),
    }
}

/// Reads an action that needs a value.
fn with_value(
    word: Word,
    name: &str,
    value: &[u8],
    actions: &mut Vec<Action>,
    notes: &mut Notes<'_>,
) {
    let mut one = |action: Option<Action>| actions.extend(action);
    match word {
        Word::Accuracy => one(level(name, value, notes).map(Action::Accuracy)),
        Word::Maturity => one(level(name, value, notes).map(Action::Maturity)),
        Word::Id => match number(value).filter(|id| *id > 0) {
            Some(id) => one(Some(Action::Id(id))),
            None => notes.error(
                format!("`{}` is no id", shown(value)),
                "an id is a number from 1",
            ),
        },
        Word::LogData => one(text(value, notes).map(Action::LogData)),
        Word::Msg => one(text(value, notes).map(Action::Message)),
        Word::Tag => one(text(value, notes).map(Action::Tag)),
        Word::Redirect => {
            let place = text(value, notes);
            one(place.map(|place| Action::Disruptive(Disruptive::Redirect(place))));
        }
        Word::Rev => one(utf8(value, notes).map(Action::Revision)),
        Word::Version => one(utf8(value, notes).map(Action::Version)),
        Word::SkipAfter => one(utf8(value, notes).map(Action::SkipAfter)),
        Word::Phase => match lookup(PHASES, value) {
            Some(phase) => one(Some(Action::Phase(phase))),
            None => notes.error(
                format!("`{}` is no phase", shown(value)),
                "phases are 1, 2 (request), 3, 4 (response), 5 (logging)",
            ),
        },
        Word::Severity => {
            let digit = number(value).and_then(|n| u8::try_from(n).ok());
            match digit.filter(|n| *n <= 7).map(Severity) {
                Some(severity) => one(Some(Action::Severity(severity))),
                None => match lookup(SEVERITIES, value) {
                    Some(severity) => one(Some(Action::Severity(severity))),
                    None => {
                        let known = SEVERITIES.iter().map(|(_, word)| *word);
                        notes.unknown("severity", value, known);
                    }
                },
            }
        }
        Word::Skip => match number(value).and_then(|n| u32::try_from(n).ok()) {
            Some(rules) if rules > 0 => one(Some(Action::Skip(rules))),
            _ => notes.error(
                format!("`skip:{}`: no number of rules", shown(value)),
                "write a number from 1, or better `skipAfter:MARKER`",
            ),
        },
        Word::Status => match number(value).and_then(|n| u16::try_from(n).ok()) {
            Some(status @ 200..=599) => one(Some(Action::Status(status))),
            _ => notes.error(
                format!("`{}` is no status", shown(value)),
                "a status is a number from 200 to 599",
            ),
        },
        Word::Transform => {
            if value.eq_ignore_ascii_case(b"none") {
                one(Some(Action::TransformNone));
            } else if let Some(found) = lookup(Transformation::ALL, value) {
                one(Some(Action::Transform(found)));
            } else {
                let known = Transformation::ALL.iter().map(|(_, word)| *word);
                notes.unknown("transformation", value, known.chain(["none"]));
            }
        }
        Word::SetVar => one(set_var(value, notes).map(Action::SetVar)),
        Word::Ctl => {
            let ctls = ctl::ctl(value, notes);
            actions.extend(ctls.into_iter().map(Action::Ctl));
        }
        Word::SanitiseArg => one(Some(Action::Sanitise(Sanitise::Argument(
            value.to_ascii_lowercase().into(),
        )))),
        Word::SanitiseRequestHeader => one(Some(Action::Sanitise(Sanitise::RequestHeader(
            value.to_ascii_lowercase().into(),
        )))),
        Word::SanitiseResponseHeader => one(Some(Action::Sanitise(Sanitise::ResponseHeader(
            value.to_ascii_lowercase().into(),
        )))),
        // Names of name spaces matter to XPath, of which only two forms are supported; both ignore them.
        Word::Xmlns => {}
        Word::Allow
        | Word::AuditLog
        | Word::Block
        | Word::Capture
        | Word::Chain
        | Word::Deny
        | Word::Drop
        | Word::Log
        | Word::MultiMatch
        | Word::NoAuditLog
        | Word::NoLog
        | Word::Pass
        | Word::SanitiseMatched
        | Word::SanitiseMatchedBytes
        | Word::Idle(_)
        | Word::Refused(..) => {}
    }
}

/// 0 to 9.
fn level(name: &str, value: &[u8], notes: &mut Notes<'_>) -> Option<u8> {
    let level = number(value).and_then(|n| u8::try_from(n).ok());
    let level = level.filter(|n| *n <= 9);
    if level.is_none() {
        notes.error(
            format!("`{name}:{}` is out of range", shown(value)),
            "write a number from 0 to 9",
        );
    }
    level
}

fn allow(value: Option<&[u8]>, actions: &mut Vec<Action>, notes: &mut Notes<'_>) {
    const ENDS: &[(Allow, &str)] = &[(Allow::Phase, "phase"), (Allow::Request, "request")];
    let ends = match value {
        None => Some(Allow::Transaction),
        Some(word) => lookup(ENDS, word),
    };
    match ends {
        Some(ends) => actions.push(Action::Disruptive(Disruptive::Allow(ends))),
        None => notes.error(
            format!("`allow:{}`", shown(value.unwrap_or_default())),
            "write `allow`, `allow:phase` or `allow:request`",
        ),
    }
}

/// `sanitiseMatchedBytes`, `sanitiseMatchedBytes:1/4`: bytes kept at the start and the end.
fn matched_bytes(value: Option<&[u8]>, actions: &mut Vec<Action>, notes: &mut Notes<'_>) {
    let kept = match value {
        None => Some((0, 0)),
        Some(value) => memchr::memchr(b'/', value).and_then(|at| {
            let short = |bytes: &[u8]| number(bytes).and_then(|n| u32::try_from(n).ok());
            Some((short(value.get(..at)?)?, short(value.get(at + 1..)?)?))
        }),
    };
    match kept {
        Some((first, last)) => {
            actions.push(Action::Sanitise(Sanitise::MatchedBytes { first, last }));
        }
        None => notes.error(
            format!(
                "`sanitiseMatchedBytes:{}`",
                shown(value.unwrap_or_default())
            ),
            "write `sanitiseMatchedBytes:1/4` for one byte kept at the start and four at the end",
        ),
    }
}

/// `tx.a=1`, `tx.a=+%{tx.b}`, `!tx.a`, `tx.a`.
fn set_var(value: &[u8], notes: &mut Notes<'_>) -> Option<SetVar> {
    const HELP: &str = "write `setvar:tx.name=value`, `=+number`, `=-number` or `setvar:!tx.name`";
    let (unset, rest) = match value.strip_prefix(b"!") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = memchr::memchr2(b'.', b':', rest);
    let (collection, rest) = match dot.and_then(|at| rest.split_at_checked(at)) {
        Some((collection, rest)) => (collection.trim_ascii(), rest.get(1..).unwrap_or_default()),
        None => {
            notes.error(format!("`setvar:{}` names no value", shown(value)), HELP);
            return None;
        }
    };
    match lookup(Variable::ALL, collection) {
        Some(Variable::Tx) => {}
        Some(other) if is_persistent(other) => {
            notes.error(
                format!("`setvar` cannot set {}", other.word()),
                NOTHING_KEPT,
            );
            return None;
        }
        Some(other) => {
            notes.error(format!("`setvar` cannot set {}", other.word()), HELP);
            return None;
        }
        None => {
            notes.unknown("collection to set", collection, ["TX"].into_iter());
            return None;
        }
    }
    let equals = equals_outside_macros(rest);
    let (name, operation) = match equals.and_then(|at| rest.split_at_checked(at)) {
        Some((name, operation)) => (name, operation.get(1..)),
        None => (rest, None),
    };
    let name = lower_case(text(name.trim_ascii(), notes)?);
    if name.0.is_empty() {
        notes.error(format!("`setvar:{}` names no value", shown(value)), HELP);
        return None;
    }
    let op = match (unset, operation) {
        (true, None) => SetVarOp::Unset,
        (true, Some(_)) => {
            notes.error(
                format!("`setvar:{}`: `!` takes no value", shown(value)),
                HELP,
            );
            return None;
        }
        (false, None) => SetVarOp::Set(Text(vec![Piece::Literal((*b"1").into())])),
        (false, Some([b'+', by @ ..])) => SetVarOp::Add(text(by, notes)?),
        (false, Some([b'-', by @ ..])) => SetVarOp::Subtract(text(by, notes)?),
        (false, Some(to)) => SetVarOp::Set(text(to, notes)?),
    };
    Some(SetVar { name, op })
}

/// The first `=` that is not inside of `%{...}`.
fn equals_outside_macros(bytes: &[u8]) -> Option<usize> {
    let mut inside = false;
    bytes.iter().position(|byte| {
        match byte {
            b'{' => inside = true,
            b'}' => inside = false,
            _ => {}
        }
        *byte == b'=' && !inside
    })
}
