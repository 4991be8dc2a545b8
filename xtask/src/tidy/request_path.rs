//! What may not happen while a request is served, and what tests may not do.

use super::Finding;
use super::code::{is_word, words};
use super::tree::{SourceFile, Tree};

/// Calls that end in a panic.
const PANICS: [&str; 6] = [
    ".unwrap()",
    ".expect(",
    "panic!(",
    "unreachable!(",
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

/// Written on or above a line whose index cannot be out of range, with the reason behind it.
const IN_BOUNDS: &str = "// tidy: in bounds";

/// Written on or above a pause that is one turn of a bounded wait for a condition.
const WAITS: &str = "// tidy: waits for a condition";

/// Tests on tokio's paused clock: their sleeps take no time and end in a fixed order.
const PAUSED: &str = "start_paused = true";

/// The files that may hold `unsafe`, each with its reason.
const UNSAFE: [(&str, &str); 7] = [
    (
        "src/server/inherit.rs",
        "descriptors arrive as numbers from another process",
    ),
    (
        "src/server/upgrade/spawn.rs",
        "a process is forked twice and keeps descriptors",
    ),
    (
        "src/tls/alert.rs",
        "boring has no safe call for an alert of our own",
    ),
    (
        "src/tls/clients/tests/handshake.rs",
        "boring calls it unsafe to resume a session",
    ),
    (
        "src/tls/tickets.rs",
        "the library calls back for the keys of session tickets",
    ),
    (
        "src/upstream/lines.rs",
        "a descriptor is duplicated by its number",
    ),
    ("tests/counting_alloc.rs", "a counting global allocator"),
];

fn is_request_path(path: &str) -> bool {
    path.starts_with("src/proxy/")
        || path.starts_with("src/snapshot/")
        || path.starts_with("src/cache/")
        || (path.starts_with("plugins/") && path.ends_with("/filter.rs"))
}

pub(super) fn panics(tree: &Tree, found: &mut Vec<Finding>) {
    for file in tree.rust().filter(|file| is_request_path(&file.path)) {
        for (line, code) in file.code.shipped() {
            if let Some(call) = PANICS.iter().find(|call| code.contains(**call)) {
                found.push(Finding::new(
                    &file.path,
                    line,
                    format!("`{call}` on the request path"),
                    "give back an error, or a value that is right when this cannot happen",
                ));
            }
            if has_index(code) && !file.is_marked(line, IN_BOUNDS) {
                found.push(Finding::new(
                    &file.path,
                    line,
                    "indexing on the request path may panic",
                    format!("use get(), split_at_checked() or an iterator; where it is proved, write `{IN_BOUNDS}: why`"),
                ));
            }
        }
    }
}

/// `name[`, `)[`, `][` and `?[` index; types, literals, attributes and macros have something else
/// before the bracket in formatted code.
fn has_index(code: &str) -> bool {
    code.match_indices('[').any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_some_and(|c| is_word(c) || matches!(c, ')' | ']' | '?'))
            && !is_lifetime(&code[..at])
    })
}

/// `&'a[u8]`: rustfmt would write a space, but a macro's input is left alone.
fn is_lifetime(before: &str) -> bool {
    before.trim_end_matches(is_word).ends_with('\'')
}

pub(super) fn unsafe_code(tree: &Tree, found: &mut Vec<Finding>) {
    for file in tree.rust() {
        let listed = UNSAFE
            .iter()
            .any(|(prefix, _)| file.path.starts_with(prefix));
        for (line, code) in file.code.lines() {
            if words(code, "unsafe").next().is_none() {
                continue;
            }
            if !listed {
                found.push(Finding::new(
                    &file.path,
                    line,
                    "`unsafe` outside the listed files",
                    "use a safe crate; if there is none, list the file with its reason in \
                     xtask/src/tidy/request_path.rs",
                ));
            } else if !is_proved(file, line) {
                found.push(Finding::new(
                    &file.path,
                    line,
                    "`unsafe` without a proof",
                    "write `// SAFETY:` above it and say why it holds",
                ));
            }
        }
    }
}

fn is_proved(file: &SourceFile, line: usize) -> bool {
    /// One proof may stand above a whole block of functions.
    const NEAR: usize = 20;
    let from = line.saturating_sub(NEAR);
    file.text
        .lines()
        .skip(from)
        .take(line - from)
        .any(|text| text.contains("SAFETY:"))
}

pub(super) fn sleeping_tests(tree: &Tree, found: &mut Vec<Finding>) {
    for file in tree.rust() {
        if file.text.contains(PAUSED) {
            continue;
        }
        for (line, code) in file.code.tested() {
            let sleeps = code.contains("thread::sleep(") || code.contains("time::sleep(");
            if sleeps && !file.is_marked(line, WAITS) {
                found.push(Finding::new(
                    &file.path,
                    line,
                    "a test that sleeps and hopes",
                    format!("pass a clock in, pause tokio's time, or poll with a deadline and write `{WAITS}`"),
                ));
            }
        }
    }
}
