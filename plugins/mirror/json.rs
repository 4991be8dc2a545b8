//! Hiding values in JSON (RFC 8259). What is not hidden stays as it was, byte for byte: numbers keep their digits, and
//! members that stand twice are both looked at.

use std::borrow::Cow;

use super::json_path::{At, Down, Paths};

/// What stands for a hidden value.
const HIDDEN: &[u8] = b"\"***\"";

/// Deeper documents are refused.
const MAX_DEPTH: usize = 128;

/// The bytes are no JSON, or too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// The document with what the paths name hidden.
///
/// # Errors
/// It is no JSON document in UTF-8 without a byte order mark.
pub(super) fn hide(document: &[u8], paths: &Paths) -> Result<Vec<u8>, NotJson> {
    let text = std::str::from_utf8(document).map_err(|_| NotJson)?;
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        paths,
        out: Vec::with_capacity(document.len()),
        copied: 0,
    };
    reader.space();
    reader.value(paths.top(), false)?;
    reader.space();
    if reader.at != text.len() {
        return Err(NotJson);
    }
    reader.copy_until(text.len());
    Ok(reader.out)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    paths: &'a Paths,
    out: Vec<u8>,
    /// So much of the text is in `out`, or hidden.
    copied: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            _ => Err(NotJson),
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn copy_until(&mut self, end: usize) {
        let piece = self.text.as_bytes().get(self.copied..end);
        self.out.extend_from_slice(piece.unwrap_or_default());
        self.copied = end;
    }

    /// A value that stands at `at` in the paths; `hidden`: none of it is shown.
    fn value(&mut self, at: At, hidden: bool) -> Result<(), NotJson> {
        let start = self.at;
        let below = if hidden { At::NOWHERE } else { at };
        match self.peek() {
            Some(b'{') => self.nested(below, Self::object)?,
            Some(b'[') => self.nested(below, Self::array)?,
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => return Err(NotJson),
        }
        if hidden {
            self.copy_until(start);
            self.out.extend_from_slice(HIDDEN);
            self.copied = self.at;
        }
        Ok(())
    }

    fn nested(
        &mut self,
        at: At,
        read: fn(&mut Self, At) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        if self.depth == MAX_DEPTH {
            return Err(NotJson);
        }
        self.depth += 1;
        self.at += 1;
        self.space();
        read(self, at)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, at: At) -> Result<(), NotJson> {
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let raw = self.string()?;
            let name = unescape(raw).ok_or(NotJson)?;
            let (below, hidden) = self.paths.down(at, Down::Member(&name));
            self.space();
            self.expect(b':')?;
            self.space();
            self.value(below, hidden)?;
            if self.follows(b'}')? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, at: At) -> Result<(), NotJson> {
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for item in 0.. {
            let (below, hidden) = self.paths.down(at, Down::Item(item));
            self.value(below, hidden)?;
            if self.follows(b']')? {
                break;
            }
        }
        Ok(())
    }

    /// After a member or an item: true at the end, false before the next one.
    fn follows(&mut self, end: u8) -> Result<bool, NotJson> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(NotJson),
        }
    }

    /// A string; gives what stands between its quotes.
    fn string(&mut self) -> Result<&'a str, NotJson> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek().ok_or(NotJson)? {
                b'"' => {
                    let inside = self.text.get(start..self.at).ok_or(NotJson)?;
                    self.at += 1;
                    return Ok(inside);
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.at += 1;
                        }
                        Some(b'u') => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|four| four.iter().all(u8::is_ascii_hexdigit)) {
                                return Err(NotJson);
                            }
                            self.at += 5;
                        }
                        _ => return Err(NotJson),
                    }
                }
                0..=0x1f => return Err(NotJson),
                _ => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), NotJson> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }
}

/// The text of a string; none for half of a surrogate pair, which readers take for different things.
fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let kind = escape.chars().next()?;
        rest = escape.get(1..)?;
        match kind {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let mut units = vec![unit(rest)?];
                rest = rest.get(4..)?;
                if (0xd800..0xdc00).contains(units.first()?) {
                    rest = rest.strip_prefix("\\u")?;
                    units.push(unit(rest)?);
                    rest = rest.get(4..)?;
                }
                out.push_str(&String::from_utf16(&units).ok()?);
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.get(..4)?, 16).ok()
}
