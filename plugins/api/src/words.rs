//! How sources, templates and header fields are read from a table: as texts, compiled while they
//! are decoded, so that a mistake is reported at its own place.

use std::cmp::Ordering;

use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::field::{Direction, FieldError, FieldValue, parse_name};
use crate::source::Source;
use crate::template::Template;

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| wrong(&error.message, &error.help))
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| wrong(&error.message, &error.help))
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(wrong_field)
    }
}

/// The name of a request field that may be edited; see [`parse_name`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestField(pub HeaderName);

/// The name of a response field that may be edited; see [`parse_name`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResponseField(pub HeaderName);

impl From<RequestField> for HeaderName {
    fn from(field: RequestField) -> Self {
        field.0
    }
}

impl From<ResponseField> for HeaderName {
    fn from(field: ResponseField) -> Self {
        field.0
    }
}

impl<'de> Deserialize<'de> for RequestField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = parse_name(&text, Direction::Request);
        name.map(Self).map_err(wrong_field)
    }
}

impl<'de> Deserialize<'de> for ResponseField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = parse_name(&text, Direction::Response);
        name.map(Self).map_err(wrong_field)
    }
}

impl PartialOrd for RequestField {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RequestField {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for ResponseField {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResponseField {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

/// The status of a final response: 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub StatusCode);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        match StatusCode::from_u16(number) {
            Ok(status) if (200..600).contains(&number) => Ok(Self(status)),
            _ => Err(wrong("this is no status of a response", "write 200 to 599")),
        }
    }
}

/// The form that the decoder wants: what is wrong, and on a second line what to do.
fn wrong<E: Error>(message: &str, help: &str) -> E {
    E::custom(format_args!("{message}\n{help}"))
}

fn wrong_field<E: Error>(error: FieldError) -> E {
    wrong(&error.message, &error.help)
}
