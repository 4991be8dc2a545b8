//! Sources: one grammar for every place that reads a value of the request (limit keys, sticky
//! cookies, balance keys, templates).
//!
//! `client_ip`, `host`, `path`, `method`, `global`, `consumer`, `consumer.plan`, `client_san`, `header:NAME`, `query:NAME`,
//! `cookie:NAME`.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderName, header};

use crate::decode::nearest;
use crate::facts::Facts;

/// Every word a source may begin with.
pub const WORDS: [&str; 11] = [
    "client_ip",
    "host",
    "path",
    "method",
    "global",
    "consumer",
    "consumer.plan",
    "client_san",
    "header:NAME",
    "query:NAME",
    "cookie:NAME",
];

/// A value of the request, named once and resolved when the configuration is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The client's address. As a key, IPv6 counts by /64: one subscriber usually holds that much.
    ClientIp,
    /// The requested host.
    Host,
    /// The normalised path, in its escaped form.
    Path,
    /// The method.
    Method,
    /// The same value for every request.
    Global,
    /// The name of the consumer that an authenticating plugin found.
    Consumer,
    /// The plan of that consumer.
    ConsumerPlan,
    /// The first name of the client's verified certificate.
    ClientSan,
    /// The first header field of this name.
    Header(HeaderName),
    /// The first query parameter of this name, percent-decoded.
    Query(Box<str>),
    /// The first cookie of this name.
    Cookie(Box<str>),
}

/// Why a text is no source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub help: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SourceError {}

