//! Reading JSON within bounds: depth, number of values, and what names that stand twice mean.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The bounds of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Arrays and objects in one another.
    pub(super) depth: usize,
    /// Values in all, those inside arrays and objects counted too.
    pub(super) values: usize,
    pub(super) duplicates: Duplicates,
}

/// What a name that stands twice in an object means. Parsers disagree about it, so a request that is
/// harmless to one may be something else to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Duplicates {
    /// The request is refused.
    #[default]
    Refuse,
    /// The last value counts.
    Last,
}

/// Why a text was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Syntax,
    TooDeep,
    TooMany,
    Duplicate,
}

/// The value of a text; else why not, and the JSON pointer of the place.
pub(super) fn read(text: &[u8], bounds: Bounds) -> Result<Value, (Unread, String)> {
    let mut state = State {
        bounds,
        left: bounds.values,
        why: Unread::Syntax,
        path: Vec::new(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let seed = Within {
        state: &mut state,
        depth: 0,
    };
    let read = seed.deserialize(&mut deserializer);
    match read.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) => {
            let mut pointer = String::new();
            for name in state.path.iter().rev() {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Err((state.why, pointer))
        }
    }
}

struct State {
    bounds: Bounds,
    left: usize,
    why: Unread,
    /// The names on the way to the failure, the innermost first.
    path: Vec<String>,
}

impl State {
    fn fail<T, E: Error>(&mut self, why: Unread) -> Result<T, E> {
        self.why = why;
        Err(E::custom("out of bounds"))
    }
}

struct Within<'s> {
    state: &'s mut State,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.state.left.checked_sub(1) {
            Some(left) => self.state.left = left,
            None => return self.state.fail(Unread::TooMany),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(Value::Number(number)),
            None => self.state.fail(Unread::Syntax),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Self { state, depth } = self;
        if depth >= state.bounds.depth {
            return state.fail(Unread::TooDeep);
        }
        let mut all = Vec::new();
        loop {
            let seed = Within {
                state: &mut *state,
                depth: depth + 1,
            };
            match items.next_element_seed(seed) {
                Ok(Some(item)) => all.push(item),
                Ok(None) => return Ok(Value::Array(all)),
                Err(error) => {
                    state.path.push(all.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let Self { state, depth } = self;
        if depth >= state.bounds.depth {
            return state.fail(Unread::TooDeep);
        }
        let mut all = Map::new();
        while let Some(name) = members.next_key::<Name<'_>>()? {
            let name = name.0.into_owned();
            if state.bounds.duplicates == Duplicates::Refuse && all.contains_key(&name) {
                state.path.push(name);
                return state.fail(Unread::Duplicate);
            }
            let seed = Within {
                state: &mut *state,
                depth: depth + 1,
            };
            match members.next_value_seed(seed) {
                Ok(value) => {
                    all.insert(name, value);
                }
                Err(error) => {
                    state.path.push(name);
                    return Err(error);
                }
            }
        }
        Ok(Value::Object(all))
    }
}

#[derive(Deserialize)]
struct Name<'n>(#[serde(borrow)] Cow<'n, str>);
