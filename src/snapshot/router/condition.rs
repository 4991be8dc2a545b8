//! What a route asks of a request, and whether a request gives it.

use std::net::IpAddr;

use farmgate_plugin_api::{Consumer, Facts};
use http::Method;
use http::header::HeaderName;
use regex::bytes::{Regex, RegexBuilder};

use super::field::{Field, Value};
use super::host::HostPattern;
use super::path::PathPattern;
use crate::tls::SanRule;

/// The most memory one compiled regex may take.
const REGEX_BYTES: usize = 1 << 20;

/// Everything a route asks for. What is empty (or none) asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct RouteMatch {
    /// Slots of the listeners; none means every listener.
    pub listeners: Option<Vec<u16>>,
    /// One of these hosts.
    pub hosts: Vec<HostPattern>,
    /// One of these paths.
    pub paths: Vec<PathPattern>,
    /// One of these methods.
    pub methods: Vec<Method>,
    /// All of these header fields.
    pub headers: Vec<FieldCondition<HeaderName>>,
    /// All of these query parameters, compared percent-decoded; `+` is no space.
    pub query: Vec<FieldCondition<String>>,
    /// All of these cookies.
    pub cookies: Vec<FieldCondition<String>>,
    /// One of these networks has the client's address.
    pub sources: Vec<Cidr>,
    /// One of these fits a name of the client's certificate.
    pub client_sans: Vec<SanRule>,
    /// Who sends it.
    pub consumers: ConsumerMatch,
}

/// What a route asks of the consumer that a plugin of the listener found. All that is not empty must fit.
#[derive(Clone, Debug, Default)]
pub struct ConsumerMatch {
    /// One of these names.
    pub names: Vec<Box<str>>,
    /// One of these plans.
    pub plans: Vec<Box<str>>,
    /// One of these tags.
    pub tags: Vec<Box<str>>,
}

impl ConsumerMatch {
    fn lists(&self) -> [&Vec<Box<str>>; 3] {
        [&self.names, &self.plans, &self.tags]
    }

    fn conditions(&self) -> usize {
        self.lists().iter().filter(|list| !list.is_empty()).count()
    }

    /// The first of the three that does not fit.
    fn miss(&self, consumer: Option<&Consumer>) -> Option<&'static str> {
        let has = |list: &[Box<str>], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|one| **one == *value))
        };
        if !has(&self.names, consumer.map(|found| &*found.name)) {
            return Some("consumer");
        }
        if !has(
            &self.plans,
            consumer.and_then(|found| found.plan.as_deref()),
        ) {
            return Some("consumer_plan");
        }
        let tagged = |found: &Consumer| found.tags.iter().any(|tag| has(&self.tags, Some(tag)));
        let missed = !self.tags.is_empty() && !consumer.is_some_and(tagged);
        missed.then_some("consumer_tags")
    }

    fn covers(&self, narrow: &Self) -> bool {
        let lists = narrow.lists().into_iter().zip(self.lists());
        lists
            .into_iter()
            .all(|(narrow, wide)| within(narrow, wide, |a, b| a == b))
    }

    /// A consumer has one name and one plan, but may have several tags.
    fn excludes(&self, other: &Self) -> bool {
        apart(&self.names, &other.names, |a, b| a == b)
            || apart(&self.plans, &other.plans, |a, b| a == b)
    }
}

/// What one named field must be. A field that stands several times fits if any value does; of
/// one name the first [`MAX_VALUES`](super::MAX_VALUES) values are looked at.
#[derive(Clone, Debug)]
pub struct FieldCondition<N> {
    /// The field's name.
    pub name: N,
    /// What its value must be.
    pub value: Condition,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Condition {
    /// This text, byte for byte.
    Exact(String),
    /// A text that this regex, anchored at both ends, matches. See [`Condition::regex`].
    Regex(Regex),
    /// Anything, even an empty value.
    Present,
}

impl Condition {
    /// Compiles a regex that must match the whole value. Its size is limited. Matching takes
    /// linear time; the engine may allocate scratch space when a thread uses it first.
    pub fn regex(text: &str) -> Result<Self, regex::Error> {
        let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
        // Alone first: `a)(b` would be whole only inside the anchors.
        build(text)?;
        Ok(Self::Regex(build(&format!(r"\A(?:{text})\z"))?))
    }

    fn holds(&self, value: Value<'_>) -> bool {
        match self {
            Self::Exact(text) => value.is(text),
            Self::Regex(regex) => value.fits(regex),
            Self::Present => true,
        }
    }

    /// True if every value that fits `narrow` certainly fits `self`.
    fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Present, _) => true,
            (Self::Exact(mine), Self::Exact(theirs)) => mine == theirs,
            (Self::Regex(mine), Self::Exact(text)) => mine.is_match(text.as_bytes()),
            (Self::Regex(mine), Self::Regex(theirs)) => mine.as_str() == theirs.as_str(),
            (Self::Exact(_) | Self::Regex(_), _) => false,
        }
    }

    /// True if certainly no value fits both.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(mine), Self::Exact(theirs)) => mine != theirs,
            (Self::Exact(text), Self::Regex(regex)) | (Self::Regex(regex), Self::Exact(text)) => {
                !regex.is_match(text.as_bytes())
            }
            (Self::Regex(_), Self::Regex(_)) | (Self::Present, _) | (_, Self::Present) => false,
        }
    }
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Any address of the network.
    pub addr: IpAddr,
    /// 0 to 32, or 0 to 128; more counts as all.
    pub prefix: u8,
}

