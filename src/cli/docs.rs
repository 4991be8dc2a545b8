//! The generated reference: written from the declarations the code itself uses.

use std::fmt::Write as _;
use std::path::Path;

use super::exit;
use crate::config::load::platform::presets_markdown;
use crate::telemetry::cache::cache_markdown;
use crate::telemetry::drain_cut::drain_cuts_markdown;
use crate::telemetry::h2_end::h2_ends_markdown;
use crate::telemetry::handshake::handshakes_markdown;
use crate::telemetry::metrics::metrics_markdown;
use crate::telemetry::reason::reasons_markdown;

const MARK: &str = "<!-- Generated from the code by `cargo xtask gen`; edits are lost. -->\n\n";

pub(super) fn write(folder: &Path) -> u8 {
    let pages = [
        ("metrics.md", page("Metrics", &metrics_markdown())),
        ("reasons.md", page("Reasons", &reasons())),
        ("diagnostics.md", page("Diagnostics", &diagnostics())),
        (
            "plugins.md",
            page("Plugin kinds", &super::catalogue::page()),
        ),
        ("configuration.md", page("Configuration", &words())),
        ("platforms.md", page("Platforms", &presets_markdown())),
    ];
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        pages
            .iter()
            .try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
    });
    match written {
        Ok(()) => exit::OK,
        Err(error) => {
            err!("farmgate: {}: {error}", folder.display());
            exit::FAILED
        }
    }
}

fn page(title: &str, body: &str) -> String {
    format!("{MARK}# {title}\n\n{}\n", body.trim_end())
}

fn diagnostics() -> String {
    let mut out = String::from("| code | says | meaning |\n|---|---|---|\n");
    let config = crate::config::codes::ALL
        .iter()
        .map(|code| (code.code, code.title, code.explanation));
    let compile = crate::compile::codes::ALL
        .iter()
        .map(|code| (code.code, code.title, code.explanation));
    for (code, title, explanation) in config.chain(compile) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{code}` | {title} | {explanation} |");
    }
    out
}

/// Why requests and HTTP/2 connections end, what the cache did, why handshakes fail, and what a drain cuts.
fn reasons() -> String {
    format!(
        "{}\n## The cache\n\n{}\n## TLS handshakes with clients\n\n{}\n## HTTP/2 connections with clients\n\n{}\n## What the deadline of a drain cuts\n\n{}",
        reasons_markdown(),
        cache_markdown(),
        handshakes_markdown(),
        h2_ends_markdown(),
        drain_cuts_markdown()
    )
}

/// The words with their descriptions, out of the JSON Schema.
fn words() -> String {
    let Ok(text) = super::schema::text() else {
        return String::new();
    };
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let mut out = String::from(
        "Every table and word. Times, sizes and shares are text with their unit (`\"5s\"`, `\"64KiB\"`, `\"20%\"`).\n",
    );
    let empty = serde_json::Map::new();
    let tables = schema["properties"].as_object().unwrap_or(&empty);
    let defs = schema["$defs"].as_object().unwrap_or(&empty);
    for (name, table) in tables {
        let described = table["description"].as_str().unwrap_or_default();
        let _ = write!(out, "\n## {name}\n\n{described}\n");
    }
    for (name, def) in defs {
        let Some(properties) = def["properties"].as_object() else {
            continue;
        };
        let _ = write!(
            out,
            "\n## {}\n\n{}\n\n| word | meaning | default |\n|---|---|---|\n",
            table_name(name),
            def["description"].as_str().unwrap_or_default()
        );
        for (word, property) in properties {
            let meaning = property["description"].as_str().unwrap_or_default();
            let default = match &property["default"] {
                serde_json::Value::Null => String::new(),
                value => format!("`{value}`"),
            };
            let _ = writeln!(
                out,
                "| `{word}` | {} | {default} |",
                meaning.replace('\n', " ").replace('|', "\\|")
            );
        }
    }
    out
}

/// `access_log` of `AccessLogConfig`.
fn table_name(of_type: &str) -> String {
    let mut name = String::new();
    for letter in of_type.trim_end_matches("Config").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}
