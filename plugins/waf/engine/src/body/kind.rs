//! Which parser a request's `Content-Type` asks for.

use super::cookies::is_space;

/// The parser of a body (`REQBODY_PROCESSOR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
    /// `multipart/form-data`.
    Multipart,
    /// `application/json`, `text/json` and everything that ends in `+json`.
    Json,
    /// `application/xml`, `text/xml` and everything that ends in `+xml`.
    Xml,
}

impl Kind {
    /// The word in rules (`REQBODY_PROCESSOR`, `ctl:requestBodyProcessor`).
    pub fn word(self) -> &'static str {
        match self {
            Self::UrlEncoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }

    /// The parser that a rule names, letter case ignored.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        [Self::UrlEncoded, Self::Multipart, Self::Json, Self::Xml]
            .into_iter()
            .find(|kind| word.eq_ignore_ascii_case(kind.word().as_bytes()))
    }

    /// The parser for one `Content-Type`. Parameters and letter case do not matter.
    ///
    /// Wider than the rules 200000, 200001 and 200006 that ModSecurity recommends (those know
    /// `application/soap+xml`, `application/xml`, `text/xml`, `application/json` and
    /// `application/*+json`): servers take what ends in `+xml` or `+json`, and `text/json`, the same way.
    pub fn of(content_type: &[u8]) -> Option<Self> {
        let mut words = content_type
            .trim_ascii_start()
            .split(|byte| matches!(byte, b';' | b',') || is_space(*byte));
        let kind = words.next().unwrap_or_default();
        let is = |word: &[u8]| kind.eq_ignore_ascii_case(word);
        let ends = |word: &[u8]| {
            let start = kind.len().checked_sub(word.len());
            start
                .and_then(|start| kind.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(word))
        };
        // v3 compares the start only, and its parser then wants the whole word.
        if starts(kind, b"multipart/form-data") {
            Some(Self::Multipart)
        } else if starts(kind, b"application/x-www-form-urlencoded") {
            Some(Self::UrlEncoded)
        } else if is(b"application/json") || is(b"text/json") || ends(b"+json") {
            Some(Self::Json)
        } else if is(b"application/xml") || is(b"text/xml") || ends(b"+xml") {
            Some(Self::Xml)
        } else {
            None
        }
    }
}

fn starts(kind: &[u8], word: &[u8]) -> bool {
    kind.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// What all `Content-Type` fields of a request say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The parser; by the first field when there are several.
    pub kind: Option<Kind>,
    /// There are several fields. A server may take another one than the first: an error.
    pub several: bool,
}

impl Choice {
    /// Looks at every `Content-Type` field, in order.
    pub fn of<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut fields = fields.into_iter();
        let kind = fields.next().and_then(Kind::of);
        Self {
            kind,
            several: fields.next().is_some(),
        }
    }
}
