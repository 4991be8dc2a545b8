//! What a request asks of the cache (RFC 9111 section 5.2.1), read once and without allocating.

use http::Method;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, HeaderMap, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, PRAGMA, RANGE,
};

use super::control::{Argument, Seconds, read_line};
use super::guard;

/// What the rules need of a request; borrowed from wherever it lives.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The fields as the client sent them, before plugins rewrite them.
    pub fields: &'a HeaderMap,
    /// Bytes of the target as the client sent it.
    pub target_bytes: usize,
    /// True if a body of at least one byte, or of unknown length, follows.
    pub has_body: bool,
    /// Who authenticated the request.
    pub identity: Identity,
}

impl Request<'_> {
    /// True if it may draw an error that other clients would not get ([`guard::is_odd`]). Looks at every byte of the
    /// fields, so it is asked only before something is stored, never for a hit.
    pub fn is_odd(&self) -> bool {
        guard::is_odd(self.fields, self.target_bytes, self.has_body)
    }
}

/// Who authenticated a request, besides what its Authorization field says to the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Nobody.
    #[default]
    None,
    /// A client certificate, or a plugin that looked at something else than Authorization.
    Known,
    /// A plugin that verified the Authorization field.
    KnownByAuthorization,
}

/// What kind of method it is (RFC 9110 section 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Looked up and stored.
    Get,
    /// Answered from a stored GET; freshens one.
    Head,
    /// OPTIONS, TRACE: neither looked up nor stored, changes nothing.
    Safe,
    /// Everything else, unknown methods too: invalidates.
    Unsafe,
}

impl Verb {
    /// The kind of a method.
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::OPTIONS | Method::TRACE => Self::Safe,
            _ => Self::Unsafe,
        }
    }
}

/// What a request asks of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The kind of its method.
    pub verb: Verb,
    /// `no-store`: the answer is not to be kept.
    pub no_store: bool,
    /// `no-cache`, or `Pragma: no-cache` without any Cache-Control: the origin is to be asked.
    pub no_cache: bool,
    /// `only-if-cached`: the origin is not to be asked.
    pub only_if_cached: bool,
    /// `max-age`: greatest age, seconds.
    pub max_age_s: Option<u32>,
    /// `min-fresh`: least remaining freshness, seconds.
    pub min_fresh_s: u32,
    /// `max-stale`: greatest staleness, seconds; `u32::MAX` is any.
    pub max_stale_s: Option<u32>,
    /// A body follows: not a request for the cache.
    pub has_body: bool,
    /// Authenticated, and the key does not tell consumers apart.
    pub authenticated: bool,
    /// It has If-None-Match or If-Modified-Since.
    pub conditional: bool,
    /// It has Range.
    pub ranged: bool,
    /// It has If-Match or If-Unmodified-Since, which only the origin can answer (RFC 9111 section 4.3.2).
    pub origin_condition: bool,
}

/// Why a request goes past the cache altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Its method is neither GET nor HEAD.
    Method,
    /// It has a body: two requests of one key need not mean the same.
    Body,
    /// It has a condition that only the origin can answer.
    Condition,
}

impl Asked {
    /// Reads a request. `consumer_in_key` is the policy's `key.consumer`.
    pub fn read(request: &Request<'_>, consumer_in_key: bool) -> Self {
        let fields = request.fields;
        let mut asked = Self {
            verb: Verb::of(request.method),
            no_store: false,
            no_cache: false,
            only_if_cached: false,
            max_age_s: None,
            min_fresh_s: 0,
            max_stale_s: None,
            has_body: request.has_body,
            authenticated: is_authenticated(request, consumer_in_key),
            conditional: fields.contains_key(IF_NONE_MATCH)
                || fields.contains_key(IF_MODIFIED_SINCE),
            ranged: fields.contains_key(RANGE),
            origin_condition: fields.contains_key(IF_MATCH)
                || fields.contains_key(IF_UNMODIFIED_SINCE),
        };
        let mut written = false;
        let mut whole = true;
        for line in fields.get_all(CACHE_CONTROL) {
            whole &= read_line(line.as_bytes(), &mut |name, argument| {
                written = true;
                asked.take(name, argument);
            });
        }
        if !whole {
            asked.max_stale_s = None;
        }
        // Pragma speaks only where Cache-Control is silent (RFC 9111 section 5.4).
        if !written && fields.contains_key(PRAGMA) {
            for line in fields.get_all(PRAGMA) {
                read_line(line.as_bytes(), &mut |name, _| {
                    asked.no_cache |= name.eq_ignore_ascii_case(b"no-cache");
                });
            }
        }
        asked
    }

