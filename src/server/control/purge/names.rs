//! What operators call what they purge, in the marks of the store: read as a request's target is read, by every choice
//! that the configuration in force makes about targets and queries.

use crate::cache::key::{QueryRules, key_host};
use crate::cache::purge::{self, LONGEST_TAG};
use crate::cache::shared::Scope;
use crate::protocol::uri::{NormalisedUri, UriPolicy, normalise, normalise_host, port_of};
use crate::snapshot::Snapshot;

/// The ways in which the configuration in force reads a URL. A listener chooses how its targets are normalised, a
/// policy which part of the query counts; a purge covers what any of them makes of a name.
pub(super) struct Names<'a> {
    uris: Vec<UriPolicy>,
    queries: Vec<&'a QueryRules>,
}

const WHOLE: &QueryRules = &QueryRules {
    ignore: Vec::new(),
    sort: false,
};

impl Default for Names<'_> {
    fn default() -> Self {
        Self {
            uris: vec![UriPolicy::default()],
            queries: vec![WHOLE],
        }
    }
}

impl<'a> Names<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let mut uris = Vec::new();
        for listener in snapshot.listeners.iter().flatten() {
            if !uris.contains(&listener.uri) {
                uris.push(listener.uri);
            }
        }
        let mut queries = Vec::new();
        for cache in snapshot
            .routes
            .iter()
            .filter_map(|route| route.cache.as_ref())
        {
            let rules = &cache.plan.policy.key.query;
            if !queries.contains(&rules) {
                queries.push(rules);
            }
        }
        let usual = Self::default();
        Self {
            uris: if uris.is_empty() { usual.uris } else { uris },
            queries: if queries.is_empty() {
                usual.queries
            } else {
                queries
            },
        }
    }

    /// One URL.
    pub(super) fn url(&self, text: &str) -> Result<Vec<Scope>, String> {
        let (Some(scheme), _) = split(text)? else {
            return Err(format!(
                "{text:?} has no scheme: write https://host/path, as the clients ask for it"
            ));
        };
        let mut scopes = Vec::new();
        for uri in self.read(text, text)? {
            let authority = uri.authority(text.as_bytes()).unwrap_or_default();
            for host in hosts(Some(scheme), authority) {
                for rules in &self.queries {
                    let (path, query) = (uri.path(text.as_bytes()), uri.query(text.as_bytes()));
                    scopes.push(purge::url(scheme, &host, path, query, rules));
                }
            }
        }
        Ok(scopes)
    }

    /// All below a path.
    pub(super) fn prefix(&self, text: &str) -> Result<Vec<Scope>, String> {
        let (scheme, rest) = split(text)?;
        if let Some(mark) = rest.chars().find(|c| matches!(c, '*' | '?')) {
            return Err(format!(
                "{text:?} has a {mark}: a prefix is host and path, as in a.test/static/, and covers all below"
            ));
        }
        if !rest.contains('/') {
            return Err(format!(
                "{text:?} has no path: write {rest}/static/, or purge the host"
            ));
        }
        let whole = format!("{}://{rest}", scheme.unwrap_or("http"));
        let mut scopes = Vec::new();
        for uri in self.read(&whole, text)? {
            let authority = uri.authority(whole.as_bytes()).unwrap_or_default();
            for host in hosts(scheme, authority) {
                scopes.push(purge::prefix(&host, uri.path(whole.as_bytes())));
            }
        }
        Ok(scopes)
    }

    /// A host.
    pub(super) fn host(&self, text: &str) -> Result<Vec<Scope>, String> {
        if text.contains(['/', '*', '?']) {
            return Err(format!(
                "{text:?} is not a host: write a.test or a.test:8080"
            ));
        }
        let whole = format!("http://{text}/");
        let Some(uri) = self.read(&whole, text)?.pop() else {
            return Ok(Vec::new());
        };
        let authority = uri.authority(whole.as_bytes()).unwrap_or_default();
        let hosts = hosts(None, authority);
        Ok(hosts.iter().map(|host| purge::host(host)).collect())
    }

    /// An absolute URL, as each listener reads it.
    fn read(&self, whole: &str, told: &str) -> Result<Vec<NormalisedUri>, String> {
        let read = |policy: &UriPolicy| {
            let mut uri = NormalisedUri::default();
            normalise(whole.as_bytes(), policy, &mut uri).ok()?;
            let named = uri.authority(whole.as_bytes());
            named.is_some_and(|host| !host.is_empty()).then_some(uri)
        };
        let all: Vec<_> = self.uris.iter().filter_map(read).collect();
        if all.is_empty() {
            return Err(format!(
                "{told:?} would be refused as a request's target: host, path and query as a client sends them, without spaces, user or #fragment"
            ));
        }
        Ok(all)
    }
}

