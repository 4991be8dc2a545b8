//! What is asked about a request, and the key of the answer.

use std::hash::Hasher;

use farmgate_plugin_api::{Facts, Source};
use http::{HeaderName, HeaderValue, Method, Uri};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::words::Forwarded;

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What every question consists of.
pub(super) struct Form {
    pub(super) method: Method,
    /// Absolute for a URL, path and query for an upstream.
    pub(super) uri: Uri,
    pub(super) send: Box<[HeaderName]>,
    pub(super) forward: Box<[Forwarded]>,
}

impl Form {
    /// The question about a request; none if something of it cannot be said.
    pub(super) fn fill(&self, facts: &dyn Facts) -> Option<http::Request<()>> {
        let mut head = http::Request::new(());
        *head.method_mut() = self.method.clone();
        *head.uri_mut() = self.uri.clone();
        let headers = head.headers_mut();
        for name in &self.send {
            for value in facts.headers().get_all(name) {
                headers.append(name, value.clone());
            }
        }
        for forwarded in &self.forward {
            let (name, value) = match forwarded {
                Forwarded::Method => (
                    X_FORWARDED_METHOD,
                    HeaderValue::from_str(facts.method().as_str()),
                ),
                Forwarded::Uri => {
                    let value = match facts.query() {
                        Some(query) => HeaderValue::from_str(&format!("{}?{query}", facts.path())),
                        None => HeaderValue::from_str(facts.path()),
                    };
                    (X_FORWARDED_URI, value)
                }
                Forwarded::Path => (X_FORWARDED_URI, HeaderValue::from_str(facts.path())),
                Forwarded::Host => (X_FORWARDED_HOST, HeaderValue::from_str(facts.host())),
                Forwarded::Proto => (X_FORWARDED_PROTO, HeaderValue::from_str(facts.scheme())),
                Forwarded::ClientIp => {
                    let client = facts.client_ip().to_canonical().to_string();
                    (X_FORWARDED_FOR, HeaderValue::from_str(&client))
                }
            };
            headers.insert(name, value.ok()?);
        }
        Some(head)
    }

    /// The first field that is sent and not in the key, or the first thing that is told of the request and not in it.
    /// Host and scheme are part of every key.
    pub(super) fn missing_in(&self, key: &[Source]) -> Option<Missing> {
        let field = self.send.iter().find(|name| {
            let same = |source: &Source| matches!(source, Source::Header(have) if have == *name);
            !key.iter().any(same)
        });
        if let Some(name) = field {
            return Some(Missing::Field(name.clone()));
        }
        let told = self.forward.iter().find(|forwarded| match forwarded {
            Forwarded::Method => !key.contains(&Source::Method),
            Forwarded::Path => !key.contains(&Source::Path),
            Forwarded::ClientIp => !key.contains(&Source::ClientIp),
            // No source holds a whole query.
            Forwarded::Uri => true,
            Forwarded::Host | Forwarded::Proto => false,
        });
        told.map(|forwarded| Missing::Told(*forwarded))
    }
}

/// What is sent and would not tell decisions apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Field(HeaderName),
    Told(Forwarded),
}

/// Hashes what decisions depend on.
pub(super) struct Keys {
    /// Drawn at random: without it nobody can look for two requests with one key, or for the credentials behind one.
    pub(super) secret: (u64, u64),
    pub(super) sources: Box<[Source]>,
}

impl Keys {
    /// 128 bits of SipHash-2-4 over all values, each with its length: two requests have the same key if everything that
    /// is sent is the same.
    pub(super) fn of(&self, facts: &dyn Facts) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        let mut part = |bytes: &[u8]| {
            hasher.write_u64(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            hasher.write(bytes);
        };
        part(facts.scheme().as_bytes());
        part(facts.host().as_bytes());
        for source in &self.sources {
            match source {
                // All values, since all are sent: a source alone reads the first.
                Source::Header(name) => {
                    let values = facts.headers().get_all(name);
                    let count = u64::try_from(values.iter().count()).unwrap_or(u64::MAX);
                    part(&count.to_be_bytes());
                    for value in values {
                        part(value.as_bytes());
                    }
                }
                // The whole address: a source alone counts IPv6 by its network.
                Source::ClientIp => {
                    let client = facts.client_ip().to_canonical();
                    match client {
                        std::net::IpAddr::V4(ip) => part(&ip.octets()),
                        std::net::IpAddr::V6(ip) => part(&ip.octets()),
                    }
                }
                other => {
                    let there = other.with_key(facts, &mut part).is_some();
                    part(&[u8::from(there)]);
                }
            }
        }
        hasher.finish128().as_u128()
    }
}
