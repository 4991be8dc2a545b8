//! The words of the `headers` kind.

use std::collections::BTreeMap;

use farmgate_plugin_api::field::FieldValue;
use farmgate_plugin_api::list::OneOrMany;
use farmgate_plugin_api::words::{RequestField, ResponseField};
use http::HeaderName;
use serde::Deserialize;

use super::filter::{Edits, HeadersFilter};

pub(super) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "request": { "$ref": "#/$defs/edits", "description": "Edits of what the origin gets." },
    "response": { "$ref": "#/$defs/edits", "description": "Edits of what the client gets." }
  },
  "$defs": {
    "edits": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "remove": {
          "type": "array", "items": { "type": "string" },
          "description": "Names of fields to remove; done first."
        },
        "set": {
          "type": "object", "additionalProperties": { "type": "string" },
          "description": "Fields that shall stand exactly once; done second. Values are templates."
        },
        "add": {
          "type": "object",
          "additionalProperties": {
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
          },
          "description": "Fields to add beside those of the same name; done last. Values are templates."
        }
      }
    }
  }
}"##;

/// The table of a `headers` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadersConfig {
    request: Option<RequestEdits>,
    response: Option<ResponseEdits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RequestEdits {
    remove: Vec<RequestField>,
    set: BTreeMap<RequestField, FieldValue>,
    add: BTreeMap<RequestField, OneOrMany<FieldValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ResponseEdits {
    remove: Vec<ResponseField>,
    set: BTreeMap<ResponseField, FieldValue>,
    add: BTreeMap<ResponseField, OneOrMany<FieldValue>>,
}

impl From<HeadersConfig> for HeadersFilter {
    fn from(config: HeadersConfig) -> Self {
        let request = config.request.unwrap_or_default();
        let response = config.response.unwrap_or_default();
        Self {
            request: edits(request.remove, request.set, request.add),
            response: edits(response.remove, response.set, response.add),
        }
    }
}

fn edits<N: Into<HeaderName>>(
    remove: Vec<N>,
    set: BTreeMap<N, FieldValue>,
    add: BTreeMap<N, OneOrMany<FieldValue>>,
) -> Edits {
    let mut added = Vec::new();
    for (name, values) in add {
        let name: HeaderName = name.into();
        added.extend(values.0.into_iter().map(|value| (name.clone(), value)));
    }
    Edits {
        remove: remove.into_iter().map(Into::into).collect(),
        set: set
            .into_iter()
            .map(|(n, value)| (n.into(), value))
            .collect(),
        add: added.into(),
    }
}
