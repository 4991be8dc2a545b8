//! `[[plugin]]`, and the entries of every `plugins` list.

use std::fmt;

use farmgate_plugin_api::Fail;
use farmgate_plugin_api::decode::{Located, Table};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Words that belong to every plugin; the kind's own decoder never sees them.
const RESERVED: &[&str] = &["name", "kind", "fail"];

/// A named plugin: one instance with one state, whatever uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// The name that lists of plugins use.
    pub name: Located<String>,
    /// The kind.
    pub kind: Located<String>,
    /// What follows when it fails. Default closed.
    pub fail: Fail,
    /// The kind's own options.
    pub table: Table,
}

/// One entry of a list of plugins.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginEntry {
    /// `"name"` or `{ plugin = "name", when = "..." }`.
    Named {
        /// Name of the plugin.
        name: Located<String>,
        /// The condition under which it runs.
        when: Option<Located<String>>,
    },
    /// `{ kind = "...", ... }`: an instance of its own.
    Inline {
        /// The kind.
        kind: Located<String>,
        /// What follows when it fails. Default closed.
        fail: Fail,
        /// The kind's own options.
        table: Table,
    },
}

/// The reserved words of a named plugin.
#[derive(Deserialize)]
struct NamedWords {
    name: Located<String>,
    kind: Located<String>,
    #[serde(default)]
    fail: Fail,
}

/// The reserved words of an inline plugin.
#[derive(Deserialize)]
struct InlineWords {
    kind: Located<String>,
    #[serde(default)]
    fail: Fail,
}

/// A reference with a condition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReferenceWords {
    plugin: Located<String>,
    #[serde(default)]
    when: Option<Located<String>>,
}

impl<'de> Deserialize<'de> for PluginConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        let words: NamedWords = table.only(RESERVED).read()?;
        Ok(Self {
            name: words.name,
            kind: words.kind,
            fail: words.fail,
            table: table.without(RESERVED),
        })
    }
}

impl<'de> Deserialize<'de> for PluginEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = PluginEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a plugin's name, { kind = \"...\", ... } or { plugin = \"name\", when = \"...\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<PluginEntry, E> {
                Ok(PluginEntry::Named {
                    name: Located::here(text.to_owned()),
                    when: None,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PluginEntry, A::Error> {
                entry(&Table::from_map(map)?)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

fn entry<E: Error>(table: &Table) -> Result<PluginEntry, E> {
    if table.has("plugin") {
        let words: ReferenceWords = table.read()?;
        return Ok(PluginEntry::Named {
            name: words.plugin,
            when: words.when,
        });
    }
    if table.has("name") {
        return Err(E::custom(
            "a plugin in a list has no name of its own; write { plugin = \"name\" } to use a named one",
        ));
    }
    let words: InlineWords = table.only(RESERVED).read()?;
    Ok(PluginEntry::Inline {
        kind: words.kind,
        fail: words.fail,
        table: table.without(RESERVED),
    })
}
