//! The list of endpoints that files, HTTP servers and keys of a registry hold, in JSON or TOML:
//!
//! ```json
//! {"endpoints": [{"address": "10.0.0.1:80", "weight": 1, "priority": 0, "zone": "a"}, "10.0.0.2:80"]}
//! ```
//!
//! An unknown key is an error: a typo must not change where traffic goes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ask::shown;
use super::source::{Discovered, Found};
use crate::upstream::endpoint::MAX_WEIGHT;

/// Most bytes of a list.
pub const MAX_BYTES: usize = 4 << 20;

/// Most endpoints of a list.
pub const MAX_FOUND: usize = 4096;

/// Most bytes of a zone's name.
const MAX_ZONE: usize = 128;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON (RFC 8259).
    Json,
    /// TOML 1.0.
    Toml,
}

impl Form {
    /// By the end of a file's name or of a URL's path.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        if end.eq_ignore_ascii_case("json") {
            Some(Self::Json)
        } else if end.eq_ignore_ascii_case("toml") {
            Some(Self::Toml)
        } else {
            None
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    endpoints: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: String,
    weight: Option<u32>,
    priority: Option<u8>,
    zone: Option<String>,
}

struct Entry(Found);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(EntryVisitor).map(Self)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or a table with address, weight, priority and zone")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
        let plain = Table {
            address: text.to_owned(),
            weight: None,
            priority: None,
            zone: None,
        };
        found(&plain).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        found(&table).map_err(A::Error::custom)
    }
}

fn found(table: &Table) -> Result<Found, String> {
    let weight = table.weight.unwrap_or(1);
    if weight > MAX_WEIGHT {
        return Err(format!("weight {weight} is above {MAX_WEIGHT}"));
    }
    let zone = match table.zone.as_deref() {
        Some("") => return Err("the zone is empty: leave it out".to_owned()),
        Some(zone) if zone.len() > MAX_ZONE || zone.contains(char::is_control) => {
            let shown = shown(zone);
            return Err(format!(
                "zone {shown:?} has control characters or more than {MAX_ZONE} bytes"
            ));
        }
        zone => zone.map(Arc::from),
    };
    Ok(Found {
        address: address(&table.address)?,
        weight,
        priority: table.priority.unwrap_or(0),
        zone,
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |why| Err(format!("address {:?} {why}", shown(text)));
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => wrong("has port 0"),
        Ok(address) => Ok(address),
        Err(_) => wrong(
            "is not IP:PORT, as 10.0.0.1:80 or [2001:db8::1]:80 (a name is resolved by kind = \"dns\" only)",
        ),
    }
}

/// Reads a list.
///
/// # Errors
/// The text gives place and reason, on one line.
pub fn decode(bytes: &[u8], form: Form) -> Result<Discovered, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("the list has more than {MAX_BYTES} bytes"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    if text.trim().is_empty() {
        return Err("the list is empty: it may be half written".to_owned());
    }
    let list: List = match form {
        Form::Json => serde_json::from_str(text).map_err(|error| shown(&error.to_string()))?,
        Form::Toml => toml::from_str(text).map_err(|error| toml_error(text, &error))?,
    };
    if list.endpoints.len() > MAX_FOUND {
        let count = list.endpoints.len();
        return Err(format!("{count} endpoints are more than {MAX_FOUND}"));
    }
    let mut seen = BTreeSet::new();
    for Entry(found) in &list.endpoints {
        if !seen.insert(found.address) {
            return Err(format!("endpoint {} is written twice", found.address));
        }
    }
    let endpoints = list.endpoints.into_iter().map(|Entry(found)| found);
    Ok(Discovered {
        endpoints: endpoints.collect(),
    })
}

/// Reads one endpoint: a table in JSON, an address in JSON's quotes, or the bare address.
///
/// # Errors
/// The text gives the reason, on one line.
pub fn decode_one(bytes: &[u8]) -> Result<Found, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the value is not UTF-8".to_owned())?;
    let text = text.trim();
    if text.starts_with(['{', '"']) {
        let read = serde_json::from_str::<Entry>(text);
        return read
            .map(|entry| entry.0)
            .map_err(|error| shown(&error.to_string()));
    }
    found(&Table {
        address: text.to_owned(),
        weight: None,
        priority: None,
        zone: None,
    })
}

