//! The words of the `request_id` kind.

use std::fmt;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::units::Cidr;
use farmgate_plugin_api::words::RequestField;
use http::HeaderName;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::filter::{RequestIdFilter, Trust};

/// Most networks in `trust`; they are searched one by one.
const MAX_NETWORKS: usize = 256;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "header": { "type": "string", "default": "x-request-id", "description": "The field that carries the id." },
    "trust": {
      "oneOf": [
        { "enum": ["never", "always"] },
        { "type": "array", "items": { "type": "string" }, "maxItems": 256 }
      ],
      "default": "never",
      "description": "Whose ids are kept: nobody's, everybody's, or those of clients in these networks."
    },
    "format": { "enum": ["hex", "uuid_v7"], "default": "hex", "description": "How new ids look." },
    "response": { "type": "boolean", "default": true, "description": "Send the id to the client too." }
  }
}"#;

/// The table of a `request_id` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestIdConfig {
    header: Option<RequestField>,
    #[serde(default)]
    trust: Trust,
    #[serde(default)]
    format: Format,
    #[serde(default = "yes")]
    response: bool,
}

/// How new ids look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// 32 hexadecimal digits, all random.
    #[default]
    Hex,
    /// A UUID of version 7 (RFC 9562): sortable by time.
    UuidV7,
}

fn yes() -> bool {
    true
}

impl RequestIdConfig {
    pub(super) fn compile(self, services: &dyn Services) -> RequestIdFilter {
        let standard = HeaderName::from_static("x-request-id");
        RequestIdFilter {
            header: self.header.map_or(standard, |field| field.0),
            trust: self.trust,
            format: self.format,
            response: self.response,
            clock: services.clock(),
            random: services.random(),
        }
    }
}

impl<'de> Deserialize<'de> for Trust {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Trust;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"never\", \"always\" or a list of CIDRs")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Trust, E> {
                match word {
                    "never" => Ok(Trust::Never),
                    "always" => Ok(Trust::Always),
                    _ => Err(E::unknown_variant(word, &["never", "always"])),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Trust, A::Error> {
                let networks = Vec::<Cidr>::deserialize(SeqAccessDeserializer::new(items))?;
                if networks.len() > MAX_NETWORKS {
                    return Err(A::Error::custom(format_args!(
                        "more than {MAX_NETWORKS} networks"
                    )));
                }
                Ok(Trust::Networks(networks.into()))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}
