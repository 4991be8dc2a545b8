//! The rules for names, schema and README.

use super::host::FakeServices;
use super::json::Json;
use crate::decode::{Diagnostics, SourceFile, Table, codes};
use crate::kind::Kind;

/// An option that no kind has.
const NO_OPTION: &str = "surely_no_such_option";

pub(super) fn check(kind: &dyn Kind, wrong: &mut Vec<String>) {
    if !is_snake_case(kind.name()) {
        wrong.push(format!("the name `{}` is not snake_case", kind.name()));
    }
    let summary = kind.summary();
    if summary.is_empty() || summary.contains('\n') || summary.ends_with('.') {
        wrong.push("the summary is one line without a full stop".to_owned());
    }
    let readme = kind.readme();
    for heading in ["## Options", "## Example", "## Metrics"] {
        if !readme.lines().any(|line| line == heading) {
            wrong.push(format!("the README has no heading `{heading}`"));
        }
    }
    if !readme.starts_with(&format!("# {}\n", kind.name())) {
        wrong.push(format!(
            "the README does not begin with `# {}`",
            kind.name()
        ));
    }
    let schema = match Json::parse(kind.schema()) {
        Ok(schema) => schema,
        Err(at) => {
            wrong.push(format!("the schema is not JSON from byte {at} on"));
            return;
        }
    };
    schema.each(&mut |json| check_object(json, readme, wrong));
    if schema.get("properties").is_none() {
        wrong.push("the schema has no properties".to_owned());
    }
    check_unknown_option(kind, &schema, wrong);
}

/// Every object of the schema that lists options, whether of the kind or of a table in it.
fn check_object(json: &Json, readme: &str, wrong: &mut Vec<String>) {
    // A member called "properties" that is no object is an option's name or a mere text.
    let Some(properties @ Json::Object(_)) = json.get("properties") else {
        return;
    };
    if json.get("additionalProperties") != Some(&Json::Plain("false".to_owned())) {
        wrong.push("a table of the schema lets unknown options in".to_owned());
    }
    for (name, option) in properties.members() {
        if option.get("description").is_none() {
            wrong.push(format!("the schema does not describe `{name}`"));
        }
        if !names(readme, name) {
            wrong.push(format!("the README does not name the option `{name}`"));
        }
    }
}

fn check_unknown_option(kind: &dyn Kind, schema: &Json, wrong: &mut Vec<String>) {
    let source = SourceFile::new("test.toml", format!("\n{NO_OPTION} = 1\n"), "");
    let Ok(table) = Table::parse(&source) else {
        return;
    };
    let mut diagnostics = Diagnostics::new();
    let built = kind.build("test", &table, &FakeServices::new(), &mut diagnostics);
    let found = diagnostics
        .iter()
        .find(|diagnostic| diagnostic.code == codes::UNKNOWN_KEY);
    let Some(found) = found.filter(|_| built.is_none()) else {
        wrong.push("an unknown option is no error".to_owned());
        return;
    };
    if (found.place.line, found.place.column) != (2, 1) {
        wrong.push(format!("an unknown option is reported at {}", found.place));
    }
    // The help lists what the decoder knows; schema and decoder must know the same.
    let help = found.help.as_deref().unwrap_or_default();
    let known: Vec<&str> = match help.split_once("alid here: ") {
        Some((_, list)) => list.split(", ").map(str::trim).collect(),
        None => Vec::new(),
    };
    if known.contains(&"...") {
        return;
    }
    let options = schema.get("properties").map_or(&[][..], Json::members);
    for (name, _) in options {
        if !known.contains(&name.as_str()) {
            wrong.push(format!("the schema has `{name}`, the decoder has not"));
        }
    }
    for name in known {
        if !name.is_empty() && options.iter().all(|(have, _)| have != name) {
            wrong.push(format!("the decoder has `{name}`, the schema has not"));
        }
    }
}

pub(super) fn check_metrics(kind: &dyn Kind, metrics: &[&str], wrong: &mut Vec<String>) {
    for metric in metrics {
        if !is_snake_case(metric) {
            wrong.push(format!("the metric `{metric}` is not snake_case"));
        }
        let full = format!("farmgate_plugin_{}_{metric}", kind.name());
        if !kind.readme().contains(&full) {
            wrong.push(format!("the README does not name the metric `{full}`"));
        }
    }
}

/// True when `word` stands in the text as a whole word.
fn names(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|found| found == word)
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
