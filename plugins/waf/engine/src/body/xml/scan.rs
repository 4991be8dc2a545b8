//! The cursor over a document, and what has no meaning for rules: names, comments, instructions.

use super::{Stop, XmlError};

/// A place in a document of valid UTF-8.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The document says that all its declarations stand in itself.
    pub(super) standalone: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            standalone: false,
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    pub(super) fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    pub(super) fn error(&self, reason: &'static str) -> Stop {
        Stop::Error(XmlError {
            offset: self.at,
            reason,
        })
    }

    /// Skips white space; true when there was any.
    pub(super) fn skip_space(&mut self) -> bool {
        let count = self
            .rest()
            .iter()
            .take_while(|byte| is_space(**byte))
            .count();
        self.at += count;
        count > 0
    }

    /// Reads a name (`Name` of XML 1.0, fifth edition).
    pub(super) fn name(&mut self) -> Result<&'a [u8], Stop> {
        let start = self.at;
        while let Some((character, bytes)) = self.character() {
            if !(is_name_start(character) || (self.at > start && is_name_more(character))) {
                break;
            }
            self.at += bytes;
        }
        if self.at == start {
            Err(self.error("expected a name"))
        } else {
            Ok(self.since(start))
        }
    }

    /// The character at the place and its length.
    fn character(&self) -> Option<(char, usize)> {
        let rest = self.rest();
        let first = *rest.first()?;
        if first < 0x80 {
            return Some((char::from(first), 1));
        }
        let bytes = match first {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        let character = std::str::from_utf8(rest.get(..bytes)?)
            .ok()?
            .chars()
            .next()?;
        Some((character, bytes))
    }

    /// Moves to the first of `needle` and gives what stands before it.
    pub(super) fn until(&mut self, needle: &[u8], missing: &'static str) -> Result<&'a [u8], Stop> {
        let rest = self.rest();
        let Some(run) = memchr::memmem::find(rest, needle) else {
            self.check_characters(rest)?;
            self.at = self.bytes.len();
            return Err(self.error(missing));
        };
        let found = rest.get(..run).unwrap_or_default();
        self.check_characters(found)?;
        self.at += run;
        Ok(found)
    }

    /// Finds characters that XML forbids: most controls, U+FFFE and U+FFFF.
    pub(super) fn check_characters(&self, bytes: &[u8]) -> Result<(), Stop> {
        let control = bytes
            .iter()
            .position(|byte| *byte < 0x20 && !is_space(*byte));
        let no_character = memchr::memmem::find(bytes, &[0xef, 0xbf, 0xbe])
            .into_iter()
            .chain(memchr::memmem::find(bytes, &[0xef, 0xbf, 0xbf]))
            .min();
        match control.into_iter().chain(no_character).min() {
            Some(at) => Err(Stop::Error(XmlError {
                offset: self.at.saturating_add(at),
                reason: "a character that XML forbids",
            })),
            None => Ok(()),
        }
    }

    /// Behind `<!--`.
    pub(super) fn comment(&mut self) -> Result<(), Stop> {
        self.until(b"--", "a comment has no end")?;
        if self.take(b"-->") {
            Ok(())
        } else {
            Err(self.error("-- in a comment"))
        }
    }

    /// Behind `<?`.
    pub(super) fn instruction(&mut self) -> Result<(), Stop> {
        let target = self.name()?;
        if target.eq_ignore_ascii_case(b"xml") {
            return Err(self.error("an XML declaration that is not at the start"));
        }
        if self.take(b"?>") {
            return Ok(());
        }
        if !self.skip_space() {
            return Err(self.error("a processing instruction's name ends badly"));
        }
        self.until(b"?>", "a processing instruction has no end")?;
        self.advance(2);
        Ok(())
    }

    /// The XML declaration, if the document has one; its encoding was looked at before.
    pub(super) fn declaration(&mut self) -> Result<(), Stop> {
        if !matches!(self.rest(), [b'<', b'?', b'x', b'm', b'l', next, ..] if is_space(*next)) {
            return Ok(());
        }
        self.advance(5);
        self.skip_space();
        if !self.take(b"version") {
            return Err(self.error("the XML declaration has no version"));
        }
        let version = self.pseudo_value()?;
        let minor = version.strip_prefix(b"1.").unwrap_or_default();
        if minor.is_empty() || !minor.iter().all(u8::is_ascii_digit) {
            return Err(self.error("not a version of XML that is known"));
        }
        let mut space = self.skip_space();
        if self.rest().starts_with(b"encoding") {
            if !space {
                return Err(self.error("expected white space"));
            }
            self.advance(8);
            let name = self.pseudo_value()?;
            if !name.first().is_some_and(u8::is_ascii_alphabetic) {
                return Err(self.error("not the name of an encoding"));
            }
            space = self.skip_space();
        }
        if self.rest().starts_with(b"standalone") {
            if !space {
                return Err(self.error("expected white space"));
            }
            self.advance(10);
            self.standalone = match self.pseudo_value()? {
                b"yes" => true,
                b"no" => false,
                _ => return Err(self.error("standalone is neither yes nor no")),
            };
            self.skip_space();
        }
        if self.take(b"?>") {
            Ok(())
        } else {
            Err(self.error("the XML declaration ends badly"))
        }
    }

    /// `= "value"`.
    fn pseudo_value(&mut self) -> Result<&'a [u8], Stop> {
        self.skip_space();
        if !self.take(b"=") {
            return Err(self.error("expected ="));
        }
        self.skip_space();
        self.quoted()
    }

    /// A value in quotes, as it stands.
    pub(super) fn quoted(&mut self) -> Result<&'a [u8], Stop> {
        let quote = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => quote,
            _ => return Err(self.error("expected a value in quotes")),
        };
        self.advance(1);
        let value = self.until(&[quote], "a value in quotes has no end")?;
        self.advance(1);
        Ok(value)
    }
}

/// White space of XML.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// True for characters that XML allows in a document.
pub(super) fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{1_0000}'..)
}

fn is_name_start(character: char) -> bool {
    matches!(character,
        ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
        | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{1_0000}'..='\u{e_ffff}')
}

fn is_name_more(character: char) -> bool {
    matches!(character,
        '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
