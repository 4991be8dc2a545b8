//! Text with macros: `%{TX.score}`.

use super::variable::Variable;

/// Text with macros, split when the rules are loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

/// A part of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Literal(Box<[u8]>),
    /// `%{VAR}` or `%{VAR.key}`; the key in lower case. The first value, or nothing.
    Macro(Variable, Option<Box<[u8]>>),
}

impl Text {
    /// The text when it holds no macro.
    pub fn literal(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }
}
