//! Rules about files as such: how long, how named, and nothing unfinished in them.

use super::Finding;
use super::tree::Tree;

/// No Rust file is longer, tests included. The number only ever comes down.
const MAX_LINES: usize = 500;

/// Names that say nothing about what is inside.
const BANNED: [&str; 7] = [
    "util", "utils", "helpers", "common", "misc", "types", "manager",
];

pub(super) fn length(tree: &Tree, found: &mut Vec<Finding>) {
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            found.push(Finding::new(
                &file.path,
                MAX_LINES + 1,
                format!("{lines} lines; the limit is {MAX_LINES}"),
                "make a folder of it, one noun a file; a table of cases may go in a data file",
            ));
        }
    }
}

pub(super) fn names(tree: &Tree, found: &mut Vec<Finding>) {
    let files = tree.rust().map(|file| file.path.trim_end_matches(".rs"));
    let folders = tree.folders.iter().map(String::as_str);
    for path in files.chain(folders) {
        let name = path.rsplit('/').next().unwrap_or(path);
        if BANNED.contains(&name) {
            found.push(Finding::new(
                path,
                1,
                format!("`{name}` says nothing about what is inside"),
                "name it after the thing it holds, or move its parts to where they are used",
            ));
        }
    }
}

pub(super) fn unfinished(tree: &Tree, found: &mut Vec<Finding>) {
    // Put together here, so that this file does not find itself.
    let notes = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("HA", "CK"),
    ];
    let code = [
        concat!("#[ign", "ore"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    for file in &tree.files {
        if file.path.ends_with(".md") || file.path.ends_with(".toml") {
            continue;
        }
        for (at, text) in file.text.lines().enumerate() {
            let note = notes
                .iter()
                .find(|word| super::code::words(text, word).next().is_some());
            let macro_or_attribute = code.iter().find(|word| text.contains(*word));
            if let Some(word) = note.or(macro_or_attribute) {
                found.push(Finding::new(
                    &file.path,
                    at + 1,
                    format!("unfinished: `{word}`"),
                    "finish it, or open an issue and leave no trace in the code",
                ));
            }
        }
    }
}
