//! From bytes to typed words: directives, targets, operators, actions, text with macros.

mod action_list;
mod action_words;
pub(super) mod actions;
pub(super) mod ctl;
pub(super) mod lex;
pub(super) mod operators;
pub(super) mod targets;
pub(super) mod text;

use super::problem::{Notes, shown};

/// A word of a table, whatever the letter case.
pub(super) fn lookup<T: Copy>(table: &[(T, &'static str)], word: &[u8]) -> Option<T> {
    table
        .iter()
        .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(word))
        .map(|(value, _)| *value)
}

/// Text that must be UTF-8.
pub(super) fn utf8(bytes: &[u8], notes: &mut Notes<'_>) -> Option<Box<str>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.into()),
        Err(_) => {
            notes.error(
                format!("`{}` is not UTF-8", shown(bytes)),
                "write other bytes as `\\xHH`",
            );
            None
        }
    }
}

/// A number in decimal digits.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(bytes)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

/// `On` or `Off`.
pub(super) fn switch(bytes: &[u8]) -> Option<bool> {
    if bytes.eq_ignore_ascii_case(b"on") {
        Some(true)
    } else if bytes.eq_ignore_ascii_case(b"off") {
        Some(false)
    } else {
        None
    }
}

/// `5`, `5-9`: ids from the first to the last.
pub(super) fn id_range(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, last) = match memchr::memchr(b'-', bytes) {
        Some(at) => (bytes.get(..at)?, bytes.get(at + 1..)?),
        None => (bytes, bytes),
    };
    let range = (number(first.trim_ascii())?, number(last.trim_ascii())?);
    (range.0 <= range.1).then_some(range)
}

/// A regular expression that is compiled later; its syntax is checked here, where its place is known.
pub(super) fn regex(bytes: &[u8], notes: &mut Notes<'_>) -> Option<Box<str>> {
    let pattern = utf8(bytes, notes)?;
    let parsed = regex_syntax::ParserBuilder::new()
        .utf8(false)
        .build()
        .parse(&pattern);
    match parsed {
        Ok(_) => Some(pattern),
        Err(e) => {
            let reason = match &e {
                regex_syntax::Error::Parse(e) => e.kind().to_string(),
                regex_syntax::Error::Translate(e) => e.kind().to_string(),
                other => other.to_string(),
            };
            notes.error(
                format!("`{}` is no regular expression: {reason}", shown(bytes)),
                "write `\\` before a character that means itself",
            );
            None
        }
    }
}

/// Every action's word.
#[cfg(test)]
pub(super) fn action_names() -> impl Iterator<Item = &'static str> {
    action_words::WORDS.iter().map(|(_, word)| *word)
}

/// Every word of `ctl`.
#[cfg(test)]
pub(super) fn ctl_names() -> impl Iterator<Item = &'static str> {
    ctl::WORDS.iter().map(|(_, word)| *word)
}
