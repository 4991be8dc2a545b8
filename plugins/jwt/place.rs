//! Where a token stands in a request: found there, and taken out.

use std::borrow::Cow;

use farmgate_plugin_api::Credential;
use farmgate_plugin_api::Facts;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::source::{Source, percent_decode};
use http::{HeaderName, HeaderValue, header};

/// A place of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
    Bearer,
    /// The whole value of a header field (`Bearer` before it is allowed), of a cookie or of a query parameter.
    At(Credential),
}

/// What a place holds.
pub(super) enum Found<'a> {
    Nothing,
    One(Cow<'a, [u8]>),
    Several,
}

impl<'a> Found<'a> {
    /// Of all candidates.
    fn among(mut all: impl Iterator<Item = Cow<'a, [u8]>>) -> Self {
        match (all.next(), all.next()) {
            (None, _) => Self::Nothing,
            (Some(one), None) => Self::One(one),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

impl Place {
    /// The place of this source; none if no token can stand there.
    pub(super) fn of(source: &Source) -> Option<Self> {
        match source {
            Source::Header(name) if *name == header::AUTHORIZATION => Some(Self::Bearer),
            Source::Header(name) if *name == header::COOKIE => None,
            _ => Credential::of(source).map(Self::At),
        }
    }

    /// For the logs, which must not show it.
    pub(super) fn credential(&self) -> Credential {
        match self {
            Self::Bearer => Credential::Header(header::AUTHORIZATION),
            Self::At(credential) => credential.clone(),
        }
    }

    /// The header field that it takes as a whole.
    pub(super) fn field(&self) -> Option<&HeaderName> {
        match self {
            Self::Bearer => Some(&header::AUTHORIZATION),
            Self::At(Credential::Header(name)) => Some(name),
            Self::At(Credential::Cookie(_) | Credential::Query(_)) => None,
        }
    }

    /// The token here. Another scheme than Bearer is no token; an empty value is none either.
    pub(super) fn find<'a>(&self, facts: &'a (impl Facts + ?Sized)) -> Found<'a> {
        let fields = |name: &HeaderName| {
            let fields = facts.headers().get_all(name).iter();
            fields.map(HeaderValue::as_bytes)
        };
        let filled = |token: &&[u8]| !token.is_empty();
        match self {
            Self::Bearer => Found::among(
                fields(&header::AUTHORIZATION)
                    .filter_map(bearer)
                    .map(Cow::Borrowed),
            ),
            Self::At(Credential::Header(name)) => Found::among(
                fields(name)
                    .map(|value| bearer(value).unwrap_or_else(|| value.trim_ascii()))
                    .filter(filled)
                    .map(Cow::Borrowed),
            ),
            Self::At(Credential::Cookie(name)) => Found::among(
                fields(&header::COOKIE)
                    .flat_map(|field| field.split(|byte| *byte == b';'))
                    .filter_map(|pair| cookie(pair, name))
                    .filter(filled)
                    .map(Cow::Borrowed),
            ),
            Self::At(Credential::Query(name)) => Found::among(
                facts
                    .query()
                    .unwrap_or_default()
                    .split('&')
                    .filter_map(|pair| parameter(pair, name))
                    .filter(|token| !token.is_empty()),
            ),
        }
    }

    /// Takes the token out of what goes to the origin. False if that cannot be done.
    pub(super) fn empty(&self, request: &mut dyn Request) -> bool {
        match self {
            Self::Bearer => {
                let all = request.headers().get_all(header::AUTHORIZATION);
                let ours = |value: &&HeaderValue| bearer(value.as_bytes()).is_some();
                if all.iter().any(|value| ours(&value)) {
                    // Credentials of another scheme are not ours.
                    let others = all.iter().filter(|value| !ours(value)).cloned().collect();
                    put(request, &header::AUTHORIZATION, others);
                }
                true
            }
            Self::At(credential) => credential.remove(request),
        }
    }
}

/// Replaces all fields of a name.
fn put(request: &mut dyn Request, name: &HeaderName, values: Vec<HeaderValue>) {
    let headers = request.edit();
    headers.remove(name);
    for value in values {
        headers.append(name, value);
    }
}

/// The token after the scheme `Bearer`, which knows no letter case; none for another scheme, or
/// without a token.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.trim_ascii().split_at_checked(6)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.first() == Some(&b' ');
    let token = rest.trim_ascii();
    (is_bearer && !token.is_empty()).then_some(token)
}

/// The value of a pair of this name.
fn cookie<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (key, value) = pair.split_at_checked(at)?;
    let value = value.get(1..).unwrap_or_default();
    (key.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
}

/// The decoded value of a query pair of this name.
fn parameter<'a>(pair: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let same = key == name || (key.contains('%') && *percent_decode(key) == *name.as_bytes());
    (same && !pair.is_empty()).then(|| percent_decode(value))
}
