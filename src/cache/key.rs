//! The key of an object: what two requests must share to be answered by one response.
//!
//! Always in it: scheme, host, the client's normalised path and query (before plugins rewrite them), the route's name
//! and the side of a weighted upstream. By policy: some request fields, some cookies, the consumer; and some query
//! parameters are left out, or the order of all of them. Method is not in it: HEAD is answered from a stored GET.
//!
//! Each part is written with its length before it, so that no choice of texts makes two lists of parts look alike. The
//! text is hashed to 128 bits with SHA-256: nobody can make two keys that collide, and every node finds the same one.
//! The whole text stays with the object. A hit compares it, so that even a collision would be a miss; purges by
//! prefix and listings read it.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{COOKIE, HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::control::trim_ows;

pub mod query;
pub mod readable;

pub use query::QueryRules;

/// The first byte of every text; another layout gets another number, and finds no object of the old one.
const LAYOUT: u8 = 2;

/// What a policy puts into the key besides what always is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// What of the query counts.
    pub query: QueryRules,
    /// Request fields.
    pub headers: Vec<HeaderName>,
    /// Cookies, by name.
    pub cookies: Vec<String>,
    /// `Vary: Cookie` of an origin means these cookies and no others. Without it such a response is not stored: a cookie
    /// that is not in the key may be what it was made for.
    pub vary_cookie: bool,
    /// Who authenticated.
    pub consumer: bool,
}

/// What a key is made of, borrowed from the request.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and, unless it is the scheme's own, port: lower case.
    pub host: &'a str,
    /// The client's normalised path.
    pub path: &'a str,
    /// The client's normalised query, without its `?`.
    pub query: Option<&'a str>,
    /// The route's name.
    pub route: &'a str,
    /// The side of a weighted upstream, or the upstream's name.
    pub side: &'a str,
    /// The client's fields.
    pub fields: &'a HeaderMap,
    /// The consumer's name, if somebody authenticated.
    pub consumer: Option<&'a str>,
}

/// Host, and port unless it is the scheme's own, as keys and purges have it.
pub fn key_host(https: bool, host: &str, port: Option<u16>) -> Cow<'_, str> {
    let own = if https { 443 } else { 80 };
    match port {
        Some(port) if port != own => Cow::Owned(format!("{host}:{port}")),
        _ => Cow::Borrowed(host),
    }
}

/// 128 bits of an object's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 16]);

impl std::fmt::Display for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A key: its hash, and the text it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The hash.
    pub hash: KeyHash,
    /// The text; see [`Key::read`].
    pub text: Bytes,
}

impl Key {
    /// The key of a request under a policy. One allocation, of the text, unless the policy adds or leaves out parts.
    pub fn build(parts: &KeyParts<'_>, rules: &KeyRules) -> Self {
        // Exact unless the policy adds parts: then the text grows, and may be cut to fit, but never more than that.
        let lengths = parts.scheme.len()
            + parts.host.len()
            + parts.path.len()
            + parts.query.map_or(0, str::len)
            + parts.route.len()
            + parts.side.len();
        let mut text = Text(Vec::with_capacity(1 + 6 * size_of::<u32>() + lengths));
        text.0.push(LAYOUT);
        text.part(parts.scheme.as_bytes());
        text.part(parts.host.as_bytes());
        text.part(parts.path.as_bytes());
        match parts.query {
            None => text.absent(),
            Some(query) => text.query(query, &rules.query),
        }
        text.part(parts.route.as_bytes());
        text.part(parts.side.as_bytes());
        for name in &rules.headers {
            text.part(name.as_str().as_bytes());
            // The number of lines first, so that lines cannot pass for the next field.
            let lines = parts.fields.get_all(name);
            text.number(lines.iter().count());
            for line in lines {
                text.part(trim_ows(line.as_bytes()));
            }
        }
        for name in &rules.cookies {
            text.part(name.as_bytes());
            // All of a name, and their number: origins differ in which of two they take.
            text.number(cookies(parts.fields, name.as_bytes()).count());
            for value in cookies(parts.fields, name.as_bytes()) {
                text.part(value);
            }
        }
        if rules.consumer {
            match parts.consumer {
                Some(consumer) => text.part(consumer.as_bytes()),
                None => text.absent(),
            }
        }
        Self::from_text(Bytes::from(text.0))
    }

