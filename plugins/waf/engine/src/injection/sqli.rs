//! The verdict on SQL injection: the value is read as SQL in up to five ways, each gives a fingerprint,
//! and a fingerprint of an attack counts unless the value is of a kind that people write.

use std::fmt;

use memchr::{memchr, memmem};

use super::fold::{Folded, MOST};
use super::lex::Lexer;
use super::tables::tables;
use super::token::Kind;

/// The kinds of the tokens that are left of an injection, one letter each: `s&1c`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    letters: [u8; MOST],
    count: u8,
}

impl Fingerprint {
    /// One to five letters of ASCII.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.letters
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }

    fn push(&mut self, letter: u8) {
        if let Some(place) = self.letters.get_mut(usize::from(self.count)) {
            *place = letter;
            self.count += 1;
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|letter| fmt::Write::write_char(out, char::from(*letter)))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{self}\"")
    }
}

/// The fingerprint of the injection that a value is; `None` if it is none.
///
/// The value is judged as it stands, and as if it stood behind a single or a double quote where it
/// has one. Linear in its length, for any bytes; nothing is allocated.
pub fn sqli(value: &[u8]) -> Option<Fingerprint> {
    if value.is_empty() {
        return None;
    }
    judge(value, 0)
        .or_else(|| {
            memchr(b'\'', value)?;
            judge(value, b'\'')
        })
        .or_else(|| {
            memchr(b'"', value)?;
            Reading::new(value, b'"', true).verdict(value)
        })
}

/// Reads the value behind a quote, and again as MySQL would if that makes a difference.
fn judge(value: &[u8], quote: u8) -> Option<Fingerprint> {
    let reading = Reading::new(value, quote, false);
    let verdict = reading.verdict(value);
    if verdict.is_none() && reading.ambiguous {
        return Reading::new(value, quote, true).verdict(value);
    }
    verdict
}

/// A value read in one way.
pub(super) struct Reading<'a> {
    pub fingerprint: Fingerprint,
    folded: Folded<'a>,
    tokens: usize,
    ambiguous: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(value: &'a [u8], quote: u8, mysql: bool) -> Self {
        let mut lexer = Lexer::new(tables(), value, quote, mysql);
        let (mut folded, count) = Folded::fold(&mut lexer);
        if count > 2 {
            let last = folded.token_mut(count - 1);
            let opens = last.open == b'`' && last.close == 0 && last.text.is_empty();
            if last.kind == Kind::Bareword && opens {
                // MySQL takes a lone tick at the end for a comment.
                last.kind = Kind::Comment;
            }
        }
        let mut fingerprint = Fingerprint::default();
        for at in 0..count {
            fingerprint.push(folded.token(at).kind.letter());
        }
        if fingerprint.as_bytes().contains(&Kind::Evil.letter()) {
            fingerprint = Fingerprint::default();
            fingerprint.push(Kind::Evil.letter());
        }
        Self {
            fingerprint,
            folded,
            tokens: lexer.tokens,
            ambiguous: lexer.ambiguous,
        }
    }

    /// The fingerprint, if it is that of an attack.
    fn verdict(&self, value: &[u8]) -> Option<Fingerprint> {
        let letters = self.fingerprint.as_bytes();
        (tables().is_fingerprint(letters) && !self.is_harmless(value)).then_some(self.fingerprint)
    }

    /// Short fingerprints also fit what people write; a closer look tells.
    fn is_harmless(&self, value: &[u8]) -> bool {
        let letters = self.fingerprint.as_bytes();
        if let [_, .., b'c'] = letters
            && memmem::find(value, b"sp_password").is_some()
        {
            // SQL Server leaves statements with this word out of its log.
            return false;
        }
        match letters {
            [_, second] => self.is_harmless_pair(*second, value),
            [_, _, _] => self.is_harmless_triple(letters),
            _ => false,
        }
    }

    fn is_harmless_pair(&self, second: u8, value: &[u8]) -> bool {
        let (a, b) = (self.folded.token(0), self.folded.token(1));
        if second == Kind::Union.letter() {
            // "1 union", and nothing was folded away.
            return self.tokens == 2;
        }
        if b.first() == b'#' {
            return true;
        }
        if b.kind == Kind::Comment && a.kind == Kind::Bareword && b.first() != b'/' {
            return true;
        }
        if b.kind == Kind::Comment && a.kind == Kind::Number {
            if b.first() == b'/' || self.tokens > 2 {
                return false;
            }
            // 1234-- is an attack, 1234-ABCdef-- is some token: what stands behind the number tells.
            // Signed bytes made all above 127 count as white space.
            let behind = value.get(a.text.len()..).unwrap_or_default();
            return !matches!(
                behind,
                [] | [0..=b' ' | 0x80.., ..] | [b'/', b'*', ..] | [b'-', b'-', ..]
            );
        }
        // Many write "--" in a text; a scan ends with it.
        b.text.len() > 2 && b.first() == b'-'
    }

    fn is_harmless_triple(&self, letters: &[u8]) -> bool {
        let (a, b, c) = (
            self.folded.token(0),
            self.folded.token(1),
            self.folded.token(2),
        );
        match letters {
            // foo" + "bar: only the part between the quotes is the value.
            b"sos" | b"s&s" => !(a.open == 0 && c.close == 0 && a.close == c.open),
            // "sexy and 17" is none, "sexy and 17<18" is one.
            b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => self.tokens == 3,
            _ if b.kind == Kind::Keyword => b.text.len() < 5 || !b.starts_with(b"INTO"),
            _ => false,
        }
    }
}
