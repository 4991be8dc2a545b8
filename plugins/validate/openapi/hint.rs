//! What kind of value a schema expects: parameters are texts, and the text `1` may mean a number or a
//! string. Only the types that a schema names decide; whether the value fits is for the schema to say.

use serde_json::{Map, Number, Value};

use super::super::schemas::Schemas;

/// Schemas looked into, one in another.
const MOST_DEPTH: usize = 8;

/// The kinds of values a schema names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Hint {
    number: bool,
    boolean: bool,
    null: bool,
    string: bool,
    pub(in super::super) array: bool,
    pub(in super::super) object: bool,
    items: Option<Box<Hint>>,
    /// The members that the schema names.
    pub(in super::super) properties: Vec<(Box<str>, Hint)>,
}

impl Hint {
    /// Reads them out of the schema at this pointer.
    pub(in super::super) fn of(schemas: &Schemas<'_>, pointer: &str) -> Self {
        let mut hint = Self::default();
        hint.look(schemas, pointer, 0);
        hint
    }

    fn look(&mut self, schemas: &Schemas<'_>, pointer: &str, depth: usize) {
        if depth > MOST_DEPTH {
            return;
        }
        let Ok((at, schema)) = schemas.follow(pointer.to_owned()) else {
            return;
        };
        match schema.get("type") {
            Some(Value::String(word)) => self.add(word),
            Some(Value::Array(words)) => {
                words
                    .iter()
                    .filter_map(Value::as_str)
                    .for_each(|word| self.add(word));
            }
            _ => self.look_at_values(schema),
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            let all = schema
                .get(word)
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            for index in 0..all {
                self.look(schemas, &format!("{at}/{word}/{index}"), depth + 1);
            }
        }
        if schema.get("items").is_some() {
            let items = self.items.get_or_insert_default();
            items.look(schemas, &format!("{at}/items"), depth + 1);
        }
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for name in properties.keys() {
                let at = super::super::fault::below(&format!("{at}/properties"), name);
                let mut hint = Self::default();
                hint.look(schemas, &at, depth + 1);
                self.properties.push((name.as_str().into(), hint));
            }
        }
    }

    fn add(&mut self, word: &str) {
        match word {
            "number" | "integer" => self.number = true,
            "boolean" => self.boolean = true,
            "null" => self.null = true,
            "string" => self.string = true,
            "array" => self.array = true,
            "object" => self.object = true,
            _ => {}
        }
    }

    /// Without a type, the values that are listed tell.
    fn look_at_values(&mut self, schema: &Value) {
        let listed = schema.get("enum").and_then(Value::as_array);
        for value in listed.into_iter().flatten().chain(schema.get("const")) {
            self.add(match value {
                Value::Number(_) => "number",
                Value::Bool(_) => "boolean",
                Value::Null => "null",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            });
        }
    }

    /// The hint for the items of an array.
    pub(in super::super) fn item(&self) -> &Self {
        self.items.as_deref().unwrap_or(&TEXT)
    }

    /// The hint for a member of an object.
    pub(in super::super) fn member(&self, name: &str) -> &Self {
        let mut members = self.properties.iter();
        members
            .find(|(own, _)| **own == *name)
            .map_or(&TEXT, |(_, hint)| hint)
    }

    /// The value that a text stands for. A text that is no such value stays a text, and fails there.
    pub(in super::super) fn value(&self, text: &str) -> Value {
        if self.number
            && let Some(number) = number(text)
        {
            return Value::Number(number);
        }
        match text {
            "true" if self.boolean => Value::Bool(true),
            "false" if self.boolean => Value::Bool(false),
            "" if self.null && !self.string => Value::Null,
            _ => Value::String(text.to_owned()),
        }
    }

    /// An object of names and texts, for forms and objects in parameters. A name that stands several times is an
    /// array where the schema wants one; else the name is returned.
    pub(in super::super) fn object(
        &self,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Value, String> {
        let mut members: Map<String, Value> = Map::new();
        for (name, text) in pairs {
            let hint = self.member(&name);
            if hint.array {
                let value = hint.item().value(&text);
                let all = members
                    .entry(name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(all) = all {
                    all.push(value);
                }
            } else if members.contains_key(&name) {
                return Err(name);
            } else {
                let value = hint.value(&text);
                members.insert(name, value);
            }
        }
        Ok(Value::Object(members))
    }
}

static TEXT: Hint = Hint {
    number: false,
    boolean: false,
    null: false,
    string: true,
    array: false,
    object: false,
    items: None,
    properties: Vec::new(),
};

/// A number in the form that JSON has for it.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let starts = digits.starts_with(|c: char| c.is_ascii_digit());
    (starts && text.len() <= 64)
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}
