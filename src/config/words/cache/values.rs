//! Single words of a policy that are checked where they stand.

use std::fmt;

use farmgate_plugin_api::units::Ratio;
use http::{HeaderName, StatusCode};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Whether lifetimes are guessed from Last-Modified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heuristic {
    /// They are not.
    #[default]
    Off,
    /// This share of the age.
    Share(Ratio),
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

/// A final status, as the key of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusWord(pub StatusCode);

/// Decodes a text with `read`; `expecting` says what it should have been.
struct Text<T> {
    expecting: &'static str,
    read: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Heuristic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "\"off\" or a share such as \"10%\"",
            read: |text| match text {
                "off" => Ok(Self::Off),
                share => share.parse().map(Self::Share).map_err(|_| {
                    format!("{share:?} is neither \"off\" nor a share such as \"10%\"")
                }),
            },
        })
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "the name of a header",
            read: |text| {
                HeaderName::from_bytes(text.as_bytes())
                    .map(Self)
                    .map_err(|_| {
                        format!(
                            "{text:?} is no name of a header; expected one such as \"cache-tag\""
                        )
                    })
            },
        })
    }
}

impl<'de> Deserialize<'de> for StatusWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expecting: "a status such as \"404\"",
            read: |text| match text.parse::<StatusCode>() {
                // Parts of a response and 304 are never kept by themselves.
                Ok(status) if !status.is_informational() && !matches!(status.as_u16(), 206 | 304) => {
                    Ok(Self(status))
                }
                _ => Err(format!("{text:?} is no status that can be kept; expected one such as \"404\", not 1xx, 206 or 304")),
            },
        })
    }
}
