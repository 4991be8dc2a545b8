//! Operators: `!@pm a b c`.

use super::super::problem::{Notes, shown};
use super::super::rule::{Operator, OperatorName};
use super::super::text::{Piece, Text};
use super::lookup;
use super::text::{seems_macro, text};
use crate::operators::{Op, REFUSED};

/// Whether spaces before the argument belong to it.
fn keeps_spaces(name: OperatorName) -> bool {
    use OperatorName as O;
    matches!(
        name,
        O::BeginsWith
            | O::Contains
            | O::ContainsWord
            | O::EndsWith
            | O::Rx
            | O::RxGlobal
            | O::StrEq
            | O::StrMatch
            | O::Within
    )
}

/// Reads an operator. Without `@` it is a regular expression.
pub(in super::super) fn operator(written: &[u8], notes: &mut Notes<'_>) -> Option<Operator> {
    let start = written.trim_ascii_start();
    let (negated, rest) = match start.strip_prefix(b"!") {
        Some(rest) if rest.trim_ascii_start().starts_with(b"@") => (true, rest.trim_ascii_start()),
        Some(rest) => (true, rest),
        None => (false, start),
    };
    let Some(named) = rest.strip_prefix(b"@") else {
        let pattern = if negated { rest } else { written };
        return argument(OperatorName::Rx, negated, pattern, notes);
    };
    let end = named
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(named.len());
    let (word, rest) = named.split_at_checked(end).unwrap_or((named, b""));
    let Some(name) = lookup(OperatorName::ALL, word) else {
        let refused = REFUSED
            .iter()
            .find(|(refused, _)| refused.as_bytes().eq_ignore_ascii_case(word));
        match refused {
            Some((word, reason)) => notes.error(
                format!("the operator `@{word}` is not supported: {reason}"),
                "remove the rule",
            ),
            None => notes.unknown(
                "operator",
                word,
                OperatorName::ALL.iter().map(|(_, word)| *word),
            ),
        }
        return None;
    };
    // One space ends the name; what follows belongs to a text, as in ModSecurity v3.
    let rest = match rest.split_first() {
        Some((_, rest)) if keeps_spaces(name) => rest,
        _ => rest.trim_ascii_start(),
    };
    argument(name, negated, rest, notes)
}

fn argument(
    name: OperatorName,
    negated: bool,
    written: &[u8],
    notes: &mut Notes<'_>,
) -> Option<Operator> {
    let argument = if Op::takes_macros(name) {
        text(written, notes)?
    } else if seems_macro(written) {
        notes.error(
            format!("`{}`: this operator takes no macros", shown(written)),
            "macros are for beginsWith, contains, containsWord, endsWith, eq, ge, gt, le, lt, streq, strmatch, within",
        );
        return None;
    } else if written.is_empty() {
        Text::default()
    } else {
        Text(vec![Piece::Literal(written.into())])
    };
    Some(Operator {
        negated,
        name,
        argument,
    })
}
