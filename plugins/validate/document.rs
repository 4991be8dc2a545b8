//! A file with a schema or an OpenAPI document: JSON or YAML, within bounds.

use serde_json::Value;

use super::json::{Bounds, Duplicates, read};

/// Largest file, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 4 << 20;
/// What a document may hold.
const BOUNDS: Bounds = Bounds {
    depth: 100,
    values: 1_000_000,
    duplicates: Duplicates::Refuse,
};

/// The content of a file.
///
/// # Errors
/// It is neither JSON nor YAML.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    if text.trim_start().starts_with(['{', '[']) {
        return read(bytes, BOUNDS).map_err(|(why, at)| {
            match serde_json::from_str::<Value>(text) {
                Err(error) => format!("is no JSON: {error}"),
                Ok(_) => format!("is no JSON that can be used: {why:?} at #{at}"),
            }
        });
    }
    // The parser bounds depth, nodes and aliases itself, and refuses names that stand twice.
    serde_saphyr::from_str(text).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or("it cannot be read");
        format!("is no YAML that can be used: {first}")
    })
}
