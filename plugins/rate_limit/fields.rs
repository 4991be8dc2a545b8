//! The response fields `RateLimit-Policy` and `RateLimit`, as structured fields
//! (draft-ietf-httpapi-ratelimit-headers-10, RFC 9651).

use std::fmt::Write as _;

/// A limit's name as a structured-field string. Characters that such a string cannot hold become `_`.
pub(super) fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => out.push('_'),
        }
    }
    out.push('"');
    out
}

/// One item of `RateLimit-Policy`: quota and window. A window that is no whole number of seconds
/// cannot be said and is left out.
pub(super) fn policy(quoted: &str, rate: u32, per_ns: u64) -> String {
    let mut out = format!("{quoted};q={rate}");
    if per_ns.is_multiple_of(SECOND_NS) {
        let _ = write!(out, ";w={}", per_ns / SECOND_NS);
    }
    out
}

/// Appends one item of `RateLimit`: requests left now, and seconds until the whole burst is back.
pub(super) fn append_state(quoted: &str, remaining: u64, reset_ns: u64, out: &mut String) {
    if !out.is_empty() {
        out.push_str(", ");
    }
    out.push_str(quoted);
    out.push_str(";r=");
    append_number(remaining, out);
    out.push_str(";t=");
    append_number(seconds(reset_ns), out);
}

/// Seconds, rounded up.
pub(super) fn seconds(ns: u64) -> u64 {
    ns.div_ceil(SECOND_NS)
}

const SECOND_NS: u64 = 1_000_000_000;

/// As `write!`, without its detours: this runs for every limit of every request.
fn append_number(mut number: u64, out: &mut String) {
    let mut digits = [0_u8; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = u8::try_from(number % 10).unwrap_or(0) + b'0';
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    let skip = digits.len() - used;
    out.extend(digits.iter().skip(skip).map(|digit| char::from(*digit)));
}