    /// Of several values the one that asks more counts; one that cannot be read asks for the most, except in
    /// `max-stale`, which permits and then permits nothing.
    fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        if is(b"no-store") {
            self.no_store = true;
        } else if is(b"no-cache") {
            self.no_cache = true;
        } else if is(b"only-if-cached") {
            self.only_if_cached = true;
        } else if is(b"max-age") {
            let seconds = argument.seconds().or_stale().unwrap_or(0);
            self.max_age_s = Some(self.max_age_s.unwrap_or(seconds).min(seconds));
        } else if is(b"min-fresh") {
            let seconds = match argument.seconds() {
                Seconds::Value(seconds) => seconds,
                Seconds::Absent | Seconds::Invalid => u32::MAX,
            };
            self.min_fresh_s = self.min_fresh_s.max(seconds);
        } else if is(b"max-stale") {
            let seconds = match argument {
                Argument::None => u32::MAX,
                argument => argument.seconds().or_stale().unwrap_or(0),
            };
            self.max_stale_s = Some(self.max_stale_s.unwrap_or(seconds).min(seconds));
        }
    }

    /// Whether the request is one for the cache at all.
    ///
    /// # Errors
    /// Why it goes past the cache.
    pub fn may_look_up(&self) -> Result<(), Bypass> {
        match self.verb {
            Verb::Safe | Verb::Unsafe => Err(Bypass::Method),
            Verb::Get | Verb::Head if self.has_body => Err(Bypass::Body),
            Verb::Get | Verb::Head if self.origin_condition => Err(Bypass::Condition),
            Verb::Get | Verb::Head => Ok(()),
        }
    }
}

/// RFC 9111 section 3.5, for every way to authenticate. The key may tell consumers apart; then a request counts as
/// anonymous, unless it carries an Authorization that only the origin understands.
fn is_authenticated(request: &Request<'_>, consumer_in_key: bool) -> bool {
    let to_origin = request.fields.contains_key(AUTHORIZATION);
    match request.identity {
        Identity::None => to_origin,
        Identity::Known => to_origin || !consumer_in_key,
        Identity::KnownByAuthorization => !consumer_in_key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cases;

    fn ask(fields: &HeaderMap) -> Asked {
        Asked::read(
            &Request {
                method: &Method::GET,
                fields,
                target_bytes: 1,
                has_body: false,
                identity: Identity::None,
            },
            false,
        )
    }

    #[test]
    fn every_case() {
        for case in cases::rows(include_str!("cases/asked.txt"), 2) {
            let [want, lines] = case.columns.as_slice() else {
                panic!("line {}: two columns", case.line);
            };
            let got = ask(&cases::fields(lines));
            let mut words = Vec::new();
            for (word, set) in [
                ("no-store", got.no_store),
                ("no-cache", got.no_cache),
                ("only-if-cached", got.only_if_cached),
            ] {
                if set {
                    words.push(word.to_owned());
                }
            }
            if let Some(seconds) = got.max_age_s {
                words.push(format!("max-age={seconds}"));
            }
            match got.min_fresh_s {
                0 => {}
                u32::MAX => words.push("min-fresh=any".to_owned()),
                seconds => words.push(format!("min-fresh={seconds}")),
            }
            match got.max_stale_s {
                None => {}
                Some(u32::MAX) => words.push("max-stale=any".to_owned()),
                Some(seconds) => words.push(format!("max-stale={seconds}")),
            }
            if words.is_empty() {
                words.push("nothing".to_owned());
            }
            assert_eq!(&words.join(" "), want, "line {}: {lines:?}", case.line);
        }
    }

    /// Issue 5: one row per kind of authentication.
    #[test]
    fn who_counts_as_authenticated() {
        let plain = HeaderMap::new();
        let with = cases::fields("Authorization: Basic abc");
        for (identity, fields, without_consumer, with_consumer) in [
            (Identity::None, &plain, false, false),
            (Identity::None, &with, true, true),
            (Identity::Known, &plain, true, false),
            (Identity::Known, &with, true, true),
            (Identity::KnownByAuthorization, &with, true, false),
        ] {
            for (consumer_in_key, want) in [(false, without_consumer), (true, with_consumer)] {
                let request = Request {
                    method: &Method::GET,
                    fields,
                    target_bytes: 1,
                    has_body: false,
                    identity,
                };
                let got = Asked::read(&request, consumer_in_key).authenticated;
                assert_eq!(got, want, "{identity:?} {fields:?} {consumer_in_key}");
            }
        }
    }

    #[test]
    fn only_get_and_head_without_a_body_are_looked_up() {
        let fields = HeaderMap::new();
        for (method, has_body, want) in [
            ("GET", false, Ok(())),
            ("HEAD", false, Ok(())),
            ("GET", true, Err(Bypass::Body)),
            ("HEAD", true, Err(Bypass::Body)),
            ("POST", true, Err(Bypass::Method)),
            ("OPTIONS", false, Err(Bypass::Method)),
            ("M-SEARCH", false, Err(Bypass::Method)),
            ("get", false, Err(Bypass::Method)),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let request = Request {
                method: &method,
                fields: &fields,
                target_bytes: 1,
                has_body,
                identity: Identity::None,
            };
            assert_eq!(Asked::read(&request, false).may_look_up(), want, "{method}");
        }
        for field in [
            "If-Match: *",
            "If-Unmodified-Since: Thu, 01 Jan 2015 00:00:00 GMT",
        ] {
            assert_eq!(
                ask(&cases::fields(field)).may_look_up(),
                Err(Bypass::Condition)
            );
        }
    }
}
