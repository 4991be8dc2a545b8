//! The catalogue of plugin kinds, out of their rooms: for docs/reference/plugins.md and `farmgate plugins`.

use std::fmt::Write as _;

use farmgate_plugin_api::decode::Diagnostics;
use farmgate_plugin_api::{Kind, Phases};
use serde_json::{Map, Value};

use crate::compile::compile;
use crate::compile::world::DryWorld;
use crate::config::load_str;

/// How deep the words of a table are listed.
const MAX_DEPTH: usize = 4;

/// All kinds in one page: a table, then an entry each.
pub(super) fn page() -> String {
    let mut out = String::from("| kind | what it does | phases |\n|---|---|---|\n");
    let kinds = farmgate_plugins::kinds();
    for kind in kinds {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| [`{0}`](#{0}) | {1} | {2} |",
            kind.name(),
            kind.summary(),
            phases(*kind)
        );
    }
    out.push_str(
        "\nPhases are those of the kind's example; what they mean stands in [plugins.md](../plugins.md). Every table \
         also takes `name`, `kind` and `fail`: `\"closed\"` (the default) ends a request with 500 when the plugin could \
         not do its work, `\"open\"` goes on without it. `farmgate plugins KIND` prints an entry.\n",
    );
    for kind in kinds {
        let _ = write!(out, "\n{}", entry(*kind, 1));
    }
    out
}

/// What a kind is, its words, an example, its metrics. Headings stand `deeper` levels below a page's own.
pub(super) fn entry(kind: &dyn Kind, deeper: usize) -> String {
    let mut out = String::new();
    let mut in_code = false;
    for line in kind.readme().trim_end().lines() {
        in_code ^= line.starts_with("```");
        if !in_code && line.starts_with('#') {
            out.push_str(&"#".repeat(deeper));
        }
        let _ = writeln!(out, "{}", linked(kind.name(), line));
        if line.trim_end() == "## Example" && !in_code {
            let _ = write!(out, "\n```toml\n{}\n```\n", kind.example().trim_end());
        }
    }
    let heading = "#".repeat(deeper + 1);
    let _ = write!(out, "\n{heading} Words\n\n");
    out.push_str(&words(kind));
    let _ = writeln!(out, "\nPhases in the example: {}.", phases(kind));
    out
}

/// Links of a README are relative to its room.
fn linked(name: &str, line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](") {
        out.push_str(before);
        out.push_str("](");
        let elsewhere = ["http", "../", "#", "/"];
        if !elsewhere.iter().any(|start| after.starts_with(start)) {
            let _ = write!(out, "../../plugins/{name}/");
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The phases that the instances of the kind's example are called in.
fn phases(kind: &dyn Kind) -> String {
    let found = example_phases(kind).unwrap_or(Phases::NONE);
    let names: Vec<String> = Phases::ALL
        .iter()
        .filter(|(phase, _)| found.contains(*phase))
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    match names.is_empty() {
        // Its example names files that stand elsewhere.
        true => "by its files".to_owned(),
        false => names.join(", "),
    }
}

fn example_phases(kind: &dyn Kind) -> Option<Phases> {
    let loaded = load_str("example.toml", kind.example()).ok()?;
    let world = DryWorld::new(&loaded.config);
    let compiled = compile(&loaded.config, &world, &mut Diagnostics::new())?;
    let snapshot = compiled.snapshot;
    let listeners = snapshot.listeners.iter().flatten().map(|one| &one.chain);
    let chains = snapshot
        .routes
        .iter()
        .map(|route| &route.chain)
        .chain(listeners);
    let links = chains.flat_map(|chain| &chain.links);
    let own = links.filter(|link| link.instance.kind == kind.name());
    Some(own.fold(Phases::NONE, |all, link| {
        all.and(link.instance.filter.phases())
    }))
}

/// The words of a kind's table, out of its schema.
fn words(kind: &dyn Kind) -> String {
    let schema: Value = serde_json::from_str(kind.schema()).unwrap_or_default();
    let mut rows = String::new();
    list(&schema, &schema, "", 0, &mut rows);
    match rows.is_empty() {
        true => "No words of its own.\n".to_owned(),
        false => format!("| word | is | default | meaning |\n|---|---|---|---|\n{rows}"),
    }
}

fn list(root: &Value, table: &Value, before: &str, depth: usize, out: &mut String) {
    let empty = Map::new();
    let properties = table["properties"].as_object().unwrap_or(&empty);
    let required = table["required"].as_array();
    for (word, property) in properties {
        let own = resolved(root, property);
        let path = format!("{before}{word}");
        let must = required.is_some_and(|all| all.iter().any(|one| one == word.as_str()));
        let default = match (&own["default"], must) {
            (Value::Null, true) => "required".to_owned(),
            (Value::Null, false) => String::new(),
            (value, _) => format!("`{value}`"),
        };
        let described = [property, own].map(|one| one["description"].as_str());
        let meaning = described.into_iter().flatten().next().unwrap_or_default();
        let _ = writeln!(
            out,
            "| `{path}` | {} | {default} | {} |",
            form(root, own).replace('|', "\\|"),
            meaning.replace('\n', " ").replace('|', "\\|")
        );
        if depth < MAX_DEPTH {
            list(root, own, &format!("{path}."), depth + 1, out);
            let items = resolved(root, &own["items"]);
            list(root, items, &format!("{path}[]."), depth + 1, out);
        }
    }
}

/// Follows a `$ref` into `$defs`.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let name = schema["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

/// What a value may be, in words.
fn form(root: &Value, schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    let several = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(forms) = several {
        let mut forms: Vec<String> = forms
            .iter()
            .map(|one| form(root, resolved(root, one)))
            .collect();
        forms.dedup();
        return forms.join(" or ");
    }
    match schema["type"].as_str() {
        Some("array") => {
            let items = form(root, resolved(root, &schema["items"]));
            format!("list of {items}")
        }
        Some("object") => "table".to_owned(),
        Some("string") => "text".to_owned(),
        Some("integer") => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("number from {least}"),
            (None, Some(most)) => format!("number up to {most}"),
            (None, None) => "number".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_entry_with_all_its_words() {
        let page = page();
        for kind in farmgate_plugins::kinds() {
            let name = kind.name();
            assert!(page.contains(&format!("\n## {name}\n")), "{name}");
            let entry = entry(*kind, 1);
            let schema: Value = serde_json::from_str(kind.schema()).expect("JSON");
            for word in schema["properties"].as_object().into_iter().flatten() {
                let row = format!("| `{}` |", word.0);
                assert!(entry.contains(&row), "{name}: {row}");
            }
            assert!(
                entry.contains("### Metrics") && entry.contains("```toml\n"),
                "{name}"
            );
            assert!(entry.starts_with(&format!("## {name}\n")), "{name}");
        }
    }

    #[test]
    fn words_are_followed_into_tables_and_definitions() {
        let kind = farmgate_plugins::kinds()
            .iter()
            .find(|one| one.name() == "headers");
        let words = words(*kind.expect("the kind"));
        assert!(words.contains("| `request.set` | table |"), "{words}");
        assert!(
            words.contains("| `response.remove` | list of text |"),
            "{words}"
        );
    }

    #[test]
    fn links_out_of_a_room_still_lead_there() {
        assert_eq!(
            linked(
                "x",
                "[a](b.md) [c](../../docs/d.md) [e](https://f.test) [g](#h)"
            ),
            "[a](../../plugins/x/b.md) [c](../../docs/d.md) [e](https://f.test) [g](#h)"
        );
    }
}
