//! Reading the options that stand in a target.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Why a request for one of the origin's targets was refused: the text of the 400.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

/// The query of a target: `name=value` pairs, percent-escaped.
#[derive(Clone, Copy)]
pub(super) struct Query<'a>(pub(super) &'a str);

impl<'a> Query<'a> {
    /// The first value of `name`, unescaped. A name without `=` has the empty value.
    pub(super) fn text(self, name: &str) -> Option<Cow<'a, str>> {
        self.0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy())
    }

    /// The number `name`, or `default` when it is not given.
    /// Refused when it is not a number or above `most`.
    pub(super) fn number(self, name: &str, default: u64, most: u64) -> Result<u64, Refusal> {
        match self.text(name) {
            Some(text) => number(name, &text, most),
            None => Ok(default),
        }
    }
}

/// Parses a decimal number from 0 to `most`; `name` is for the refusal.
pub(super) fn number(name: &str, text: &str, most: u64) -> Result<u64, Refusal> {
    match text.parse::<u64>() {
        Ok(value) if value <= most => Ok(value),
        _ => Err(Refusal(format!(
            "{name} must be a number from 0 to {most}, not `{text}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_unescapes() {
        let query = Query("a=1&to=%2Fx%3Fy%3D1&flag&a=2");
        assert_eq!(query.text("a").as_deref(), Some("1"));
        assert_eq!(query.text("to").as_deref(), Some("/x?y=1"));
        assert_eq!(query.text("flag").as_deref(), Some(""));
        assert_eq!(query.text("b"), None);
    }

    #[test]
    fn numbers_have_defaults_and_bounds() {
        let query = Query("n=7&big=99&bad=x");
        assert_eq!(query.number("n", 1, 10), Ok(7));
        assert_eq!(query.number("none", 1, 10), Ok(1));
        assert!(query.number("big", 1, 10).is_err());
        assert!(query.number("bad", 1, 10).is_err());
        assert!(number("n", "-1", 10).is_err());
        assert!(number("n", "18446744073709551616", u64::MAX).is_err());
    }
}
