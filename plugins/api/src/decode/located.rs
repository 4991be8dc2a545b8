//! A value and where it was written.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::current;
use super::diagnostic::Place;

/// A value and where it was written. Equality, hash and printing see the value only.
#[derive(Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written; [`Place::none`] for a default.
    pub place: Place,
}

impl<T> Located<T> {
    /// A value with a place.
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    /// A value at the place that is being decoded now.
    pub fn here(value: T) -> Self {
        Self::new(value, current::place().unwrap_or_else(Place::none))
    }

    /// Another value at the same place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located::new(f(self.value), self.place)
    }

    /// Whether it was written, and is no default.
    pub fn is_written(&self) -> bool {
        self.place.is_known()
    }
}

impl<T> From<T> for Located<T> {
    fn from(value: T) -> Self {
        Self::new(value, Place::none())
    }
}

impl<T: Default> Default for Located<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Deref for Located<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: Hash> Hash for Located<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Here<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Here<T> {
            type Value = Located<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Located<T>, D::Error> {
                let place = current::place().unwrap_or_else(Place::none);
                Ok(Located::new(T::deserialize(deserializer)?, place))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Located<T>, E> {
                let text = serde::de::value::StrDeserializer::<E>::new(text);
                Ok(Located::here(T::deserialize(text)?))
            }
        }
        deserializer.deserialize_newtype_struct("Located", Here(PhantomData))
    }
}
