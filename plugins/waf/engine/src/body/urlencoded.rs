//! `application/x-www-form-urlencoded` and query strings.

use super::Sink;

/// What was seen while a form was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlEncoded {
    /// `%` without two hexadecimal digits behind it (`URLENCODED_ERROR` is 1 when there are any).
    pub invalid_escapes: u32,
    /// Arguments handed over.
    pub arguments: u32,
    /// The sink wanted no more.
    pub stopped: bool,
}

/// Splits `input` at `separator` (usually `&`) and hands over what stands between as arguments.
///
/// As in ModSecurity v3 an empty piece is an argument with neither name nor value (`a&&b` are three),
/// except behind the last separator; a piece without `=` has an empty value; only the first `=` counts.
pub fn urlencoded(input: &[u8], separator: u8, sink: &mut dyn Sink) -> UrlEncoded {
    let mut seen = UrlEncoded::default();
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let mut rest = input;
    while !rest.is_empty() {
        let piece = match memchr::memchr(separator, rest).and_then(|at| rest.split_at_checked(at)) {
            Some((piece, behind)) => {
                rest = behind.get(1..).unwrap_or_default();
                piece
            }
            None => std::mem::take(&mut rest),
        };
        let (raw_name, raw_value) =
            match memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) {
                Some((name, behind)) => (name, behind.get(1..).unwrap_or_default()),
                None => (piece, &[][..]),
            };
        let decoded_name = decoded(raw_name, &mut name, &mut seen.invalid_escapes);
        let decoded_value = decoded(raw_value, &mut value, &mut seen.invalid_escapes);
        if !sink.argument(decoded_name, decoded_value) {
            seen.stopped = true;
            break;
        }
        seen.arguments = seen.arguments.saturating_add(1);
    }
    seen
}

fn decoded<'a>(raw: &'a [u8], buffer: &'a mut Vec<u8>, invalid: &mut u32) -> &'a [u8] {
    if memchr::memchr2(b'%', b'+', raw).is_none() {
        return raw;
    }
    *invalid = invalid.saturating_add(url_decode(raw, buffer));
    buffer
}

/// Decodes `%HH` and `+` into `out` (cleared first). Broken escapes stay as they are; their number is
/// returned. NUL bytes stay.
pub fn url_decode(input: &[u8], out: &mut Vec<u8>) -> u32 {
    out.clear();
    out.reserve(input.len());
    let mut invalid = 0u32;
    let mut rest = input;
    while let Some(at) = memchr::memchr2(b'%', b'+', rest) {
        let Some((plain, behind)) = rest.split_at_checked(at) else {
            break;
        };
        out.extend_from_slice(plain);
        rest = match behind {
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((hex(*high) << 4) | hex(*low));
                tail
            }
            [b'%', tail @ ..] => {
                invalid = invalid.saturating_add(1);
                out.push(b'%');
                tail
            }
            [_, tail @ ..] => {
                out.push(b' ');
                tail
            }
            [] => &[],
        };
    }
    out.extend_from_slice(rest);
    invalid
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}
