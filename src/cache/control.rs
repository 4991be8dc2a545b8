//! Cache-Control (RFC 9111 section 5.2): the tokenizer, and the directives of a response.
//!
//! One principle for everything that is broken: what forbids counts even when it is written badly, what permits
//! counts only when it is written well. So `no-store=1` forbids, `public=1` says nothing, `max-age=1 0` means stale.

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName};

/// The largest number of seconds; larger ones mean this one (RFC 9111 section 1.2.2).
pub const MOST_SECONDS: u32 = 1 << 31;

/// What stands behind the `=` of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a> {
    /// There is no `=`.
    None,
    /// A token, as written.
    Token(&'a [u8]),
    /// What stands between the quotes, escapes as written.
    Quoted(&'a [u8]),
    /// Anything else: space around the `=`, nothing behind it, a quote inside a token.
    Broken,
}

impl<'a> Argument<'a> {
    /// The text, of either form.
    fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Token(text) | Self::Quoted(text) => Some(text),
            Self::None | Self::Broken => None,
        }
    }

    /// The seconds. Both forms are read, though only the token is to be sent (RFC 9111 section 5.2). Anything but
    /// digits is invalid: a sign, a fraction, a unit.
    pub fn seconds(self) -> Seconds {
        match self.text().and_then(digits) {
            Some(value) => Seconds::Value(value),
            None => Seconds::Invalid,
        }
    }
}

/// The value of digits alone, at most [`MOST_SECONDS`].
pub fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = text.iter().fold(0_u32, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Some(value.min(MOST_SECONDS))
}

/// A number of seconds that was perhaps written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seconds {
    /// The directive is absent.
    #[default]
    Absent,
    /// Its value, at most [`MOST_SECONDS`].
    Value(u32),
    /// It is there without a usable value, or twice with different ones.
    Invalid,
}

impl Seconds {
    /// The value; what is invalid counts as 0 (RFC 9111 section 4.2.1 encourages to call it stale).
    pub fn or_stale(self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::Value(value) => Some(value),
            Self::Invalid => Some(0),
        }
    }

    /// True if the directive is there, usable or not.
    pub fn is_written(self) -> bool {
        self != Self::Absent
    }

    /// A further occurrence: the same again changes nothing, another value makes both invalid.
    pub fn join(&mut self, further: Self) {
        *self = match *self {
            Self::Absent => further,
            old if old == further => old,
            _ => Self::Invalid,
        };
    }
}

/// How far `no-cache` or `private` reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The directive is absent.
    #[default]
    Absent,
    /// Only the fields it names.
    Fields,
    /// The whole response.
    Whole,
}

/// The directives of a response, read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// At least one directive was there, known or not.
    pub present: bool,
    /// A line had a quote without its end: what permits is not believed.
    pub broken: bool,
    /// `no-store`
    pub no_store: bool,
    /// `no-cache`
    pub no_cache: Reach,
    /// `private`
    pub private: Reach,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `must-understand` (RFC 9111 section 5.2.2.3)
    pub must_understand: bool,
    /// `immutable` (RFC 8246)
    pub immutable: bool,
    /// `no-transform`
    pub no_transform: bool,
    /// `max-age`
    pub max_age: Seconds,
    /// `s-maxage`
    pub s_maxage: Seconds,
    /// `stale-while-revalidate` (RFC 5861 section 3)
    pub stale_while_revalidate: Seconds,
    /// `stale-if-error` (RFC 5861 section 4)
    pub stale_if_error: Seconds,
    /// What `no-cache="..."` and `private="..."` name: not kept in a stored response.
    pub fields: Vec<HeaderName>,
}

impl Directives {
    /// The Cache-Control of a response, all its lines together.
    pub fn of_response(fields: &HeaderMap) -> Self {
        let mut found = Self::default();
        for line in fields.get_all(CACHE_CONTROL) {
            let whole = read_line(line.as_bytes(), &mut |name, argument| {
                found.take(name, argument);
            });
            found.broken |= !whole;
        }
        if found.broken {
            found.distrust();
        }
        found
    }

