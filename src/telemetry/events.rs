//! The event log: what the process did, one line an event on standard error, through the `log` crate.
//!
//! `FARMGATE_LOG` sets levels (`info`, or `warn,farmgate=debug`), `FARMGATE_LOG_FORMAT=json` the form. Identical
//! messages are let through a few times per window and then only counted, so that a broken origin cannot fill a
//! disk. Secrets are scrubbed and control characters escaped: an event is always one line.
//!
//! When standard error leads to the journal, a line begins with its priority as sd-daemon(3) says (`<4>` for a
//! warning) and has no time of its own, nor a level in the text form: the journal keeps both.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use super::access_log::json_string;
use super::clock;
use super::redact;

/// Identical messages let through in one window.
const BURST: u32 = 5;
/// Length of the window in milliseconds.
const WINDOW_MS: u64 = 10_000;
/// Different messages remembered; when full, those of old windows go, then all.
const MAX_MESSAGES: usize = 1_024;
/// Longest message written, in bytes.
const MAX_MESSAGE_BYTES: usize = 4_096;
/// Rules read from one `FARMGATE_LOG`.
const MAX_RULES: usize = 32;

/// Form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `TIME LEVEL target: message`
    Text,
    /// `{"time":..,"level":..,"target":..,"message":..}`
    Json,
}

/// Who reads the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person or a file: lines say when they were written.
    Plain,
    /// The systemd journal: lines say how grave they are.
    Journal,
}

/// Which levels of which targets are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    default: LevelFilter,
    /// Longest prefix first.
    rules: Vec<(String, LevelFilter)>,
}

/// The logger. `install` makes it the process's.
pub struct EventLog {
    levels: Levels,
    format: Format,
    reader: Reader,
    limiter: Mutex<Limiter>,
    keys: RandomState,
}

/// How often messages were seen in their window.
#[derive(Debug, Default)]
struct Limiter {
    seen: HashMap<u64, Seen>,
}

#[derive(Debug)]
struct Seen {
    window_ms: u64,
    passed: u32,
    held: u64,
}

/// What happens to a message.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Written; so many identical ones were held back before it.
    Write(u64),
    Hold,
}

impl Levels {
    /// Reads `LEVEL` or `TARGET=LEVEL`, parted by commas. Words that cannot be read are returned for a warning.
    /// Without a level of its own the rest of the process logs from `warn` and ours from `info`.
    pub fn parse(text: &str) -> (Levels, Vec<String>) {
        let mut default = None;
        let mut rules = Vec::new();
        let mut unread = Vec::new();
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let (target, level) = word.split_once('=').unwrap_or(("", word));
            match level.trim().parse::<LevelFilter>() {
                Ok(level) if target.is_empty() => default = Some(level),
                Ok(level) if rules.len() < MAX_RULES => {
                    rules.push((target.trim().to_owned(), level));
                }
                _ => unread.push(word.to_owned()),
            }
        }
        if default.is_none() && !rules.iter().any(|(target, _)| target == "farmgate") {
            rules.push(("farmgate".to_owned(), LevelFilter::Info));
        }
        rules.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        let levels = Levels {
            default: default.unwrap_or(LevelFilter::Warn),
            rules,
        };
        (levels, unread)
    }

    fn of(&self, target: &str) -> LevelFilter {
        let fits = |prefix: &str| {
            target
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_']))
        };
        self.rules
            .iter()
            .find(|(prefix, _)| fits(prefix))
            .map_or(self.default, |(_, level)| *level)
    }

    fn max(&self) -> LevelFilter {
        self.rules
            .iter()
            .map(|(_, level)| *level)
            .fold(self.default, Ord::max)
    }
}

impl Limiter {
    fn admit(&mut self, key: u64, now_ms: u64) -> Verdict {
        if self.seen.len() >= MAX_MESSAGES && !self.seen.contains_key(&key) {
            self.seen
                .retain(|_, seen| now_ms.saturating_sub(seen.window_ms) < WINDOW_MS);
            if self.seen.len() >= MAX_MESSAGES {
                self.seen.clear();
            }
        }
        let seen = self.seen.entry(key).or_insert(Seen {
            window_ms: now_ms,
            passed: 0,
            held: 0,
        });
        let mut held = 0;
        if now_ms.saturating_sub(seen.window_ms) >= WINDOW_MS {
            held = seen.held;
            *seen = Seen {
                window_ms: now_ms,
                passed: 0,
                held: 0,
            };
        }
        if seen.passed < BURST {
            seen.passed += 1;
            return Verdict::Write(held);
        }
        seen.held += 1;
        Verdict::Hold
    }
}

