//! The rules of the house as a check: each finding says where, what is wrong and what to do instead.
//!
//! The rules read text, not syntax trees: they are fast, need no compiler and are good enough for
//! code that rustfmt has formatted. What a rule cannot see, the review has to.

mod code;
mod examples;
mod files;
mod layers;
mod request_path;
pub(crate) mod rooms;
mod third_party;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use tree::Tree;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the repository's folder, with `/`.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do instead.
    pub(crate) instead: String,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
            instead: instead.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            what,
            instead,
        } = self;
        write!(out, "{file}:{line}: {what}\n    instead: {instead}")
    }
}

/// All rules over a tree, sorted by place.
fn findings(tree: &Tree) -> Vec<Finding> {
    let rules: [fn(&Tree, &mut Vec<Finding>); 10] = [
        files::length,
        files::names,
        files::unfinished,
        layers::imports,
        layers::pingora_adapters,
        rooms::check,
        request_path::panics,
        request_path::unsafe_code,
        request_path::sleeping_tests,
        examples::check,
    ];
    let mut found = Vec::new();
    for rule in rules {
        rule(tree, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// Checks the repository at `root`. Returns the findings, and notes on what could not be checked.
fn check(root: &Path) -> Result<(Vec<Finding>, Vec<String>), String> {
    let tree = Tree::read(root)?;
    let mut found = findings(&tree);
    let mut notes = Vec::new();
    third_party::check(root, &mut found, &mut notes)?;
    Ok((found, notes))
}

/// `xtask tidy`: prints the findings; an error when there are any.
pub(crate) fn command(root: &Path) -> Result<(), String> {
    let (found, notes) = check(root)?;
    for note in notes {
        println!("note: {note}");
    }
    for finding in &found {
        println!("{finding}");
    }
    if found.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    Err(format!("tidy: {} findings", found.len()))
}
