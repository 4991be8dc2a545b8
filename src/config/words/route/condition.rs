//! Conditions on a header, a query parameter or a cookie.

use std::fmt;

use farmgate_plugin_api::decode::Located;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Most conditions of one table.
const MAX_CONDITIONS: usize = 64;

/// Conditions by name, in written order; all of them must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions(pub Vec<Condition>);

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of the header, query parameter or cookie.
    pub name: Located<String>,
    /// What its value must be.
    pub test: Located<ConditionTest>,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionTest {
    /// Exactly this.
    Exact(String),
    /// The whole value matches this regular expression.
    Regex(String),
    /// There is one (true), or there is none (false).
    Present(bool),
}

/// The table form of a condition; one of its words.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ConditionTable {
    /// The whole value matches this regular expression.
    #[serde(default)]
    regex: Option<String>,
    /// There is one (true), or there is none (false).
    #[serde(default)]
    present: Option<bool>,
}

impl<'de> Deserialize<'de> for ConditionTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = ConditionTest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text (exact), { regex = \"...\" } or { present = true }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ConditionTest, E> {
                Ok(ConditionTest::Exact(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConditionTest, A::Error> {
                let table = ConditionTable::deserialize(MapAccessDeserializer::new(map))?;
                match (table.regex, table.present) {
                    (Some(regex), None) => Ok(ConditionTest::Regex(regex)),
                    (None, Some(present)) => Ok(ConditionTest::Present(present)),
                    (Some(_), Some(_)) | (None, None) => Err(A::Error::custom(
                        "a condition is one of a text, { regex = \"...\" } and { present = true }",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Conditions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of names and what their values must be")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Conditions, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = map.next_key()? {
                    let test = map.next_value()?;
                    if all.len() == MAX_CONDITIONS {
                        return Err(A::Error::custom(format!(
                            "more than {MAX_CONDITIONS} conditions in one table"
                        )));
                    }
                    all.push(Condition { name, test });
                }
                Ok(Conditions(all))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
