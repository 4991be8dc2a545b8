//! From paths to words: find the files, parse them, replace references, unite them, decode each
//! table. Every step goes on after a mistake, so that all of them are reported at once.

mod bounds;
mod files;
mod reference;
mod union;

pub mod platform;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostics, SourceFile, Table};

use super::words::Config;

/// How environment variables are looked up; tests lend their own.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The words.
    pub config: Config,
    /// The files, in the order they were read.
    pub sources: Vec<Arc<SourceFile>>,
    /// The files as trees, for the dump.
    pub tables: Vec<Table>,
    /// What was found while reading. Without errors after [`load`].
    pub diagnostics: Diagnostics,
    /// Values that came from the environment, longest first, with the names they came from.
    pub expanded: Vec<(String, String)>,
}

impl Loaded {
    /// Puts references back in the place of the values they stand for: a value of the environment
    /// may be a secret wherever it is used.
    pub fn hide_expanded(&self, diagnostics: &mut Diagnostics) {
        hide(&self.expanded, diagnostics);
    }
}

/// Shorter values could be part of any word.
const HIDDEN_FROM: usize = 4;

fn hide(expanded: &[(String, String)], diagnostics: &mut Diagnostics) {
    for (value, name) in expanded {
        if value.len() >= HIDDEN_FROM {
            diagnostics.replace(value, &format!("${{{name}}}"));
        }
    }
}

/// A text that stands for a file.
#[derive(Clone, Debug)]
pub struct Text {
    /// The name that diagnostics print.
    pub name: String,
    /// The folder relative paths start at.
    pub folder: PathBuf,
    /// What the file holds.
    pub text: String,
}

/// Loads files and folders (the `*.toml` of a folder by name, not recursive), in this order, as one
/// configuration. Relative paths in a file start at its folder.
///
/// # Errors
/// Everything that is wrong with the files and their words, in reading order.
pub fn load(paths: &[PathBuf], env: &Env<'_>) -> Result<Loaded, Diagnostics> {
    sound(read(paths, env))
}

/// As [`load`], but what could be read is there even if something was wrong, so that the compiler can
/// report its mistakes beside those of the reading.
pub fn read(paths: &[PathBuf], env: &Env<'_>) -> Loaded {
    let mut diagnostics = Diagnostics::new();
    let sources = files::read(paths, &mut diagnostics);
    unite(sources, env, diagnostics)
}

/// Loads texts as if they were files: for golden tests, and for the copy of the last good one.
///
/// # Errors
/// As [`load`].
pub fn load_texts(texts: &[Text], env: &Env<'_>) -> Result<Loaded, Diagnostics> {
    sound(read_texts(texts, env))
}

/// As [`read`], of texts.
pub fn read_texts(texts: &[Text], env: &Env<'_>) -> Loaded {
    let source = |t: &Text| SourceFile::new(t.name.as_str(), t.text.as_str(), t.folder.as_path());
    let sources = texts.iter().map(source).collect();
    unite(sources, env, Diagnostics::new())
}

/// Loads one text without an environment; relative paths start at the current folder.
///
/// # Errors
/// As [`load`].
pub fn load_str(name: &str, text: &str) -> Result<Loaded, Diagnostics> {
    let text = Text {
        name: name.to_owned(),
        folder: PathBuf::from("."),
        text: text.to_owned(),
    };
    load_texts(&[text], &|_| None)
}

fn sound(loaded: Loaded) -> Result<Loaded, Diagnostics> {
    if loaded.diagnostics.has_errors() {
        return Err(loaded.diagnostics);
    }
    Ok(loaded)
}

fn unite(sources: Vec<Arc<SourceFile>>, env: &Env<'_>, mut diagnostics: Diagnostics) -> Loaded {
    let used = RefCell::new(Vec::new());
    let env = &|name: &str| {
        let value = env(name)?;
        used.borrow_mut().push((value.clone(), name.to_owned()));
        Some(value)
    };
    let mut tables = Vec::new();
    for source in &sources {
        match Table::parse(source) {
            Ok(mut table) => {
                reference::replace(&mut table, env, &mut diagnostics);
                tables.push(table);
            }
            Err(errors) => diagnostics.append(errors),
        }
    }
    let mut config = union::decode_all(&tables, &mut diagnostics);
    platform::apply(&mut config);
    let mut expanded = used.into_inner();
    expanded.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    expanded.dedup();
    hide(&expanded, &mut diagnostics);
    bounds::check(&config, &mut diagnostics);
    let names: Vec<_> = sources.iter().map(|s| Arc::clone(s.file())).collect();
    diagnostics.sort_by_files(&names);
    Loaded {
        config,
        sources,
        tables,
        diagnostics,
        expanded,
    }
}

#[cfg(test)]
mod tests;
