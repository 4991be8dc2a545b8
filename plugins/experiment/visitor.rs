//! Visitors without a key of their own: a cookie with a random number tells them again.

use bytes::Bytes;
use farmgate_plugin_api::Facts;
use farmgate_plugin_api::services::Random;
use farmgate_plugin_api::source::cookie_value;
use http::HeaderValue;

/// Length of a visitor's number: 128 bits in hexadecimal digits.
const DIGITS: usize = 32;

/// The cookie of an experiment.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) name: Box<str>,
    pub(super) max_age_s: u64,
}

impl Visitor {
    /// The number that a request brings along; none if it has none, or one that is not ours.
    pub(super) fn known<'f>(&self, facts: &'f dyn Facts) -> Option<&'f [u8]> {
        let value = cookie_value(facts, &self.name)?;
        let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (value.len() == DIGITS && value.iter().all(hex)).then_some(value)
    }

    /// A new number.
    pub(super) fn draw(random: &dyn Random) -> String {
        format!("{:016x}{:016x}", random.next(), random.next())
    }

    /// The field `Set-Cookie` for it.
    pub(super) fn field(&self, number: &str, is_https: bool) -> Option<HeaderValue> {
        let Self { name, max_age_s } = self;
        let secure = if is_https { "; Secure" } else { "" };
        let text =
            format!("{name}={number}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
    }
}
