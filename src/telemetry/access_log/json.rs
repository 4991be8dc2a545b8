//! A record as one line of JSON. Runs once per request, on the thread that served it, into that thread's own
//! buffer: a line is smaller than what it is made of, and no memory goes from one thread to another.
//!
//! Strings may hold any bytes: control characters and quotes are escaped as RFC 8259 section 7 says, valid UTF-8
//! passes, and each byte that is not part of valid UTF-8 becomes `\u00XX` with its value, so that nothing is
//! lost for a reader who looks at bytes. A line never holds a raw line feed.

use std::cell::RefCell;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use super::record::{AccessRecord, MAX_PATH_BYTES, MAX_TAGS, MAX_TEXT_BYTES, Text};
use crate::telemetry::clock::{RFC3339_LEN, Rfc3339};
use crate::telemetry::credentials::Credentials;
use crate::telemetry::redact;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// What stands for the rest of a text that was cut.
const CUT: &[u8] = b"...";
/// A line's first member.
const TIME: &[u8] = b"{\"time\":\"";
/// The second one, after the time's closing quote.
const REQUEST_ID: &[u8] = b"\",\"request_id\":";
/// What a thread's buffer keeps from one line to the next.
const USUAL_BYTES: usize = 4 * 1024;

thread_local! {
    static LINE: RefCell<(Vec<u8>, Rfc3339)> = const { RefCell::new((Vec::new(), Rfc3339::START)) };
}

/// Writes the record and lends the line, without its line feed, to `use_line`. Not to be called from there.
pub fn with_line(record: &AccessRecord<'_>, use_line: impl FnOnce(&[u8])) {
    // A thread that ends has given its buffer back already; requests it drops then are told all the same.
    let mut use_line = Some(use_line);
    let mut write = |line: &mut Vec<u8>, time: &mut Rfc3339| {
        line.clear();
        write_json(record, time, line);
        if let Some(use_line) = use_line.take() {
            use_line(line);
        }
        line.shrink_to(USUAL_BYTES);
    };
    let own = LINE.try_with(|own| {
        if let Ok(mut own) = own.try_borrow_mut() {
            let (line, time) = &mut *own;
            write(line, time);
        }
    });
    if own.is_err() {
        write(&mut Vec::new(), &mut Rfc3339::default());
    }
}

/// True if this line tells of the request with this id.
pub fn tells_of(line: &[u8], request_id: &str) -> bool {
    let mut id = REQUEST_ID.to_vec();
    string(request_id.as_bytes(), &mut id);
    line.get(TIME.len() + RFC3339_LEN..)
        .is_some_and(|rest| rest.starts_with(&id))
}

fn unicode_escape(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u00");
    for nibble in [byte >> 4, byte & 15] {
        out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    }
}

/// True for what cannot stand in a JSON string as it is. DEL is legal there but would upset terminals.
#[inline]
fn must_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)
}

fn escape_valid(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| must_escape(*b)) {
        let (clean, from) = rest.split_at(at);
        out.extend_from_slice(clean);
        let Some((&byte, after)) = from.split_first() else {
            return;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => unicode_escape(byte, out),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Appends `bytes` as the inside of a JSON string.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    // Nearly every text is plain ASCII. No early exit: the compiler turns this into vector instructions.
    let plain = bytes
        .iter()
        .fold(true, |plain, b| plain & (*b < 0x7f) & !must_escape(*b));
    if plain {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        escape_valid(chunk.valid(), out);
        for byte in chunk.invalid() {
            unicode_escape(*byte, out);
        }
    }
}

/// Appends `bytes` as a JSON string, quotes included.
pub fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(bytes, out);
    out.push(b'"');
}

/// Appends a string of at most `limit` bytes.
#[inline]
fn bounded(bytes: &[u8], limit: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(bytes.get(..limit).unwrap_or(bytes), out);
    if bytes.len() > limit {
        out.extend_from_slice(CUT);
    }
    out.push(b'"');
}

/// Appends a string member; `key` is written as it is, as `,"name":`. Nothing for an empty value.
#[inline]
fn text(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(key);
        bounded(value, MAX_TEXT_BYTES, out);
    }
}

/// A target or URL with its secrets hidden.
fn target(key: &[u8], value: &[u8], hidden: &Credentials, out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(key);
        out.push(b'"');
        let kept = value.get(..MAX_PATH_BYTES).unwrap_or(value);
        escape(&redact::redact_query(kept, hidden), out);
        if kept.len() < value.len() {
            out.extend_from_slice(CUT);
        }
        out.push(b'"');
    }
}

