//! What never leaves: fields, query parameters, values in JSON.

use bytes::Bytes;
use farmgate_plugin_api::source::percent_decode;
use http::{HeaderMap, HeaderName, header};

use super::json::hide;
use super::json_path::Paths;

/// What is taken out of copies.
pub(super) struct Redaction {
    pub(super) headers: Box<[HeaderName]>,
    pub(super) query: Box<[Box<str>]>,
    pub(super) json: Paths,
    /// With `json`: bodies that are no JSON are not sent at all.
    pub(super) drop_others: bool,
}

/// What a body is, for redaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Nothing to hide.
    Plain,
    /// JSON, by its content type or by its look.
    Json,
    /// It may hold what is to be hidden, and cannot be read.
    Sealed,
}

impl Redaction {
    /// Takes the fields out.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        for name in &self.headers {
            headers.remove(name);
        }
    }

    /// The target without the parameters; none if there is nothing to take out.
    pub(super) fn target(&self, target: &str) -> Option<String> {
        if self.query.is_empty() {
            return None;
        }
        let (path, query) = target.split_once('?')?;
        let mut out = path.to_owned();
        for pair in query.split('&').filter(|pair| !self.is_hidden(pair)) {
            out.push(if out.len() == path.len() { '?' } else { '&' });
            out.push_str(pair);
        }
        Some(out)
    }

    fn is_hidden(&self, pair: &str) -> bool {
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_decode(name);
        let same = |one: &str| name.eq_ignore_ascii_case(one.as_bytes());
        self.query.iter().any(|one| same(one))
    }

    /// What is to be done with a body. Looks at its fields and its first bytes.
    pub(super) fn sort(&self, headers: &HeaderMap, body: &[u8]) -> Sort {
        if self.json.is_empty() || body.is_empty() {
            return Sort::Plain;
        }
        let encodings = headers.get_all(header::CONTENT_ENCODING);
        let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if !encodings.iter().all(plain) {
            return Sort::Sealed;
        }
        let types = headers.get_all(header::CONTENT_TYPE);
        if types.iter().any(|value| is_json(value.as_bytes())) || looks_like_json(body) {
            return Sort::Json;
        }
        match self.drop_others {
            true => Sort::Sealed,
            false => Sort::Plain,
        }
    }

    /// The body with its secrets hidden; none if it is no JSON after all.
    pub(super) fn hide(&self, body: &[u8]) -> Option<Bytes> {
        hide(body, &self.json).ok().map(Bytes::from)
    }
}

/// `application/json`, `text/json`, and whatever ends with `+json` (RFC 6839).
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next();
    let essence = essence
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    essence == b"application/json" || essence == b"text/json" || essence.ends_with(b"+json")
}

/// Whatever a client calls it: an object or a list is read as JSON by somebody.
fn looks_like_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}
