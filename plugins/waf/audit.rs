//! The audit log: a JSON line for every request with a match, bounded and redacted.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farmgate_plugin_api::Request;
use farmgate_plugin_api::services::LogWriter;
use farmgate_waf::seclang::{EngineMode, Phase};
use farmgate_waf::transaction::{Match, Transaction};

use super::redact::{HIDDEN, Redaction};
use super::verdict::Ending;

/// Most bytes of a matched part, of data and of a message.
const PART_BYTES: usize = 256;
/// Most bytes of a path, a query and a host.
const TEXT_BYTES: usize = 1024;
/// Most bytes of the matches of a line.
const MATCHES_BYTES: usize = 64 * 1024;

/// Writes the lines of an instance.
pub(super) struct Audit {
    plugin: String,
    writer: Arc<dyn LogWriter>,
    redaction: Arc<Redaction>,
}

/// What the request itself does not tell.
pub(super) struct Record<'a> {
    pub(super) at: SystemTime,
    pub(super) status: u16,
    pub(super) mode: EngineMode,
    pub(super) ending: Ending,
    pub(super) rule: u64,
    pub(super) transaction: &'a Transaction,
}

impl Audit {
    pub(super) fn new(plugin: &str, writer: Arc<dyn LogWriter>, redaction: Arc<Redaction>) -> Self {
        Self {
            plugin: plugin.to_owned(),
            writer,
            redaction,
        }
    }

    /// Queues the line; false if it was lost.
    pub(super) fn write(&self, request: &dyn Request, record: &Record<'_>) -> bool {
        let line = self.line(request, record);
        self.writer.write(line.as_bytes())
    }

    fn line(&self, request: &dyn Request, record: &Record<'_>) -> String {
        let mut out = String::with_capacity(1024);
        out.push_str("{\"time\":");
        let _ = write!(out, "\"{}\"", Stamp(record.at));
        text(&mut out, "request_id", request.id().as_bytes(), TEXT_BYTES);
        text(&mut out, "plugin", self.plugin.as_bytes(), TEXT_BYTES);
        let route = request.route().unwrap_or_default();
        text(&mut out, "route", route.as_bytes(), TEXT_BYTES);
        let _ = write!(out, ",\"client\":\"{}\"", request.client_ip());
        text(
            &mut out,
            "method",
            request.method().as_str().as_bytes(),
            TEXT_BYTES,
        );
        text(&mut out, "host", request.host().as_bytes(), TEXT_BYTES);
        text(&mut out, "path", request.path().as_bytes(), TEXT_BYTES);
        if let Some(query) = request.query() {
            text(&mut out, "query", names_of(query).as_bytes(), TEXT_BYTES);
        }
        let mode = match record.mode {
            EngineMode::On => "on",
            EngineMode::DetectionOnly => "detection_only",
            EngineMode::Off => "off",
        };
        let word = record.ending.word();
        let _ = write!(
            out,
            ",\"status\":{},\"mode\":\"{mode}\",\"verdict\":\"{word}\"",
            record.status
        );
        if record.rule > 0 {
            let _ = write!(out, ",\"rule\":{}", record.rule);
        }
        let transaction = record.transaction;
        let _ = write!(
            out,
            ",\"scores\":{{\"inbound\":{},\"outbound\":{}}},\"work\":{},\"rules\":[",
            transaction.inbound_score(),
            transaction.outbound_score(),
            transaction.work()
        );
        let begin = out.len();
        let mut left_out = u64::from(transaction.matches_left_out());
        for one in transaction.matches().iter().filter(|one| one.audit) {
            if out.len() - begin > MATCHES_BYTES {
                left_out += 1;
                continue;
            }
            if out.len() > begin {
                out.push(',');
            }
            self.one(&mut out, one, transaction.is_masked(&one.variable));
        }
        out.push(']');
        if left_out > 0 {
            let _ = write!(out, ",\"left_out\":{left_out}");
        }
        out.push_str("}\n");
        out
    }

