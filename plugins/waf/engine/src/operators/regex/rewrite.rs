//! From the syntax of PCRE to that of regex-syntax, token by token.

use std::fmt::Write as _;

use super::RegexError;
use super::class;
use super::escape::{self, Escape};

/// A place in a pattern.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'p> {
    pattern: &'p [u8],
    rest: &'p [u8],
}

impl<'p> Cursor<'p> {
    fn new(pattern: &'p [u8]) -> Self {
        Self {
            pattern,
            rest: pattern,
        }
    }

    /// Bytes that are read.
    pub(super) fn at(&self) -> usize {
        self.pattern.len().saturating_sub(self.rest.len())
    }

    pub(super) fn rest(&self) -> &'p [u8] {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Reads a byte if it is this one.
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let fits = self.peek() == Some(wanted);
        if fits {
            self.next();
        }
        fits
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Reads up to a byte and over it.
    fn skip_past(&mut self, end: u8) -> bool {
        let found = self.rest.iter().position(|byte| *byte == end);
        self.skip(found.map_or(self.rest.len(), |at| at.saturating_add(1)));
        found.is_some()
    }
}

/// Flags that matter here; all others are left to regex-syntax.
#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    extended: bool,
}

struct Rewriter<'p> {
    cursor: Cursor<'p>,
    out: String,
    flags: Flags,
    /// The flags outside every open group.
    open: Vec<Flags>,
    /// Capture groups of the whole pattern.
    groups: usize,
}

/// Rewrites a pattern; the result is ASCII.
pub(super) fn rewrite(pattern: &[u8]) -> Result<String, RegexError> {
    let mut rewriter = Rewriter {
        cursor: Cursor::new(pattern),
        out: String::with_capacity(pattern.len()),
        flags: Flags::default(),
        open: Vec::new(),
        groups: count_groups(pattern),
    };
    rewriter.run()?;
    Ok(rewriter.out)
}

/// Capture groups, roughly: those in classes and quotes are counted too, which only matters for
/// telling a back-reference of two digits from an octal number.
fn count_groups(pattern: &[u8]) -> usize {
    let mut cursor = Cursor::new(pattern);
    let mut groups: usize = 0;
    while let Some(byte) = cursor.next() {
        match byte {
            b'\\' => cursor.skip(1),
            b'(' if cursor.peek() != Some(b'?') => groups = groups.saturating_add(1),
            b'(' if is_named(cursor.rest()) => groups = groups.saturating_add(1),
            _ => {}
        }
    }
    groups
}

/// True for `?<name>`, `?'name'` and `?P<name>` behind a `(`.
fn is_named(rest: &[u8]) -> bool {
    match rest {
        [b'?', b'<', next, ..] => !matches!(next, b'=' | b'!'),
        [b'?', b'\'', ..] | [b'?', b'P', b'<', ..] => true,
        _ => false,
    }
}

