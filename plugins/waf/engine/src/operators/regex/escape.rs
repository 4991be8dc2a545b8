//! Escapes of PCRE: what follows a backslash.

use super::RegexError;
use super::rewrite::Cursor;
use crate::transform::ByteSet;

/// What an escape stands for.
pub(super) enum Escape {
    /// One byte.
    Byte(u8),
    /// Any byte of a set.
    Set(ByteSet),
    /// An assertion, in the syntax of regex-syntax.
    Assertion(&'static str),
    /// `\R`: any line break.
    LineBreak,
    /// `\Q`: what follows is literal, to `\E`.
    Quote,
    /// `\E` without `\Q`: nothing.
    Nothing,
}

const DIGIT: ByteSet = ByteSet::range(b'0', b'9');
const SPACE: ByteSet = ByteSet::from_bytes(b" \t\n\x0b\x0c\r");
const WORD: ByteSet = DIGIT
    .union(&ByteSet::range(b'a', b'z'))
    .union(&ByteSet::range(b'A', b'Z'))
    .union(&ByteSet::from_bytes(b"_"));
/// `\h`: A0 is the no-break space of Latin 1, which PCRE counts when it works on bytes.
const HORIZONTAL: ByteSet = ByteSet::from_bytes(b"\t \xa0");
/// `\v`: 85 is the next line of Latin 1.
const VERTICAL: ByteSet = ByteSet::from_bytes(b"\n\x0b\x0c\r\x85");

/// Every byte that is not in the set.
pub(super) fn complement(set: &ByteSet) -> ByteSet {
    let mut other = ByteSet::EMPTY;
    for byte in 0..=255 {
        if !set.contains(byte) {
            other.insert(byte);
        }
    }
    other
}

/// Reads an escape; the cursor stands behind the backslash. `groups` is how many capture groups the
/// whole pattern has: it decides between back-references and octal numbers.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    in_class: bool,
    groups: usize,
) -> Result<Escape, RegexError> {
    let at = cursor.at().saturating_sub(1);
    let wrong = |what| Err(RegexError::Wrong { what, at });
    let unsupported = |what| Err(RegexError::Unsupported { what, at });
    let not_linear = |what| Err(RegexError::NotLinear { what, at });
    let Some(byte) = cursor.next() else {
        return wrong("a backslash ends the regex");
    };
    let escape = match byte {
        b'a' => Escape::Byte(0x07),
        b'e' => Escape::Byte(0x1b),
        b'f' => Escape::Byte(0x0c),
        b'n' => Escape::Byte(b'\n'),
        b'r' => Escape::Byte(b'\r'),
        b't' => Escape::Byte(b'\t'),
        b'c' => match cursor.next() {
            Some(byte @ b' '..=b'~') => Escape::Byte(byte.to_ascii_uppercase() ^ 0x40),
            _ => return wrong("`\\c` needs an ASCII character behind it"),
        },
        b'x' => Escape::Byte(hexadecimal(cursor, at)?),
        b'o' => Escape::Byte(braced_octal(cursor, at)?),
        b'0' => Escape::Byte(octal(cursor, 0, 2)),
        b'1'..=b'9' => numbered(cursor, byte, in_class, groups, at)?,
        b'd' => Escape::Set(DIGIT),
        b'D' => Escape::Set(complement(&DIGIT)),
        b's' => Escape::Set(SPACE),
        b'S' => Escape::Set(complement(&SPACE)),
        b'w' => Escape::Set(WORD),
        b'W' => Escape::Set(complement(&WORD)),
        b'h' => Escape::Set(HORIZONTAL),
        b'H' => Escape::Set(complement(&HORIZONTAL)),
        b'v' => Escape::Set(VERTICAL),
        b'V' => Escape::Set(complement(&VERTICAL)),
        b'Q' => Escape::Quote,
        b'E' => Escape::Nothing,
        b'b' if in_class => Escape::Byte(0x08),
        b'N' if !in_class => {
            if cursor.peek() == Some(b'{') {
                return unsupported("`\\N{...}`, a character by its number: write `\\xHH`");
            }
            Escape::Set(complement(&ByteSet::from_bytes(b"\n")))
        }
        b'R' if !in_class => Escape::LineBreak,
        b'C' if !in_class => Escape::Set(ByteSet::range(0, 255)),
        b'b' => Escape::Assertion(r"\b"),
        b'B' if !in_class => Escape::Assertion(r"\B"),
        b'A' if !in_class => Escape::Assertion(r"\A"),
        b'z' if !in_class => Escape::Assertion(r"\z"),
        // Before a line feed that ends the value, or at the end. Without lookahead the match takes
        // the line feed in, which only a capture of the whole match can tell.
        b'Z' if !in_class => Escape::Assertion(r"(?:\n?\z)"),
        b'k' => return not_linear("a back-reference (`\\k`)"),
        b'g' if !in_class => return not_linear("a back-reference or a call (`\\g`)"),
        b'p' | b'P' => return unsupported("a Unicode property (`\\p`): values are bytes"),
        b'X' if !in_class => return unsupported("`\\X`, a Unicode cluster: values are bytes"),
        b'K' if !in_class => return unsupported("`\\K`, which moves the start of the match"),
        b'G' if !in_class => return unsupported("`\\G`, the end of the match before"),
        byte if byte.is_ascii_alphabetic() => {
            return wrong("a backslash before a letter that has no meaning with it");
        }
        byte => Escape::Byte(byte),
    };
    Ok(escape)
}

