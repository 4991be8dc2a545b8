//! Vary (RFC 9111 section 4.1): which request fields tell a key's variants apart, and how they are compared.
//!
//! A field is brought to a normal form before it is compared, as the RFC permits where the meaning stays the same.
//! `Accept-Encoding` becomes one of eight sets; so that the origin answers to what was compared, the request that
//! fills the cache carries the set's own spelling.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, HeaderMap, HeaderName, HeaderValue,
    USER_AGENT, VARY,
};

use super::control::trim_ows;
use super::key::KeyRules;

pub mod encoding;
pub mod language;

pub use encoding::Encodings;

/// Names in a Vary field beyond which a response is not stored.
pub const MOST_NAMES: usize = 16;

/// A policy's choices about variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaryRules {
    /// Whether Accept-Encoding becomes a set; otherwise it is compared as a list.
    pub normalise_encoding: bool,
    /// The languages the site has, lower case; a request then counts as the best of them. Empty: compared as a list.
    pub languages: Vec<String>,
    /// Variants of one key; further ones are not stored.
    pub most_variants: u16,
}

impl Default for VaryRules {
    fn default() -> Self {
        Self {
            normalise_encoding: true,
            languages: Vec::new(),
            most_variants: 16,
        }
    }
}

impl VaryRules {
    /// True if a key that has so many variants may get one more.
    pub fn admits(&self, variants: usize) -> bool {
        variants < usize::from(self.most_variants)
    }
}

/// Why a response's Vary keeps it out of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaryRefusal {
    /// `*`, or something that is no list of names: no later request can be known to match.
    Any,
    /// `Cookie` or `User-Agent`: nearly every client would be a variant, and the policy's key does not hold it.
    Client,
    /// More than [`MOST_NAMES`] names.
    Many,
}

/// The names of a stored response's Vary: lower case, sorted, each once, without those that are in the key anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vary {
    names: Vec<HeaderName>,
}

/// A fingerprint of the fields that matter, for one request.
pub type Variance = [u8; 16];

impl Vary {
    /// Reads the Vary of a response.
    ///
    /// # Errors
    /// Why the response cannot be stored.
    pub fn of_response(fields: &HeaderMap, key: &KeyRules) -> Result<Self, VaryRefusal> {
        let mut names: Vec<HeaderName> = Vec::new();
        for line in fields.get_all(VARY) {
            for name in line.as_bytes().split(|byte| *byte == b',').map(trim_ows) {
                if name.is_empty() {
                    continue;
                }
                // `**` would be a name by the grammar; nobody has such a field.
                if name.contains(&b'*') {
                    return Err(VaryRefusal::Any);
                }
                let name = HeaderName::from_bytes(name).map_err(|_| VaryRefusal::Any)?;
                let mapped = name == COOKIE && key.vary_cookie && !key.cookies.is_empty();
                let keyed = key.headers.contains(&name) || mapped;
                if keyed || names.contains(&name) {
                    continue;
                }
                if name == COOKIE || name == USER_AGENT {
                    return Err(VaryRefusal::Client);
                }
                if names.len() == MOST_NAMES {
                    return Err(VaryRefusal::Many);
                }
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(Self { names })
    }

    /// From names that were read before, as they stand in an encoded head.
    pub(super) fn from_names(names: Vec<HeaderName>) -> Self {
        Self { names }
    }

    /// The names.
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// True if `other` names nothing that this does not.
    pub fn holds(&self, other: &Self) -> bool {
        other.names.iter().all(|name| self.names.contains(name))
    }

    /// The names of both; none if they are too many.
    pub fn joined(&self, other: &Self) -> Option<Self> {
        let mut names = self.names.clone();
        names.extend(
            other
                .names
                .iter()
                .filter(|name| !self.names.contains(name))
                .cloned(),
        );
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        (names.len() <= MOST_NAMES).then_some(Self { names })
    }

    /// True if the response does not vary.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The variant a request belongs to. Two requests of one variance may share a response.
    pub fn variance(&self, request: &HeaderMap, rules: &VaryRules) -> Variance {
        let mut hasher = super::key::Hasher::new(b'v');
        for name in &self.names {
            hasher.part(name.as_str().as_bytes());
            normalised(name, request, rules, &mut |value| match value {
                Some(bytes) => hasher.part(bytes),
                None => hasher.absent(),
            });
        }
        hasher.finish()
    }
}

/// Gives the normal form of one request field to `with`; none if the request does not have it.
fn normalised(
    name: &HeaderName,
    request: &HeaderMap,
    rules: &VaryRules,
    with: &mut dyn FnMut(Option<&[u8]>),
) {
    if *name == ACCEPT_ENCODING && rules.normalise_encoding {
        let set = Encodings::of_request(request);
        return with(Some(set.canonical().as_bytes()));
    }
    if *name == ACCEPT_LANGUAGE {
        if !rules.languages.is_empty() {
            let best = language::best(request, &rules.languages);
            return with(Some(best.unwrap_or("").as_bytes()));
        }
        return match request.contains_key(name) {
            true => with(Some(&language::sorted(request))),
            false => with(None),
        };
    }
    if !request.contains_key(name) {
        return with(None);
    }
    let lower = *name == ACCEPT || *name == ACCEPT_ENCODING;
    let mut joined = Vec::with_capacity(64);
    for line in request.get_all(name) {
        push_list(line, lower, &mut joined);
    }
    with(Some(&joined));
}

/// Appends the members of one line, separated by commas and without the space around them. Quoted text stays as it
/// is, as its spaces and commas have a meaning.
fn push_list(line: &HeaderValue, lower: bool, out: &mut Vec<u8>) {
    let mut quoted = false;
    let mut escaped = false;
    let start = out.len();
    if start > 0 {
        out.push(b',');
    }
    let from = out.len();
    for &byte in trim_ows(line.as_bytes()) {
        let space = matches!(byte, b' ' | b'\t');
        if !quoted {
            match byte {
                b',' => {
                    while out.len() > from && matches!(out.last(), Some(b' ' | b'\t')) {
                        out.pop();
                    }
                }
                _ if space && (out.last() == Some(&b',') || out.len() == from) => continue,
                _ => {}
            }
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        out.push(if lower && !quoted {
            byte.to_ascii_lowercase()
        } else {
            byte
        });
    }
}

#[cfg(test)]
mod tests;
