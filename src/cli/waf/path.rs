//! Paths and targets in the general form that exclusions are written in.

/// A path with `{id}` for segments that are numbers, UUIDs or long hexadecimal words.
pub(super) fn general(path: &str) -> String {
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| if is_id(segment) { "{id}" } else { segment })
        .collect();
    segments.join("/")
}

fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hex = bytes
        .iter()
        .filter(|byte| byte.is_ascii_hexdigit() || **byte == b'-')
        .count();
    let all = bytes.len();
    all > 0 && (digits == all || (all >= 8 && hex == all && digits > 0))
}

/// True if a path can be written as one of an exclusion: braces and stars have a meaning there.
pub(super) fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['{', '}', '*', '\u{FFFD}']) && path.len() <= 1000
}

/// The target that an exclusion would name for a matched variable; none for variables of the rules' own.
pub(super) fn target(variable: &str) -> Option<String> {
    let (collection, name) = match variable.split_once(':') {
        Some((collection, name)) => (collection, Some(name)),
        None => (variable, None),
    };
    let own = [
        "TX",
        "MATCHED_VAR",
        "MATCHED_VARS",
        "MATCHED_VAR_NAME",
        "MATCHED_VARS_NAMES",
        "RULE",
    ];
    if collection.is_empty() || own.contains(&collection) {
        return None;
    }
    let Some(name) = name else {
        return Some(collection.to_owned());
    };
    if let Some(pattern) = numbered(name) {
        return Some(format!("{collection}:/{pattern}/"));
    }
    let plain = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '|' | '\\' | ',' | '/' | '!' | '&')
    };
    let short = name.len() <= 200;
    match short && !name.is_empty() && name.chars().all(plain) {
        true => Some(format!("{collection}:{name}")),
        // A name that rules cannot write: all of the collection.
        false => Some(collection.to_owned()),
    }
}

/// A pattern for names with numbers of elements in them (`json.items.array_3.text`): they differ by request.
fn numbered(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.contains("array_") || name.len() > 200 || !name.chars().all(plain) {
        return None;
    }
    let mut found = false;
    let parts: Vec<String> = name
        .split('.')
        .map(|part| match part.strip_prefix("array_") {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                found = true;
                "array_[0-9]+".to_owned()
            }
            _ => part.to_owned(),
        })
        .collect();
    found.then(|| format!("^{}$", parts.join("\\.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_ids() {
        for (path, expected) in [
            ("/", "/"),
            ("/search", "/search"),
            ("/items/42/edit", "/items/{id}/edit"),
            ("/u/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "/u/{id}"),
            ("/blob/deadbeef01", "/blob/{id}"),
            // A word, though its letters are hexadecimal.
            ("/decade/facade", "/decade/facade"),
            ("/deadbeef", "/deadbeef"),
        ] {
            assert_eq!(general(path), expected);
        }
    }

    #[test]
    fn targets_are_those_of_rules() {
        for (variable, expected) in [
            ("ARGS:q", Some("ARGS:q")),
            ("REQUEST_URI", Some("REQUEST_URI")),
            (
                "ARGS:json.items.array_3.text",
                Some("ARGS:/^json\\.items\\.array_[0-9]+\\.text$/"),
            ),
            ("ARGS:with space", Some("ARGS")),
            ("ARGS:a\"b", Some("ARGS")),
            ("TX:blocking_inbound_anomaly_score", None),
            ("", None),
        ] {
            assert_eq!(target(variable).as_deref(), expected, "{variable}");
        }
    }
}
