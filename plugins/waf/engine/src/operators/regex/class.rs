//! Character classes of PCRE: `[...]`.
//!
//! A class is read into a set of bytes and written anew, so that nothing of it can be taken for the
//! set operations and nested classes of regex-syntax.

use std::fmt::Write as _;

use super::RegexError;
use super::escape::{self, Escape};
use super::rewrite::Cursor;
use crate::transform::ByteSet;

/// Reads a class, the cursor behind its `[`, and writes it.
pub(super) fn rewrite(
    cursor: &mut Cursor<'_>,
    ignore_case: bool,
    groups: usize,
    out: &mut String,
) -> Result<(), RegexError> {
    let at = cursor.at().saturating_sub(1);
    let negated = cursor.take(b'^');
    let mut set = ByteSet::EMPTY;
    let mut quoted = false;
    let mut first = true;
    // The last single byte, which may begin a range.
    let mut last: Option<u8> = None;
    loop {
        let here = cursor.at();
        let Some(byte) = cursor.next() else {
            let what = "a `[` without its `]`";
            return Err(RegexError::Wrong { what, at });
        };
        let was_first = std::mem::replace(&mut first, false);
        if quoted {
            if byte == b'\\' && cursor.take(b'E') {
                quoted = false;
            } else {
                set.insert(byte);
                last = Some(byte);
            }
            continue;
        }
        match byte {
            b']' if !was_first => break,
            b'[' if named(cursor.rest()).is_some() => {
                let (class, len) = named(cursor.rest()).unwrap_or((b"", 0));
                let Some(class) = posix(class, ignore_case) else {
                    let what = "an unknown class like `[:alpha:]`";
                    return Err(RegexError::Wrong { what, at: here });
                };
                set = set.union(&class);
                cursor.skip(len);
                last = None;
            }
            b'-' if last.is_some() && !matches!(cursor.peek(), Some(b']') | None) => {
                let low = last.take().unwrap_or_default();
                match range_end(cursor, groups)? {
                    RangeEnd::Byte(high) if low <= high => {
                        set = set.union(&ByteSet::range(low, high));
                    }
                    RangeEnd::Byte(_) => {
                        let what = "a range whose end is before its beginning";
                        return Err(RegexError::Wrong { what, at: here });
                    }
                    RangeEnd::Set(class) => {
                        // `[a-\d]`: the hyphen stands for itself.
                        set.insert(b'-');
                        set = set.union(&class);
                    }
                    // `[a-[:digit:]]`: likewise; the class is read in the next turn.
                    RangeEnd::None => set.insert(b'-'),
                }
            }
            b'\\' => match escape::read(cursor, true, groups)? {
                Escape::Byte(byte) => {
                    set.insert(byte);
                    last = Some(byte);
                }
                Escape::Set(class) => {
                    set = set.union(&class);
                    last = None;
                }
                Escape::Quote => quoted = true,
                Escape::Nothing => first = was_first,
                Escape::Assertion(_) | Escape::LineBreak => {
                    let what = "an assertion in a class";
                    return Err(RegexError::Wrong { what, at: here });
                }
            },
            byte => {
                set.insert(byte);
                last = Some(byte);
            }
        }
    }
    write_set(&set, negated, out);
    Ok(())
}

enum RangeEnd {
    Byte(u8),
    Set(ByteSet),
    None,
}

fn range_end(cursor: &mut Cursor<'_>, groups: usize) -> Result<RangeEnd, RegexError> {
    let rest = cursor.rest();
    if rest.first() == Some(&b'[') && named(rest.get(1..).unwrap_or_default()).is_some() {
        return Ok(RangeEnd::None);
    }
    let at = cursor.at();
    match cursor.next() {
        Some(b'\\') => match escape::read(cursor, true, groups)? {
            Escape::Byte(byte) => Ok(RangeEnd::Byte(byte)),
            Escape::Set(set) => Ok(RangeEnd::Set(set)),
            _ => {
                let what =
                    "a range that ends in `\\Q`, `\\E` or an assertion: write the byte itself";
                Err(RegexError::Unsupported { what, at })
            }
        },
        Some(byte) => Ok(RangeEnd::Byte(byte)),
        None => Ok(RangeEnd::None),
    }
}

/// Looks for `:name:]`: the name, and how long all of it is.
fn named(rest: &[u8]) -> Option<(&[u8], usize)> {
    let name = rest.strip_prefix(b":")?;
    let len = name.iter().position(|byte| {
        !byte.is_ascii_alphabetic() && *byte != b'^' && *byte != b'<' && *byte != b'>'
    })?;
    let (name, after) = name.split_at_checked(len)?;
    after
        .starts_with(b":]")
        .then_some((name, len.saturating_add(3)))
}

/// The bytes of a named class in the C locale.
fn posix(name: &[u8], ignore_case: bool) -> Option<ByteSet> {
    if let Some(name) = name.strip_prefix(b"^") {
        return posix(name, ignore_case).map(|set| escape::complement(&set));
    }
    let test: fn(&u8) -> bool = match name {
        b"alpha" => u8::is_ascii_alphabetic,
        // Without case they are all letters, also behind `^`.
        b"lower" | b"upper" if ignore_case => u8::is_ascii_alphabetic,
        b"lower" => u8::is_ascii_lowercase,
        b"upper" => u8::is_ascii_uppercase,
        b"alnum" => u8::is_ascii_alphanumeric,
        b"ascii" => u8::is_ascii,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"word" => |byte| byte.is_ascii_alphanumeric() || *byte == b'_',
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    let mut set = ByteSet::EMPTY;
    for byte in (0..=255u8).filter(test) {
        set.insert(byte);
    }
    Some(set)
}

/// Writes a set as a class of ranges in hexadecimal.
pub(super) fn write_set(set: &ByteSet, negated: bool, out: &mut String) {
    out.push_str(if negated { "[^" } else { "[" });
    let mut byte = 0u16;
    let mut empty = true;
    while byte <= 255 {
        let first = byte;
        while u8::try_from(byte).is_ok_and(|byte| set.contains(byte)) {
            byte = byte.saturating_add(1);
        }
        if byte > first {
            empty = false;
            // Writing into a String cannot fail.
            let _ = write!(out, r"\x{first:02x}-\x{:02x}", byte.saturating_sub(1));
        }
        byte = byte.saturating_add(1);
    }
    if empty {
        // A class without a byte: regex-syntax knows it as the complement of all.
        if negated {
            out.truncate(out.len().saturating_sub(1));
            out.push_str(r"\x00-\xff");
        } else {
            out.push_str(r"^\x00-\xff");
        }
    }
    out.push(']');
}
