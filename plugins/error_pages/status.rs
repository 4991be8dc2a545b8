//! Which errors a page is for.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// `503`, `"503"` or `"4xx"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusWord {
    /// One status.
    One(u16),
    /// All from 400 or 500 on: the first digit.
    Class(u16),
}

/// One of them, or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StatusWords(pub(super) Vec<StatusWord>);

impl StatusWord {
    fn of<E: Error>(number: u64) -> Result<Self, E> {
        match u16::try_from(number) {
            Ok(status @ 400..=599) => Ok(Self::One(status)),
            _ => Err(E::custom(format_args!(
                "{number} is no status of an error\nwrite 400 to 599, \"4xx\" or \"5xx\""
            ))),
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

struct Word;

impl Visitor<'_> for Word {
    type Value = StatusWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status, \"4xx\" or \"5xx\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<StatusWord, E> {
        match text.to_ascii_lowercase().as_str() {
            "4xx" => Ok(StatusWord::Class(4)),
            "5xx" => Ok(StatusWord::Class(5)),
            digits => match digits.parse() {
                Ok(number) => StatusWord::of(number),
                Err(_) => Err(E::custom(format_args!(
                    "\"{text}\" is no status of an error\nwrite 400 to 599, \"4xx\" or \"5xx\""
                ))),
            },
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<StatusWord, E> {
        StatusWord::of(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<StatusWord, E> {
        StatusWord::of(number.unsigned_abs())
    }
}

impl<'de> Deserialize<'de> for StatusWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Word)
    }
}

impl<'de> Deserialize<'de> for StatusWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = StatusWords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status, \"4xx\", \"5xx\", or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<StatusWords, E> {
                Word.visit_str(text).map(|one| StatusWords(vec![one]))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<StatusWords, E> {
                Word.visit_u64(number).map(|one| StatusWords(vec![one]))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<StatusWords, E> {
                Word.visit_i64(number).map(|one| StatusWords(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StatusWords, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = items.next_element()? {
                    words.push(word);
                }
                Ok(StatusWords(words))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
