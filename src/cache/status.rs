//! Cache-Status (RFC 9211): what the cache did, for whoever reads the response.

use std::fmt::Write as _;

use http::header::HeaderName;

use super::clock::Now;
use super::key::{Key, KeyView};
use super::meta::Meta;
use super::serve::{Forward, Hit};

/// The field.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What the cache did with one request; each part is said as soon as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told<'a> {
    /// It was answered from what was stored.
    pub hit: bool,
    /// Why the origin was asked. Never together with `hit`.
    pub forward: Option<Forward>,
    /// What the origin answered, if that differs from what is sent (304 for a 200).
    pub forward_status: Option<u16>,
    /// Seconds of freshness that are left; negative since it became stale.
    pub ttl_s: Option<i64>,
    /// Whether the origin's response was stored. Said only when it was asked.
    pub stored: bool,
    /// It waited for, and shared, the answer to another request.
    pub collapsed: bool,
    /// The key; said only where a debug switch asks for it.
    pub key: Option<KeyView<'a>>,
    /// A word about the rest: a [`super::storable::Refusal`], `stale-while-revalidate`, and the like.
    pub detail: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// An answer from what was stored.
    pub fn hit(hit: Hit, meta: &Meta, now: Now) -> Self {
        Self {
            hit: true,
            ttl_s: ttl_s(meta, now),
            detail: match hit {
                Hit::Fresh => None,
                Hit::StaleWhileRevalidate => Some("stale-while-revalidate"),
                Hit::MaxStale => Some("max-stale"),
            },
            ..Self::default()
        }
    }

    /// An answer of the origin.
    pub fn forwarded(why: Forward) -> Self {
        Self {
            forward: Some(why),
            ..Self::default()
        }
    }

    /// With the key, for debugging.
    #[must_use]
    pub fn with_key(mut self, key: &'a Key) -> Self {
        self.key = key.read();
        self
    }

    /// Appends the list member to `out`: after what caches nearer to the origin wrote, as the RFC orders them.
    /// `name` is who speaks: a token or anything, which then is quoted.
    pub fn write(&self, name: &str, out: &mut String) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        push_name(name, out);
        if self.hit {
            out.push_str("; hit");
        } else if let Some(why) = self.forward {
            out.push_str("; fwd=");
            out.push_str(why.as_str());
        }
        if let Some(status) = self.forward_status {
            // Writing to a String cannot fail.
            let _ = write!(out, "; fwd-status={status}");
        }
        if let Some(seconds) = self.ttl_s {
            let _ = write!(out, "; ttl={seconds}");
        }
        if self.stored {
            out.push_str("; stored");
        }
        if self.collapsed {
            out.push_str("; collapsed");
        }
        if let Some(key) = self.key {
            out.push_str("; key=\"");
            let query = key.query.map_or(["", ""], |query| ["?", query]);
            let [mark, query] = query;
            for text in [
                key.scheme, "://", key.host, key.path, mark, query, " ", key.route, " ", key.side,
            ] {
                push_quoted(text, out);
            }
            out.push('"');
        }
        if let Some(detail) = self.detail {
            out.push_str("; detail=");
            push_name(detail, out);
        }
    }
}

/// Seconds of freshness that are left, rounded down: 0 is not said of something stale.
pub fn ttl_s(meta: &Meta, now: Now) -> Option<i64> {
    meta.fresh_ms(now).map(|ms| ms.div_euclid(1000))
}

/// A token where the text is one (RFC 9651 section 3.3.4), a string otherwise.
fn push_name(name: &str, out: &mut String) {
    let token = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
    if token {
        out.push_str(name);
    } else {
        out.push('"');
        push_quoted(name, out);
        out.push('"');
    }
}

/// The inside of a structured string: printable ASCII, with `\` before quotes and backslashes. Other characters, which
/// such a string cannot hold, are left out.
fn push_quoted(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::{KeyParts, KeyRules};
    use crate::cache::storable::Refusal;
    use http::HeaderMap;

    fn written(told: &Told<'_>) -> String {
        let mut out = String::new();
        told.write("farmgate", &mut out);
        assert!(sfv::Parser::parse_list(out.as_bytes()).is_ok(), "{out}");
        out
    }

    #[test]
    fn each_part_is_said() {
        let meta = Meta {
            received_ms: 1_000_000,
            lifetime_s: 60,
            ..Meta::default()
        };
        let now = Now::at_ms(1_000_500);
        assert_eq!(
            written(&Told::hit(Hit::Fresh, &meta, now)),
            "farmgate; hit; ttl=59"
        );
        let late = Now::at_ms(1_061_500);
        assert_eq!(
            written(&Told::hit(Hit::StaleWhileRevalidate, &meta, late)),
            "farmgate; hit; ttl=-2; detail=stale-while-revalidate"
        );
        let told = Told {
            forward_status: Some(304),
            stored: true,
            collapsed: true,
            ttl_s: Some(5),
            ..Told::forwarded(Forward::Stale)
        };
        assert_eq!(
            written(&told),
            "farmgate; fwd=stale; fwd-status=304; ttl=5; stored; collapsed"
        );
        let told = Told {
            detail: Some(Refusal::SetCookie.as_str()),
            ..Told::forwarded(Forward::UriMiss)
        };
        assert_eq!(written(&told), "farmgate; fwd=uri-miss; detail=set-cookie");
    }

    #[test]
    fn the_key_is_quoted() {
        let fields = HeaderMap::new();
        let key = Key::build(
            &KeyParts {
                scheme: "https",
                host: "a.test",
                path: "/a\"b\\",
                query: Some("q=1"),
                route: "r\u{e9}",
                side: "u",
                fields: &fields,
                consumer: None,
            },
            &KeyRules::default(),
        );
        let told = Told::forwarded(Forward::Miss).with_key(&key);
        assert_eq!(
            written(&told),
            "farmgate; fwd=miss; key=\"https://a.test/a\\\"b\\\\?q=1 r u\""
        );
    }

    #[test]
    fn we_come_last() {
        let mut out = "origin; hit".to_owned();
        Told::forwarded(Forward::Bypass).write("my node", &mut out);
        assert_eq!(out, "origin; hit, \"my node\"; fwd=bypass");
    }

    proptest::proptest! {
        #[test]
        fn every_name_makes_a_list(name in "\\PC{1,20}", detail in "\\PC{1,20}") {
            let mut out = String::new();
            Told { detail: Some(&detail), ..Told::forwarded(Forward::Miss) }.write(&name, &mut out);
            proptest::prop_assert!(sfv::Parser::parse_list(out.as_bytes()).is_ok(), "{}", out);
        }
    }
}
