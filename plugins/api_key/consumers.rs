//! Consumers as they are written, in the configuration and in a file of their own, and the table they make.

use std::collections::HashSet;
use std::sync::Arc;

use farmgate_plugin_api::Consumer;
use farmgate_plugin_api::decode::{
    Diagnostic, Diagnostics, Located, Severity, SourceFile, Table, decode,
};
use farmgate_plugin_api::kind::codes;
use foldhash::fast::RandomState;
use serde::Deserialize;

use super::NAME;
use super::keys::{KeyHash, Keys};

/// Most consumers of one plugin, those of the file included. They take some 20 MB.
const MAX_CONSUMERS: usize = 100_000;
/// Live keys of one consumer: the one in use, and the one that replaces it.
const MAX_KEYS: usize = 2;
/// Longest name of a consumer, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// Longest name of a plan or a tag, in bytes.
const MAX_WORD_BYTES: usize = 64;
/// Most tags of one consumer.
const MAX_TAGS: usize = 16;
/// Mistakes of a file that are told at once.
const MAX_TOLD: usize = 5;

/// One consumer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumerConfig {
    name: Located<String>,
    sha256: Located<Vec<KeyHash>>,
    plan: Option<Located<String>>,
    #[serde(default)]
    tags: Located<Vec<String>>,
}

/// A file of consumers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    #[serde(default)]
    consumers: Vec<ConsumerConfig>,
}

/// Makes the table of these consumers. Every mistake is told at its place.
pub(super) fn compile(consumers: &[&[ConsumerConfig]], diagnostics: &mut Diagnostics) -> Keys {
    let mut keys = Keys::default();
    let mut names: HashSet<&str, RandomState> = HashSet::default();
    for config in consumers.iter().copied().flatten() {
        let name = &config.name;
        if keys.consumers() == MAX_CONSUMERS {
            let text = format!("more than {MAX_CONSUMERS} consumers");
            let error = Diagnostic::error(codes::VALUE, &name.place, text);
            diagnostics.push(error.with_help("a second plugin can hold more of them"));
            break;
        }
        config.check(diagnostics);
        if !names.insert(name) {
            let error =
                Diagnostic::error(codes::VALUE, &name.place, "a second consumer of this name");
            let help = "a consumer with two keys is written once: sha256 = [\"...\", \"...\"]";
            diagnostics.push(error.with_help(help));
        }
        if !keys.add(config.consumer(), &config.sha256.value) {
            let text = "one of these keys is written before";
            let error = Diagnostic::error(codes::VALUE, &config.sha256.place, text);
            diagnostics.push(error.with_help("a key belongs to one consumer, and is written once"));
        }
    }
    keys
}

/// The table of the configuration's consumers and those of a file.
///
/// # Errors
/// What is wrong with the file, each with its line: a text that follows the file's name.
pub(super) fn read_file(inline: &[ConsumerConfig], bytes: &[u8]) -> Result<Keys, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = at.iter().filter(|b| **b == b'\n').count() + 1;
        format!("line {line}: a byte that is no UTF-8")
    })?;
    let source = SourceFile::new("line", text, "");
    let table = Table::parse(&source).map_err(|found| tell(&found))?;
    let mut diagnostics = Diagnostics::new();
    let file: Option<FileConfig> = decode(&table, &mut diagnostics);
    let Some(file) = file else {
        return Err(tell(&diagnostics));
    };
    let keys = compile(&[inline, &file.consumers], &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(tell(&diagnostics));
    }
    Ok(keys)
}

/// The first mistakes in one line: "line 3, column 1: what; what to do".
fn tell(diagnostics: &Diagnostics) -> String {
    let errors = || {
        diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
    };
    let told: Vec<String> = errors()
        .take(MAX_TOLD)
        .map(|one| {
            let help = one.help.as_deref().unwrap_or_default().replace('\n', " ");
            let dash = if help.is_empty() { "" } else { "; " };
            let (line, column) = (one.place.line, one.place.column);
            format!("line {line}, column {column}: {}{dash}{help}", one.message)
        })
        .collect();
    let told = told.join("\n");
    match diagnostics.error_count().saturating_sub(MAX_TOLD) {
        0 => told,
        more => format!("{told}\nand {more} more"),
    }
}

impl ConsumerConfig {
    fn check(&self, diagnostics: &mut Diagnostics) {
        let mut wrong = |place, text: String, help: &str| {
            let error = Diagnostic::error(codes::VALUE, place, text);
            diagnostics.push(error.with_help(help));
        };
        if !is_word(&self.name, MAX_NAME_BYTES) {
            let text = "this cannot be the name of a consumer".to_owned();
            let help = format!("1 to {MAX_NAME_BYTES} bytes without control characters");
            wrong(&self.name.place, text, &help);
        }
        let count = self.sha256.len();
        if !(1..=MAX_KEYS).contains(&count) {
            let text = format!("a consumer has one key or two, here are {count}");
            let help = "the second is for changing keys: add the new one, wait, remove the old one";
            wrong(&self.sha256.place, text, help);
        }
        if let Some(plan) = &self.plan
            && !is_word(plan, MAX_WORD_BYTES)
        {
            let help = format!("1 to {MAX_WORD_BYTES} bytes without control characters");
            wrong(
                &plan.place,
                "this cannot be the name of a plan".to_owned(),
                &help,
            );
        }
        let tags = &self.tags;
        if tags.len() > MAX_TAGS || !tags.iter().all(|tag| is_word(tag, MAX_WORD_BYTES)) {
            let help = format!(
                "at most {MAX_TAGS}, each of 1 to {MAX_WORD_BYTES} bytes without control characters"
            );
            wrong(
                &tags.place,
                "these cannot be the tags of a consumer".to_owned(),
                &help,
            );
        }
    }

    fn consumer(&self) -> Consumer {
        Consumer {
            name: self.name.as_str().into(),
            plan: self.plan.as_ref().map(|plan| plan.as_str().into()),
            tags: self
                .tags
                .iter()
                .map(|tag| Arc::from(tag.as_str()))
                .collect(),
            by: NAME,
            by_authorization: false,
        }
    }
}

fn is_word(text: &str, most_bytes: usize) -> bool {
    (1..=most_bytes).contains(&text.len()) && !text.chars().any(char::is_control)
}
