//! Text with macros.

use super::super::problem::{Notes, shown};
use super::super::text::{Piece, Text};
use super::super::variable::Variable;
use super::lookup;

/// Splits `%{...}` from what is around it.
pub(in super::super) fn text(bytes: &[u8], notes: &mut Notes<'_>) -> Option<Text> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, b"%{") {
        let (before, after) = (rest.get(..at)?, rest.get(at + 2..)?);
        literal.extend_from_slice(before);
        let Some(end) = memchr::memchr(b'}', after) else {
            notes.error(
                format!("the macro `{}` is not closed", shown(rest.get(at..)?)),
                "write `%{VARIABLE}` or `%{COLLECTION.name}`",
            );
            return None;
        };
        let piece = expansion(after.get(..end)?, notes)?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
        }
        pieces.push(piece);
        rest = after.get(end + 1..)?;
    }
    literal.extend_from_slice(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Some(Text(pieces))
}

/// The inside of `%{...}`.
fn expansion(inside: &[u8], notes: &mut Notes<'_>) -> Option<Piece> {
    let (name, key) = split(inside);
    let Some(variable) = lookup(Variable::ALL, name) else {
        notes.unknown(
            "variable",
            name,
            Variable::ALL.iter().map(|(_, word)| *word),
        );
        return None;
    };
    match key {
        Some(key) if !variable.is_collection() => {
            notes.error(
                format!(
                    "`%{{{}}}`: {} is one value, it has no `{}`",
                    shown(inside),
                    variable.word(),
                    shown(key)
                ),
                format!("write `%{{{}}}`", variable.word()),
            );
            None
        }
        Some(b"") => {
            notes.error(
                format!("`%{{{}}}` names no value", shown(inside)),
                format!("write `%{{{}.name}}`", variable.word()),
            );
            None
        }
        key => Some(Piece::Macro(
            variable,
            key.map(|key| key.to_ascii_lowercase().into()),
        )),
    }
}

/// A variable's name and what follows its `.` or `:`.
fn split(inside: &[u8]) -> (&[u8], Option<&[u8]>) {
    let inside = inside.trim_ascii();
    match memchr::memchr2(b'.', b':', inside) {
        Some(at) => (
            inside.get(..at).unwrap_or(inside),
            Some(inside.get(at + 1..).unwrap_or_default()),
        ),
        None => (inside, None),
    }
}

/// Whether a text without macros looks as if it had one: a known variable in `%{...}`.
pub(super) fn seems_macro(bytes: &[u8]) -> bool {
    memchr::memmem::find_iter(bytes, b"%{").any(|at| {
        // No variable's name is longer; this keeps the search linear.
        let inside = bytes.get(at + 2..).unwrap_or_default();
        let inside = inside.get(..40).unwrap_or(inside);
        let end = inside
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'));
        end.is_some_and(|end| {
            matches!(inside.get(end), Some(b'}' | b'.' | b':'))
                && lookup(Variable::ALL, inside.get(..end).unwrap_or_default()).is_some()
        })
    })
}

/// The text in lower case outside of macros: names of variables.
pub(super) fn lower_case(mut text: Text) -> Text {
    for piece in &mut text.0 {
        if let Piece::Literal(literal) = piece {
            literal.make_ascii_lowercase();
        }
    }
    text
}
