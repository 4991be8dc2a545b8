//! Bodies: which rule holds, how they are read, and what they must be.

use http::{HeaderMap, header};
use jsonschema::Validator;
use serde_json::Value;

use super::fault::{Fault, Faults, Place, Reason, Refusal, below};
use super::json::{Bounds, Duplicates, Unread, read};
use super::media::{self, Range, Reader};
use super::openapi::hint::Hint;
use super::openapi::parameter::decode_plus;

/// What a body must be.
#[derive(Debug)]
pub(super) struct BodyRule {
    pub(super) required: bool,
    pub(super) media: Vec<MediaRule>,
}

/// What a body of some media types must be.
#[derive(Debug)]
pub(super) struct MediaRule {
    pub(super) range: Range,
    /// How it is read; none: as its own media type says.
    pub(super) reader: Option<Reader>,
    pub(super) hint: Hint,
    pub(super) schema: Option<Validator>,
}

/// Which rule holds for the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The place of the rule.
    pub(super) rule: usize,
    pub(super) reader: Reader,
}

impl BodyRule {
    /// The rule for a request's body.
    ///
    /// # Errors
    /// No rule knows its media type, or it is compressed.
    pub(super) fn choose(&self, headers: &HeaderMap) -> Result<Option<Chosen>, Box<Refusal>> {
        let Some(essence) = media::of(headers) else {
            // Without a body there is nothing to be said about its type.
            return Ok(None);
        };
        let ranked = self.media.iter().enumerate().filter_map(|(rule, media)| {
            let rank = media.range.rank(&essence)?;
            Some((rank, rule, media))
        });
        let Some((_, rule, media)) = ranked.max_by_key(|(rank, ..)| *rank) else {
            return Err(Box::new(Refusal::plain(Reason::MediaType)));
        };
        let reader = media.reader.unwrap_or_else(|| media::reader(&essence));
        let reads = reader != Reader::Opaque && media.schema.is_some();
        if reads && is_encoded(headers) {
            return Err(Box::new(Refusal::plain(Reason::Encoding)));
        }
        let reader = match reads {
            true => reader,
            false => Reader::Opaque,
        };
        Ok(Some(Chosen { rule, reader }))
    }

    /// Checks a body that was read to its end.
    pub(super) fn check(
        &self,
        chosen: Option<Chosen>,
        body: &[u8],
        bounds: Bounds,
        most_errors: usize,
    ) -> Option<Refusal> {
        if body.is_empty() {
            return self.required.then(|| Refusal::plain(Reason::BodyMissing));
        }
        let Some(chosen) = chosen else {
            return Some(Refusal::plain(Reason::MediaType));
        };
        let rule = self.media.get(chosen.rule)?;
        let schema = rule.schema.as_ref()?;
        let value = match chosen.reader {
            Reader::Opaque => return None,
            Reader::Json => read(body, bounds).map_err(|(why, at)| unread(why, &at)),
            Reader::Text => match std::str::from_utf8(body) {
                Ok(text) => Ok(Value::String(text.to_owned())),
                Err(_) => Err(unread(Unread::Syntax, "")),
            },
            Reader::Form => form(&rule.hint, body, bounds),
        };
        let value = match value {
            Ok(value) => value,
            Err(refusal) => return Some(*refusal),
        };
        let mut faults = Faults::new(most_errors);
        faults.check(schema, &value, Place::Body, "");
        faults.refusal(Reason::Body)
    }
}

/// Whether a body is compressed, or otherwise not what its media type says.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| {
        !coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"identity")
    })
}

fn unread(why: Unread, at: &str) -> Box<Refusal> {
    let (reason, keyword, detail) = match why {
        Unread::Syntax => (Reason::Syntax, "syntax", "the body cannot be read here"),
        Unread::TooDeep => (Reason::TooDeep, "depth", "the body is nested too deeply"),
        Unread::TooMany => (Reason::TooMany, "values", "the body holds too many values"),
        Unread::Duplicate => (
            Reason::DuplicateKey,
            "duplicate",
            "a name stands twice in an object",
        ),
    };
    Box::new(Refusal {
        faults: vec![Fault::own(Place::Body, "", at, keyword, detail)],
        ..Refusal::plain(reason)
    })
}

/// A form as an object.
fn form(hint: &Hint, body: &[u8], bounds: Bounds) -> Result<Value, Box<Refusal>> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(unread(Unread::Syntax, ""));
    };
    let pairs = text.trim_end().split('&').filter(|pair| !pair.is_empty());
    if pairs.clone().nth(bounds.values).is_some() {
        return Err(unread(Unread::TooMany, ""));
    }
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_plus(name), decode_plus(value))
    });
    if bounds.duplicates == Duplicates::Refuse {
        let object = hint.object(pairs);
        return object.map_err(|name| unread(Unread::Duplicate, &below("", &name)));
    }
    let mut last: Vec<(String, String)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (name, value) in pairs {
        if hint.member(&name).array {
            last.push((name, value));
            continue;
        }
        match places.get(&name).and_then(|at: &usize| last.get_mut(*at)) {
            Some(known) => known.1 = value,
            None => {
                places.insert(name.clone(), last.len());
                last.push((name, value));
            }
        }
    }
    hint.object(last)
        .map_err(|name| unread(Unread::Duplicate, &below("", &name)))
}
