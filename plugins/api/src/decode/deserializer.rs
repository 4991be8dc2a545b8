//! A node as a serde deserializer. It is strict: no value is turned into another type.

use std::rc::Rc;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::current::{self, Run};
use super::error::DecodeError;
use super::value::{Entry, Node, Span, Value};

/// The names under which `toml` passes a date through serde.
const DATETIME: (&str, &str) = ("$__toml_private_Datetime", "$__toml_private_datetime");

/// Decodes one node.
pub(super) struct NodeDeserializer<'a> {
    pub(super) run: &'a Rc<Run>,
    pub(super) node: &'a Node,
}

impl<'a> NodeDeserializer<'a> {
    fn entries(&self, entries: &'a [Entry]) -> Entries<'a> {
        Entries {
            run: self.run,
            holder: self.node.id,
            rest: entries.iter(),
            entry: None,
        }
    }

    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Text { value, .. } => visitor.visit_str(value),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            Value::Huge(_) | Value::Datetime(_) => Err(DecodeError::wrong_type(&visitor)),
            Value::Array(items) => visitor.visit_seq(Items {
                run: self.run,
                holder: self.node.id,
                rest: items.iter(),
            }),
            Value::Table(entries) => visitor.visit_map(self.entries(entries)),
        }
    }

    fn framed<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let node = self.node;
        let _frame = current::enter(self.run, node.span, Some(node));
        read(self).map_err(|error| error.at_node(node))
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.framed(|this| this.visit(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.framed(|this| visitor.visit_newtype_struct(this))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Datetime(date) if name == DATETIME.0 => {
                let text = date.to_string();
                let pair = std::iter::once((DATETIME.1, text.as_str()));
                self.framed(|_| visitor.visit_map(serde::de::value::MapDeserializer::new(pair)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.framed(|this| match &this.node.value {
            Value::Text { value, .. } => visitor.visit_enum(Word(value)),
            _ => Err(DecodeError::wrong_type(&"a text")),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier
    }
}

/// The entries of a table.
struct Entries<'a> {
    run: &'a Rc<Run>,
    holder: u32,
    rest: std::slice::Iter<'a, Entry>,
    entry: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let skipped = &self.run.skipped;
        let fresh = |entry: &&Entry| !skipped.borrow().contains(&entry.node.id);
        let Some(entry) = self.rest.find(fresh) else {
            return Ok(None);
        };
        self.entry = Some(entry);
        let key = KeyDeserializer {
            run: self.run,
            key: &entry.key,
            span: entry.key_span,
        };
        seed.deserialize(key).map(Some).map_err(|error| {
            error
                .at_key(entry.key_span)
                .within(entry.node.id, self.holder)
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        let entry = self
            .entry
            .ok_or_else(|| DecodeError::custom("a value was asked for before its key"))?;
        let value = NodeDeserializer {
            run: self.run,
            node: &entry.node,
        };
        seed.deserialize(value).map_err(|error| {
            error
                .at_node(&entry.node)
                .within(entry.node.id, self.holder)
        })
    }
}

/// The items of a list.
struct Items<'a> {
    run: &'a Rc<Run>,
    holder: u32,
    rest: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let skipped = &self.run.skipped;
        let fresh = |node: &&Node| !skipped.borrow().contains(&node.id);
        let Some(node) = self.rest.find(fresh) else {
            return Ok(None);
        };
        seed.deserialize(NodeDeserializer {
            run: self.run,
            node,
        })
        .map(Some)
        .map_err(|error| error.at_node(node).within(node.id, self.holder))
    }
}

/// The key of an entry.
struct KeyDeserializer<'a> {
    run: &'a Rc<Run>,
    key: &'a str,
    span: Span,
}

impl<'de> Deserializer<'de> for KeyDeserializer<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let _frame = current::enter(self.run, self.span, None);
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(Word(self.key))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A word of a closed set.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = DecodeError;
    type Variant = Bare;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Bare), DecodeError> {
        let word: StrDeserializer<'_, DecodeError> = self.0.into_deserializer();
        Ok((seed.deserialize(word)?, Bare))
    }
}

/// Words carry nothing: a table form has a visitor of its own.
struct Bare;

impl<'de> VariantAccess<'de> for Bare {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, DecodeError> {
        Err(DecodeError::custom("this word stands alone nowhere"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, DecodeError> {
        Err(DecodeError::custom("this word stands alone nowhere"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, DecodeError> {
        Err(DecodeError::custom("this word stands alone nowhere"))
    }
}
