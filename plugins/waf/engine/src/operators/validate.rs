//! Operators that check how a value is written. They match what is wrong.

use crate::transform::ByteSet;

/// Reads the argument of `validateByteRange`: numbers and ranges from 0 to 255, with commas.
pub(super) fn compile_byte_range(argument: &[u8]) -> Result<ByteSet, String> {
    let mut allowed = ByteSet::EMPTY;
    for part in argument.split(|byte| *byte == b',') {
        let wrong = || {
            format!(
                "@validateByteRange: `{}` is not a byte's number or a range of them: write numbers \
                 from 0 to 255 like `9,10,13,32-126`",
                part.escape_ascii()
            )
        };
        let number = |text: &[u8]| -> Option<u8> {
            std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
        };
        let mut ends = part.splitn(2, |byte| *byte == b'-');
        let first = ends.next().and_then(number).ok_or_else(wrong)?;
        let last = match ends.next() {
            Some(text) => number(text).ok_or_else(wrong)?,
            None => first,
        };
        if first > last {
            return Err(wrong());
        }
        allowed = allowed.union(&ByteSet::range(first, last));
    }
    Ok(allowed)
}

/// True if a byte is outside the set.
pub(super) fn byte_outside(allowed: &ByteSet, value: &[u8]) -> bool {
    value.iter().any(|byte| !allowed.contains(*byte))
}

/// True if a `%` is not followed by two hexadecimal digits.
pub(super) fn bad_url_encoding(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at..) {
            Some([_, high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = after;
            }
            _ => return true,
        }
    }
    false
}

/// True if the value is not UTF-8: a byte that begins no character, a character cut short, one that
/// is longer than it must be, or a surrogate. As in ModSecurity, a character that begins with F4 may
/// lie beyond U+10FFFF.
pub(super) fn bad_utf8(value: &[u8]) -> bool {
    let Err(error) = std::str::from_utf8(value) else {
        return false;
    };
    let mut rest = value.get(error.valid_up_to()..).unwrap_or_default();
    loop {
        rest = match rest {
            [] => return false,
            [0..=0x7f, rest @ ..]
            | [0xc2..=0xdf, 0x80..=0xbf, rest @ ..]
            | [0xe0, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..]
            | [0xed, 0x80..=0x9f, 0x80..=0xbf, rest @ ..]
            | [
                0xe1..=0xec | 0xee | 0xef,
                0x80..=0xbf,
                0x80..=0xbf,
                rest @ ..,
            ]
            | [0xf0, 0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf, rest @ ..]
            | [
                0xf1..=0xf4,
                0x80..=0xbf,
                0x80..=0xbf,
                0x80..=0xbf,
                rest @ ..,
            ] => rest,
            _ => return true,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_ranges_are_read_or_refused() {
        let set = compile_byte_range(b"9, 10,13 ,32-126,255").unwrap();
        for byte in 0..=255u8 {
            let expected = matches!(byte, 9 | 10 | 13 | 32..=126 | 255);
            assert_eq!(set.contains(byte), expected, "{byte}");
        }
        assert!(!byte_outside(&set, b"plain\ttext\xff"));
        assert!(byte_outside(&set, b"\0"));
        assert!(!byte_outside(&set, b""));
        for wrong in ["", "x", "256", "1-", "-1", "5-4", "1,,2", "1-2-3"] {
            let error = compile_byte_range(wrong.as_bytes()).unwrap_err();
            assert!(error.contains("32-126"), "{error}");
        }
    }

    #[test]
    fn percent_needs_two_digits() {
        for (value, bad) in [
            ("", false),
            ("a%20b%aF", false),
            ("%", true),
            ("%2", true),
            ("%%20", true),
            ("%2g", true),
            ("%20%", true),
            ("%u0041", true),
        ] {
            assert_eq!(bad_url_encoding(value.as_bytes()), bad, "{value}");
        }
    }

    #[test]
    fn utf8_is_checked() {
        for (value, bad) in [
            (&b""[..], false),
            ("aé€😀\0".as_bytes(), false),
            (b"\x80", true),
            (b"\xc3", true),
            (b"\xc3(", true),
            (b"\xc0\xaf", true),
            (b"\xc1\xbf", true),
            (b"\xe0\x80\xaf", true),
            (b"\xe0\xa0\x80", false),
            (b"\xed\x9f\xbf", false),
            (b"\xed\xa0\x80", true),
            (b"\xed\xbf\xbf", true),
            (b"\xee\x80\x80", false),
            (b"\xf0\x8f\xbf\xbf", true),
            (b"\xf0\x90\x80\x80", false),
            (b"\xf4\x8f\xbf\xbf", false),
            (b"\xf4\x90\x80\x80", false),
            (b"\xf5\x80\x80\x80", true),
            (b"\xf8\x88\x80\x80\x80", true),
            (b"\xff", true),
            (b"ab\xe2\x82", true),
        ] {
            assert_eq!(bad_utf8(value), bad, "{value:02x?}");
        }
    }
}
