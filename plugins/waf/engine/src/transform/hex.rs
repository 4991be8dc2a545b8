//! Hexadecimal digits.

/// The value of a digit, or nothing for another byte.
#[inline]
pub(super) const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two digits write.
#[inline]
pub(super) const fn pair(high: u8, low: u8) -> Option<u8> {
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Some(high << 4 | low),
        _ => None,
    }
}

/// What `hexDecode` makes of any two bytes: it never asks whether they are digits.
#[inline]
pub(super) const fn unchecked_pair(high: u8, low: u8) -> u8 {
    unchecked(high)
        .wrapping_mul(16)
        .wrapping_add(unchecked(low))
}

const fn unchecked(byte: u8) -> u8 {
    if byte >= b'A' {
        (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10)
    } else {
        byte.wrapping_sub(b'0')
    }
}

/// The byte that stands for a code point of four digits: the low byte, and for full-width ASCII
/// (FF01 to FF5E) the letter that it draws.
#[inline]
pub(super) const fn code_point(high: [u8; 2], low: u8) -> u8 {
    let full_width = matches!(high, [b'f' | b'F', b'f' | b'F']);
    if full_width && low > 0x00 && low < 0x5f {
        low + 0x20
    } else {
        low
    }
}

/// The small digit of a value under 16.
#[inline]
pub(super) const fn letter(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + (value & 0x0f) - 10,
    }
}

/// Both digits of a byte, in small letters.
#[inline]
pub(super) fn write(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[letter(byte >> 4), letter(byte & 0x0f)]);
}