impl EventLog {
    /// A logger with these levels.
    pub fn new(levels: Levels, format: Format, reader: Reader) -> Self {
        EventLog {
            levels,
            format,
            reader,
            limiter: Mutex::new(Limiter::default()),
            keys: RandomState::new(),
        }
    }

    /// The line of a message at a time, or none when it is held back.
    fn line(&self, level: Level, target: &str, message: &str, now_ms: u64) -> Option<Vec<u8>> {
        let key = self.keys.hash_one((level, target, message));
        let Verdict::Write(held) = self.limiter.lock().admit(key, now_ms) else {
            return None;
        };
        let clean = redact::scrub(message);
        let mut message = clean.into_owned();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push_str("...");
        }
        if held > 0 {
            message.push_str(&format!(" (and {held} more like it)"));
        }
        let mut out = Vec::with_capacity(message.len() + 96);
        // What a line begins with, in either form.
        let (before, text, time) = match self.reader {
            Reader::Plain => {
                let time = clock::rfc3339(now_ms);
                let text = format!("{time} {level:5} ");
                (String::new(), text, format!("\"time\":\"{time}\","))
            }
            Reader::Journal => (
                format!("<{}>", priority(level)),
                String::new(),
                String::new(),
            ),
        };
        out.extend_from_slice(before.as_bytes());
        match self.format {
            Format::Text => {
                out.extend_from_slice(format!("{text}{target}: ").as_bytes());
                for c in message.chars() {
                    match c.is_control() {
                        true => out.extend(c.escape_default().map(|c| c as u8)),
                        false => {
                            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                    }
                }
            }
            Format::Json => {
                let level = level.as_str().to_ascii_lowercase();
                out.extend_from_slice(
                    format!("{{{time}\"level\":\"{level}\",\"target\":").as_bytes(),
                );
                json_string(target.as_bytes(), &mut out);
                out.extend_from_slice(b",\"message\":");
                json_string(message.as_bytes(), &mut out);
                out.push(b'}');
            }
        }
        out.push(b'\n');
        Some(out)
    }
}

impl Log for EventLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.levels.of(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        if let Some(line) = self.line(record.level(), record.target(), &message, clock::unix_ms()) {
            // One write a line keeps lines of several threads apart. Nobody can be told when it fails.
            let _ = std::io::stderr().lock().write_all(&line);
        }
    }

    fn flush(&self) {}
}

/// The number syslog(3) has for a level. What nobody reads in quiet times (debug, trace) is 7.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

impl Reader {
    /// The reader of standard error. systemd names the journal's stream in `JOURNAL_STREAM` as `DEVICE:INODE`;
    /// the variable is inherited by processes whose standard error leads elsewhere, so both are compared.
    pub fn of_stderr() -> Reader {
        let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        Reader::of(&named, std::io::stderr())
    }

    fn of(named: &str, stream: impl AsFd) -> Reader {
        let numbers = named.split_once(':').and_then(|(device, inode)| {
            Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
        });
        match (numbers, rustix::fs::fstat(stream)) {
            (Some(numbers), Ok(stat)) if numbers == (stat.st_dev, stat.st_ino) => Reader::Journal,
            _ => Reader::Plain,
        }
    }
}

