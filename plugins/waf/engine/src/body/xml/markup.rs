//! Tags, text and references.

use super::scan::is_allowed;
use super::{Parser, Stop};

impl Parser<'_, '_> {
    /// The root element with all that it holds.
    pub(super) fn content(&mut self) -> Result<(), Stop> {
        self.scan.advance(1);
        self.start_tag()?;
        while !self.open.is_empty() {
            match self.scan.peek() {
                None => return Err(self.scan.error("an element has no end")),
                Some(b'<') => self.markup()?,
                Some(b'&') => {
                    self.scan.advance(1);
                    self.reference(false)?;
                }
                Some(_) => self.characters()?,
            }
        }
        Ok(())
    }

    fn markup(&mut self) -> Result<(), Stop> {
        if self.scan.take(b"</") {
            let name = self.scan.name()?;
            self.scan.skip_space();
            if self.open.pop() != Some(name) {
                return Err(self.scan.error("an end tag that does not match its start"));
            }
            return if self.scan.take(b">") {
                Ok(())
            } else {
                Err(self.scan.error("an end tag ends badly"))
            };
        }
        if self.scan.take(b"<!--") {
            return self.scan.comment();
        }
        if self.scan.take(b"<![CDATA[") {
            let text = self.scan.until(b"]]>", "a CDATA section has no end")?;
            push_lines(&mut self.text, text);
            self.scan.advance(3);
            return Ok(());
        }
        if self.scan.take(b"<?") {
            return self.scan.instruction();
        }
        self.scan.advance(1);
        self.start_tag()
    }

    /// Behind `<`.
    fn start_tag(&mut self) -> Result<(), Stop> {
        let name = self.scan.name()?;
        if self.open.len() >= usize::try_from(self.limits.depth).unwrap_or(usize::MAX) {
            return Err(self.scan.error("elements are nested too deep"));
        }
        self.seen.elements = self.seen.elements.saturating_add(1);
        self.names.clear();
        loop {
            let space = self.scan.skip_space();
            if self.scan.take(b"/>") {
                break;
            }
            if self.scan.take(b">") {
                self.open.push(name);
                break;
            }
            if !space {
                return Err(self.scan.error("expected white space before an attribute"));
            }
            let attribute = self.scan.name()?;
            self.names.push(attribute);
            self.scan.skip_space();
            if !self.scan.take(b"=") {
                return Err(self.scan.error("an attribute has no value"));
            }
            self.scan.skip_space();
            self.attribute_value()?;
            let declares = attribute == b"xmlns" || attribute.starts_with(b"xmlns:");
            if !declares && !self.sink.attribute(&self.value) {
                return Err(Stop::Sink);
            }
        }
        self.names.sort_unstable();
        if self
            .names
            .windows(2)
            .any(|pair| matches!(pair, [one, other] if one == other))
        {
            return Err(self.scan.error("an attribute stands twice in a tag"));
        }
        Ok(())
    }

    /// Reads a value in quotes into `value`: white space becomes spaces, references are decoded.
    fn attribute_value(&mut self) -> Result<(), Stop> {
        let quote = match self.scan.peek() {
            Some(quote @ (b'"' | b'\'')) => quote,
            _ => return Err(self.scan.error("an attribute's value is not in quotes")),
        };
        self.scan.advance(1);
        self.value.clear();
        loop {
            let rest = self.scan.rest();
            let run = rest
                .iter()
                .position(|byte| matches!(byte, b'<' | b'&' | 0..0x20) || *byte == quote);
            let plain = rest.get(..run.unwrap_or(rest.len())).unwrap_or_default();
            self.scan.check_characters(plain)?;
            self.value.extend_from_slice(plain);
            self.scan.advance(plain.len());
            match self.scan.peek() {
                None => return Err(self.scan.error("an attribute's value has no end")),
                Some(b'<') => return Err(self.scan.error("< in an attribute's value")),
                Some(b'&') => {
                    self.scan.advance(1);
                    self.reference(true)?;
                }
                Some(b'\r') => {
                    self.value.push(b' ');
                    self.scan.advance(1);
                    self.scan.take(b"\n");
                }
                Some(b'\n' | b'\t') => {
                    self.value.push(b' ');
                    self.scan.advance(1);
                }
                Some(byte) if byte == quote => {
                    self.scan.advance(1);
                    return Ok(());
                }
                Some(_) => return Err(self.scan.error("a character that XML forbids")),
            }
        }
    }

    fn characters(&mut self) -> Result<(), Stop> {
        let rest = self.scan.rest();
        let run = memchr::memchr2(b'<', b'&', rest).unwrap_or(rest.len());
        let text = rest.get(..run).unwrap_or_default();
        self.scan.check_characters(text)?;
        push_lines(&mut self.text, text);
        if let Some(at) = memchr::memmem::find(text, b"]]>") {
            self.scan.advance(at);
            return Err(self.scan.error("]]> outside a CDATA section"));
        }
        self.scan.advance(run);
        Ok(())
    }

    /// Behind `&`: what it means goes into the attribute's value or the text.
    fn reference(&mut self, in_attribute: bool) -> Result<(), Stop> {
        let start = self.scan.at();
        let decoded = if self.scan.take(b"#") {
            Some(self.character_reference()?)
        } else {
            let name = self.scan.name()?;
            match name {
                b"lt" => Some('<'),
                b"gt" => Some('>'),
                b"amp" => Some('&'),
                b"quot" => Some('"'),
                b"apos" => Some('\''),
                _ if self.entities.may_be_declared(name) => None,
                _ => return Err(self.scan.error("an entity that is not declared")),
            }
        };
        if !self.scan.take(b";") {
            return Err(self.scan.error("a reference has no ;"));
        }
        let written = self.scan.since(start);
        let out = if in_attribute {
            &mut self.value
        } else {
            &mut self.text
        };
        match decoded {
            Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                out.push(b'&');
                out.extend_from_slice(written);
            }
        }
        Ok(())
    }

    fn character_reference(&mut self) -> Result<char, Stop> {
        let radix = if self.scan.take(b"x") { 16 } else { 10 };
        let digits = self
            .scan
            .rest()
            .iter()
            .take_while(|byte| char::from(**byte).is_digit(radix))
            .count();
        let number = self
            .scan
            .rest()
            .iter()
            .take(digits)
            .fold(0u32, |number, digit| {
                number
                    .saturating_mul(radix)
                    .saturating_add(char::from(*digit).to_digit(radix).unwrap_or_default())
            });
        let character =
            char::from_u32(number).filter(|character| digits > 0 && is_allowed(*character));
        match character {
            Some(character) => {
                self.scan.advance(digits);
                Ok(character)
            }
            None => Err(self.scan.error("not the number of a character")),
        }
    }
}

/// Appends text with every line end written as a line feed.
fn push_lines(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        let Some((line, behind)) = rest.split_at_checked(at) else {
            break;
        };
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = match behind {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => &[],
        };
    }
    out.extend_from_slice(rest);
}