/// `\xHH` with up to two digits, or `\x{HH}`: always a byte.
fn hexadecimal(cursor: &mut Cursor<'_>, at: usize) -> Result<u8, RegexError> {
    if cursor.peek() == Some(b'{') {
        cursor.next();
        return braced(cursor, 16, at);
    }
    let mut value = 0u8;
    for _ in 0..2 {
        let Some(digit) = cursor.peek().and_then(|byte| digit(byte, 16)) else {
            break;
        };
        value = value << 4 | digit;
        cursor.next();
    }
    Ok(value)
}

fn braced_octal(cursor: &mut Cursor<'_>, at: usize) -> Result<u8, RegexError> {
    if cursor.peek() != Some(b'{') {
        let what = "`\\o` needs braces behind it, like `\\o{101}`";
        return Err(RegexError::Wrong { what, at });
    }
    cursor.next();
    braced(cursor, 8, at)
}

/// Digits and a closing brace; the opening one is read.
fn braced(cursor: &mut Cursor<'_>, radix: u32, at: usize) -> Result<u8, RegexError> {
    let mut value = 0u32;
    let mut empty = true;
    while let Some(byte) = cursor.next() {
        if byte == b'}' && !empty {
            return u8::try_from(value).map_err(|_| RegexError::Unsupported {
                what: "a character above FF: values are bytes, write its bytes like `\\xc3\\xa9`",
                at,
            });
        }
        let Some(digit) = digit(byte, radix) else {
            break;
        };
        value = value.saturating_mul(radix).saturating_add(u32::from(digit));
        empty = false;
    }
    let what = "a number in braces that is empty, has no end or holds something else";
    Err(RegexError::Wrong { what, at })
}

/// Up to so many octal digits more; what is above FF loses its upper bits, as PCRE refuses it.
fn octal(cursor: &mut Cursor<'_>, first: u8, more: usize) -> u8 {
    let mut value = first;
    for _ in 0..more {
        let Some(digit) = cursor.peek().and_then(|byte| digit(byte, 8)) else {
            break;
        };
        value = value.wrapping_shl(3) | digit;
        cursor.next();
    }
    value
}

/// A backslash and a digit: a back-reference, or a byte in octal.
fn numbered(
    cursor: &mut Cursor<'_>,
    first: u8,
    in_class: bool,
    groups: usize,
    at: usize,
) -> Result<Escape, RegexError> {
    let back_reference = RegexError::NotLinear {
        what: "a back-reference",
        at,
    };
    if !in_class {
        let number = std::iter::once(first)
            .chain(cursor.rest().iter().copied())
            .take_while(u8::is_ascii_digit)
            .fold(0usize, |sum, byte| {
                sum.saturating_mul(10)
                    .saturating_add(usize::from(byte.wrapping_sub(b'0')))
            });
        if number < 10 || number <= groups || first >= b'8' {
            return Err(back_reference);
        }
    } else if first >= b'8' {
        return Ok(Escape::Byte(first));
    }
    let first = digit(first, 8).ok_or(back_reference)?;
    // Three digits above 377 do not fit into a byte.
    if first > 3
        && cursor
            .rest()
            .iter()
            .take(2)
            .all(|byte| digit(*byte, 8).is_some())
        && cursor.rest().len() >= 2
    {
        let what = "an octal number above 377";
        return Err(RegexError::Wrong { what, at });
    }
    Ok(Escape::Byte(octal(cursor, first, 2)))
}

fn digit(byte: u8, radix: u32) -> Option<u8> {
    char::from(byte)
        .to_digit(radix)
        .and_then(|digit| u8::try_from(digit).ok())
}
