//! Byte ranges of a complete stored response (RFC 9110 section 14).

use http::HeaderValue;
use http::header::{ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};

use super::date::parse_http_date;
use super::etag::Etag;
use super::meta::Meta;

pub mod multipart;

/// Ranges of one request; with more, the field is not honoured (RFC 9110 section 14.2 leaves that to us).
pub const MOST_RANGES: usize = 16;

/// Bytes `first..=last` of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte, not below `first`, and inside the body.
    pub last: u64,
}

impl ByteRange {
    /// Bytes of it; at least 1.
    pub fn bytes(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a request for ranges gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// 200 and the whole: no range was asked for, or it is not honoured.
    Whole,
    /// 206 and one part.
    One(ByteRange),
    /// 206 and `multipart/byteranges`; two to [`MOST_RANGES`] parts, in the order they were asked for.
    Many(Vec<ByteRange>),
    /// 416: none of them lies inside the body.
    Unsatisfiable,
}

/// What a GET with `Range` gets of a complete body of `length` bytes. Only for a stored 200, and after the conditions
/// of the request were looked at: a 304 goes before a range.
///
/// Not honoured: units but `bytes`, a field that cannot be read, two fields, more than [`MOST_RANGES`] ranges, ranges
/// that overlap (their sum could be many times the body), and an If-Range that does not name what is stored.
pub fn select(
    request: &HeaderMap,
    stored: &HeaderMap,
    meta: &Meta,
    length: u64,
    wall_s: u64,
) -> Ranges {
    let mut lines = request.get_all(RANGE).iter();
    let (Some(range), None) = (lines.next(), lines.next()) else {
        return Ranges::Whole;
    };
    if !names_stored(request, stored, meta, wall_s) {
        return Ranges::Whole;
    }
    let Some(specs) = bytes_unit(range) else {
        return Ranges::Whole;
    };
    let mut found: Vec<ByteRange> = Vec::new();
    let mut count = 0;
    for spec in specs.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if spec.is_empty() {
            continue;
        }
        count += 1;
        if count > MOST_RANGES {
            return Ranges::Whole;
        }
        match resolve(spec, length) {
            Spec::Broken => return Ranges::Whole,
            Spec::Outside => {}
            Spec::Inside(range) => {
                let overlaps =
                    |other: &ByteRange| range.first <= other.last && other.first <= range.last;
                if found.iter().any(overlaps) {
                    return Ranges::Whole;
                }
                found.push(range);
            }
        }
    }
    match (found.as_slice(), count) {
        (_, 0) => Ranges::Whole,
        ([], _) => Ranges::Unsatisfiable,
        ([one], _) => Ranges::One(*one),
        _ => Ranges::Many(found),
    }
}

/// What stands behind `bytes=`.
fn bytes_unit(range: &HeaderValue) -> Option<&[u8]> {
    let value = range.as_bytes().trim_ascii();
    let (unit, specs) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(specs)
}

enum Spec {
    Broken,
    Outside,
    Inside(ByteRange),
}

/// `first-last`, `first-` or `-suffix` against a body's length (RFC 9110 section 14.1.2).
fn resolve(spec: &[u8], length: u64) -> Spec {
    let Some(at) = spec.iter().position(|byte| *byte == b'-') else {
        return Spec::Broken;
    };
    let (first, last) = spec.split_at_checked(at).unwrap_or((spec, &[]));
    let last = last.get(1..).unwrap_or_default();
    match (position(first), position(last)) {
        (Number::None, Number::Value(suffix)) => {
            if suffix == 0 || length == 0 {
                return Spec::Outside;
            }
            Spec::Inside(ByteRange {
                first: length.saturating_sub(suffix),
                last: length - 1,
            })
        }
        (Number::Value(first), Number::None) if first < length => Spec::Inside(ByteRange {
            first,
            last: length - 1,
        }),
        (Number::Value(first), Number::Value(last)) if last < first => Spec::Broken,
        (Number::Value(first), Number::Value(last)) if first < length => Spec::Inside(ByteRange {
            first,
            last: last.min(length - 1),
        }),
        (Number::Value(_), Number::Value(_) | Number::None) => Spec::Outside,
        _ => Spec::Broken,
    }
}

enum Number {
    None,
    Value(u64),
    Broken,
}

/// Digits; more than fit are the largest number, which lies outside of every body.
fn position(text: &[u8]) -> Number {
    if text.is_empty() {
        return Number::None;
    }
    if !text.iter().all(u8::is_ascii_digit) {
        return Number::Broken;
    }
    Number::Value(text.iter().fold(0_u64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

/// True without If-Range, or if it names what is stored (RFC 9110 section 13.1.5): a strong tag that equals ours, or
/// exactly our Last-Modified, when that is older than our Date and so cannot have changed within its second.
fn names_stored(request: &HeaderMap, stored: &HeaderMap, meta: &Meta, wall_s: u64) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(line) = lines.next() else {
        return true;
    };
    if lines.next().is_some() {
        return false;
    }
    let value = line.as_bytes();
    if let Some(date) = parse_http_date(value, wall_s) {
        let strong = meta
            .date_s
            .zip(meta.last_modified_s)
            .is_some_and(|(made, modified)| modified < made);
        return strong && stored.contains_key(LAST_MODIFIED) && meta.last_modified_s == Some(date);
    }
    let ours = stored.get(ETAG).and_then(|tag| Etag::read(tag.as_bytes()));
    Etag::read(value)
        .zip(ours)
        .is_some_and(|(theirs, ours)| theirs.equals_strongly(ours))
}

/// Content-Range of one part: `bytes 0-4/10`.
pub fn content_range(range: ByteRange, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.first, range.last)
}

/// Content-Range of a 416: `bytes */10`.
pub fn content_range_unsatisfiable(length: u64) -> String {
    format!("bytes */{length}")
}

#[cfg(test)]
mod tests;