/// Says on standard error why the process ends: each line as an error where the journal reads.
pub fn last_words(text: &str) {
    let mark = match Reader::of_stderr() {
        Reader::Plain => String::new(),
        Reader::Journal => format!("<{}>", priority(Level::Error)),
    };
    let lines: String = text.lines().map(|line| format!("{mark}{line}\n")).collect();
    // Nobody can be told when it fails.
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

/// Installs the event log from `FARMGATE_LOG` and `FARMGATE_LOG_FORMAT`. A second call changes nothing.
pub fn install() {
    let (levels, unread) = Levels::parse(&std::env::var("FARMGATE_LOG").unwrap_or_default());
    let format = match std::env::var("FARMGATE_LOG_FORMAT").as_deref() {
        Ok("json") => Format::Json,
        _ => Format::Text,
    };
    let max = levels.max();
    static LOGGER: OnceLock<EventLog> = OnceLock::new();
    let logger = LOGGER.get_or_init(|| EventLog::new(levels, format, Reader::of_stderr()));
    if log::set_logger(logger).is_ok() {
        log::set_max_level(max);
        for word in unread {
            log::warn!("FARMGATE_LOG: `{word}` is neither LEVEL nor TARGET=LEVEL");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(log: &EventLog, message: &str, now_ms: u64) -> Option<String> {
        let line = log.line(Level::Warn, "farmgate::server", message, now_ms);
        line.map(|l| String::from_utf8(l).unwrap())
    }

    fn log(format: Format) -> EventLog {
        EventLog::new(Levels::parse("").0, format, Reader::Plain)
    }

    #[test]
    fn levels_follow_the_longest_prefix() {
        let (levels, unread) = Levels::parse("error, farmgate=debug,farmgate::tls=off,x=loud");
        assert_eq!(unread, ["x=loud"]);
        assert_eq!(levels.of("farmgate::tls::sni"), LevelFilter::Off);
        assert_eq!(levels.of("farmgate::proxy"), LevelFilter::Debug);
        assert_eq!(levels.of("farmgate_plugins"), LevelFilter::Debug);
        assert_eq!(levels.of("farmgater"), LevelFilter::Error);
        assert_eq!(levels.max(), LevelFilter::Debug);
        let (levels, _) = Levels::parse("");
        assert_eq!(levels.of("farmgate::x"), LevelFilter::Info);
        assert_eq!(levels.of("pingora_core"), LevelFilter::Warn);
        assert_eq!(Levels::parse("debug").0.of("farmgate"), LevelFilter::Debug);
    }

    #[test]
    fn an_event_is_one_line_without_secrets() {
        assert_eq!(
            text(&log(Format::Text), "a\nb\u{1b}[31m token=abc ö", 0).unwrap(),
            "1970-01-01T00:00:00.000Z WARN  farmgate::server: a\\nb\\u{1b}[31m token=REDACTED ö\n"
        );
        let json = text(&log(Format::Json), "a\n\"b\" password: x", 1).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["message"], "a\n\"b\" password: REDACTED");
        assert_eq!(value["level"], "warn");
        assert_eq!(json.matches('\n').count(), 1);
    }

    #[test]
    fn the_journal_gets_a_priority_and_no_time() {
        let log = |format| EventLog::new(Levels::parse("").0, format, Reader::Journal);
        assert_eq!(
            text(&log(Format::Text), "two\n<0>lines", 0).unwrap(),
            "<4>farmgate::server: two\\n<0>lines\n"
        );
        assert_eq!(
            text(&log(Format::Json), "down", 0).unwrap(),
            "<4>{\"level\":\"warn\",\"target\":\"farmgate::server\",\"message\":\"down\"}\n"
        );
        let levels = [
            Level::Error,
            Level::Warn,
            Level::Info,
            Level::Debug,
            Level::Trace,
        ];
        assert_eq!(levels.map(priority), [3, 4, 6, 7, 7]);
    }

    #[test]
    fn the_journal_reads_only_the_stream_it_named() {
        let (file, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let stat = rustix::fs::fstat(&file).unwrap();
        let named = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert_eq!(Reader::of(&named, &file), Reader::Journal);
        assert_eq!(Reader::of(&named, &other), Reader::Plain);
        for wrong in ["", "1", "1:", ":2", "a:b", "1:2:3", "-1:2"] {
            assert_eq!(Reader::of(wrong, &file), Reader::Plain, "{wrong}");
        }
    }

    #[test]
    fn identical_messages_are_held_and_counted() {
        let log = log(Format::Text);
        let passed = (0..100)
            .filter(|n| text(&log, "origin down", *n).is_some())
            .count();
        assert_eq!(passed, 5);
        assert!(text(&log, "another", 100).is_some());
        let next = text(&log, "origin down", WINDOW_MS).unwrap();
        assert!(next.contains("origin down (and 95 more like it)"), "{next}");
    }

    #[test]
    fn the_table_of_messages_is_bounded() {
        let mut limiter = Limiter::default();
        for key in 0..10_000 {
            assert_eq!(limiter.admit(key, 0), Verdict::Write(0));
            assert!(limiter.seen.len() <= MAX_MESSAGES);
        }
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let line = text(&log(Format::Text), &"ö".repeat(4_000), 0).unwrap();
        assert!(line.len() < MAX_MESSAGE_BYTES + 100 && line.ends_with("...\n"));
    }
}
