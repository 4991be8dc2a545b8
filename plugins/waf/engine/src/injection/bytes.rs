//! What a byte begins, and which runs it belongs to: one table each.

/// What the token that starts with a byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Start {
    White,
    Word,
    Number,
    /// Is a token for itself, of the kind that its letter says.
    Single,
    Operator,
    /// May be the first of an operator of two or three bytes.
    Pair,
    Other,
    Quote,
    Tick,
    Dash,
    Slash,
    Hash,
    Backslash,
    Variable,
    Money,
    Bracket,
    /// Letters that may stand before a quote: `B''`, `E''`, `N''`, `Q''`, `U&''`, `X''`.
    Bits,
    Escaped,
    National,
    Oracle,
    Unicode,
    Hex,
}

/// Ends a word.
pub(super) const WORD_END: u8 = 1;
/// Ends the name of a variable.
pub(super) const VARIABLE_END: u8 = 1 << 1;
/// Space, in the places where only real white space counts.
pub(super) const SPACE: u8 = 1 << 2;
/// Part of an amount of money. This run and those below take zero bytes too, as libinjection does:
/// it asks `strchr`, which finds the end of the string it searches.
pub(super) const AMOUNT: u8 = 1 << 3;
/// Part of the name in `$name$`.
pub(super) const LETTER: u8 = 1 << 4;
/// A hexadecimal digit.
pub(super) const HEX: u8 = 1 << 5;
/// A binary digit.
pub(super) const BIT: u8 = 1 << 6;
/// May end the first half of `keyword.name` or ``keyword`name` ``.
pub(super) const SPLIT: u8 = 1 << 7;

const RUNS: [u8; 256] = {
    let mut runs = [0; 256];
    let marks: [(&[u8], u8); 7] = [
        (
            b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0",
            WORD_END,
        ),
        (
            b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r'`\"\0",
            VARIABLE_END,
        ),
        (b" \t\n\x0b\x0c\r\xa0\0", SPACE),
        (b"0123456789.,\0", AMOUNT),
        (b"0123456789ABCDEFabcdef\0", HEX),
        (b"01\0", BIT),
        (b".`", SPLIT),
    ];
    let mut mark = 0;
    while mark < marks.len() {
        let mut at = 0;
        while at < marks[mark].0.len() {
            runs[marks[mark].0[at] as usize] |= marks[mark].1;
            at += 1;
        }
        mark += 1;
    }
    runs[0] |= LETTER;
    let mut letter = 0;
    while letter < 26 {
        runs[b'a' as usize + letter] |= LETTER;
        runs[b'A' as usize + letter] |= LETTER;
        letter += 1;
    }
    runs
};

const STARTS: [Start; 256] = {
    let mut starts = [Start::Word; 256];
    let mut byte = 0;
    while byte < 256 {
        starts[byte] = match byte as u8 {
            0..=b' ' | 0x7f | 0xa0 => Start::White,
            b'0'..=b'9' | b'.' => Start::Number,
            b'(' | b')' | b',' | b';' | b'{' | b'}' => Start::Single,
            b'%' | b'+' | b'^' | b'~' => Start::Operator,
            b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => Start::Pair,
            b'?' | b']' => Start::Other,
            b'"' | b'\'' => Start::Quote,
            b'`' => Start::Tick,
            b'-' => Start::Dash,
            b'/' => Start::Slash,
            b'#' => Start::Hash,
            b'\\' => Start::Backslash,
            b'@' => Start::Variable,
            b'$' => Start::Money,
            b'[' => Start::Bracket,
            b'B' | b'b' => Start::Bits,
            b'E' | b'e' => Start::Escaped,
            b'N' | b'n' => Start::National,
            b'Q' | b'q' => Start::Oracle,
            b'U' | b'u' => Start::Unicode,
            b'X' | b'x' => Start::Hex,
            _ => Start::Word,
        };
        byte += 1;
    }
    starts
};

/// What starts with this byte.
#[inline]
pub(super) fn start(byte: u8) -> Start {
    STARTS[usize::from(byte)]
}

/// True if the byte belongs to this run.
#[inline]
pub(super) fn is(byte: u8, run: u8) -> bool {
    RUNS[usize::from(byte)] & run != 0
}

/// How many bytes at the front belong to this run.
#[inline]
pub(super) fn span(bytes: &[u8], run: u8) -> usize {
    bytes
        .iter()
        .position(|byte| !is(*byte, run))
        .unwrap_or(bytes.len())
}

/// How many bytes stand before the first of this run.
#[inline]
pub(super) fn before(bytes: &[u8], run: u8) -> usize {
    bytes
        .iter()
        .position(|byte| is(*byte, run))
        .unwrap_or(bytes.len())
}
