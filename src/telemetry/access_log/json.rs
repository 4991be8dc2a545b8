//! A record as one line of JSON. Runs on the writer's thread and for `explain`.
//!
//! Strings may hold any bytes: control characters and quotes are escaped as RFC 8259 section 7 says, valid UTF-8
//! passes, and each byte that is not part of valid UTF-8 becomes `\u00XX` with its value, so that nothing is
//! lost for a reader who looks at bytes. A line never holds a raw line feed.

use std::io::Write;
use std::net::IpAddr;

use super::record::{AccessRecord, Text};
use crate::telemetry::clock::Rfc3339;
use crate::telemetry::redact;

const HEX: &[u8; 16] = b"0123456789abcdef";

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

/// Appends `bytes` as a JSON string, quotes included.
pub fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    // Nearly every text is plain ASCII. No early exit: the compiler turns this into vector instructions.
    let plain = bytes
        .iter()
        .fold(true, |plain, b| plain & (*b < 0x7f) & !must_escape(*b));
    if plain {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for chunk in bytes.utf8_chunks() {
        escape_valid(chunk.valid(), out);
        for byte in chunk.invalid() {
            unicode_escape(*byte, out);
        }
    }
    out.push(b'"');
}

/// Appends a string member; `key` is written as it is, as `,"name":`. Nothing for an empty value.
#[inline]
fn text(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(key);
        string(value, out);
    }
}

/// A target or URL with its secrets hidden.
fn target(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(value) {
        Ok(valid) => text(key, redact::redact_query(valid).as_bytes(), out),
        // Bytes as Latin-1 keep every ASCII key and separator in its place; the escape then shows their value.
        Err(_) => {
            let latin: String = value.iter().map(|b| char::from(*b)).collect();
            let hidden = redact::redact_query(&latin);
            let bytes: Vec<u8> = hidden
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
                .collect();
            text(key, &bytes, out);
        }
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
pub fn write_json(record: &AccessRecord, time: &mut Rfc3339, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time.format(record.unix_ms).as_bytes());
    out.push(b'"');
    text(b",\"request_id\":", record.get(Text::RequestId), out);
    text(b",\"listener\":", record.get(Text::Listener), out);
    text(b",\"route\":", record.get(Text::Route), out);
    text(b",\"upstream\":", record.get(Text::Upstream), out);
    text(b",\"endpoint\":", record.get(Text::Endpoint), out);
    number(b",\"attempt\":", u64::from(record.attempt), out);
    text(b",\"method\":", record.get(Text::Method), out);
    text(b",\"host\":", record.get(Text::Host), out);
    target(b",\"path\":", record.get(Text::Path), out);
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
    text(b",\"user_agent\":", record.get(Text::UserAgent), out);
    target(b",\"referer\":", record.get(Text::Referer), out);
    text(b",\"trace_id\":", record.get(Text::TraceId), out);
    number(b",\"generation\":", record.generation, out);
    text(b",\"consumer\":", record.get(Text::Consumer), out);
    let mut separator = b",\"headers\":{".as_slice();
    for (name, value) in record.headers() {
        out.extend_from_slice(separator);
        string(name.as_bytes(), out);
        out.push(b':');
        string(value, out);
        separator = b",";
    }
    if separator == b"," {
        out.push(b'}');
    }
    out.push(b'}');
}
