//! What a successful unsafe request makes stale (RFC 9111 section 4.4).

use http::header::{CONTENT_LOCATION, HeaderMap, HeaderName, LOCATION};
use http::{StatusCode, Uri};

use super::asked::{Asked, Verb};

/// URLs that one response can invalidate: its own, Location and Content-Location.
pub const MOST_TARGETS: usize = 3;

/// True if a response to this request invalidates: the method is unsafe, or unknown, and the response is no error. A
/// bridge to another method is none of our business: only what the origin accepted counts.
pub fn invalidates(asked: &Asked, status: StatusCode) -> bool {
    asked.verb == Verb::Unsafe && (status.is_success() || status.is_redirection())
}

/// The target of a request: normalised parts, as they stand in a key.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and, unless it is the scheme's own, port: lower case.
    pub host: &'a str,
    /// Path.
    pub path: &'a str,
    /// Query.
    pub query: Option<&'a str>,
}

/// Another URL of the same origin that a response names: a target that is still to be normalised like a client's, as
/// the path and query it would have on the wire.
pub fn named<'a>(
    target: &'a Target<'a>,
    response: &'a HeaderMap,
) -> impl Iterator<Item = String> + 'a {
    static NAMES: [HeaderName; 2] = [LOCATION, CONTENT_LOCATION];
    NAMES.iter().filter_map(|name| {
        let mut lines = response.get_all(name).iter();
        let (line, None) = (lines.next()?, lines.next()) else {
            return None;
        };
        same_origin(target, line.to_str().ok()?.trim())
    })
}

/// The path and query of a reference, if it stays on the target's origin (RFC 3986 section 5.2, without removing dot
/// segments: that is the normaliser's). Others may not make this origin's responses stale.
fn same_origin(target: &Target<'_>, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or(reference);
    if let Some(rest) = reference.strip_prefix("//") {
        return on_host(target, rest);
    }
    let scheme_end = reference.find([':', '/', '?']).filter(|at| {
        reference
            .get(*at..)
            .is_some_and(|rest| rest.starts_with(':'))
    });
    if let Some(at) = scheme_end {
        let (scheme, rest) = reference.split_at_checked(at)?;
        let rest = rest.strip_prefix("://")?;
        return scheme
            .eq_ignore_ascii_case(target.scheme)
            .then(|| on_host(target, rest))?;
    }
    if reference.starts_with('/') {
        return Some(reference.to_owned());
    }
    if reference.starts_with('?') {
        return Some(format!("{}{reference}", target.path));
    }
    if reference.is_empty() {
        return Some(match target.query {
            Some(query) => format!("{}?{query}", target.path),
            None => target.path.to_owned(),
        });
    }
    let folder = target
        .path
        .rfind('/')
        .and_then(|at| target.path.get(..=at))?;
    Some(format!("{folder}{reference}"))
}

/// `authority/path?query` on the target's host.
fn on_host(target: &Target<'_>, rest: &str) -> Option<String> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let authority: Uri = format!("{}://{authority}/", target.scheme).parse().ok()?;
    let authority = authority.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let default = match target.scheme {
        "https" => 443,
        _ => 80,
    };
    let port = authority.port_u16().filter(|port| *port != default);
    let host = authority.host().to_ascii_lowercase();
    let host = match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    (host == target.host).then(|| match path {
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::asked::{Identity, Request};
    use crate::cache::cases;
    use http::Method;

    #[test]
    fn every_case() {
        let target = Target {
            scheme: "https",
            host: "a.test",
            path: "/dir/page",
            query: Some("q=1"),
        };
        for case in cases::rows(include_str!("cases/references.txt"), 2) {
            let [want, reference] = case.columns.as_slice() else {
                panic!("line {}: two columns", case.line);
            };
            let got = same_origin(&target, reference.trim());
            let got = got.as_deref().unwrap_or("-");
            assert_eq!(got, want, "line {}: {reference}", case.line);
        }
    }

    #[test]
    fn both_fields_are_read_and_doubled_ones_are_not() {
        let target = Target {
            scheme: "http",
            host: "a.test:8080",
            path: "/p",
            query: None,
        };
        let of = |text: &str| -> Vec<String> { named(&target, &cases::fields(text)).collect() };
        assert_eq!(
            of("Location: /x\nContent-Location: http://A.test:8080/y"),
            ["/x", "/y"]
        );
        assert!(of("Location: /x\nLocation: /y").is_empty());
        assert!(of("Location: http://a.test/x").is_empty());
    }

    #[test]
    fn only_accepted_unsafe_requests_invalidate() {
        let fields = HeaderMap::new();
        for (method, status, want) in [
            ("POST", 200, true),
            ("POST", 303, true),
            ("PUT", 204, true),
            ("DELETE", 202, true),
            ("M-SEARCH", 200, true),
            ("POST", 404, false),
            ("POST", 500, false),
            ("GET", 200, false),
            ("HEAD", 200, false),
            ("OPTIONS", 200, false),
            ("TRACE", 200, false),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let request = Request {
                method: &method,
                fields: &fields,
                target_bytes: 1,
                has_body: false,
                identity: Identity::None,
            };
            let asked = Asked::read(&request, false);
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(invalidates(&asked, status), want, "{method} {status}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,40}", path in "/[a-z/]{0,10}") {
            let target = Target { scheme: "https", host: "a.test", path: &path, query: None };
            if let Some(found) = same_origin(&target, &text) {
                proptest::prop_assert!(found.starts_with('/'));
            }
        }
    }
}
