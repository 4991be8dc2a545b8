//! Percent encoding: `urlDecode`, `urlDecodeUni`, `urlEncode`.

use super::{copying::copy_until, hex, us_ascii};

/// `%HH` and `+`; what is no escape stays as it is.
pub(super) fn url_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode(input, out, escape)
}

/// As [`url_decode`], and `%uHHHH`. A code point becomes the letter of US-ASCII that is drawn like it,
/// as with the map that ModSecurity recommends (`SecUnicodeMapFile unicode.mapping 20127`); one that
/// has none becomes its low byte.
pub(super) fn url_decode_uni(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode(input, out, |tail| match tail {
        [b'u' | b'U', a, b, c, d, rest @ ..] => {
            let (high, low) = (hex::pair(*a, *b)?, hex::pair(*c, *d)?);
            let letter = us_ascii::letter(u16::from_be_bytes([high, low]));
            Some((
                letter.unwrap_or_else(|| hex::code_point([*a, *b], low)),
                rest,
            ))
        }
        _ => escape(tail),
    })
}

/// The two digits after a percent sign, and what follows them.
#[inline]
fn escape(tail: &[u8]) -> Option<(u8, &[u8])> {
    match tail {
        [high, low, rest @ ..] => Some((hex::pair(*high, *low)?, rest)),
        _ => None,
    }
}

#[inline]
fn decode(input: &[u8], out: &mut Vec<u8>, escape: impl Fn(&[u8]) -> Option<(u8, &[u8])>) -> bool {
    if memchr::memchr2(b'%', b'+', input).is_none() {
        return false;
    }
    let mut rest = input;
    loop {
        rest = copy_until(rest, out, |rest| memchr::memchr2(b'%', b'+', rest));
        match rest {
            [] => return true,
            [b'+', tail @ ..] => {
                out.push(b' ');
                rest = tail;
            }
            [sign, tail @ ..] => {
                let (byte, tail) = escape(tail).unwrap_or((*sign, tail));
                out.push(byte);
                rest = tail;
            }
        }
    }
}

/// True for the bytes that `urlEncode` leaves alone: fewer than any RFC does, as ModSecurity.
pub(super) const fn stays(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'*'
}

pub(super) fn url_encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    if input.iter().all(|byte| stays(*byte)) {
        return false;
    }
    for &byte in input {
        if stays(byte) {
            out.push(byte);
        } else if byte == b' ' {
            out.push(b'+');
        } else {
            out.push(b'%');
            hex::write(byte, out);
        }
    }
    true
}
