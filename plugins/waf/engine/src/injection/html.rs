//! HTML to what matters of it: names of tags and attributes, values, comments. As browsers read it,
//! old ones too, from any of the places that a value may be written to.

use memchr::{memchr, memmem};

/// Something found in HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Doctype,
    Tag(&'a [u8]),
    Attribute(&'a [u8]),
    Value(&'a [u8]),
    Comment(&'a [u8]),
}

/// Where a value is written to: what the reader is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Text between tags.
    Text,
    /// A tag, behind its name or a value without quotes.
    Tag,
    /// An attribute's value in these quotes.
    Quotes(u8),
}

#[derive(Clone, Copy)]
enum State {
    Text,
    TagOpen,
    /// At the `>` of a tag.
    TagEnd,
    BeforeName,
    AfterName,
    BeforeValue,
    /// At the opening quote, or behind a pretended one at the start.
    Quoted(u8),
    AfterQuoted,
    SelfClosing,
    End,
}

/// Reads HTML. Each byte is looked at a bounded number of times.
pub(super) struct Html<'a> {
    value: &'a [u8],
    at: usize,
    state: State,
    /// Within `</name`. Stays set behind `</>` and white space, as in libinjection.
    closes: bool,
}

impl<'a> Html<'a> {
    pub(super) fn new(value: &'a [u8], place: Place) -> Self {
        Self {
            value,
            at: 0,
            state: match place {
                Place::Text => State::Text,
                Place::Tag => State::BeforeName,
                Place::Quotes(quote) => State::Quoted(quote),
            },
            closes: false,
        }
    }

    /// The next thing found; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Found<'a>> {
        loop {
            match self.state {
                State::Text => {
                    self.at += memchr(b'<', self.rest())? + 1;
                    self.state = State::TagOpen;
                }
                State::TagOpen => {
                    if let Some(found) = self.tag_open()? {
                        return Some(found);
                    }
                }
                State::TagEnd => {
                    self.closes = false;
                    self.go(1, State::Text);
                }
                State::BeforeName => match self.skip_space()? {
                    b'/' => self.go(1, State::SelfClosing),
                    b'>' => self.go(1, State::Text),
                    _ => return Some(self.name()),
                },
                State::AfterName => match self.skip_space()? {
                    b'/' => self.go(1, State::SelfClosing),
                    b'=' => self.go(1, State::BeforeValue),
                    b'>' => self.state = State::TagEnd,
                    _ => return Some(self.name()),
                },
                State::BeforeValue => match self.skip_space()? {
                    quote @ (b'"' | b'\'' | b'`') => self.state = State::Quoted(quote),
                    _ => return Some(self.bare_value()),
                },
                State::Quoted(quote) => return Some(self.quoted_value(quote)),
                State::AfterQuoted => match self.peek()? {
                    b'/' => self.go(1, State::SelfClosing),
                    b'>' => self.go(1, State::Text),
                    // White space is skipped there.
                    _ => self.state = State::BeforeName,
                },
                State::SelfClosing => match self.peek()? {
                    b'>' => self.go(1, State::Text),
                    _ => self.state = State::BeforeName,
                },
                State::End => return None,
            }
        }
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.value.get(self.at..).unwrap_or(&[])
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    #[inline]
    fn go(&mut self, bytes: usize, state: State) {
        self.at += bytes;
        self.state = state;
    }

    /// The next `bytes`; then `skip` more are passed.
    fn take(&mut self, bytes: usize, skip: usize, state: State) -> &'a [u8] {
        let rest = self.rest();
        self.go(bytes + skip, state);
        rest.get(..bytes).unwrap_or(rest)
    }

    /// All that is left.
    fn take_rest(&mut self) -> &'a [u8] {
        self.take(self.rest().len(), 0, State::End)
    }

    /// The byte behind white space. For libinjection 0xff is the end there: it keeps bytes as signed
    /// numbers and the end as -1. Browsers go on; a verdict that differs would not be its verdict.
    #[inline]
    fn skip_space(&mut self) -> Option<u8> {
        let rest = self.rest();
        let spaces = rest.iter().position(|byte| !is_space(*byte))?;
        self.at += spaces;
        rest.get(spaces).copied().filter(|byte| *byte != 0xff)
    }

    /// Behind a `<`. The inner `None` means that there is nothing to tell yet.
    fn tag_open(&mut self) -> Option<Option<Found<'a>>> {
        Some(Some(match self.peek()? {
            b'!' => {
                self.at += 1;
                return Some(self.declaration());
            }
            b'?' => {
                self.at += 1;
                self.comment_until(b">")
            }
            // Of Internet Explorer up to 9.
            b'%' => {
                self.at += 1;
                self.comment_until(b"%>")
            }
            b'/' => {
                self.at += 1;
                self.closes = true;
                match self.peek()? {
                    b'>' => {
                        self.state = State::Text;
                        return Some(None);
                    }
                    byte if byte.is_ascii_alphabetic() => return Some(self.tag_name()),
                    _ => {
                        self.closes = false;
                        self.comment_until(b">")
                    }
                }
            }
            byte if byte.is_ascii_alphabetic() || byte == 0 => return Some(self.tag_name()),
            _ => {
                self.state = State::Text;
                return Some(None);
            }
        }))
    }

    /// A tag's name; zero bytes belong to it. A closing tag is told only if something follows its name.
    fn tag_name(&mut self) -> Option<Found<'a>> {
        let rest = self.rest();
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'>') || (is_space(*byte) && *byte != 0));
        let name = match end.and_then(|end| Some((end, *rest.get(end)?))) {
            None => self.take_rest(),
            Some((end, b'/')) => self.take(end, 1, State::SelfClosing),
            Some((end, b'>')) if self.closes => {
                self.closes = false;
                self.go(end + 1, State::Text);
                return None;
            }
            Some((end, b'>')) => self.take(end, 0, State::TagEnd),
            Some((end, _)) => self.take(end, 1, State::BeforeName),
        };
        Some(Found::Tag(name))
    }

    /// An attribute's name: one byte of any kind, then up to `/`, `=`, `>` or white space.
    fn name(&mut self) -> Found<'a> {
        let rest = self.rest();
        let end = rest
            .iter()
            .skip(1)
            .position(|byte| matches!(byte, b'/' | b'=' | b'>') || is_space(*byte))
            .map(|end| end + 1);
        Found::Attribute(match end.and_then(|end| Some((end, *rest.get(end)?))) {
            None => self.take_rest(),
            Some((end, b'/')) => self.take(end, 1, State::SelfClosing),
            Some((end, b'=')) => self.take(end, 1, State::BeforeValue),
            Some((end, b'>')) => self.take(end, 0, State::TagEnd),
            Some((end, _)) => self.take(end, 1, State::AfterName),
        })
    }

    fn bare_value(&mut self) -> Found<'a> {
        let rest = self.rest();
        let end = rest
            .iter()
            .position(|byte| *byte == b'>' || is_space(*byte));
        Found::Value(match end.and_then(|end| Some((end, *rest.get(end)?))) {
            None => self.take_rest(),
            Some((end, b'>')) => self.take(end, 0, State::TagEnd),
            Some((end, _)) => self.take(end, 1, State::BeforeName),
        })
    }

    fn quoted_value(&mut self, quote: u8) -> Found<'a> {
        // At the start the quote is pretended: there is none to pass.
        self.at += usize::from(self.at > 0);
        Found::Value(match memchr(quote, self.rest()) {
            None => self.take_rest(),
            Some(end) => self.take(end, 1, State::AfterQuoted),
        })
    }

    fn comment_until(&mut self, end: &[u8]) -> Found<'a> {
        Found::Comment(match memmem::find(self.rest(), end) {
            None => self.take_rest(),
            Some(bytes) => self.take(bytes, end.len(), State::Text),
        })
    }

    /// Behind `<!`.
    fn declaration(&mut self) -> Option<Found<'a>> {
        let rest = self.rest();
        let starts = |word: &[u8]| {
            rest.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if starts(b"DOCTYPE") {
            Some(Found::Doctype)
        } else if rest.starts_with(b"[CDATA[") {
            self.at += 7;
            match memmem::find(self.rest(), b"]]>") {
                None => self.state = State::End,
                Some(end) => self.go(end + 3, State::Text),
            }
            None
        } else if rest.starts_with(b"--") {
            self.at += 2;
            Some(self.comment())
        } else {
            Some(self.comment_until(b">"))
        }
    }

    /// Behind `<!--`: up to `-->` or `-!>`, where zero bytes may stand behind the first dash.
    fn comment(&mut self) -> Found<'a> {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = memchr(b'-', rest.get(from..).unwrap_or(&[])) {
            let dash = from + found;
            let behind = rest.get(dash + 1..).unwrap_or(&[]);
            // The next search starts at once behind this dash, so a run of zeros is passed twice.
            let zeros = behind.iter().take_while(|byte| **byte == 0).count();
            match behind.get(zeros..) {
                Some([b'-' | b'!', b'>', ..]) => {
                    return Found::Comment(self.take(dash, zeros + 3, State::Text));
                }
                // Too few bytes are left for an end.
                None | Some([] | [b'-' | b'!']) => break,
                Some(_) => from = dash + 1,
            }
        }
        Found::Comment(self.take_rest())
    }
}

/// White space; zero bytes count.
#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | b' ' | 0x09..=0x0d)
}