    /// The key of a text that was stored.
    pub fn from_text(text: Bytes) -> Self {
        let digest = Sha256::digest(&text);
        let mut hash = [0; 16];
        for (to, from) in hash.iter_mut().zip(digest) {
            *to = from;
        }
        Self {
            hash: KeyHash(hash),
            text,
        }
    }

    /// What a key was made of; none if the text is not one of this layout.
    pub fn read(&self) -> Option<KeyView<'_>> {
        KeyView::read(&self.text)
    }
}

/// The parts of a key that listings and purges need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyView<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port.
    pub host: &'a str,
    /// Path.
    pub path: &'a str,
    /// What of the query counted.
    pub query: Option<&'a str>,
    /// The route's name.
    pub route: &'a str,
    /// The side of its upstream.
    pub side: &'a str,
}

impl<'a> KeyView<'a> {
    /// Reads a key's text.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let mut parts = Parts::of(text)?;
        let mut next = || -> Option<Option<&'a str>> {
            match parts.next()? {
                None => Some(None),
                Some(part) => std::str::from_utf8(part).ok().map(Some),
            }
        };
        Some(Self {
            scheme: next()??,
            host: next()??,
            path: next()??,
            query: next()?,
            route: next()??,
            side: next()??,
        })
    }
}

/// A key's text while it is read.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// Behind the number of the layout.
    fn of(text: &'a [u8]) -> Option<Self> {
        text.strip_prefix(&[LAYOUT]).map(Self)
    }

    fn number(&mut self) -> Option<u32> {
        let (number, after) = self.0.split_at_checked(4)?;
        self.0 = after;
        Some(u32::from_le_bytes(number.try_into().ok()?))
    }

    /// The next part; the inner none is one that is absent.
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.number()?;
        if length == u32::MAX {
            return Some(None);
        }
        let (part, after) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = after;
        Some(Some(part))
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key's text while it is written.
struct Text(Vec<u8>);

impl Text {
    fn number(&mut self, number: usize) {
        let number = u32::try_from(number).unwrap_or(u32::MAX - 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn part(&mut self, part: &[u8]) {
        self.number(part.len());
        self.0.extend_from_slice(part);
    }

    /// Something that is not there; not the same as something empty.
    fn absent(&mut self) {
        self.0.extend_from_slice(&u32::MAX.to_le_bytes());
    }

    fn query(&mut self, query: &str, rules: &QueryRules) {
        let at = self.0.len();
        self.number(0);
        let from = self.0.len();
        let kept = query::write(query, rules, &mut self.0);
        let length = match kept {
            true => u32::try_from(self.0.len() - from).unwrap_or(u32::MAX - 1),
            // Nothing of it counts: the same as without a query.
            false => u32::MAX,
        };
        if let Some(slot) = self.0.get_mut(at..from) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// The cookies of a name, in the order they stand.
fn cookies<'a>(fields: &'a HeaderMap, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(move |pair| {
            let pair = trim_ows(pair);
            let rest = pair.strip_prefix(name)?;
            rest.strip_prefix(b"=").or(rest.is_empty().then_some(rest))
        })
}

/// Hashes length-prefixed parts; each use has a byte of its own, so that their results never mean the same.
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn new(purpose: u8) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([LAYOUT, purpose]);
        Self(hasher)
    }

    pub(super) fn part(&mut self, part: &[u8]) {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX - 1);
        self.0.update(length.to_le_bytes());
        self.0.update(part);
    }

    pub(super) fn absent(&mut self) {
        self.0.update(u32::MAX.to_le_bytes());
    }

    pub(super) fn finish(self) -> [u8; 16] {
        let mut out = [0; 16];
        for (to, from) in out.iter_mut().zip(self.0.finalize()) {
            *to = from;
        }
        out
    }

    pub(super) fn finish_short(self) -> u64 {
        self.finish()
            .iter()
            .take(8)
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests;
