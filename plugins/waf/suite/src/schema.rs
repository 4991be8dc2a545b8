//! The words of a test file, as the ftw-tests-schema names them. Deprecated ones that no current file
//! has are not here, so they are errors as any unknown word.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A file: the tests of one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Who and what.
    #[serde(default)]
    pub meta: Meta,
    /// The rule under test.
    pub rule_id: u64,
    /// In order.
    pub tests: Vec<Test>,
}

/// For people.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Authors.
    #[serde(default)]
    pub author: String,
    /// What is tested.
    #[serde(default)]
    pub description: String,
    /// A name.
    #[serde(default)]
    pub name: String,
    /// Of the schema.
    #[serde(default)]
    pub version: String,
    /// Groups.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Without meaning since version 2; still read.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Its number within the rule.
    pub test_id: u64,
    /// What is tested.
    #[serde(default)]
    pub desc: String,
    /// Groups.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Requests in order.
    pub stages: Vec<RawStage>,
}

/// A request and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStage {
    /// What happens.
    #[serde(default)]
    pub description: String,
    /// The request.
    pub input: Input,
    /// What is expected.
    pub output: Output,
}

/// A request in its parts, or as bytes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Where a tool would send it; here everything goes to the subject.
    #[serde(default)]
    pub dest_addr: Option<String>,
    /// As `dest_addr`.
    #[serde(default)]
    pub port: Option<u16>,
    /// `http` unless written; only `http` is known.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// GET unless written.
    #[serde(default)]
    pub method: Option<String>,
    /// `/` unless written.
    #[serde(default)]
    pub uri: Option<String>,
    /// HTTP/1.1 unless written.
    #[serde(default)]
    pub version: Option<String>,
    /// In the file's order.
    #[serde(default)]
    pub headers: Fields,
    /// The body.
    #[serde(default)]
    pub data: Option<String>,
    /// The body, in base64.
    #[serde(default)]
    pub encoded_data: Option<String>,
    /// The whole request in base64; everything else is then without meaning.
    #[serde(default)]
    pub encoded_request: Option<String>,
    /// False: neither Connection, Content-Length nor Content-Type are added, and the body stays as it is.
    #[serde(default)]
    pub autocomplete_headers: Option<bool>,
    /// The older word for the opposite of `autocomplete_headers`.
    #[serde(default)]
    pub stop_magic: Option<bool>,
}

/// How to reach the subject.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Plain.
    Http,
}

/// What is expected. Everything written must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The status.
    #[serde(default)]
    pub status: Option<u16>,
    /// Of the log.
    #[serde(default)]
    pub log: Log,
    /// The older word for `log.match_regex`.
    #[serde(default)]
    pub log_contains: Option<String>,
    /// The older word for `log.no_match_regex`.
    #[serde(default)]
    pub no_log_contains: Option<String>,
    /// True: no response at all is expected, or a refusal by the server in front.
    #[serde(default)]
    pub expect_error: Option<bool>,
    /// For tools that race against a log; the subjects here wait for the log's line, so it changes nothing.
    #[serde(default)]
    pub retry_once: Option<bool>,
    /// True: exactly the rules of `log.expect_ids` match.
    #[serde(default)]
    pub isolated: Option<bool>,
}

/// What is expected of the log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Rules that must match.
    #[serde(default)]
    pub expect_ids: Vec<u64>,
    /// Rules that must not.
    #[serde(default)]
    pub no_expect_ids: Vec<u64>,
    /// A regex that some line must match.
    #[serde(default)]
    pub match_regex: Option<String>,
    /// A regex that no line may match.
    #[serde(default)]
    pub no_match_regex: Option<String>,
}

/// Header fields: a map in the file, kept in its order.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Fields;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("header fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, String>()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Map)
    }
}
