//! Words that are agreed but belong to a later build. Writing one is an error of its own: it must
//! not look like a typo, and it must not be ignored.

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Place, Table, Value};

use super::codes::NOT_IN_BUILD;

/// Kinds of plugins.
pub const PLUGIN_KINDS: &[&str] = &[
    "api_key",
    "basic_auth",
    "compression",
    "cors",
    "fault",
    "forward_auth",
    "jwt",
    "mirror",
];

/// Keys, each as the kind of table and the path below it.
const KEYS: &[(&str, &[&str])] = &[
    ("route", &["class"]),
    ("upstream", &["breaker"]),
    ("upstream", &["discovery"]),
    ("upstream", &["fallback"]),
    ("upstream", &["health"]),
    ("upstream", &["limits"]),
    ("upstream", &["outlier"]),
    ("upstream", &["panic_threshold"]),
    ("upstream", &["prefer_zone"]),
    ("upstream", &["slow_start"]),
];

/// Kinds of tables that hold a retry table.
const WITH_RETRY: &[&str] = &["defaults", "route", "upstream"];

/// Keys of a retry table.
const RETRY_KEYS: &[&str] = &["backoff", "budget", "replay_body"];

/// Words of `retry.on`.
const RETRY_ON: &[&str] = &["5xx", "429"];

/// Reports one word.
fn report(what: &str, place: &Place, diagnostics: &mut Diagnostics) {
    diagnostics.push(
        Diagnostic::error(NOT_IN_BUILD, place, format!("{what} is not in this build"))
            .with_help("leave it out, or use a build that has it"),
    );
}

/// Takes the later words out of a table and reports each.
pub(super) fn take(kind: &str, table: &mut Table, diagnostics: &mut Diagnostics) {
    for (_, path) in KEYS.iter().filter(|(of, _)| *of == kind) {
        take_key(table, path, diagnostics);
    }
    if !WITH_RETRY.contains(&kind) {
        return;
    }
    for key in RETRY_KEYS {
        take_key(table, &["retry", key], diagnostics);
    }
    let source = table.source().clone();
    table.retain_items(&["retry", "on"], &mut |item| match &item.value {
        Value::Text { value, .. } if RETRY_ON.contains(&value.as_ref()) => {
            let place = source.place(item.span.start);
            report(&format!("retry on \"{value}\""), &place, diagnostics);
            false
        }
        _ => true,
    });
}

fn take_key(table: &mut Table, path: &[&str], diagnostics: &mut Diagnostics) {
    if let Some(entry) = table.take(path) {
        let place = table.place_of(entry.key_span);
        let what = format!("the key \"{}\"", path.join("."));
        report(&what, &place, diagnostics);
    }
}
