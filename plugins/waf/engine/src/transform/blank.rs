//! White space and NUL: `trim`, `removeWhitespace`, `compressWhitespace`, `removeNulls`, ...
//!
//! White space is what C's `isspace` takes for it in the C locale. For `removeWhitespace` alone the
//! bytes A0 (the no-break space of Latin-1) and C2 (with which it begins in UTF-8) are white space
//! too, wherever they stand: of the UTF-8 letter C3 A0 it leaves C3.

use super::copying::copy_until;

/// In Latin-1.
pub(super) const NO_BREAK_SPACE: u8 = 0xa0;

/// The first byte of a no-break space in UTF-8.
pub(super) const UTF8_LEAD: u8 = 0xc2;

/// Tab, line feed, vertical tab, form feed, carriage return, space.
#[inline]
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

fn first_blank(input: &[u8]) -> Option<usize> {
    input.iter().position(|byte| is_blank(*byte))
}

pub(super) fn trim(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(trimmed_right(trimmed_left(input)), input, out)
}

pub(super) fn trim_left(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(trimmed_left(input), input, out)
}

pub(super) fn trim_right(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(trimmed_right(input), input, out)
}

fn keep(part: &[u8], input: &[u8], out: &mut Vec<u8>) -> bool {
    if part.len() == input.len() {
        return false;
    }
    out.extend_from_slice(part);
    true
}

fn trimmed_left(mut input: &[u8]) -> &[u8] {
    while let [byte, rest @ ..] = input
        && is_blank(*byte)
    {
        input = rest;
    }
    input
}

fn trimmed_right(mut input: &[u8]) -> &[u8] {
    while let [rest @ .., byte] = input
        && is_blank(*byte)
    {
        input = rest;
    }
    input
}

pub(super) fn remove_whitespace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let goes = |byte: &u8| is_blank(*byte) || matches!(*byte, NO_BREAK_SPACE | UTF8_LEAD);
    let mut rest = copy_until(input, out, |rest| rest.iter().position(goes));
    if rest.is_empty() {
        return false;
    }
    while let [_, tail @ ..] = rest {
        rest = copy_until(tail, out, |rest| rest.iter().position(goes));
    }
    true
}

/// Each run of white space becomes one space.
pub(super) fn compress_whitespace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = copy_until(input, out, first_blank);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        out.push(b' ');
        rest = copy_until(trimmed_left(rest), out, first_blank);
    }
    true
}

pub(super) fn remove_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    without_nulls(input, out, |_| {})
}

/// Each NUL becomes a space.
pub(super) fn replace_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    without_nulls(input, out, |out| out.push(b' '))
}

fn without_nulls(input: &[u8], out: &mut Vec<u8>, instead: impl Fn(&mut Vec<u8>)) -> bool {
    let mut rest = copy_until(input, out, |rest| memchr::memchr(0, rest));
    if rest.is_empty() {
        return false;
    }
    while let [_, tail @ ..] = rest {
        instead(out);
        rest = copy_until(tail, out, |tail| memchr::memchr(0, tail));
    }
    true
}
