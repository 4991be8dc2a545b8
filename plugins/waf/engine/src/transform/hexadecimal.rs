//! `hexEncode`, `hexDecode`, `sqlHexDecode`.

use super::{copying::copy_until, hex};

/// Two small letters for each byte.
pub(super) fn hex_encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(input.len().saturating_mul(2));
    for &byte in input {
        hex::write(byte, out);
    }
    true
}

/// Every two bytes become one, digits or not; an odd one at the end is dropped.
pub(super) fn hex_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let (pairs, _) = input.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|[high, low]| hex::unchecked_pair(*high, *low)),
    );
    true
}

/// `0x` and at least two digits become the bytes that they write, two digits each.
pub(super) fn sql_hex_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr::memchr2(b'x', b'X', input).is_none() {
        return false;
    }
    let zero = |rest: &[u8]| memchr::memchr(b'0', rest);
    let mut rest = copy_until(input, out, zero);
    loop {
        rest = match rest {
            [] => return true,
            [b'0', b'x' | b'X', digits @ ..] => {
                let mut left = digits;
                while let [high, low, tail @ ..] = left
                    && let Some(byte) = hex::pair(*high, *low)
                {
                    out.push(byte);
                    left = tail;
                }
                if left.len() == digits.len() {
                    out.extend_from_slice(b"0");
                    rest.get(1..).unwrap_or_default()
                } else {
                    left
                }
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
        rest = copy_until(rest, out, zero);
    }
}
