//! Origins (RFC 6454) as operators write them, and as browsers send them.

use std::collections::HashMap;

use bytes::Bytes;
use http::HeaderValue;

type Exact = HashMap<Box<[u8]>, HeaderValue, foldhash::fast::RandomState>;

/// Where a few texts are compared one by one: faster than a hash of the value.
const FEW: usize = 8;

/// The origins that may read answers.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// `*`: all of them.
    any: bool,
    /// With the value that answers them.
    few: Vec<(Box<[u8]>, HeaderValue)>,
    /// The same beyond [`FEW`].
    many: Exact,
    below: Vec<Below>,
}

/// `https://*.example.test:8443`: every host below one.
#[derive(Debug)]
struct Below {
    /// `https://`
    before: Box<[u8]>,
    /// `.example.test:8443`
    behind: Box<[u8]>,
}

/// An origin as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// `*`
    Any,
    /// `null`: what sandboxed documents, files and redirects over origins send.
    Null,
    /// A scheme, a host and a port where it is not the usual one, in lower case.
    Exact(String),
    /// The parts around `*`.
    Below(String, String),
}

impl Written {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and on a second line what to write.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let wrong = |what: &str| {
            format!(
                "`{text}` is no origin: {what}\nwrite it as \"https://app.example.test\", with a port where it is not the scheme's own, or \"https://*.example.test\" for every host below one"
            )
        };
        let lower = text.to_ascii_lowercase();
        let Some((scheme, authority)) = lower.split_once("://") else {
            return Err(wrong("it has no scheme"));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(plain) {
            return Err(wrong("its scheme is none"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            None => String::new(),
            Some(port) => {
                let number: u16 = port.parse().map_err(|_| wrong("its port is no number"))?;
                let usual = matches!((scheme, number), ("https", 443) | ("http", 80));
                // Browsers leave it out (RFC 6454 section 6.2).
                if usual {
                    String::new()
                } else {
                    format!(":{number}")
                }
            }
        };
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        let literal = host.starts_with('[') && host.ends_with(']') && !below;
        let part = |part: &str| !part.is_empty() && part.bytes().all(is_host_byte);
        if !(literal || host.split('.').all(part)) {
            return Err(wrong(
                "its host is no name or address, or something follows it",
            ));
        }
        Ok(if below {
            Self::Below(format!("{scheme}://"), format!(".{host}{port}"))
        } else {
            Self::Exact(format!("{scheme}://{host}{port}"))
        })
    }
}

impl Origins {
    /// Puts them together.
    pub(super) fn of(written: &[Written]) -> Self {
        let mut origins = Self::default();
        let mut exact = Exact::default();
        for one in written {
            let text = match one {
                Written::Any => {
                    origins.any = true;
                    continue;
                }
                Written::Below(before, behind) => {
                    origins.below.push(Below {
                        before: before.as_bytes().into(),
                        behind: behind.as_bytes().into(),
                    });
                    continue;
                }
                Written::Null => "null",
                Written::Exact(text) => text,
            };
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            // The first clone makes the bytes shared; later ones, on the request path, only count.
            drop(bytes.clone());
            if let Ok(value) = HeaderValue::from_maybe_shared(bytes) {
                exact.insert(text.as_bytes().into(), value);
            }
        }
        if exact.len() <= FEW {
            origins.few = exact.into_iter().collect();
        } else {
            origins.many = exact;
        }
        origins
    }

    /// True if every origin may read, so that answers need not name one.
    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    /// The value that lets this origin read; none if it may not.
    pub(super) fn find(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        const ANY: HeaderValue = HeaderValue::from_static("*");
        if self.any {
            return Some(ANY);
        }
        let sent = origin.as_bytes();
        let few = self.few.iter().find(|(text, _)| **text == *sent);
        if let Some((_, value)) = few {
            return Some(value.clone());
        }
        if let Some(value) = (!self.many.is_empty())
            .then(|| self.many.get(sent))
            .flatten()
        {
            return Some(value.clone());
        }
        let below = |one: &Below| {
            let middle = sent
                .strip_prefix(&*one.before)
                .and_then(|rest| rest.strip_suffix(&*one.behind));
            middle.is_some_and(|middle| {
                let mut labels = middle.split(|byte| *byte == b'.');
                labels.all(|label| !label.is_empty() && label.iter().copied().all(is_host_byte))
            })
        };
        self.below.iter().any(below).then(|| origin.clone())
    }
}

/// What hosts are made of in an origin: browsers send letters in lower case, others as punycode.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}

/// True for the origin of the request's own host: nothing crosses origins then.
pub(super) fn is_same(origin: &[u8], scheme: &str, host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.map(HeaderValue::as_bytes) else {
        return false;
    };
    let rest = origin
        .strip_prefix(scheme.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"://"));
    let usual: &[u8] = if scheme == "https" { b":443" } else { b":80" };
    let host = host.strip_suffix(usual).unwrap_or(host);
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}
