//! `utf8toUnicode`.

use super::{copying::copy_until, hex};

/// Every UTF-8 character of two to four bytes becomes `%uHHHH`, what `urlDecodeUni` reads. NUL
/// goes. What is not UTF-8, as ModSecurity does it: a first byte without the bytes it needs goes
/// (F5 to F7 stay), other bytes stay; after a surrogate, and after a character written with too
/// many bytes, its first byte is repeated.
pub(super) fn utf8_to_unicode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let special = |rest: &[u8]| rest.iter().position(|byte| matches!(byte, 0 | 0xc0..=0xf7));
    let mut rest = copy_until(input, out, special);
    if rest.is_empty() {
        return false;
    }
    while let [first, tail @ ..] = rest {
        if *first >= 0xf5 {
            out.push(*first);
        }
        rest = match character(*first, tail) {
            Some((point, least, tail)) => {
                write_escape(point, out);
                if (0xd800..=0xdfff).contains(&point) {
                    out.push(*first);
                }
                if point < least {
                    out.push(*first);
                }
                tail
            }
            None => tail,
        };
        rest = copy_until(rest, out, special);
    }
    true
}

/// Four digits, as many more as there are before them.
fn write_escape(point: u32, out: &mut Vec<u8>) {
    let [_, top, high, low] = point.to_be_bytes();
    out.extend_from_slice(b"%u");
    if top > 0x0f {
        hex::write(top, out);
    } else if top > 0 {
        out.push(hex::letter(top));
    }
    hex::write(high, out);
    hex::write(low, out);
}

/// The code point, the least that is written with so many bytes, and what follows.
fn character(first: u8, tail: &[u8]) -> Option<(u32, u32, &[u8])> {
    let low = |byte: &u8| u32::from(byte & 0x3f);
    let continues = |byte: &u8| byte & 0xc0 == 0x80;
    match (first, tail) {
        (0xc0..=0xdf, [b, rest @ ..]) if continues(b) => {
            Some((u32::from(first & 0x1f) << 6 | low(b), 0x80, rest))
        }
        (0xe0..=0xef, [b, c, rest @ ..]) if continues(b) && continues(c) => {
            let point = u32::from(first & 0x0f) << 12 | low(b) << 6 | low(c);
            Some((point, 0x800, rest))
        }
        (0xf0..=0xf7, [b, c, d, rest @ ..]) if continues(b) && continues(c) && continues(d) => {
            let point = u32::from(first & 0x07) << 18 | low(b) << 12 | low(c) << 6 | low(d);
            Some((point, 0x1_0000, rest))
        }
        _ => None,
    }
}