impl Rewriter<'_> {
    fn run(&mut self) -> Result<(), RegexError> {
        while let Some(byte) = self.cursor.next() {
            match byte {
                b'\\' => self.escape()?,
                b'[' => {
                    if self.cursor.rest().starts_with(b"[:<:]]")
                        || self.cursor.rest().starts_with(b"[:>:]]")
                    {
                        return Err(self.unsupported("`[[:<:]]` and `[[:>:]]`: write `\\b`"));
                    }
                    class::rewrite(
                        &mut self.cursor,
                        self.flags.ignore_case,
                        self.groups,
                        &mut self.out,
                    )?;
                }
                b'(' => self.group()?,
                b')' => {
                    let Some(flags) = self.open.pop() else {
                        return Err(self.wrong("a `)` without its `(`"));
                    };
                    self.flags = flags;
                    self.out.push(')');
                }
                b'*' | b'+' | b'?' => {
                    self.out.push(char::from(byte));
                    self.lazy_or_possessive()?;
                }
                b'{' => match repetition(self.cursor.rest()) {
                    Some(len) => self.repeat(len)?,
                    None => self.literal(b'{'),
                },
                b'.' | b'^' | b'$' | b'|' => self.out.push(char::from(byte)),
                b'#' if self.flags.extended => {
                    self.cursor.skip_past(b'\n');
                }
                b' ' | b'\t'..=b'\r' if self.flags.extended => {}
                byte => self.literal(byte),
            }
        }
        match self.open.is_empty() {
            true => Ok(()),
            false => Err(self.wrong("a `(` without its `)`, noticed at the end,")),
        }
    }

    fn wrong(&self, what: &'static str) -> RegexError {
        let at = self.cursor.at().saturating_sub(1);
        RegexError::Wrong { what, at }
    }

    fn unsupported(&self, what: &'static str) -> RegexError {
        let at = self.cursor.at().saturating_sub(1);
        RegexError::Unsupported { what, at }
    }

    fn not_linear(&self, what: &'static str) -> RegexError {
        let at = self.cursor.at().saturating_sub(1);
        RegexError::NotLinear { what, at }
    }

    /// A byte that stands for itself. Letters and digits are written as they are; everything else in
    /// hexadecimal, which regex-syntax reads as a byte.
    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(self.out, r"\x{byte:02x}");
        }
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        match escape::read(&mut self.cursor, false, self.groups)? {
            Escape::Byte(byte) => self.literal(byte),
            Escape::Set(set) => class::write_set(&set, false, &mut self.out),
            Escape::Assertion(text) => self.out.push_str(text),
            // PCRE never gives back the line feed of CR LF; nothing but a `\n` behind `\R` can tell.
            Escape::LineBreak => self.out.push_str(r"(?:\r\n|[\n\x0b\x0c\r\x85])"),
            Escape::Nothing => {}
            Escape::Quote => {
                while let Some(byte) = self.cursor.next() {
                    if byte == b'\\' && self.cursor.take(b'E') {
                        break;
                    }
                    self.literal(byte);
                }
            }
        }
        Ok(())
    }

    /// What may follow a quantifier.
    fn lazy_or_possessive(&mut self) -> Result<(), RegexError> {
        if self.cursor.peek() == Some(b'+') {
            self.cursor.next();
            return Err(self.not_linear("a possessive quantifier"));
        }
        if self.cursor.take(b'?') {
            self.out.push('?');
        }
        Ok(())
    }

    fn repeat(&mut self, len: usize) -> Result<(), RegexError> {
        self.out.push('{');
        for _ in 0..len {
            if let Some(byte) = self.cursor.next() {
                self.out.push(char::from(byte));
            }
        }
        self.lazy_or_possessive()
    }

    fn group(&mut self) -> Result<(), RegexError> {
        if self.cursor.peek() == Some(b'*') {
            return Err(self.unsupported("a verb like `(*SKIP)`"));
        }
        if !self.cursor.take(b'?') {
            self.open.push(self.flags);
            self.out.push('(');
            return Ok(());
        }
        match self.cursor.rest() {
            [b'#', ..] => match self.cursor.skip_past(b')') {
                true => Ok(()),
                false => Err(self.wrong("a comment `(?#` without its end")),
            },
            [b'=' | b'!', ..] => Err(self.not_linear("a lookahead")),
            [b'<', b'=' | b'!', ..] => Err(self.not_linear("a lookbehind")),
            [b'>', ..] => Err(self.not_linear("an atomic group")),
            [b'P', b'=', ..] => Err(self.not_linear("a back-reference (`(?P=`)")),
            [b'P', b'>', ..] | [b'R' | b'&' | b'0'..=b'9' | b'+', ..] | [b'-', b'0'..=b'9', ..] => {
                Err(self.not_linear("a recursive call"))
            }
            [b'(', ..] => Err(self.not_linear("a condition")),
            [b'|', ..] => Err(self.unsupported("a group that resets numbers (`(?|`)")),
            [b'C', ..] => Err(self.unsupported("a callout (`(?C`)")),
            [b'<', ..] => self.named(1, b'>'),
            [b'\'', ..] => self.named(1, b'\''),
            [b'P', b'<', ..] => self.named(2, b'>'),
            _ => self.flag_group(),
        }
    }

    /// A group with a name is a group with a number: the name has no use in rules.
    fn named(&mut self, opening: usize, end: u8) -> Result<(), RegexError> {
        self.cursor.skip(opening);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let len = self
            .cursor
            .rest()
            .iter()
            .take_while(|byte| is_name(byte))
            .count();
        self.cursor.skip(len);
        if len == 0 || !self.cursor.take(end) {
            return Err(self.wrong("a group whose name is empty or has no end"));
        }
        self.open.push(self.flags);
        self.out.push('(');
        Ok(())
    }

    /// `(?i)` and `(?i:...)`.
    fn flag_group(&mut self) -> Result<(), RegexError> {
        let outside = self.flags;
        let mut flags = outside;
        let mut written = String::new();
        let mut on = true;
        loop {
            match self.cursor.next() {
                Some(b'-') if on => {
                    on = false;
                    written.push('-');
                }
                Some(b'^') if written.is_empty() && on => {
                    flags = Flags::default();
                    written.push_str("-ims");
                    on = false;
                    // What follows is switched on again.
                    if !matches!(self.cursor.peek(), Some(b')' | b':')) {
                        return Err(self.unsupported("flags behind `(?^`: write them one by one"));
                    }
                }
                Some(b'x') => {
                    if self.cursor.peek() == Some(b'x') {
                        return Err(self.unsupported("the flag `xx`"));
                    }
                    flags.extended = on;
                }
                Some(byte @ (b'i' | b'm' | b's' | b'U')) => {
                    if byte == b'i' {
                        flags.ignore_case = on;
                    }
                    if !written.contains(char::from(byte)) {
                        written.push(char::from(byte));
                    }
                }
                Some(end @ (b')' | b':')) => {
                    let written = written.trim_end_matches('-');
                    self.flags = flags;
                    if end == b':' {
                        self.open.push(outside);
                        let _ = write!(self.out, "(?{written}:");
                    } else if !written.is_empty() {
                        let _ = write!(self.out, "(?{written})");
                    }
                    return Ok(());
                }
                Some(b'J' | b'n' | b'a' | b'r') => {
                    return Err(self.unsupported("a flag other than i, m, s, x and U"));
                }
                _ => return Err(self.wrong("an unknown kind of group")),
            }
        }
    }
}

/// The length of `n}`, `n,}` or `n,m}` behind a brace; anything else makes the brace a literal.
fn repetition(rest: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        rest.get(from..).map_or(0, |rest| {
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        })
    };
    let mut len = digits(0);
    if len == 0 {
        return None;
    }
    if rest.get(len) == Some(&b',') {
        len = len.saturating_add(1);
        len = len.saturating_add(digits(len));
    }
    (rest.get(len) == Some(&b'}')).then(|| len.saturating_add(1))
}