impl Cidr {
    /// Whether the address is in the network. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.holds(address.to_canonical())
    }

    fn holds(&self, address: IpAddr) -> bool {
        let (same, bits) = match (self.addr, address) {
            (IpAddr::V4(mine), IpAddr::V4(theirs)) => {
                ((u32::from(mine) ^ u32::from(theirs)).leading_zeros(), 32)
            }
            (IpAddr::V6(mine), IpAddr::V6(theirs)) => {
                ((u128::from(mine) ^ u128::from(theirs)).leading_zeros(), 128)
            }
            _ => return false,
        };
        u32::from(self.prefix).min(bits) <= same
    }

    fn covers(&self, narrow: &Self) -> bool {
        self.prefix <= narrow.prefix && self.holds(narrow.addr)
    }
}

/// The first thing that a request lacks for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss<'r> {
    Listener,
    Method,
    Field(Field<'r>),
    Source,
    ClientSan,
    Consumer(&'static str),
}

impl RouteMatch {
    /// What decides between routes of the same host and path: the more, the earlier. Listeners,
    /// methods, sources, client names, and names, plans and tags of consumers count one each, every header, query and cookie field counts one.
    pub fn conditions(&self) -> usize {
        usize::from(self.listeners.is_some())
            + usize::from(!self.methods.is_empty())
            + usize::from(!self.sources.is_empty())
            + usize::from(!self.client_sans.is_empty())
            + self.consumers.conditions()
            + self.headers.len()
            + self.query.len()
            + self.cookies.len()
    }

    /// The named fields, cheap ones first.
    pub(super) fn fields(&self) -> impl Iterator<Item = (Field<'_>, &Condition)> {
        let headers = self
            .headers
            .iter()
            .map(|c| (Field::Header(&c.name), &c.value));
        let query = self.query.iter().map(|c| (Field::Query(&c.name), &c.value));
        let cookies = self
            .cookies
            .iter()
            .map(|c| (Field::Cookie(&c.name), &c.value));
        headers.chain(query).chain(cookies)
    }

    /// The first condition but host and path that the request does not meet.
    pub(super) fn miss<F: Facts + ?Sized>(&self, facts: &F) -> Option<Miss<'_>> {
        if let Some(slots) = &self.listeners
            && !slots.contains(&facts.listener())
        {
            return Some(Miss::Listener);
        }
        if !self.methods.is_empty() && !self.methods.contains(facts.method()) {
            return Some(Miss::Method);
        }
        for (field, condition) in self.fields() {
            if !field.any(facts, |value| condition.holds(value)) {
                return Some(Miss::Field(field));
            }
        }
        if !self.sources.is_empty() {
            let client = facts.client_ip();
            if !self.sources.iter().any(|net| net.contains(client)) {
                return Some(Miss::Source);
            }
        }
        if !self.client_sans.is_empty() {
            let names = facts.client_sans();
            if !self.client_sans.iter().any(|rule| rule.fits(names)) {
                return Some(Miss::ClientSan);
            }
        }
        if self.consumers.conditions() > 0 {
            return self.consumers.miss(facts.consumer()).map(Miss::Consumer);
        }
        None
    }

    /// True if every request that meets the conditions of `narrow` (hosts and paths aside)
    /// certainly meets these.
    pub(super) fn covers(&self, narrow: &Self) -> bool {
        let listeners = match (&self.listeners, &narrow.listeners) {
            (None, _) => true,
            (Some(mine), Some(theirs)) => theirs.iter().all(|slot| mine.contains(slot)),
            (Some(_), None) => false,
        };
        listeners
            && within(&narrow.methods, &self.methods, |wide, one| wide == one)
            && within(&narrow.sources, &self.sources, Cidr::covers)
            && within(&narrow.client_sans, &self.client_sans, |wide, one| {
                wide == one
            })
            && self.consumers.covers(&narrow.consumers)
            && self.fields().all(|(field, wide)| {
                narrow
                    .fields()
                    .any(|(other, one)| field == other && wide.covers(one))
            })
    }

    /// True if no request meets the conditions of both. Two exact values of one field count as
    /// exclusive, although a client may send a field twice.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let listeners = match (&self.listeners, &other.listeners) {
            (Some(mine), Some(theirs)) => !mine.iter().any(|slot| theirs.contains(slot)),
            (None, _) | (_, None) => false,
        };
        let overlap = |a: &Cidr, b: &Cidr| a.covers(b) || b.covers(a);
        listeners
            || apart(&self.methods, &other.methods, |a, b| a == b)
            || apart(&self.sources, &other.sources, overlap)
            || self.consumers.excludes(&other.consumers)
            || self.fields().any(|(field, mine)| {
                other
                    .fields()
                    .any(|(same, theirs)| field == same && mine.excludes(theirs))
            })
    }
}

/// Whether one of `wide` covers each of `narrow`; an empty list takes all.
fn within<T>(narrow: &[T], wide: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    wide.is_empty()
        || !narrow.is_empty() && narrow.iter().all(|one| wide.iter().any(|w| covers(w, one)))
}

/// Whether two lists have nothing in common; an empty list takes all.
fn apart<T>(a: &[T], b: &[T], meet: impl Fn(&T, &T) -> bool) -> bool {
    !a.is_empty() && !b.is_empty() && !a.iter().any(|x| b.iter().any(|y| meet(x, y)))
}
