//! Conditions: what a client's say about a stored response, and what we ask the origin with.

use http::HeaderValue;
use http::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};

use super::etag::{Etag, list};
use super::freshness::single_date;
use super::meta::Meta;

/// True if the client has what is stored, so that a 304 answers it (RFC 9111 section 4.3.2, RFC 9110 section 13.1).
/// For GET and HEAD, of a stored 200.
///
/// If-None-Match wins over If-Modified-Since, even when it does not match. Without a Last-Modified the stored
/// response's Date stands in for it, and without that the moment it was received.
pub fn client_has_it(request: &HeaderMap, stored: &HeaderMap, meta: &Meta, wall_s: u64) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let ours = stored.get(ETAG).and_then(|tag| Etag::read(tag.as_bytes()));
        return request.get_all(IF_NONE_MATCH).iter().any(|line| {
            line.as_bytes().trim_ascii() == b"*"
                || ours.is_some_and(|ours| {
                    list(line.as_bytes()).any(|theirs| theirs.equals_weakly(ours))
                })
        });
    }
    let Some(since) = single_date(request, &IF_MODIFIED_SINCE, wall_s) else {
        return false;
    };
    let changed = meta
        .last_modified_s
        .or(meta.date_s)
        .unwrap_or(meta.received_wall_s);
    changed <= since
}

/// Fields of a 304 that are worth sending (RFC 9110 section 15.4.5), besides Age and Cache-Status: what the client
/// needs to update its copy. Set-Cookie and other fields it would have got with a 200 stay away.
pub fn belongs_in_304(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "cache-control"
            | "content-location"
            | "date"
            | "etag"
            | "expires"
            | "vary"
            | "last-modified"
            | "content-security-policy"
            | "access-control-allow-origin"
            | "access-control-allow-credentials"
            | "access-control-expose-headers"
            | "cross-origin-resource-policy"
            | "strict-transport-security"
            | "timing-allow-origin"
    )
}

/// The client's conditions, which do not reach the origin of a request that may fill the cache: a 304, a 206 or a 412
/// to one client's condition is of no use to the next. We answer them ourselves, from what was filled.
/// If-Match and If-Unmodified-Since are not among them: only the origin can answer those, and requests that have them
/// go past the cache ([`super::asked::Bypass::Condition`]).
pub static CLIENT_CONDITIONS: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE];

/// What we ask the origin with about a stored response: its own words, not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// If-None-Match: the stored ETag as it stands.
    pub if_none_match: Option<&'a HeaderValue>,
    /// If-Modified-Since: the stored Last-Modified as it stands. Sent beside an ETag too, for origins that know only
    /// dates (RFC 9110 section 13.1.3 lets others ignore it).
    pub if_modified_since: Option<&'a HeaderValue>,
}

impl<'a> Validators<'a> {
    /// Those of a stored response. A Last-Modified that is no date asks nothing.
    pub fn of_stored(stored: &'a HeaderMap, meta: &Meta) -> Self {
        Self {
            if_none_match: stored
                .get(ETAG)
                .filter(|tag| Etag::read(tag.as_bytes()).is_some()),
            if_modified_since: meta.last_modified_s.and_then(|_| stored.get(LAST_MODIFIED)),
        }
    }

    /// True if there is nothing to ask with: the request is a plain one.
    pub fn is_empty(&self) -> bool {
        self.if_none_match.is_none() && self.if_modified_since.is_none()
    }

    /// The fields to set, after [`CLIENT_CONDITIONS`] were removed.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, &'a HeaderValue)> {
        [
            (IF_NONE_MATCH, self.if_none_match),
            (IF_MODIFIED_SINCE, self.if_modified_since),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cases;

    const WALL_S: u64 = 1_767_225_600;

    fn meta(stored: &HeaderMap) -> Meta {
        Meta {
            received_wall_s: WALL_S - 50,
            date_s: single_date(stored, &http::header::DATE, WALL_S),
            last_modified_s: single_date(stored, &LAST_MODIFIED, WALL_S),
            ..Meta::default()
        }
    }

    #[test]
    fn every_case() {
        for case in cases::rows(include_str!("cases/conditions.txt"), 3) {
            let [want, stored, request] = case.columns.as_slice() else {
                panic!("line {}: three columns", case.line);
            };
            let stored = cases::fields(stored);
            let got = client_has_it(&cases::fields(request), &stored, &meta(&stored), WALL_S);
            let got = if got { "304" } else { "200" };
            assert_eq!(got, want, "line {}: {request:?}", case.line);
        }
    }

    #[test]
    fn the_time_it_came_stands_in_for_missing_dates() {
        let none = HeaderMap::new();
        let request = |s: u64| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(s);
            cases::fields(&format!(
                "If-Modified-Since: {}",
                httpdate::fmt_http_date(time)
            ))
        };
        assert!(client_has_it(
            &request(WALL_S - 50),
            &none,
            &meta(&none),
            WALL_S
        ));
        assert!(!client_has_it(
            &request(WALL_S - 51),
            &none,
            &meta(&none),
            WALL_S
        ));
    }

    #[test]
    fn we_ask_with_the_origins_own_words() {
        let ask = |text: &str| {
            let stored = cases::fields(text);
            let meta = meta(&stored);
            let validators = Validators::of_stored(&stored, &meta);
            let told: Vec<String> = validators
                .fields()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
                .collect();
            assert_eq!(told.is_empty(), validators.is_empty());
            told.join("\n")
        };
        assert_eq!(ask("ETag: W/\"a\""), "if-none-match: W/\"a\"");
        assert_eq!(ask("ETag: bare"), "if-none-match: bare");
        assert_eq!(
            ask("Last-Modified: Thursday, 01-Jan-26 00:00:00 GMT\nETag: \"a\""),
            "if-none-match: \"a\"\nif-modified-since: Thursday, 01-Jan-26 00:00:00 GMT"
        );
        assert_eq!(ask("Last-Modified: yesterday"), "");
        assert_eq!(ask("ETag:"), "");
    }

    #[test]
    fn a_304_leaves_out_what_belongs_to_a_body() {
        for (name, want) in [
            ("etag", true),
            ("cache-control", true),
            ("content-type", false),
            ("content-length", false),
            ("set-cookie", false),
            ("x-other", false),
        ] {
            assert_eq!(
                belongs_in_304(&HeaderName::from_static(name)),
                want,
                "{name}"
            );
        }
    }
}
