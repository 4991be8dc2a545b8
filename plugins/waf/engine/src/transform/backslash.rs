//! Escapes that begin with a backslash: `jsDecode`, `cssDecode`, `escapeSeqDecode`.

use super::{copying::copy_until, hex};

/// `\uHHHH`, `\xHH`, octal, the control letters; before anything else the backslash goes.
pub(super) fn js_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode(input, out, |tail, out| {
        match tail {
            [b'u', a, b, c, d, rest @ ..] => {
                if let (Some(_), Some(low)) = (hex::pair(*a, *b), hex::pair(*c, *d)) {
                    out.push(hex::code_point([*a, *b], low));
                    return rest;
                }
            }
            [b'x', high, low, rest @ ..] => {
                if let Some(byte) = hex::pair(*high, *low) {
                    out.push(byte);
                    return rest;
                }
            }
            [] => out.push(b'\\'),
            _ => {}
        }
        match octal(tail) {
            // Three digits over 377 would not fit a byte: the last one is ordinary text then.
            Some(Octal {
                value, before_last, ..
            }) if value > 0xff => {
                out.push((value >> 3) as u8);
                before_last
            }
            Some(Octal { value, rest, .. }) => {
                out.push(value as u8);
                rest
            }
            None => letter(tail, out),
        }
    })
}

/// ANSI C: `\xHH`, octal (three digits over 377 lose their high bits), the control letters; before
/// anything else the backslash goes.
pub(super) fn escape_seq_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode(input, out, |tail, out| {
        match tail {
            [b'x' | b'X', high, low, rest @ ..] => {
                if let Some(byte) = hex::pair(*high, *low) {
                    out.push(byte);
                    return rest;
                }
            }
            [] => out.push(b'\\'),
            _ => {}
        }
        match octal(tail) {
            Some(Octal { value, rest, .. }) => {
                out.push((value & 0xff) as u8);
                rest
            }
            None => letter(tail, out),
        }
    })
}

/// One to six digits write a code point, of which the low byte counts, and swallow one blank after
/// them; an escaped line end vanishes; before anything else, and at the end, the backslash goes.
pub(super) fn css_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode(input, out, |tail, out| {
        let digits = tail
            .iter()
            .take(6)
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (written, rest) = tail.split_at_checked(digits).unwrap_or((&[], tail));
        match (written, rest) {
            ([], []) => return &[],
            ([], [b'\n', rest @ ..]) => return rest,
            ([], [byte, rest @ ..]) => {
                out.push(*byte);
                return rest;
            }
            ([only], _) => out.push(hex::digit(*only).unwrap_or(*only)),
            // Full width is looked for only where no digit before the last four counts.
            ([a, b, c, d] | [b'0', a, b, c, d] | [b'0', b'0', a, b, c, d], _) => {
                out.push(hex::code_point([*a, *b], hex::unchecked_pair(*c, *d)));
            }
            ([.., high, low], _) => out.push(hex::unchecked_pair(*high, *low)),
        }
        match rest {
            [blank, rest @ ..] if super::blank::is_blank(*blank) => rest,
            _ => rest,
        }
    })
}

/// Runs over the backslashes. `escape` gets what follows one, writes what it stands for, and
/// returns what it has not read.
#[inline]
fn decode(
    input: &[u8],
    out: &mut Vec<u8>,
    escape: impl for<'t> Fn(&'t [u8], &mut Vec<u8>) -> &'t [u8],
) -> bool {
    if memchr::memchr(b'\\', input).is_none() {
        return false;
    }
    let mut rest = input;
    loop {
        rest = copy_until(rest, out, |rest| memchr::memchr(b'\\', rest));
        match rest {
            [] => return true,
            [_, tail @ ..] => rest = escape(tail, out),
        }
    }
}

/// The byte after a backslash that begins no number.
fn letter<'a>(tail: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let [byte, rest @ ..] = tail else {
        return &[];
    };
    out.push(match byte {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => *other,
    });
    rest
}

/// One to three octal digits.
struct Octal<'a> {
    /// At most 0o777.
    value: u16,
    /// What follows the digits.
    rest: &'a [u8],
    /// The last digit and what follows.
    before_last: &'a [u8],
}

fn octal(tail: &[u8]) -> Option<Octal<'_>> {
    let mut found = None;
    let mut value = 0;
    let mut at = tail;
    while let [digit @ b'0'..=b'7', rest @ ..] = at {
        value = value << 3 | u16::from(digit - b'0');
        found = Some(Octal {
            value,
            rest,
            before_last: at,
        });
        at = rest;
        if tail.len() - rest.len() == 3 {
            break;
        }
    }
    found
}
