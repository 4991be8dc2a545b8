//! Reading one named field of a request: a header, a query parameter or a cookie.

use farmgate_plugin_api::Facts;
use http::header::{COOKIE, HeaderName};
use percent_encoding::{PercentDecode, percent_decode};
use regex::bytes::Regex;

/// Escaped values up to this length are decoded on the stack.
const STACK_BYTES: usize = 1024;

/// How many values of one name are looked at. A client that repeats a field a thousand times
/// must not make a lookup a thousand times longer.
pub const MAX_VALUES: usize = 16;

/// Where a value stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Field<'n> {
    Header(&'n HeaderName),
    Query(&'n str),
    Cookie(&'n str),
}

impl<'n> Field<'n> {
    /// Something to sort fields by, so that the same routes always give the same tables.
    pub(super) fn key(self) -> (u8, &'n str) {
        match self {
            Self::Header(name) => (0, name.as_str()),
            Self::Query(name) => (1, name),
            Self::Cookie(name) => (2, name),
        }
    }

    /// Tests the values of the field one after the other, until one passes. A field may stand
    /// several times in a request; a cookie without `=` is none (RFC 6265 section 5.2).
    pub(super) fn any<F: Facts + ?Sized>(
        self,
        facts: &F,
        mut test: impl FnMut(Value<'_>) -> bool,
    ) -> bool {
        match self {
            Self::Header(name) => {
                let mut lines = facts.headers().get_all(name).iter().take(MAX_VALUES);
                lines.any(|line| test(Value::plain(line.as_bytes())))
            }
            Self::Query(name) => {
                let pairs = facts.query().unwrap_or_default().split('&');
                // An empty pair, as in `a=1&&b=2`, is no field.
                let pairs = pairs.filter(|pair| !pair.is_empty());
                let mut values = pairs
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .map(|(key, value)| (Value::escaped(key), Value::escaped(value)))
                    .filter(|(key, _)| key.is(name))
                    .take(MAX_VALUES);
                values.any(|(_, value)| test(value))
            }
            Self::Cookie(name) => {
                let lines = facts.headers().get_all(COOKIE).iter();
                let pairs = lines.flat_map(|line| line.as_bytes().split(|b| *b == b';'));
                let mut values = pairs
                    .filter_map(|pair| {
                        let mut halves = pair.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
                        (halves.next()? == name.as_bytes()).then(|| halves.next())?
                    })
                    .take(MAX_VALUES);
                values.any(|value| test(Value::plain(value)))
            }
        }
    }
}

/// One value as it stands in the request, compared as it is meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'v> {
    bytes: &'v [u8],
    /// Percent-escapes stand for bytes; `+` stands for itself.
    escaped: bool,
}

impl<'v> Value<'v> {
    fn plain(bytes: &'v [u8]) -> Self {
        Self {
            bytes,
            escaped: false,
        }
    }

    fn escaped(text: &'v str) -> Self {
        Self {
            bytes: text.as_bytes(),
            escaped: text.contains('%'),
        }
    }

    fn decoded(self) -> PercentDecode<'v> {
        percent_decode(self.bytes)
    }

    /// Whether the value is this text.
    pub(super) fn is(self, text: &str) -> bool {
        if self.escaped {
            self.decoded().eq(text.bytes())
        } else {
            self.bytes == text.as_bytes()
        }
    }

    /// Whether the regex matches.
    pub(super) fn fits(self, regex: &Regex) -> bool {
        self.with_bytes(|bytes| regex.is_match(bytes))
    }

    /// Hands out the bytes that are meant. Allocates for escaped values over 1 KiB only.
    pub(super) fn with_bytes<T>(self, read: impl FnOnce(&[u8]) -> T) -> T {
        if !self.escaped {
            return read(self.bytes);
        }
        if self.bytes.len() > STACK_BYTES {
            return read(&self.decoded().collect::<Vec<u8>>());
        }
        let mut stack = [0u8; STACK_BYTES];
        let mut length = 0;
        for (slot, byte) in stack.iter_mut().zip(self.decoded()) {
            *slot = byte;
            length += 1;
        }
        read(stack.get(..length).unwrap_or_default())
    }
}
