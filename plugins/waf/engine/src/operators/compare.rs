//! Operators that compare a value with one text or number. They need nothing compiled, so their
//! argument may hold macros.

use std::cmp::Ordering;

use memchr::memmem;

use crate::seclang::OperatorName;

/// True if the operator's argument may hold macros.
pub(super) fn takes_macros(name: OperatorName) -> bool {
    use OperatorName as N;
    matches!(
        name,
        N::StrEq
            | N::Within
            | N::Contains
            | N::ContainsWord
            | N::BeginsWith
            | N::EndsWith
            | N::StrMatch
            | N::Eq
            | N::Ge
            | N::Gt
            | N::Le
            | N::Lt
    )
}

/// Judges a value by an argument that is known only now. Operators that take no macros match nothing
/// here: they are compiled.
pub(super) fn matches(name: OperatorName, argument: &[u8], value: &[u8]) -> bool {
    use OperatorName as N;
    match name {
        N::StrEq => argument == value,
        // An empty value is within everything, and everything contains an empty argument.
        N::Within => contains(argument, value),
        N::Contains | N::StrMatch => contains(value, argument),
        N::ContainsWord => contains_word(value, argument),
        N::BeginsWith => value.starts_with(argument),
        N::EndsWith => value.ends_with(argument),
        N::Eq => equal_number(argument) == equal_number(value),
        N::Ge => number(value).cmp(&number(argument)) != Ordering::Less,
        N::Gt => number(value).cmp(&number(argument)) == Ordering::Greater,
        N::Le => number(value).cmp(&number(argument)) != Ordering::Greater,
        N::Lt => number(value).cmp(&number(argument)) == Ordering::Less,
        _ => false,
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memmem::find(haystack, needle).is_some()
}

/// A word is bounded by the ends of the value or by anything but an ASCII letter: digits and `_`
/// bound words here, unlike in a regex.
pub(super) fn contains_word(value: &[u8], word: &[u8]) -> bool {
    if word.is_empty() || word == value {
        return true;
    }
    let bounds = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphabetic());
    let mut from = 0;
    // Occurrences may overlap (`aa` in ` aaa`), so the search goes on behind the first byte.
    while let Some(found) = value.get(from..).and_then(|rest| memmem::find(rest, word)) {
        let start = from.saturating_add(found);
        let before = start.checked_sub(1).and_then(|at| value.get(at));
        let after = value.get(start.saturating_add(word.len()));
        if bounds(before) && bounds(after) {
            return true;
        }
        from = start.saturating_add(1);
    }
    false
}

/// The number a text begins with, as C's atoll reads it: blanks, a sign, digits; what follows does
/// not count, and what is too large becomes the largest.
pub fn number(text: &[u8]) -> i64 {
    let (negative, magnitude) = parse(text);
    if negative {
        0i64.saturating_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).unwrap_or(i64::MAX)
    }
}

/// The number that `eq` compares: ModSecurity reads 32 bits there, and what does not fit is 0.
pub(super) fn equal_number(text: &[u8]) -> i64 {
    let wide = number(text);
    i32::try_from(wide).map_or(0, i64::from)
}

fn parse(text: &[u8]) -> (bool, u64) {
    let text = text
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'))
        .and_then(|at| text.get(at..))
        .unwrap_or_default();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let magnitude =
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0u64, |sum, byte| {
                sum.saturating_mul(10)
                    .saturating_add(u64::from(byte.wrapping_sub(b'0')))
            });
    (negative, magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_does() {
        for (text, expected) in [
            (&b""[..], 0),
            (b"0", 0),
            (b"12", 12),
            (b" \t\n\x0b\x0c\r-12x", -12),
            (b"+5", 5),
            (b"+-5", 0),
            (b"- 5", 0),
            (b"x5", 0),
            (b"007", 7),
            (b"1e3", 1),
            (b"0x10", 0),
            (b"4294967296", 4_294_967_296),
            (b"9223372036854775807", i64::MAX),
            (b"9223372036854775808", i64::MAX),
            (b"-9223372036854775808", i64::MIN),
            (b"-99999999999999999999999", i64::MIN),
            (b"\xff7", 0),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
        assert_eq!(equal_number(b"2147483647"), 2_147_483_647);
        assert_eq!(equal_number(b"2147483648"), 0);
        assert_eq!(equal_number(b"-2147483649"), 0);
    }
}
