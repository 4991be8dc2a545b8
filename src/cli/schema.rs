//! `schema` and `plugins`.

use serde_json::{Value, json};

use super::{catalogue, exit};

pub(super) fn schema() -> u8 {
    match text() {
        Ok(text) => {
            out!("{text}");
            exit::OK
        }
        Err(error) => {
            err!("farmgate: {error}");
            exit::FAILED
        }
    }
}

/// The JSON Schema with all plugin kinds.
pub(super) fn text() -> Result<String, String> {
    let kinds: Vec<(&str, &str)> = farmgate_plugins::kinds()
        .iter()
        .map(|kind| (kind.name(), kind.schema()))
        .collect();
    let schema = crate::config::schema::schema(&kinds)?;
    serde_json::to_string_pretty(&schema).map_err(|error| error.to_string())
}

pub(super) fn plugins(kind: Option<&str>, as_json: bool) -> u8 {
    let kinds = farmgate_plugins::kinds();
    match kind {
        None if as_json => {
            let all: Vec<Value> = kinds
                .iter()
                .map(|kind| json!({ "kind": kind.name(), "summary": kind.summary() }))
                .collect();
            out!("{}", Value::from(all));
            exit::OK
        }
        None => {
            for kind in kinds {
                out!("{:<16} {}", kind.name(), kind.summary());
            }
            exit::OK
        }
        Some(name) => match kinds.iter().find(|kind| kind.name() == name) {
            Some(kind) if as_json => {
                out!("{}", kind.schema());
                exit::OK
            }
            Some(kind) => {
                out!("{}", catalogue::entry(*kind, 0));
                exit::OK
            }
            None => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                err!(
                    "farmgate: there is no plugin kind {name:?}; {}",
                    farmgate_plugin_api::decode::did_you_mean(name, &names)
                );
                exit::FAILED
            }
        },
    }
}
