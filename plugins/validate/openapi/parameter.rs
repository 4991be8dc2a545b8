//! Parameters: where they stand, how they are written, and what they must be.

use std::borrow::Cow;

use farmgate_plugin_api::Facts;
use farmgate_plugin_api::source::{cookie_value, percent_decode};
use http::HeaderName;
use jsonschema::Validator;
use serde_json::Value;

use super::super::fault::{Fault, Faults, Place};
use super::super::json::{Bounds, read};
use super::hint::Hint;

/// A parameter of an operation.
#[derive(Debug)]
pub(in super::super) struct Parameter {
    pub(in super::super) name: Box<str>,
    pub(in super::super) place: Place,
    /// Its name as a field, for parameters in headers.
    pub(in super::super) field: Option<HeaderName>,
    pub(in super::super) required: bool,
    pub(in super::super) style: Style,
    pub(in super::super) hint: Hint,
    pub(in super::super) schema: Option<Validator>,
}

/// How a value is written (OpenAPI 3.1, section 4.8.12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Style {
    /// Items behind one another with this between them. Members of an object are `name,value`; with `explode`
    /// they are `name=value`.
    Joined { by: char, explode: bool },
    /// Each item, each member, is a parameter of its own (`form` with `explode`).
    Apart,
    /// `name[member]=value`
    Deep,
    /// A JSON text (`content` with `application/json`).
    Json,
}

/// The pairs of a query, in escaped form.
#[derive(Debug, Default)]
pub(in super::super) struct Query<'q>(Vec<(String, &'q str)>);

impl<'q> Query<'q> {
    /// Splits a query. Empty pairs are left out.
    pub(in super::super) fn parse(query: Option<&'q str>) -> Self {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode_plus(name), value)
                })
                .collect(),
        )
    }

    /// The names in it.
    pub(in super::super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'q str> {
        self.0
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| *value)
    }
}

/// The texts that a parameter has in a request.
enum Found<'r> {
    None,
    /// In escaped form.
    Texts(Vec<&'r str>),
    /// A field's value, or a cookie's.
    Plain(String),
}

impl Parameter {
    /// Checks it in a request; `captured` is its text if it stands in the path.
    pub(in super::super) fn check(
        &self,
        facts: &dyn Facts,
        query: &Query<'_>,
        captured: Option<&str>,
        bounds: Bounds,
        faults: &mut Faults,
    ) {
        let value = match self.value(facts, query, captured, bounds) {
            Ok(value) => value,
            Err(fault) => return faults.push(fault),
        };
        match (value, &self.schema) {
            (None, _) if self.required => {
                faults.push(self.fault("required", "a required parameter is missing"));
            }
            (Some(value), Some(schema)) => faults.check(schema, &value, self.place, &self.name),
            _ => {}
        }
    }

    /// Whether a parameter of the query is this one.
    pub(in super::super) fn takes(&self, name: &str) -> bool {
        if self.place != Place::Query {
            return false;
        }
        match self.style {
            Style::Deep => {
                let member = name.strip_prefix(&*self.name);
                member.is_some_and(|member| member.starts_with('[') && member.ends_with(']'))
            }
            Style::Apart if self.is_object() => {
                self.hint.properties.iter().any(|(own, _)| **own == *name)
            }
            _ => *self.name == *name,
        }
    }

    fn is_object(&self) -> bool {
        self.hint.object && !self.hint.array
    }

    fn fault(&self, keyword: &str, detail: &str) -> Fault {
        Fault::own(self.place, &self.name, "", keyword, detail)
    }

    fn value(
        &self,
        facts: &dyn Facts,
        query: &Query<'_>,
        captured: Option<&str>,
        bounds: Bounds,
    ) -> Result<Option<Value>, Fault> {
        if self.place == Place::Query && self.is_object() {
            match self.style {
                Style::Apart => {
                    return self.members(query, |name| self.takes(name).then_some(name));
                }
                Style::Deep => {
                    return self.members(query, |name| {
                        let member = name.strip_prefix(&*self.name)?.strip_prefix('[')?;
                        member.strip_suffix(']')
                    });
                }
                Style::Joined { .. } | Style::Json => {}
            }
        }
        let decode: &dyn Fn(&str) -> String = match self.place {
            Place::Query => &decode_plus,
            // Fields have no escapes.
            Place::Header => &str::to_owned,
            _ => &decode,
        };
        let texts = match self.find(facts, query, captured) {
            Found::None => return Ok(None),
            Found::Texts(texts) => texts,
            Found::Plain(text) => return self.read(&text, decode, bounds).map(Some),
        };
        if self.style == Style::Apart && self.hint.array {
            let item = self.hint.item();
            let items = texts.iter().map(|text| item.value(&decode(text)));
            return Ok(Some(Value::Array(items.collect())));
        }
        match texts.as_slice() {
            [] => Ok(None),
            [one] => self.read(one, decode, bounds).map(Some),
            // Whoever comes after may read the other one.
            _ => Err(self.fault("duplicate", "the parameter stands more than once")),
        }
    }

