//! Media types: which rule of a contract holds for a body.

use http::{HeaderMap, header};

/// A media type, or a range of them, as a contract names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// `*/*`
    Any,
    /// `image/*`, as `image`
    Kind(Box<str>),
    /// `application/json`
    One(Box<str>),
    /// `*+json`: `application/json`, and every type whose suffix is `+json` (RFC 6839).
    Json,
}

/// How a body of a media type is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `text/*`: one string.
    Text,
    /// Not at all: its schema says nothing about bytes.
    Opaque,
}

impl Range {
    /// Reads what a contract names. Parameters are left out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let essence = essence(text.as_bytes())?;
        let (kind, sub) = essence.split_once('/')?;
        if kind.is_empty() || sub.is_empty() {
            return None;
        }
        Some(match (kind, sub) {
            ("*", "*") => Self::Any,
            ("*", "*+json") => Self::Json,
            ("*", _) => return None,
            (kind, "*") => Self::Kind(kind.into()),
            _ => Self::One(essence.into()),
        })
    }

    /// How closely it names this type; none if it does not.
    pub(super) fn rank(&self, essence: &str) -> Option<u8> {
        match self {
            Self::One(one) => (**one == *essence).then_some(3),
            Self::Json => is_json(essence).then_some(2),
            Self::Kind(kind) => {
                let (own, _) = essence.split_once('/')?;
                (own == &**kind).then_some(1)
            }
            Self::Any => Some(0),
        }
    }
}

/// The media type of a request, in lower case and without parameters; none without one.
pub(super) fn of(headers: &HeaderMap) -> Option<String> {
    essence(headers.get(header::CONTENT_TYPE)?.as_bytes())
}

/// How a body of this type is read.
pub(super) fn reader(essence: &str) -> Reader {
    if is_json(essence) {
        Reader::Json
    } else if essence == "application/x-www-form-urlencoded" {
        Reader::Form
    } else if essence.starts_with("text/") {
        Reader::Text
    } else {
        Reader::Opaque
    }
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence.ends_with("+json")
}

fn essence(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
}
