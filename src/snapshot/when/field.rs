//! The values that a condition can name.

use std::borrow::Cow;
use std::fmt;

use farmgate_plugin_api::Facts;
use farmgate_plugin_api::source::{cookie_value, query_value};
use http::HeaderName;

use super::literal::Quoted;
use super::value::List;

/// Names without a key, each with what it is.
pub(super) const PLAIN: [(&str, Named); 13] = [
    ("request.method", Named::Text(Field::Method)),
    ("request.scheme", Named::Text(Field::Scheme)),
    ("request.host", Named::Text(Field::Host)),
    ("request.path", Named::Text(Field::Path)),
    ("listener.name", Named::Text(Field::Listener)),
    ("consumer.name", Named::Text(Field::Consumer)),
    ("consumer.plan", Named::Text(Field::Plan)),
    ("client.san", Named::Text(Field::ClientSan)),
    ("tls.version", Named::Text(Field::TlsVersion)),
    ("tls.sni", Named::Text(Field::TlsSni)),
    ("client.ip", Named::Address),
    ("consumer.tags", Named::Texts(List::Tags)),
    ("client.sans", Named::Texts(List::Sans)),
];

/// Names that take a key in brackets.
pub(super) const KEYED: [&str; 3] = ["request.headers", "request.query", "request.cookies"];

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Named {
    /// A text.
    Text(Field),
    /// The client's address.
    Address,
    /// Several texts.
    Texts(List),
}

/// A text of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Method,
    Scheme,
    Host,
    Path,
    Listener,
    Consumer,
    Plan,
    ClientSan,
    TlsVersion,
    TlsSni,
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
}

impl Field {
    /// The value; none if the request has none. The first one, where there are several. Only a
    /// query value with escapes is not lent.
    pub(super) fn read<'a>(&self, facts: &'a dyn Facts) -> Option<Cow<'a, [u8]>> {
        let lent = |text: &'a str| Some(Cow::Borrowed(text.as_bytes()));
        match self {
            Self::Method => lent(facts.method().as_str()),
            Self::Scheme => lent(facts.scheme()),
            Self::Host => lent(facts.host()),
            Self::Path => lent(facts.path()),
            Self::Listener => lent(facts.listener_name()),
            Self::Consumer => lent(&facts.consumer()?.name),
            Self::Plan => lent(facts.consumer()?.plan.as_deref()?),
            Self::ClientSan => lent(facts.client_sans().first()?),
            Self::TlsVersion => lent(facts.tls_version()?),
            Self::TlsSni => lent(facts.tls_sni()?),
            Self::Header(name) => Some(Cow::Borrowed(facts.headers().get(name)?.as_bytes())),
            Self::Query(name) => query_value(facts.query(), name),
            Self::Cookie(name) => cookie_value(facts, name).map(Cow::Borrowed),
        }
    }

    /// True if a request may lack it, so that `has` makes sense.
    pub(super) fn is_optional(&self) -> bool {
        match self {
            Self::Method | Self::Scheme | Self::Host | Self::Path | Self::Listener => false,
            Self::Consumer | Self::Plan | Self::ClientSan => true,
            Self::TlsVersion | Self::TlsSni => true,
            Self::Header(_) | Self::Query(_) | Self::Cookie(_) => true,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("request.method"),
            Self::Scheme => f.write_str("request.scheme"),
            Self::Host => f.write_str("request.host"),
            Self::Path => f.write_str("request.path"),
            Self::Listener => f.write_str("listener.name"),
            Self::Consumer => f.write_str("consumer.name"),
            Self::Plan => f.write_str("consumer.plan"),
            Self::ClientSan => f.write_str("client.san"),
            Self::TlsVersion => f.write_str("tls.version"),
            Self::TlsSni => f.write_str("tls.sni"),
            Self::Header(name) => write!(f, "request.headers[{}]", Quoted(name.as_str())),
            Self::Query(name) => write!(f, "request.query[{}]", Quoted(name)),
            Self::Cookie(name) => write!(f, "request.cookies[{}]", Quoted(name)),
        }
    }
}
