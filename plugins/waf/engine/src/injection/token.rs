//! What SQL is cut into.

/// Most bytes of a token's text that are looked at; what is longer keeps its first bytes.
pub(super) const TEXT_BYTES: usize = 31;

/// What a token is, by the letter it has in a fingerprint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    #[default]
    None = 0,
    Keyword = b'k',
    Union = b'U',
    Group = b'B',
    Expression = b'E',
    SqlType = b't',
    Function = b'f',
    Bareword = b'n',
    Number = b'1',
    Variable = b'v',
    String = b's',
    Operator = b'o',
    Logic = b'&',
    Comment = b'c',
    Collate = b'A',
    LeftParens = b'(',
    RightParens = b')',
    LeftBrace = b'{',
    RightBrace = b'}',
    Dot = b'.',
    Comma = b',',
    Colon = b':',
    Semicolon = b';',
    Tsql = b'T',
    Unknown = b'?',
    /// Cannot be read one way only: nested comments, MySQL's conditional ones. Always an attack.
    Evil = b'X',
    Backslash = b'\\',
}

impl Kind {
    /// The kind that a line of the word table names.
    pub(super) fn of_word(letter: u8) -> Option<Self> {
        Some(match letter {
            b'k' => Self::Keyword,
            b'U' => Self::Union,
            b'B' => Self::Group,
            b'E' => Self::Expression,
            b't' => Self::SqlType,
            b'f' => Self::Function,
            b'n' => Self::Bareword,
            b'1' => Self::Number,
            b'v' => Self::Variable,
            b'o' => Self::Operator,
            b'&' => Self::Logic,
            b'A' => Self::Collate,
            b'T' => Self::Tsql,
            _ => return None,
        })
    }

    /// Its letter.
    #[inline]
    pub(super) const fn letter(self) -> u8 {
        self as u8
    }
}

/// A token. Its text lies in the value, or in the word table when two tokens became a phrase: only
/// phrases of the table ever do, and no question about a text minds the case of its letters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token<'a> {
    /// At most [`TEXT_BYTES`] bytes, without quotes.
    pub text: &'a [u8],
    pub kind: Kind,
    /// The quote it began with: zero for none or a pretended one.
    pub open: u8,
    /// The quote it ended with: zero when the value ended first.
    pub close: u8,
}

impl<'a> Token<'a> {
    pub(super) fn new(kind: Kind, text: &'a [u8]) -> Self {
        Self {
            text,
            kind,
            open: 0,
            close: 0,
        }
    }

    /// True for this word in any case.
    #[inline]
    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    /// True if it starts with this word in any case.
    pub(super) fn starts_with(&self, word: &[u8]) -> bool {
        self.text
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    }

    /// The first byte of the text, zero without one.
    #[inline]
    pub(super) fn first(&self) -> u8 {
        self.text.first().copied().unwrap_or(0)
    }

    /// An operator that may stand before an operand: `+ - ! ~ !! NOT`.
    #[inline]
    pub(super) fn is_unary(&self) -> bool {
        self.kind == Kind::Operator
            && match self.text {
                [b'+' | b'-' | b'!' | b'~'] | [b'!', b'!'] => true,
                [_, _, _] => self.is(b"NOT"),
                _ => false,
            }
    }

    /// An operator of arithmetic.
    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.text, [b'*' | b'/' | b'-' | b'+' | b'%'])
    }

    /// True if an underscore stands before the first zero byte.
    pub(super) fn has_underscore(&self) -> bool {
        self.text
            .iter()
            .take_while(|byte| **byte != 0)
            .any(|byte| *byte == b'_')
    }
}