    /// One directive. Names are compared without case.
    pub(super) fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let bare = argument == Argument::None;
        self.present = true;
        match &*name.to_ascii_lowercase() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = self.no_cache.max(reach(argument, &mut self.fields)),
            b"private" => self.private = self.private.max(reach(argument, &mut self.fields)),
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"no-transform" => self.no_transform = true,
            b"public" => self.public |= bare,
            b"must-understand" => self.must_understand |= bare,
            b"immutable" => self.immutable |= bare,
            b"max-age" => self.max_age.join(argument.seconds()),
            b"s-maxage" => self.s_maxage.join(argument.seconds()),
            b"stale-while-revalidate" => self.stale_while_revalidate.join(argument.seconds()),
            b"stale-if-error" => self.stale_if_error.join(argument.seconds()),
            // Unknown directives say nothing (RFC 9111 section 5.2.3).
            _ => {}
        }
    }

    /// Takes back what permits.
    fn distrust(&mut self) {
        self.public = false;
        self.must_understand = false;
        self.immutable = false;
        self.max_age = Seconds::Invalid;
        self.stale_while_revalidate = Seconds::Absent;
        self.stale_if_error = Seconds::Absent;
        if self.s_maxage.is_written() {
            self.s_maxage = Seconds::Invalid;
        }
    }

    /// True if the origin spoke about how long or whether its response may be reused; then no default of ours
    /// applies.
    pub fn decides(&self) -> bool {
        self.broken
            || self.no_store
            || self.no_cache == Reach::Whole
            || self.private == Reach::Whole
            || self.max_age.is_written()
            || self.s_maxage.is_written()
    }
}

/// Names behind `no-cache` or `private`; without any, or with one that is no field name, it is the whole response.
fn reach(argument: Argument<'_>, fields: &mut Vec<HeaderName>) -> Reach {
    /// More names than this mean the whole response.
    const MOST_FIELDS: usize = 32;
    let Some(text) = argument.text() else {
        return Reach::Whole;
    };
    let mut named = Vec::new();
    for name in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        match HeaderName::from_bytes(name) {
            Ok(name) if named.len() < MOST_FIELDS => named.push(name),
            _ if name.is_empty() => {}
            _ => return Reach::Whole,
        }
    }
    if named.is_empty() || fields.len() > MOST_FIELDS {
        return Reach::Whole;
    }
    fields.append(&mut named);
    Reach::Fields
}

/// Calls `visit` for each directive of one field line. False when a quote had no end: from there on the line is cut
/// at every comma, so that a directive behind the stray quote is not lost.
pub fn read_line<'a>(line: &'a [u8], visit: &mut dyn FnMut(&'a [u8], Argument<'a>)) -> bool {
    let mut rest = line;
    let mut whole = true;
    while !rest.is_empty() {
        let end = match element_end(rest) {
            Some(end) if whole => end,
            _ => {
                whole = false;
                comma(rest)
            }
        };
        let (element, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        let element = trim_ows(element);
        if !element.is_empty() {
            let (name, argument) = split(element);
            visit(name, argument);
        }
    }
    whole
}

fn comma(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| *byte == b',')
        .unwrap_or(text.len())
}

/// Where the first comma outside quotes is, or the end; none when a quote has no end.
fn element_end(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

fn split(element: &[u8]) -> (&[u8], Argument<'_>) {
    let Some(at) = element.iter().position(|byte| *byte == b'=') else {
        // `no-store foo`: two tokens without a comma; the first one counts.
        let end = element
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t'))
            .unwrap_or(element.len());
        let (name, rest) = element.split_at_checked(end).unwrap_or((element, &[]));
        let argument = if rest.is_empty() {
            Argument::None
        } else {
            Argument::Broken
        };
        return (name, argument);
    };
    let (name, argument) = element.split_at_checked(at).unwrap_or((element, &[]));
    let argument = argument.get(1..).unwrap_or_default();
    let clean = trim_ows(name);
    if clean.len() != name.len() {
        return (clean, Argument::Broken);
    }
    let argument = match argument {
        [] | [b' ' | b'\t', ..] => Argument::Broken,
        [b'"', inner @ .., b'"'] => match element_end(argument) {
            // Quotes inside are allowed only behind a backslash.
            Some(_) if !has_bare_quote(inner) => Argument::Quoted(inner),
            _ => Argument::Broken,
        },
        token if token.contains(&b'"') => Argument::Broken,
        token => Argument::Token(token),
    };
    (clean, argument)
}

fn has_bare_quote(text: &[u8]) -> bool {
    let mut escaped = false;
    text.iter().any(|byte| {
        let bare = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        bare
    })
}

/// Without spaces and tabs at its ends (RFC 9110 section 5.6.3).
pub fn trim_ows(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