    fn one(&self, out: &mut String, one: &Match, masked: bool) {
        let _ = write!(out, "{{\"id\":{},\"phase\":{}", one.rule, number(one.phase));
        if let Some(severity) = one.severity {
            let _ = write!(out, ",\"severity\":\"{}\"", severity_word(severity.0));
        }
        text(out, "msg", &one.message, PART_BYTES);
        text(out, "variable", &one.variable, PART_BYTES);
        let hidden = masked || self.redaction.hides(&one.variable, &one.value);
        text(out, "value", shown(&one.value, hidden), PART_BYTES);
        let hidden = hidden || self.redaction.names(&one.data);
        text(out, "data", shown(&one.data, hidden), PART_BYTES);
        let mut first = true;
        for tag in &one.tags {
            out.push_str(if first { ",\"tags\":[" } else { "," });
            first = false;
            quote(out, tag, PART_BYTES);
        }
        if !first {
            out.push(']');
        }
        text(out, "place", one.place.to_string().as_bytes(), TEXT_BYTES);
        out.push('}');
    }
}

/// The word of a severity.
fn severity_word(severity: u8) -> &'static str {
    const WORDS: [&str; 8] = [
        "EMERGENCY",
        "ALERT",
        "CRITICAL",
        "ERROR",
        "WARNING",
        "NOTICE",
        "INFO",
        "DEBUG",
    ];
    WORDS.get(usize::from(severity)).copied().unwrap_or("DEBUG")
}

/// The number of a phase.
pub(super) fn number(phase: Phase) -> u8 {
    match phase {
        Phase::RequestHead => 1,
        Phase::RequestBody => 2,
        Phase::ResponseHead => 3,
        Phase::ResponseBody => 4,
        Phase::Log => 5,
    }
}

fn shown(bytes: &[u8], hidden: bool) -> &[u8] {
    if hidden && !bytes.is_empty() {
        HIDDEN
    } else {
        bytes
    }
}

/// `,"name":"value"`, unless the value is empty.
fn text(out: &mut String, name: &str, value: &[u8], most: usize) {
    if !value.is_empty() {
        let _ = write!(out, ",\"{name}\":");
        quote(out, value, most);
    }
}

/// A JSON string of at most so many bytes of the value; what is no printable text stands as `\xHH`.
pub(super) fn quote(out: &mut String, bytes: &[u8], most: usize) {
    out.push('"');
    escape(out, bytes.get(..most).unwrap_or(bytes));
    if bytes.len() > most {
        out.push_str("...");
    }
    out.push('"');
}

fn escape(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                // Doubled for the reader of `\xHH`, and again for JSON.
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => {
                    let mut bytes = [0; 4];
                    hex(out, c.encode_utf8(&mut bytes).as_bytes());
                }
                c => out.push(c),
            }
        }
        hex(out, chunk.invalid());
    }
}

fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\\\x{byte:02x}");
    }
}

/// A query without its values.
fn names_of(query: &str) -> String {
    let mut out = String::with_capacity(query.len().min(TEXT_BYTES));
    for pair in query.split('&') {
        if out.len() > TEXT_BYTES {
            break;
        }
        if !out.is_empty() {
            out.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) => {
                out.push_str(name);
                out.push_str("=*");
            }
            // A name, or a value without one.
            None if pair.is_empty() => {}
            None => out.push('*'),
        }
    }
    out
}

/// A time as RFC 3339 in UTC, to the millisecond.
struct Stamp(SystemTime);

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or(Duration::ZERO);
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Days to a date of the Gregorian calendar, by eras of 400 years that begin in March.
        let z = days + 719_468;
        let (era, day) = (z / 146_097, z % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let date = of_year - (153 * shifted + 2) / 5 + 1;
        let year = year + era * 400 + u64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            since.subsec_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (second, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            assert_eq!(Stamp(at).to_string(), text);
        }
    }

    #[test]
    fn bytes_are_escaped_and_cut() {
        let mut out = String::new();
        quote(&mut out, b"a\"\\\xff\n\xc3\xa4\x7f", 100);
        assert_eq!(out, "\"a\\\"\\\\\\\\xff\\\\x0a\u{e4}\\\\x7f\"");
        out.clear();
        quote(&mut out, b"abcdef", 3);
        assert_eq!(out, "\"abc...\"");
    }

    #[test]
    fn a_query_keeps_its_names() {
        assert_eq!(names_of("a=1&b=&secret&&c=d=e"), "a=*&b=*&*&&c=*");
    }
}