impl Source {
    /// Compiles a source from its text.
    ///
    /// # Errors
    /// The word is unknown (the help names the nearest), or a name is missing, superfluous or
    /// cannot be the name of such a thing.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let (word, name) = match text.split_once(':') {
            Some((word, name)) => (word, Some(name)),
            None => (text, None),
        };
        let plain = match word {
            "client_ip" => Self::ClientIp,
            "host" => Self::Host,
            "path" => Self::Path,
            "method" => Self::Method,
            "global" => Self::Global,
            "consumer" => Self::Consumer,
            "consumer.plan" => Self::ConsumerPlan,
            "client_san" => Self::ClientSan,
            "header" | "query" | "cookie" => return Self::parse_named(word, name),
            _ => return Err(unknown(text, word)),
        };
        match name {
            None => Ok(plain),
            Some(_) => Err(SourceError {
                message: format!("source `{word}` takes no name"),
                help: format!("write `{word}`"),
            }),
        }
    }

    fn parse_named(word: &str, name: Option<&str>) -> Result<Self, SourceError> {
        let name = name.unwrap_or_default();
        if name.is_empty() {
            return Err(SourceError {
                message: format!("source `{word}` needs a name"),
                help: format!("write `{word}:NAME`"),
            });
        }
        let invalid = |what: &str| SourceError {
            message: format!("`{name}` cannot be the name of a {what}"),
            help: "use letters, digits, `-` and `_`".to_owned(),
        };
        match word {
            "header" => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| invalid("header field")),
            "query" if name.chars().any(|c| c.is_control() || c == '&' || c == '=') => {
                Err(invalid("query parameter"))
            }
            "query" => Ok(Self::Query(name.into())),
            _ if HeaderName::from_bytes(name.as_bytes()).is_err() => Err(invalid("cookie")),
            _ => Ok(Self::Cookie(name.into())),
        }
    }

    /// The value as text; none when the request has none. Only an address and a query value with
    /// escapes are written to `scratch`; all other values are lent. Bytes that are no UTF-8 show
    /// as U+FFFD.
    pub fn read<'a>(&self, facts: &'a dyn Facts, scratch: &'a mut String) -> Option<&'a str> {
        let text = match self {
            Self::ClientIp => {
                scratch.clear();
                let _ = write!(scratch, "{}", facts.client_ip().to_canonical());
                return Some(scratch);
            }
            Self::Host => Cow::Borrowed(facts.host()),
            Self::Path => Cow::Borrowed(facts.path()),
            Self::Method => Cow::Borrowed(facts.method().as_str()),
            Self::Global => Cow::Borrowed("global"),
            Self::Consumer => Cow::Borrowed(&*facts.consumer()?.name),
            Self::ConsumerPlan => Cow::Borrowed(facts.consumer()?.plan.as_deref()?),
            Self::ClientSan => Cow::Borrowed(facts.client_sans().first()?.as_str()),
            Self::Header(name) => String::from_utf8_lossy(facts.headers().get(name)?.as_bytes()),
            Self::Query(name) => match query_value(facts.query(), name)? {
                Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
                Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
            },
            Self::Cookie(name) => String::from_utf8_lossy(cookie_value(facts, name)?),
        };
        match text {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(text) => {
                *scratch = text;
                Some(scratch)
            }
        }
    }

    /// Hands the value to `take` as the bytes that limits, balancers and tables use as a key; none
    /// when the request has no such value. Allocates only for a query value with escapes.
    ///
    /// Two clients have the same `client_ip` key when their IPv4 addresses are equal or their IPv6
    /// addresses share a /64.
    pub fn with_key<R>(&self, facts: &dyn Facts, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        Some(match self {
            Self::ClientIp => match facts.client_ip().to_canonical() {
                IpAddr::V4(ip) => take(&ip.octets()),
                IpAddr::V6(ip) => {
                    let prefix = ip.to_bits() >> 64;
                    take(&u64::try_from(prefix).unwrap_or_default().to_be_bytes())
                }
            },
            Self::Host => take(facts.host().as_bytes()),
            Self::Path => take(facts.path().as_bytes()),
            Self::Method => take(facts.method().as_str().as_bytes()),
            Self::Global => take(b""),
            Self::Consumer => take(facts.consumer()?.name.as_bytes()),
            Self::ConsumerPlan => take(facts.consumer()?.plan.as_deref()?.as_bytes()),
            Self::ClientSan => take(facts.client_sans().first()?.as_bytes()),
            Self::Header(name) => take(facts.headers().get(name)?.as_bytes()),
            Self::Query(name) => take(&query_value(facts.query(), name)?),
            Self::Cookie(name) => take(cookie_value(facts, name)?),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Method => f.write_str("method"),
            Self::Global => f.write_str("global"),
            Self::Consumer => f.write_str("consumer"),
            Self::ConsumerPlan => f.write_str("consumer.plan"),
            Self::ClientSan => f.write_str("client_san"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// The first parameter of this name in a query, percent-decoded. `+` stays a plus sign. The name in
/// the query may be escaped too. A parameter without `=` has an empty value.
pub fn query_value<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, [u8]>> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let same = key == name || (key.contains('%') && *percent_decode(key) == *name.as_bytes());
        (same && !pair.is_empty()).then(|| percent_decode(value))
    })
}

/// The first cookie of this name (RFC 6265, section 4.2), read tolerantly: any white space around
/// pairs, several `cookie` fields (HTTP/2 splits them), pairs without `=` skipped. Names are
/// compared exactly and quotes are part of the value.
pub fn cookie_value<'a>(facts: &'a dyn Facts, name: &str) -> Option<&'a [u8]> {
    facts
        .headers()
        .get_all(header::COOKIE)
        .iter()
        .find_map(|field| {
            field.as_bytes().split(|b| *b == b';').find_map(|pair| {
                let at = pair.iter().position(|b| *b == b'=')?;
                let (key, value) = pair.split_at_checked(at)?;
                (key.trim_ascii() == name.as_bytes())
                    .then(|| value.get(1..).unwrap_or_default().trim_ascii())
            })
        })
}

/// Decodes percent escapes; an escape that is none stays as it is.
pub fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        match (first, escape_value(rest)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}

/// The byte that an escape `%XX` at the start of `bytes` stands for.
pub(crate) fn escape_value(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    if bytes.first() != Some(&b'%') {
        return None;
    }
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

fn unknown(text: &str, word: &str) -> SourceError {
    let words: Vec<&str> = WORDS
        .iter()
        .map(|known| known.split(':').next().unwrap_or(known))
        .collect();
    let help = match nearest(word, &words) {
        Some(near) => match WORDS.iter().find(|known| known.starts_with(near)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("did you mean `{near}`?"),
        },
        None => format!("a source is one of {}", WORDS.join(", ")),
    };
    SourceError {
        message: format!("unknown source `{text}`"),
        help,
    }
}

#[cfg(test)]
mod tests;