/// Appends a member that is a list of strings; `key` with its bracket. Nothing for an empty list, nor beyond its bound.
fn list(key: &[u8], items: &[Arc<str>], out: &mut Vec<u8>) {
    let mut separator = key;
    for item in items.iter().take(MAX_TAGS) {
        out.extend_from_slice(separator);
        bounded(item.as_bytes(), MAX_TEXT_BYTES, out);
        separator = b",";
    }
    if !items.is_empty() {
        out.push(b']');
    }
}

fn number(key: &[u8], value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Nanoseconds as milliseconds with three decimals.
fn millis(key: &[u8], ns: u64, out: &mut Vec<u8>) {
    let us = ns / 1_000;
    number(key, us / 1_000, out);
    let fraction = us % 1_000;
    out.push(b'.');
    for digit in [fraction / 100, fraction / 10 % 10, fraction % 10] {
        out.push(b'0' + digit as u8);
    }
}

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            number(b"", u64::from(a), out);
            for octet in [b, c, d] {
                number(b".", u64::from(octet), out);
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Appends the record as one JSON object without a line end. What was not set is left out, except for the
/// fields that every request has. Secrets of the query are hidden.
pub(super) fn write_json(record: &AccessRecord<'_>, time: &mut Rfc3339, out: &mut Vec<u8>) {
    out.extend_from_slice(TIME);
    out.extend_from_slice(time.format(record.unix_ms).as_bytes());
    out.extend_from_slice(REQUEST_ID);
    bounded(record.get(Text::RequestId), MAX_TEXT_BYTES, out);
    text(b",\"listener\":", record.get(Text::Listener), out);
    text(b",\"route\":", record.get(Text::Route), out);
    text(b",\"upstream\":", record.get(Text::Upstream), out);
    text(b",\"endpoint\":", record.get(Text::Endpoint), out);
    number(b",\"attempt\":", u64::from(record.attempt), out);
    text(b",\"method\":", record.get(Text::Method), out);
    text(b",\"host\":", record.get(Text::Host), out);
    let hidden = record.credentials;
    target(b",\"path\":", record.get(Text::Path), hidden, out);
    text(b",\"protocol\":", record.get(Text::Protocol), out);
    number(b",\"status\":", u64::from(record.status), out);
    text(b",\"reason\":", record.reason.as_str().as_bytes(), out);
    if let Some(client) = record.client {
        out.extend_from_slice(b",\"client\":\"");
        address(client, out);
        out.push(b'"');
    }
    number(b",\"bytes_in\":", record.bytes_in, out);
    number(b",\"bytes_out\":", record.bytes_out, out);
    let timings = &record.timings;
    out.extend_from_slice(b",\"timings_ms\":{");
    for (key, ns) in [
        (b"\"queue\":".as_slice(), timings.queue_ns),
        (b"\"connect\":", timings.connect_ns),
        (b"\"first_byte\":", timings.first_byte_ns),
    ] {
        if let Some(ns) = ns {
            millis(key, ns, out);
            out.push(b',');
        }
    }
    millis(b"\"total\":", timings.total_ns, out);
    out.push(b'}');
    if let Some(cache) = &record.cache {
        text(b",\"cache\":", cache.answer.as_str().as_bytes(), out);
        let forward = cache.forward.map_or("", |forward| forward.as_str());
        text(b",\"cache_forward\":", forward.as_bytes(), out);
        let detail = cache.detail.unwrap_or_default();
        text(b",\"cache_detail\":", detail.as_bytes(), out);
        if let Some(ttl_s) = cache.ttl_s {
            // Writing to memory cannot fail.
            let _ = write!(out, ",\"cache_ttl\":{ttl_s}");
        }
    }
    text(b",\"user_agent\":", record.get(Text::UserAgent), out);
    target(b",\"referer\":", record.get(Text::Referer), hidden, out);
    text(b",\"trace_id\":", record.get(Text::TraceId), out);
    number(b",\"generation\":", record.generation, out);
    text(b",\"consumer\":", record.get(Text::Consumer), out);
    text(b",\"plan\":", record.get(Text::Plan), out);
    list(b",\"tags\":[", record.tags, out);
    text(b",\"tls\":", record.get(Text::Tls), out);
    text(b",\"client_san\":", record.get(Text::ClientSan), out);
    let mut separator = b",\"headers\":{".as_slice();
    for (name, value) in record.headers() {
        out.extend_from_slice(separator);
        string(name.as_bytes(), out);
        out.push(b':');
        bounded(value, MAX_TEXT_BYTES, out);
        separator = b",";
    }
    if separator == b"," {
        out.push(b'}');
    }
    out.push(b'}');
}
