//! Schemas as programs. Nothing is fetched, patterns run in linear time, and a schema that would
//! never come to an end is refused.

use std::collections::HashSet;

use jsonschema::{Draft, PatternOptions, Registry, Validator};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use super::fault::below;

/// What the document is called while it is compiled. Nobody can fetch it.
const BASE: &str = "farmgate:///document";
/// Most bytes of a compiled pattern.
const PATTERN_BYTES: usize = 1 << 20;
/// Longest value of the format `regex`, in bytes: it is compiled to be checked.
const REGEX_BYTES: usize = 1000;
/// Nesting of a document: beyond it nobody can follow, a parser neither.
const MOST_DEPTH: usize = 100;
/// References from one to the next.
const MOST_HOPS: usize = 32;

/// Words whose schemas look at the same value as the schema they stand in.
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
/// Schemas that look at the same value, one behind the other.
const MOST_IN_PLACE: usize = 500;
/// Words whose members have names of somebody's own.
const NAMED: [&str; 9] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
    "schemas",
    "paths",
    "pathItems",
    "content",
];
/// Words below which nothing is a schema or a reference.
const DATA: [&str; 5] = ["const", "enum", "default", "example", "examples"];

/// A document whose schemas can be compiled.
pub(super) struct Schemas<'d> {
    document: &'d Value,
    registry: Registry<'d>,
    formats: bool,
}

impl<'d> Schemas<'d> {
    /// Looks at a document as a whole.
    ///
    /// # Errors
    /// It refers to something outside, is nested too deeply, or has a loop of references.
    pub(super) fn new(document: &'d Value, formats: bool) -> Result<Self, String> {
        let mut references = Vec::new();
        collect(document, String::new(), 0, false, &mut references)?;
        let mut seen = HashSet::new();
        for (at, target) in &references {
            if !target.starts_with('#') {
                return Err(format!(
                    "#{at}: it refers to {target:?}, and only references within the file (\"#/...\") are followed"
                ));
            }
            for next in resolve(document, target) {
                if comes_back(document, &next, &mut seen, &mut HashSet::new()) {
                    return Err(format!(
                        "#{at}: the reference to {target:?} goes in a circle"
                    ));
                }
            }
        }
        let registry = Registry::new()
            .draft(Draft::Draft202012)
            .add(BASE, document);
        let registry = registry.and_then(jsonschema::RegistryBuilder::prepare);
        Ok(Self {
            document,
            registry: registry.map_err(|error| error.to_string())?,
            formats,
        })
    }

    /// Compiles the schema at this JSON pointer.
    ///
    /// # Errors
    /// There is none, or it is no schema; the text says where.
    pub(super) fn compile(&self, pointer: &str) -> Result<Validator, String> {
        let wrong = |text: String| format!("#{pointer}: {text}");
        let schema = self.document.pointer(pointer);
        let schema = schema.ok_or_else(|| wrong("there is nothing".to_owned()))?;
        jsonschema::draft202012::meta::validate(schema).map_err(|error| {
            let at = error.instance_path().as_str();
            format!("#{pointer}{at}: {}", error.masked())
        })?;
        let fragment = pointer
            .split('/')
            .map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
        let fragment: Vec<String> = fragment.collect();
        let reference = json!({ "$ref": format!("{BASE}#{}", fragment.join("/")) });
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES);
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_registry(&self.registry)
            .offline()
            .should_validate_formats(self.formats)
            .with_pattern_options(patterns)
            .with_format("regex", is_small_regex);
        options.build(&reference).map_err(|error| {
            wrong(format!(
                "it is no schema of JSON Schema 2020-12 that can be used: {}",
                error.masked()
            ))
        })
    }

    /// The document.
    pub(super) fn document(&self) -> &'d Value {
        self.document
    }

    /// What stands at a pointer, with references followed: its own pointer, and the value.
    pub(super) fn follow(&self, pointer: String) -> Result<(String, &'d Value), String> {
        let mut at = pointer;
        for _ in 0..MOST_HOPS {
            let value = self.document.pointer(&at);
            let value = value.ok_or_else(|| format!("#{at}: there is nothing"))?;
            match value.get("$ref").and_then(Value::as_str) {
                None => return Ok((at, value)),
                Some(target) => at = pointer_of(target),
            }
        }
        Err(format!("#{at}: references go in a circle"))
    }
}

fn is_small_regex(text: &str) -> bool {
    text.len() <= REGEX_BYTES
        && regex::RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES / 16)
            .build()
            .is_ok()
}

/// The JSON pointer of a reference within the document.
fn pointer_of(reference: &str) -> String {
    let fragment = reference.trim_start_matches('#');
    percent_decode_str(fragment)
        .decode_utf8_lossy()
        .into_owned()
}

/// All references of a document with their places. The members of a `named` value are called as somebody
/// liked: those names are no words of a schema.
fn collect(
    value: &Value,
    at: String,
    depth: usize,
    named: bool,
    references: &mut Vec<(String, String)>,
) -> Result<(), String> {
    if depth > MOST_DEPTH {
        return Err(format!("#{at}: it is nested more than {MOST_DEPTH} deep"));
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if !named && DATA.contains(&&**name) {
                    continue;
                }
                if let ("$ref" | "$dynamicRef", Value::String(target)) = (&**name, member) {
                    references.push((at.clone(), target.clone()));
                    continue;
                }
                let named = !named && NAMED.contains(&&**name);
                collect(member, below(&at, name), depth + 1, named, references)?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{at}/{index}"), depth + 1, false, references)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Where a reference leads: to a pointer, or to the anchors of its name.
fn resolve(document: &Value, target: &str) -> Vec<String> {
    let pointer = pointer_of(target);
    if pointer.is_empty() || pointer.starts_with('/') {
        return vec![pointer];
    }
    let mut found = Vec::new();
    anchors(document, &pointer, String::new(), &mut found);
    found
}

fn anchors(value: &Value, name: &str, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let is_named = |word| members.get(word).and_then(Value::as_str) == Some(name);
            if is_named("$anchor") || is_named("$dynamicAnchor") {
                found.push(at.clone());
            }
            for (key, value) in members {
                anchors(value, name, below(&at, key), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                anchors(value, name, format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Whether a schema comes back to itself without having looked at anything smaller in between.
fn comes_back(
    document: &Value,
    at: &str,
    seen: &mut HashSet<String>,
    open: &mut HashSet<String>,
) -> bool {
    if open.contains(at) || open.len() > MOST_IN_PLACE {
        return true;
    }
    let Some(Value::Object(schema)) = document.pointer(at) else {
        return false;
    };
    if !seen.insert(at.to_owned()) {
        return false;
    }
    open.insert(at.to_owned());
    let mut next = Vec::new();
    for word in ["$ref", "$dynamicRef"] {
        if let Some(target) = schema.get(word).and_then(Value::as_str) {
            next.extend(resolve(document, target));
        }
    }
    for word in IN_PLACE {
        if schema.contains_key(word) {
            next.push(format!("{at}/{word}"));
        }
    }
    for word in IN_PLACE_LISTS {
        let items = schema.get(word).and_then(Value::as_array);
        for index in 0..items.map_or(0, Vec::len) {
            next.push(format!("{at}/{word}/{index}"));
        }
    }
    if let Some(Value::Object(members)) = schema.get("dependentSchemas") {
        let names = members.keys();
        next.extend(names.map(|name| below(&format!("{at}/dependentSchemas"), name)));
    }
    let is_loop = next
        .iter()
        .any(|next| comes_back(document, next, seen, open));
    open.remove(at);
    is_loop
}
