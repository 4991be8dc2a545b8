//! Where credentials stand in a request, and how they are taken out of what goes on to the origin.

use http::{HeaderName, HeaderValue, header};

use crate::exchange::{Headers, Request};
use crate::source::{Source, percent_decode};

/// Where a credential stands in a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// In the header field of this name.
    Header(HeaderName),
    /// In the query parameter of this name.
    Query(Box<str>),
    /// In the cookie of this name.
    Cookie(Box<str>),
}

impl Credential {
    /// The place that a source names; none for a source that is no place of a credential.
    pub fn of(source: &Source) -> Option<Self> {
        match source {
            Source::Header(name) => Some(Self::Header(name.clone())),
            Source::Query(name) => Some(Self::Query(name.clone())),
            Source::Cookie(name) => Some(Self::Cookie(name.clone())),
            Source::ClientIp
            | Source::Host
            | Source::Path
            | Source::Method
            | Source::Global
            | Source::Consumer
            | Source::ConsumerPlan
            | Source::ClientSan => None,
        }
    }

    /// Takes everything of this place out of the request that goes on: each field, parameter or cookie of
    /// the name, however it is escaped. What stands beside it stays as it was. Costs nothing but a look
    /// when there is none.
    ///
    /// False if it is still there, because the engine refused the target without it: then the request must
    /// not go on.
    #[must_use]
    pub fn remove(&self, request: &mut (dyn Request + '_)) -> bool {
        match self {
            Self::Header(name) => {
                if request.headers().contains_key(name) {
                    request.edit().remove(name);
                }
                true
            }
            Self::Query(name) => match without_parameter(request.target(), name) {
                Some(target) => request.set_target(&target),
                None => true,
            },
            Self::Cookie(name) => {
                remove_cookie(request.edit(), name);
                true
            }
        }
    }
}

/// The target without the parameters of this name; none if it has none.
fn without_parameter(target: &str, name: &str) -> Option<String> {
    let (path, query) = target.split_once('?')?;
    let is_other = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        let same = key == name || (key.contains('%') && *percent_decode(key) == *name.as_bytes());
        !same || pair.is_empty()
    };
    if query.split('&').all(|pair| is_other(&pair)) {
        return None;
    }
    let mut out = String::with_capacity(target.len());
    out.push_str(path);
    for (at, pair) in query.split('&').filter(is_other).enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    Some(out)
}

/// Rewrites those cookie fields that hold the cookie; a field that held nothing else goes.
fn remove_cookie(headers: &mut dyn Headers, name: &str) {
    let is_it = |pair: &&[u8]| {
        let key = pair.split(|b| *b == b'=').next().unwrap_or_default();
        key.len() < pair.len() && key.trim_ascii() == name.as_bytes()
    };
    let pairs = |field: &HeaderValue| {
        field
            .as_bytes()
            .split(|b| *b == b';')
            .any(|pair| is_it(&pair))
    };
    if !headers.map().get_all(header::COOKIE).iter().any(pairs) {
        return;
    }
    let fields: Vec<HeaderValue> = headers
        .map()
        .get_all(header::COOKIE)
        .iter()
        .cloned()
        .collect();
    headers.remove(&header::COOKIE);
    for field in fields {
        if !pairs(&field) {
            headers.append(&header::COOKIE, field);
            continue;
        }
        let kept: Vec<&[u8]> = field
            .as_bytes()
            .split(|b| *b == b';')
            .filter(|pair| !is_it(pair) && !pair.trim_ascii().is_empty())
            .map(<[u8]>::trim_ascii)
            .collect();
        if let Ok(mut value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            && !kept.is_empty()
        {
            value.set_sensitive(field.is_sensitive());
            headers.append(&header::COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compliance::FakeRequest;
    use crate::facts::Facts;

    fn query(target: &str) -> String {
        let mut request = FakeRequest::get(target);
        assert!(Credential::Query("key".into()).remove(&mut request));
        request.target
    }

    #[test]
    fn a_parameter_goes_however_it_is_written() {
        assert_eq!(query("/a?key=1"), "/a");
        assert_eq!(query("/a?b=2&key=1&c=%26"), "/a?b=2&c=%26");
        assert_eq!(query("/a?key=1&b=2&key=3&%6bey=4&key"), "/a?b=2");
        assert_eq!(
            query("/a?keys=1&KEY=2&a=key=1&"),
            "/a?keys=1&KEY=2&a=key=1&"
        );
        assert_eq!(query("/a?"), "/a?");
        assert_eq!(query("/a?&&key="), "/a?&");
        assert_eq!(query("/key=1"), "/key=1");
    }

    #[test]
    fn a_cookie_goes_and_the_others_stay() {
        let mut request = FakeRequest::get("/")
            .header("cookie", "a=1; session=s;b = 2;session=t")
            .header("cookie", "  session=u  ")
            .header("cookie", "theme=\"dark; session\"; session")
            .header("cookie", b"x=\xff; session=1");
        assert!(Credential::Cookie("session".into()).remove(&mut request));
        let fields: Vec<&[u8]> = request
            .headers()
            .get_all("cookie")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(
            fields,
            [
                &b"a=1; b = 2"[..],
                b"theme=\"dark; session\"; session",
                b"x=\xff"
            ]
        );
    }

    #[test]
    fn every_field_of_the_name_goes() {
        let mut request = FakeRequest::get("/")
            .header("x-key", "1")
            .header("X-Key", "2")
            .header("x-keys", "3");
        assert!(Credential::Header(HeaderName::from_static("x-key")).remove(&mut request));
        assert_eq!(request.headers().len(), 1);
    }

    #[test]
    fn only_places_of_a_request_hold_credentials() {
        assert_eq!(Credential::of(&Source::Host), None);
        let cookie = Source::parse("cookie:a").unwrap();
        assert_eq!(
            Credential::of(&cookie),
            Some(Credential::Cookie("a".into()))
        );
    }
}
