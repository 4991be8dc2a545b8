//! What went wrong inside a table, before it becomes a diagnostic.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::current;
use super::diagnostic::{Diagnostic, Place};
use super::nearest::{did_you_mean, nearest};
use super::value::{Node, Span, Value};

/// Codes of the decoder. The loader's own follow from 010.
pub mod codes {
    /// A key that no table of this kind has.
    pub const UNKNOWN_KEY: &str = "E-CONF-001";
    /// A value of another type than the key takes.
    pub const WRONG_TYPE: &str = "E-CONF-002";
    /// A key that must be written is not.
    pub const MISSING_KEY: &str = "E-CONF-003";
    /// A word that is not among those the key takes.
    pub const UNKNOWN_WORD: &str = "E-CONF-004";
    /// A value of the right type that is not allowed.
    pub const WRONG_VALUE: &str = "E-CONF-005";
    /// A file that is not TOML.
    pub const SYNTAX: &str = "E-CONF-006";
}

/// One mistake, on its way from where it was found to where it is reported.
#[derive(Debug)]
pub(super) struct DecodeError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    /// Where it stands; set by the innermost value or key it passes.
    span: Option<Span>,
    /// The entry or item to pass over in the next run.
    entry: Option<u32>,
    /// The table or list that holds this entry.
    holder: Option<u32>,
    /// The table or list in which it was found, when it was found in the whole of it.
    whole: Option<u32>,
    /// What a text was as written, when `${NAME}` was replaced in it.
    reference: Option<String>,
    /// The missing key is there, but was passed over.
    written: bool,
    /// What kind of value stands there.
    found: Option<&'static str>,
}

#[derive(Debug)]
enum Kind {
    UnknownKey(String, &'static [&'static str]),
    UnknownWord(String, &'static [&'static str]),
    Missing(&'static str),
    WrongType(String),
    OutOfRange(String),
    Other(String),
}

impl DecodeError {
    fn new(kind: Kind) -> Self {
        Self(Box::new(Inner {
            kind,
            span: None,
            entry: None,
            holder: None,
            whole: None,
            reference: None,
            written: false,
            found: None,
        }))
    }

    /// A value of another type than expected.
    pub(super) fn wrong_type(expected: &dyn Expected) -> Self {
        Self::new(Kind::WrongType(expectation(expected)))
    }

    /// Notes the value it was found at; the innermost one counts.
    pub(super) fn at_node(mut self, node: &Node) -> Self {
        let inner = &mut *self.0;
        if inner.span.is_some() {
            return self;
        }
        inner.span = Some(node.span);
        inner.found = Some(node.value.noun());
        match &node.value {
            Value::Text { written, value } if written != value => {
                inner.reference = Some(written.to_string());
            }
            Value::Array(_) => inner.whole = Some(node.id),
            Value::Table(entries) => {
                inner.whole = Some(node.id);
                if let Kind::Missing(missing) = inner.kind {
                    inner.written = entries.iter().any(|entry| entry.key.as_ref() == missing);
                }
            }
            _ => {}
        }
        self
    }

    /// Notes the key it was found at.
    pub(super) fn at_key(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    /// Notes the entry or item it passes and what holds that; the innermost one counts.
    pub(super) fn within(mut self, entry: u32, holder: u32) -> Self {
        if self.0.entry.is_none() {
            self.0.entry = Some(entry);
            self.0.holder = Some(holder);
        }
        self
    }

    pub(super) fn entry(&self) -> Option<(u32, u32)> {
        self.0.entry.zip(self.0.holder)
    }

    /// The table or list it is about as a whole: a missing key, say.
    pub(super) fn whole(&self) -> Option<u32> {
        self.0.whole
    }

    /// The key that is missing.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self.0.kind {
            Kind::Missing(key) => Some(key),
            _ => None,
        }
    }

    /// Whether the missing key is written after all, but wrong.
    pub(super) fn was_written(&self) -> bool {
        self.0.written
    }

    /// The key that was probably meant by an unknown one.
    pub(super) fn meant(&self) -> Option<String> {
        match &self.0.kind {
            Kind::UnknownKey(key, words) => nearest(key, *words).map(str::to_owned),
            _ => None,
        }
    }

    pub(super) fn span(&self) -> Option<Span> {
        self.0.span
    }

    /// Turns it into what the operator reads. What stands behind a `${NAME}` is never shown.
    pub(super) fn report(self, place: &Place) -> Diagnostic {
        let inner = *self.0;
        let found = inner.found.unwrap_or("nothing");
        match inner.kind {
            Kind::UnknownKey(key, words) => Diagnostic::error(
                codes::UNKNOWN_KEY,
                place,
                format!("unknown key \"{}\"", shorten(&key)),
            )
            .with_help(did_you_mean(&key, words)),
            Kind::UnknownWord(word, words) => match inner.reference {
                Some(written) => Diagnostic::error(
                    codes::UNKNOWN_WORD,
                    place,
                    format!("the value of {written:?} is none of the words that are allowed here"),
                )
                .with_help(did_you_mean("", words)),
                None => Diagnostic::error(
                    codes::UNKNOWN_WORD,
                    place,
                    format!("unknown word \"{}\"", shorten(&word)),
                )
                .with_help(did_you_mean(&word, words)),
            },
            Kind::Missing(key) => {
                Diagnostic::error(codes::MISSING_KEY, place, format!("missing key \"{key}\""))
                    .with_help(format!("write {key} = ... in this table"))
            }
            Kind::WrongType(expected) => Diagnostic::error(
                codes::WRONG_TYPE,
                place,
                format!("expected {expected}, found {found}"),
            ),
            Kind::OutOfRange(expected) => Diagnostic::error(
                codes::WRONG_VALUE,
                place,
                format!("the value is out of range; expected {expected}"),
            ),
            Kind::Other(text) => {
                let (message, help) = text.split_once('\n').unwrap_or((&text, ""));
                let message = match inner.reference {
                    Some(written) => format!("the value of {written:?} is not allowed here"),
                    None => message.to_owned(),
                };
                Diagnostic::error(codes::WRONG_VALUE, place, message).with_help(help)
            }
        }
    }
}

/// A visitor's expectation in words an operator knows.
fn expectation(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "u64" | "usize" | "u128" => "an integer from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "an integer",
        "f32" | "f64" => "a number",
        "a string" | "a borrowed string" | "string" | "variant identifier" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("enum ") => "a text",
        other => other,
    }
    .to_owned()
}

fn shorten(word: &str) -> String {
    const MOST: usize = 64;
    let mut short: String = word
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if word.chars().nth(MOST).is_some() {
        short.push_str("...");
    }
    short
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.kind)
    }
}

impl std::error::Error for DecodeError {}

/// In texts of own visitors the first line says what is wrong and may show the value; what follows
/// is the help and must not show it, for it is printed for values behind `${NAME}` too.
impl Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        match current::take_stashed() {
            Some(error) => error,
            None => Self::new(Kind::Other(message.to_string())),
        }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong_type(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::OutOfRange(expectation(expected)))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new(Kind::OutOfRange(expectation(expected)))
    }

    fn unknown_variant(word: &str, words: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownWord(word.to_owned(), words))
    }

    fn unknown_field(key: &str, words: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey(key.to_owned(), words))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Kind::Missing(key))
    }
}