    fn find<'r>(
        &self,
        facts: &dyn Facts,
        query: &Query<'r>,
        captured: Option<&'r str>,
    ) -> Found<'r> {
        match self.place {
            Place::Path => captured.map_or(Found::None, |text| Found::Texts(vec![text])),
            Place::Query => Found::Texts(query.all(&self.name).collect()),
            Place::Header => {
                let Some(field) = &self.field else {
                    return Found::None;
                };
                // Several fields of a name are one list (RFC 9110, section 5.3).
                let values = facts.headers().get_all(field).iter();
                let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
                texts
                    .reduce(|all, text| format!("{all}, {text}").into())
                    .map_or(Found::None, |text| Found::Plain(text.into_owned()))
            }
            Place::Cookie => cookie_value(facts, &self.name).map_or(Found::None, |value| {
                Found::Plain(String::from_utf8_lossy(value).into_owned())
            }),
            Place::Body => Found::None,
        }
    }

    /// An object whose members are parameters of the query; none if there is none of them.
    fn members<'n>(
        &self,
        query: &'n Query<'_>,
        member: impl Fn(&'n str) -> Option<&'n str>,
    ) -> Result<Option<Value>, Fault> {
        let pairs = query
            .0
            .iter()
            .filter_map(|(name, value)| Some((member(name)?.to_owned(), decode_plus(value))));
        let mut pairs = pairs.peekable();
        if pairs.peek().is_none() {
            return Ok(None);
        }
        let object = self.hint.object(pairs);
        object.map(Some).map_err(|name| self.duplicate(&name))
    }

    fn duplicate(&self, member: &str) -> Fault {
        let pointer = super::super::fault::below("", member);
        let detail = "a member stands more than once";
        Fault::own(self.place, &self.name, &pointer, "duplicate", detail)
    }

    /// One text as a value.
    fn read(
        &self,
        text: &str,
        decode: &dyn Fn(&str) -> String,
        bounds: Bounds,
    ) -> Result<Value, Fault> {
        let (by, explode) = match self.style {
            Style::Json => {
                let text = decode(text);
                return read(text.as_bytes(), bounds)
                    .map_err(|_| self.fault("syntax", "it is no JSON that can be read"));
            }
            Style::Joined { by, explode } => (by, explode),
            Style::Apart | Style::Deep => (',', false),
        };
        if !self.hint.array && !self.hint.object {
            return Ok(self.hint.value(&decode(text)));
        }
        // Separators count before escapes are read: an escaped one is part of a value. But a space, and mostly a
        // bar, cannot stand in a query as they are.
        let text = match by {
            ' ' => Cow::Owned(text.replace("%20", " ").replace('+', " ")),
            '|' => Cow::Owned(text.replace("%7C", "|").replace("%7c", "|")),
            _ => Cow::Borrowed(text),
        };
        let parts = text.split(by).map(|part| match self.place {
            Place::Header => part.trim(),
            _ => part,
        });
        if self.hint.array {
            let item = self.hint.item();
            return Ok(Value::Array(
                parts.map(|part| item.value(&decode(part))).collect(),
            ));
        }
        let pairs: Vec<(String, String)> = if explode {
            let pair = |part: &str| part.split_once('=').map(|(n, v)| (decode(n), decode(v)));
            parts.filter_map(pair).collect()
        } else {
            let parts: Vec<&str> = parts.collect();
            let pairs = parts.chunks_exact(2).filter_map(|pair| match pair {
                [name, value] => Some((decode(name), decode(value))),
                _ => None,
            });
            pairs.collect()
        };
        self.hint
            .object(pairs)
            .map_err(|name| self.duplicate(&name))
    }
}

/// Escapes read; bytes that are no UTF-8 become U+FFFD.
fn decode(text: &str) -> String {
    String::from_utf8_lossy(&percent_decode(text)).into_owned()
}

/// The same for queries and forms, where a plus sign is a space.
pub(in super::super) fn decode_plus(text: &str) -> String {
    match text.contains('+') {
        true => decode(&text.replace('+', " ")),
        false => decode(text),
    }
}