/// One tag.
pub(super) fn tag(text: &str) -> Result<Vec<Scope>, String> {
    let text = text.trim();
    if text.is_empty() || text.contains(',') || text.len() > LONGEST_TAG {
        return Err(format!(
            "{text:?} is not a tag: 1 to {LONGEST_TAG} bytes without a comma; give several one by one"
        ));
    }
    Ok(vec![purge::tag(text.as_bytes())])
}

/// The scheme, and what is behind it.
fn split(text: &str) -> Result<(Option<&'static str>, &str), String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((None, text));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Some("http"), rest)),
        "https" => Ok((Some("https"), rest)),
        _ => Err(format!("{text:?}: {scheme:?} is neither http nor https")),
    }
}

/// The host as keys have it: with its port unless that is the scheme's own. Where no scheme is said, 80 and 443 may be
/// either.
fn hosts(scheme: Option<&str>, authority: &str) -> Vec<String> {
    let name = normalise_host(authority).into_owned();
    let Some(port) = port_of(authority) else {
        return vec![name];
    };
    let of = |https| key_host(https, &name, Some(port)).into_owned();
    match scheme {
        Some(scheme) => vec![of(scheme == "https")],
        None if of(true) == of(false) => vec![of(true)],
        None => vec![of(true), of(false)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::uri::EscapedSlash;

    fn urls(names: &Names<'_>, text: &str) -> Vec<Scope> {
        names.url(text).expect("a URL")
    }

    #[test]
    fn a_url_is_read_as_a_request_is() {
        let names = Names::default();
        let plain = vec![purge::url("https", "a.test", "/b/c", Some("q=1"), WHOLE)];
        for same in [
            "https://a.test/b/c?q=1",
            "HTTPS://A.TEST:443/b/c?q=1",
            "https://a.test./x/../b//%63?q=1",
        ] {
            assert_eq!(urls(&names, same), plain, "{same}");
        }
        for other in [
            "http://a.test/b/c?q=1",
            "https://a.test:8443/b/c?q=1",
            "https://a.test/b/c",
        ] {
            assert_ne!(urls(&names, other), plain, "{other}");
        }
        let bare = purge::url("http", "a.test:8080", "/", None, WHOLE);
        assert_eq!(urls(&names, "http://a.test:8080"), [bare]);
    }

    #[test]
    fn every_reading_in_force_is_purged() {
        let sorted = QueryRules {
            ignore: vec!["utm_*".to_owned()],
            sort: true,
        };
        let names = Names {
            uris: vec![
                UriPolicy::default(),
                UriPolicy {
                    escaped_slash: EscapedSlash::Decode,
                    merge_slashes: true,
                },
                UriPolicy {
                    escaped_slash: EscapedSlash::Reject,
                    merge_slashes: true,
                },
            ],
            queries: vec![WHOLE, &sorted],
        };
        let found = urls(&names, "http://a.test/x%2Fy?b=1&a=2&utm_z=3");
        for (path, query) in [("/x%2Fy", "b=1&a=2&utm_z=3"), ("/x/y", "b=1&a=2&utm_z=3")] {
            for rules in [WHOLE, &sorted] {
                let scope = purge::url("http", "a.test", path, Some(query), rules);
                assert!(found.contains(&scope), "{path} {rules:?}");
            }
        }
        // The third listener takes no such target.
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn prefixes_and_hosts() {
        let names = Names::default();
        let wanted = vec![purge::prefix("a.test", "/static/")];
        for same in [
            "a.test/static",
            "https://a.test/static/",
            "A.test/./static/",
        ] {
            assert_eq!(names.prefix(same).as_ref(), Ok(&wanted), "{same}");
        }
        assert_eq!(
            names.host("A.test:8080"),
            Ok(vec![purge::host("a.test:8080")])
        );
        assert_eq!(
            names.host("a.test:443"),
            Ok(vec![purge::host("a.test"), purge::host("a.test:443")])
        );
        assert_eq!(
            names.prefix("https://a.test:443/x/"),
            Ok(vec![purge::prefix("a.test", "/x/")])
        );
        assert_eq!(names.host("[::1]"), Ok(vec![purge::host("[::1]")]));
    }

    #[test]
    fn what_is_no_name_is_told() {
        let names = Names::default();
        for (refused, word) in [
            (names.url("a.test/x"), "has no scheme"),
            (names.url("ftp://a.test/x"), "neither http nor https"),
            (names.url("http:///x"), "refused as a request's target"),
            (names.url("http://a.test/x#y"), "#fragment"),
            (names.url("http://a b/"), "refused as a request's target"),
            (names.prefix("a.test/static/*"), "has a *"),
            (names.prefix("a.test/static?x"), "has a ?"),
            (names.prefix("a.test"), "has no path"),
            (names.host("a.test/x"), "is not a host"),
            (names.host("*.test"), "is not a host"),
            (names.host(""), "refused as a request's target"),
            (tag("a,b"), "is not a tag"),
            (tag(" "), "is not a tag"),
        ] {
            let why = refused.expect_err(word);
            assert!(why.contains(word), "{why}");
        }
    }
}
