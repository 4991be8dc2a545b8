//! A table of the configuration: raw, placed, and decodable into a typed word.

use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use toml::de::DeTable;

use super::current::{self, Run};
use super::deserializer::NodeDeserializer;
use super::diagnostic::{Diagnostic, Diagnostics, Place};
use super::error::codes;
use super::source_file::SourceFile;
use super::value::{Entry, Node, Numbering, Span, Value};

/// Most syntax errors of one file that are shown; the parser guesses on after the first.
const MAX_SYNTAX_ERRORS: usize = 10;

/// A table and the file it stands in. Cheap to clone. Two tables are equal when they say the same.
#[derive(Clone, Debug)]
pub struct Table {
    source: Arc<SourceFile>,
    id: u32,
    span: Span,
    entries: Arc<Vec<Entry>>,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        // The order of keys says nothing, but for the places of diagnostics.
        self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .all(|entry| other.get(&entry.key) == Some(&entry.node))
    }
}

impl Table {
    /// Parses a whole file.
    ///
    /// # Errors
    /// The syntax errors, each at its place.
    pub fn parse(source: &Arc<SourceFile>) -> Result<Self, Diagnostics> {
        let (table, errors) = DeTable::parse_recoverable(source.text());
        if errors.is_empty() {
            let span = Span::from(table.span());
            let node = Numbering::default().table(span, table.into_inner());
            if let Some(table) = Self::of(Arc::clone(source), &node) {
                return Ok(table);
            }
        }
        let mut diagnostics = Diagnostics::new();
        for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
            let at = error.span().map_or(0, |span| span.start);
            let text = error.message().replace('\n', ", ");
            diagnostics.push(Diagnostic::error(
                codes::SYNTAX,
                &source.place(at),
                format!("not TOML: {text}"),
            ));
        }
        Err(diagnostics)
    }

    /// Parses a text that is no file; relative paths start at the current folder. For tests.
    ///
    /// # Errors
    /// The syntax errors.
    pub fn from_text(text: &str) -> Result<Self, Diagnostics> {
        Self::parse(&SourceFile::new("text.toml", text, "."))
    }

    /// The table that `node` is, if it is one.
    pub fn of(source: Arc<SourceFile>, node: &Node) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            return None;
        };
        Some(Self {
            source,
            id: node.id,
            span: node.span,
            entries: Arc::clone(entries),
        })
    }

    /// The table a visitor stands on, in its `visit_map`.
    ///
    /// # Errors
    /// The map does not come from this decoder.
    pub fn from_map<'de, A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        current::table().ok_or_else(|| A::Error::custom("only a configuration has raw tables"))
    }

    /// The file.
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.source.place(self.span.start)
    }

    /// Where a value of this file stands.
    pub fn place_of(&self, span: Span) -> Place {
        self.source.place(span.start)
    }

    /// The entries in written order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether nothing is written in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a key is written.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.key.as_ref() == key)?;
        Some(&entry.node)
    }

    /// The same table with these keys only.
    #[must_use]
    pub fn only(&self, keys: &[&str]) -> Self {
        self.filtered(|key| keys.contains(&key))
    }

    /// The same table without these keys.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Self {
        self.filtered(|key| !keys.contains(&key))
    }

    fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.entries.iter().filter(|entry| keep(&entry.key));
        Self {
            entries: Arc::new(kept.cloned().collect()),
            ..self.clone()
        }
    }

    /// Takes the entry at a path of keys out of the table.
    pub fn take(&mut self, path: &[&str]) -> Option<Entry> {
        let (last, above) = path.split_last()?;
        let entries = descend(&mut self.entries, above)?;
        let at = entries.iter().position(|e| e.key.as_ref() == *last)?;
        Some(Arc::make_mut(entries).remove(at))
    }

    /// Decodes the table within the `Deserialize` of a larger type; the mistake keeps its place.
    ///
    /// # Errors
    /// The first mistake.
    pub fn read<T: DeserializeOwned, E: Error>(&self) -> Result<T, E> {
        let run = current::run().unwrap_or_else(|| {
            Rc::new(Run {
                source: Arc::clone(&self.source),
                skipped: Default::default(),
            })
        });
        let node = self.node();
        T::deserialize(NodeDeserializer {
            run: &run,
            node: &node,
        })
        .map_err(|error| {
            let text = error.to_string();
            current::stash(error);
            let outer = E::custom(text);
            // A foreign error type does not take it; it must not turn up in the next one.
            drop(current::take_stashed());
            outer
        })
    }

    pub(super) fn node(&self) -> Node {
        Node {
            id: self.id,
            span: self.span,
            value: Value::Table(Arc::clone(&self.entries)),
        }
    }

    /// Replaces every text below by what `replace` makes of it (`None`: as it is). What was written
    /// is kept beside it.
    pub fn replace_texts(&mut self, replace: &mut dyn FnMut(&str, Place) -> Option<String>) {
        let source = Arc::clone(&self.source);
        let mut each = |text: &str, span: Span| replace(text, source.place(span.start));
        for entry in Arc::make_mut(&mut self.entries) {
            replace_in(&mut entry.node, &mut each);
        }
    }
}

fn descend<'a>(entries: &'a mut Arc<Vec<Entry>>, path: &[&str]) -> Option<&'a mut Arc<Vec<Entry>>> {
    let Some((first, rest)) = path.split_first() else {
        return Some(entries);
    };
    // Looked for before it is made mutable, so that nothing is copied in vain.
    let at = entries.iter().position(|e| e.key.as_ref() == *first)?;
    match &mut Arc::make_mut(entries).get_mut(at)?.node.value {
        Value::Table(inner) => descend(inner, rest),
        _ => None,
    }
}

fn replace_in(node: &mut Node, replace: &mut dyn FnMut(&str, Span) -> Option<String>) {
    match &mut node.value {
        Value::Text { written, value } => {
            if let Some(text) = replace(written, node.span) {
                *value = text.into();
            }
        }
        Value::Array(items) => {
            for item in Arc::make_mut(items) {
                replace_in(item, replace);
            }
        }
        Value::Table(entries) => {
            for entry in Arc::make_mut(entries) {
                replace_in(&mut entry.node, replace);
            }
        }
        Value::Integer(_)
        | Value::Huge(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => {}
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Raw;
        impl<'de> Visitor<'de> for Raw {
            type Value = Table;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table, A::Error> {
                Table::from_map(map)
            }
        }
        deserializer.deserialize_map(Raw)
    }
}
