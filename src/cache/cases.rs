//! What tests of the rules share: the tables of cases beside them (`cases/*.txt`), fields and keys.

use super::key::{Key, KeyParts, KeyRules};

/// One row of a table.
pub(crate) struct Row {
    /// Its line in the file, from 1.
    pub(crate) line: usize,
    /// Its columns, with `\t`, `\n` and `\s` replaced.
    pub(crate) columns: Vec<String>,
}

/// The rows of a table: columns are separated by ` | `, lines that begin with `#` and empty ones are left out. The
/// last column keeps every further separator.
pub(crate) fn rows(text: &str, columns: usize) -> Vec<Row> {
    let found: Vec<Row> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(at, line)| Row {
            line: at + 1,
            columns: line
                .splitn(columns, '|')
                .enumerate()
                .map(|(nth, cell)| {
                    // One space belongs to the separator; further ones belong to the value.
                    let cell = match nth {
                        0 => cell,
                        _ => cell.strip_prefix(' ').unwrap_or(cell),
                    };
                    let last = nth + 1 == columns;
                    unescape(if last { cell } else { cell.trim_end() })
                })
                .collect(),
        })
        .collect();
    assert!(!found.is_empty(), "a table without rows proves nothing");
    for row in &found {
        assert_eq!(row.columns.len(), columns, "line {}", row.line);
    }
    found
}

fn unescape(cell: &str) -> String {
    cell.replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\s", " ")
}

/// Header fields written as `Name: value` lines, separated by `\n` (a line feed after unescaping).
pub(crate) fn fields(text: &str) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.split_once(':').expect("Name: value");
        map.append(
            http::HeaderName::from_bytes(name.trim().as_bytes()).expect("a name"),
            http::HeaderValue::from_bytes(value.strip_prefix(' ').unwrap_or(value).as_bytes())
                .expect("a value"),
        );
    }
    map
}

/// The key of a plain request for a path of `https://a.test`.
pub(crate) fn key(path: &str, query: Option<&str>, route: &str) -> Key {
    let parts = KeyParts {
        scheme: "https",
        host: "a.test",
        path,
        query,
        route,
        side: "u",
        fields: &http::HeaderMap::new(),
        consumer: None,
    };
    Key::build(&parts, &KeyRules::default())
}