/// `message at line L column C`, as JSON's errors are.
fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let message = shown(error.message());
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return message;
    };
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    format!("{message} at line {line} column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Discovered, String> {
        decode(text.as_bytes(), Form::Json)
    }

    #[test]
    fn both_forms_say_the_same() {
        let from_json = json(
            r#"{"endpoints": [{"address": "10.0.0.1:80", "weight": 7, "priority": 2, "zone": "a"}, "[::1]:8080"]}"#,
        )
        .unwrap();
        let toml = b"endpoints = [{ address = \"10.0.0.1:80\", weight = 7, priority = 2, zone = \"a\" }, \"[::1]:8080\"]\n";
        assert_eq!(decode(toml, Form::Toml).unwrap(), from_json);
        let tables = b"[[endpoints]]\naddress = \"10.0.0.1:80\"\nweight = 7\npriority = 2\nzone = \"a\"\n[[endpoints]]\naddress = \"[::1]:8080\"\n";
        assert_eq!(decode(tables, Form::Toml).unwrap(), from_json);
        let [first, second] = &from_json.endpoints[..] else {
            panic!("{from_json:?}")
        };
        assert_eq!(
            (first.weight, first.priority, first.zone.as_deref()),
            (7, 2, Some("a"))
        );
        assert_eq!(
            (second.weight, second.priority, second.zone.as_deref()),
            (1, 0, None)
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("", "half written"),
            ("{\"endpoints\": [\"10.0.0.1:80\"", "line 1 column 28"),
            ("{}", "missing field `endpoints`"),
            (
                "{\"endpoints\": [], \"endpoint\": 1}",
                "unknown field `endpoint`",
            ),
            (
                "{\"endpoints\": [\n{\"address\": \"10.0.0.1:80\", \"wieght\": 3}]}",
                "unknown field `wieght`",
            ),
            ("{\"endpoints\": [\"app.internal:80\"]}", "app.internal:80"),
            ("{\"endpoints\": [\"10.0.0.1:0\"]}", "port 0"),
            ("{\"endpoints\": [\"10.0.0.1\"]}", "IP:PORT"),
            ("{\"endpoints\": [5]}", "an address, or a table"),
            (
                "{\"endpoints\": [\"10.0.0.1:80\", {\"address\": \"10.0.0.1:80\", \"weight\": 2}]}",
                "written twice",
            ),
            (
                "{\"endpoints\": [{\"address\": \"10.0.0.1:80\", \"weight\": 1000001}]}",
                "above 1000000",
            ),
            (
                "{\"endpoints\": [{\"address\": \"10.0.0.1:80\", \"priority\": 256}]}",
                "u8",
            ),
            (
                "{\"endpoints\": [{\"address\": \"10.0.0.1:80\", \"zone\": \"a\\nb\"}]}",
                "control",
            ),
        ] {
            let error = json(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let error = decode(b"# list\nendpoints = [\n  \"nowhere\",\n]\n", Form::Toml).unwrap_err();
        assert!(error.ends_with("at line 3 column 3"), "{error}");
        assert!(
            decode(b"\xff", Form::Toml)
                .unwrap_err()
                .contains("not UTF-8")
        );
        let many: Vec<String> = (0..=MAX_FOUND)
            .map(|n| format!("\"10.0.{}.{}:80\"", n / 256, n % 256))
            .collect();
        let error = json(&format!("{{\"endpoints\": [{}]}}", many.join(","))).unwrap_err();
        assert!(error.contains("more than 4096"), "{error}");
    }

    #[test]
    fn a_key_holds_a_table_or_an_address() {
        for value in [
            "10.0.0.1:80",
            " 10.0.0.1:80\n",
            "\"10.0.0.1:80\"",
            "{\"address\": \"10.0.0.1:80\"}",
        ] {
            let found = decode_one(value.as_bytes()).unwrap();
            assert_eq!(found.address.to_string(), "10.0.0.1:80", "{value}");
        }
        for value in [
            "",
            "{",
            "app:80",
            "{\"address\": \"10.0.0.1:80\", \"x\": 1}",
        ] {
            assert!(decode_one(value.as_bytes()).is_err(), "{value}");
        }
    }
}
