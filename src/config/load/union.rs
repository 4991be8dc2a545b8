//! Several files as one configuration.

use std::collections::HashMap;

use farmgate_plugin_api::decode::{
    Diagnostic, Diagnostics, Entry, Place, Table, Value, decode, did_you_mean,
};
use serde::de::DeserializeOwned;

use crate::config::codes;
use crate::config::words::Config;

/// Decodes one table into its place in the configuration.
type Decode = fn(&Table, &mut Config, &mut Diagnostics);

/// Tables that stand once, in one file.
const ONCE: [(&str, Decode); 5] = [
    ("server", |table, config, d| {
        set(&mut config.server, table, d)
    }),
    ("admin", |table, config, d| config.admin = decode(table, d)),
    ("telemetry", |table, config, d| {
        set(&mut config.telemetry, table, d)
    }),
    ("defaults", |table, config, d| {
        set(&mut config.defaults, table, d)
    }),
    ("cache", |table, config, d| config.cache = decode(table, d)),
];
/// Lists of tables, of all files together.
const LISTS: [(&str, Decode); 6] = [
    ("listener", |table, config, d| {
        config.listeners.extend(decode(table, d))
    }),
    ("tls", |table, config, d| {
        config.tls.extend(decode(table, d))
    }),
    ("upstream", |table, config, d| {
        config.upstreams.extend(decode(table, d))
    }),
    ("cache_policy", |table, config, d| {
        config.cache_policies.extend(decode(table, d))
    }),
    ("route", |table, config, d| {
        config.routes.extend(decode(table, d))
    }),
    ("plugin", |table, config, d| {
        config.plugins.extend(decode(table, d))
    }),
];
/// Longest name, in characters.
const MAX_NAME: usize = 64;

/// Where things were seen first.
#[derive(Default)]
struct Seen {
    tables: HashMap<String, Place>,
    names: HashMap<(&'static str, String), Place>,
}

/// Decodes every table of every file. What is wrong is reported and left out.
pub(super) fn decode_all(files: &[Table], diagnostics: &mut Diagnostics) -> Config {
    let mut config = Config::default();
    let mut seen = Seen::default();
    for file in files {
        for entry in file.entries() {
            let key = entry.key.as_ref();
            if let Some((kind, read)) = ONCE.iter().find(|(kind, _)| *kind == key) {
                if let Some(table) = once(kind, file, entry, &mut seen, diagnostics) {
                    read(&table, &mut config, diagnostics);
                }
            } else if let Some((kind, read)) = LISTS.iter().find(|(kind, _)| *kind == key) {
                for table in list(kind, file, entry, diagnostics) {
                    check_name(kind, &table, &mut seen, diagnostics);
                    read(&table, &mut config, diagnostics);
                }
            } else {
                unknown(file, entry, diagnostics);
            }
        }
    }
    config.declared = seen.names.into_keys().collect();
    let once = ONCE.iter().map(|(kind, _)| *kind);
    let once = once.filter(|kind| seen.tables.contains_key(*kind));
    config
        .declared
        .extend(once.map(|kind| (kind, String::new())));
    config
}

fn unknown(file: &Table, entry: &Entry, diagnostics: &mut Diagnostics) {
    let words: Vec<&str> = ONCE.iter().chain(&LISTS).map(|(kind, _)| *kind).collect();
    let short: String = entry.key.chars().take(MAX_NAME).collect();
    let what = match entry.node.value {
        Value::Table(_) => "table",
        _ if is_list_of_tables(&entry.node.value) => "table",
        _ => "key",
    };
    diagnostics.push(
        Diagnostic::error(
            codes::UNKNOWN_TABLE,
            &file.place_of(entry.key_span),
            format!(
                "unknown {what} \"{}\" at the top of a file",
                short.escape_debug()
            ),
        )
        .with_help(did_you_mean(&entry.key, &words)),
    );
}

fn is_list_of_tables(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|i| matches!(i.value, Value::Table(_))),
        _ => false,
    }
}

fn once(
    kind: &str,
    file: &Table,
    entry: &Entry,
    seen: &mut Seen,
    diagnostics: &mut Diagnostics,
) -> Option<Table> {
    let place = file.place_of(entry.key_span);
    let Some(table) = Table::of(file.source().clone(), &entry.node) else {
        let message = format!("\"{kind}\" is one table");
        diagnostics.push(
            Diagnostic::error(codes::TABLE_FORM, &place, message)
                .with_help(format!("write [{kind}], once")),
        );
        return None;
    };
    if let Some(first) = seen.tables.get(kind) {
        let message = format!("[{kind}] stands in {first} already");
        diagnostics.push(
            Diagnostic::error(codes::TABLE_TWICE, &place, message)
                .with_help("it stands in one file at most"),
        );
    } else {
        seen.tables.insert(kind.to_owned(), place);
    }
    Some(table)
}

fn list(kind: &str, file: &Table, entry: &Entry, diagnostics: &mut Diagnostics) -> Vec<Table> {
    let wrong = |place: &Place, diagnostics: &mut Diagnostics| {
        diagnostics.push(
            Diagnostic::error(
                codes::TABLE_FORM,
                place,
                format!("\"{kind}\" is a list of tables"),
            )
            .with_help(format!("write [[{kind}]], with two brackets, for each")),
        );
    };
    let Value::Array(items) = &entry.node.value else {
        wrong(&file.place_of(entry.key_span), diagnostics);
        return Vec::new();
    };
    let mut tables = Vec::new();
    for item in items.iter() {
        match Table::of(file.source().clone(), item) {
            Some(table) => tables.push(table),
            None => wrong(&file.place_of(item.span), diagnostics),
        }
    }
    tables
}

/// Looks at the raw name: of a table that does not decode, too.
fn check_name(kind: &'static str, table: &Table, seen: &mut Seen, diagnostics: &mut Diagnostics) {
    let Some(node) = table.get("name") else {
        return;
    };
    let Value::Text { value, written } = &node.value else {
        return;
    };
    let place = table.place_of(node.span);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if value.is_empty() || value.chars().count() > MAX_NAME || !value.chars().all(plain) {
        let short: String = written.chars().take(MAX_NAME).collect();
        diagnostics.push(
            Diagnostic::error(codes::BAD_NAME, &place, format!("{short:?} is no name"))
                .with_help("1 to 64 characters out of letters, digits, '-', '_' and '.'"),
        );
        return;
    }
    match seen.names.get(&(kind, value.to_string())) {
        Some(first) => {
            let message = format!("the {kind} \"{written}\" is defined in {first} already");
            diagnostics.error(codes::NAME_TWICE, &place, message);
        }
        None => {
            seen.names.insert((kind, value.to_string()), place);
        }
    }
}

fn set<T: DeserializeOwned>(place: &mut T, table: &Table, diagnostics: &mut Diagnostics) {
    if let Some(value) = decode(table, diagnostics) {
        *place = value;
    }
}
