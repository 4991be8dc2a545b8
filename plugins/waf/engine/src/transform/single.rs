//! Byte by byte: case and parity. And what is no text afterwards: `length`, `md5`, `sha1`.

use super::ByteSet;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use std::io::Write as _;

pub(super) fn lowercase(input: &[u8], out: &mut Vec<u8>) -> bool {
    each(input, out, |byte| byte.to_ascii_lowercase())
}

pub(super) fn uppercase(input: &[u8], out: &mut Vec<u8>) -> bool {
    each(input, out, |byte| byte.to_ascii_uppercase())
}

pub(super) fn parity_even(input: &[u8], out: &mut Vec<u8>) -> bool {
    each(input, out, even)
}

pub(super) fn parity_odd(input: &[u8], out: &mut Vec<u8>) -> bool {
    each(input, out, odd)
}

pub(super) fn parity_zero(input: &[u8], out: &mut Vec<u8>) -> bool {
    each(input, out, |byte| byte & 0x7f)
}

fn each(input: &[u8], out: &mut Vec<u8>, change: impl Fn(u8) -> u8) -> bool {
    let Some(first) = input.iter().position(|byte| change(*byte) != *byte) else {
        return false;
    };
    let (same, rest) = input.split_at_checked(first).unwrap_or((&[], input));
    out.extend_from_slice(same);
    out.extend(rest.iter().map(|byte| change(*byte)));
    true
}

/// The bytes that have not the parity yet.
pub(super) const NOT_EVEN: ByteSet = wrong_parity(true);
pub(super) const NOT_ODD: ByteSet = wrong_parity(false);

const fn wrong_parity(even_wanted: bool) -> ByteSet {
    let mut wrong = ByteSet::EMPTY;
    let mut byte = 0u8;
    loop {
        let wanted = if even_wanted { even(byte) } else { odd(byte) };
        if wanted != byte {
            wrong = wrong.union(&ByteSet::range(byte, byte));
        }
        if byte == u8::MAX {
            return wrong;
        }
        byte += 1;
    }
}

/// Sets the eighth bit so that the number of bits is even. ModSecurity counts the eighth bit of
/// the input too.
const fn even(byte: u8) -> u8 {
    if byte.count_ones() % 2 == 1 {
        byte | 0x80
    } else {
        byte & 0x7f
    }
}

const fn odd(byte: u8) -> u8 {
    if byte.count_ones() % 2 == 1 {
        byte & 0x7f
    } else {
        byte | 0x80
    }
}

/// The number of bytes, in decimal digits.
pub(super) fn length(input: &[u8], out: &mut Vec<u8>) -> bool {
    // Writing to memory does not fail.
    let _ = write!(out, "{}", input.len());
    true
}

/// The raw 16 bytes.
pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&Md5::digest(input));
    true
}

/// The raw 20 bytes.
pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&Sha1::digest(input));
    true
}
