//! The tree of a parsed file: values that know where they stand and how they were written.

use std::sync::Arc;

use toml::de::{DeArray, DeTable, DeValue};

/// A range of bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// A value with its place. Two nodes are equal when they say the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Node {
    /// Number of the node, unique in its file.
    pub id: u32,
    /// Where it stands.
    pub span: Span,
    /// What it says.
    pub value: Value,
}

/// What a node says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text: as written, and as it counts once `${NAME}` is replaced.
    Text {
        /// As written.
        written: Arc<str>,
        /// As it counts.
        value: Arc<str>,
    },
    /// An integer.
    Integer(i64),
    /// An integer beyond 64 bits, as written; fits nowhere.
    Huge(Arc<str>),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time, or both.
    Datetime(toml::value::Datetime),
    /// A list.
    Array(Arc<Vec<Node>>),
    /// A table, in written order.
    Table(Arc<Vec<Entry>>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.node == other.node
    }
}

impl Value {
    /// The kind of value, for messages; never what it holds.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a text",
            Self::Integer(_) => "an integer",
            Self::Huge(_) => "an integer beyond 64 bits",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Numbers the nodes of one file.
#[derive(Default)]
pub(super) struct Numbering(u32);

impl Numbering {
    fn next(&mut self) -> u32 {
        self.0 = self.0.saturating_add(1);
        self.0
    }

    /// Takes over a parsed table. The parser bounds the depth.
    pub(super) fn table(&mut self, span: Span, table: DeTable<'_>) -> Node {
        let id = self.next();
        let mut entries: Vec<Entry> = table
            .into_iter()
            .map(|(key, value)| Entry {
                key_span: key.span().into(),
                key: key.into_inner().as_ref().into(),
                node: self.node(value),
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        Node {
            id,
            span,
            value: Value::Table(Arc::new(entries)),
        }
    }

    fn node(&mut self, value: toml::Spanned<DeValue<'_>>) -> Node {
        let span = Span::from(value.span());
        let value = match value.into_inner() {
            DeValue::Table(table) => return self.table(span, table),
            DeValue::Array(items) => self.array(items),
            DeValue::String(text) => {
                let text: Arc<str> = text.as_ref().into();
                Value::Text {
                    written: Arc::clone(&text),
                    value: text,
                }
            }
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => Value::Huge(number.to_string().into()),
                }
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Boolean(flag),
            DeValue::Datetime(date) => Value::Datetime(date),
        };
        Node {
            id: self.next(),
            span,
            value,
        }
    }

    fn array(&mut self, items: DeArray<'_>) -> Value {
        Value::Array(Arc::new(
            items.into_iter().map(|item| self.node(item)).collect(),
        ))
    }
}
