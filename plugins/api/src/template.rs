//! Templates: text with sources and route captures in braces, `/new/{rest}` or `{header:x-user}`.
//! `{{` stands for one opening brace; a closing brace alone is itself.
//!
//! A template is parsed once. When it is rendered, every value is escaped for the place it goes to,
//! so that no client can break out of a header line, a path segment or a query parameter.

use std::fmt;

use crate::facts::Facts;
use crate::source::{Source, escape_value};

/// Where rendered values go, and so how they are escaped. Literal text is never escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Nowhere special, e.g. a text body.
    None,
    /// A header field's value: control characters become spaces.
    HeaderValue,
    /// A segment of a path (RFC 3986, `pchar`). Captures and `{path}` are in escaped form already:
    /// their escapes and slashes stay.
    PathSegment,
    /// A value in a query: `&`, `=`, `+` and `#` are escaped too.
    QueryValue,
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Text(Box<str>),
    /// A value of the request.
    Source(Source),
    /// What the route's path pattern captured under this name; empty when it captured nothing.
    Capture(Box<str>),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub help: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Compiles a template. A word in braces that is a source is one, any other plain word is the
    /// name of a capture; whether the route captures it is checked where routes are compiled.
    ///
    /// # Errors
    /// A brace is not closed, or what stands in braces is neither a source nor a possible name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            if let Some(tail) = after.strip_prefix('{') {
                literal.push('{');
                rest = tail;
                continue;
            }
            let Some((inside, tail)) = after.split_once('}') else {
                return Err(TemplateError {
                    message: format!("`{{{after}` is not closed"),
                    help: "close it with `}`, or write `{{` for a brace".to_owned(),
                });
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(parse_value(inside)?);
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self {
            parts: parts.into(),
        })
    }

    /// The pieces in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, if it is the same for every request.
    pub fn constant(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The names of the captures the template needs, with repetitions.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture(name) => Some(&**name),
            Part::Text(_) | Part::Source(_) => None,
        })
    }

    /// Appends the rendered text to `out`; values that the request lacks are empty.
    pub fn render(&self, facts: &dyn Facts, escape: Escape, out: &mut String) {
        for part in &self.parts {
            part.render(facts, escape, out);
        }
    }

    /// As [`Template::render`] for a whole target or URL: values before the first `?` of the literal
    /// text are escaped for a path, values after it for a query.
    pub fn render_url(&self, facts: &dyn Facts, out: &mut String) {
        let mut escape = Escape::PathSegment;
        for part in &self.parts {
            part.render(facts, escape, out);
            if matches!(part, Part::Text(text) if text.contains(['?', '#'])) {
                escape = Escape::QueryValue;
            }
        }
    }
}

impl Part {
    /// Appends this piece to `out`.
    pub fn render(&self, facts: &dyn Facts, escape: Escape, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Capture(name) => {
                append(facts.capture(name).unwrap_or_default(), escape, true, out);
            }
            Self::Source(Source::Path) => append(facts.path(), escape, true, out),
            Self::Source(source) => {
                let mut scratch = String::new();
                if let Some(value) = source.read(facts, &mut scratch) {
                    append(value, escape, false, out);
                }
            }
        }
    }
}

/// `escaped`: the value comes from the path and is in escaped form.
fn append(value: &str, escape: Escape, escaped: bool, out: &mut String) {
    match escape {
        Escape::None => out.push_str(value),
        Escape::HeaderValue => out.extend(value.chars().map(|c| match c {
            '\t' => c,
            c if c.is_control() => ' ',
            c => c,
        })),
        Escape::PathSegment => percent_encode(value, escaped, out, |byte| {
            is_pchar(byte) || (escaped && byte == b'/')
        }),
        Escape::QueryValue => percent_encode(value, escaped, out, |byte| {
            (is_pchar(byte) || matches!(byte, b'/' | b'?')) && !matches!(byte, b'&' | b'=' | b'+')
        }),
    }
}

/// Appends `value`, with every byte that `keep` refuses as `%XX`. With `escaped`, escapes stay.
pub fn percent_encode(value: &str, escaped: bool, out: &mut String, keep: impl Fn(u8) -> bool) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if keep(byte) || (escaped && escape_value(rest).is_some()) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
        rest = tail;
    }
}

/// True for the bytes that a path segment may hold as they are (RFC 3986, section 3.3).
pub fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

fn parse_value(inside: &str) -> Result<Part, TemplateError> {
    match Source::parse(inside) {
        Ok(source) => Ok(Part::Source(source)),
        Err(_) if is_capture_name(inside) => Ok(Part::Capture(inside.into())),
        Err(error) => Err(TemplateError {
            message: format!("`{{{inside}}}` is neither a source nor the name of a capture"),
            help: format!("{}; for a brace write `{{{{`", error.help),
        }),
    }
}

/// `header`, `query` and `cookie` without a name are mistakes, not captures.
fn is_capture_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !matches!(text, "header" | "query" | "cookie")
}

#[cfg(test)]
mod tests;
