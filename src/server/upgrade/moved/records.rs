//! The form of the state on the channel: each part of the node has a stream of records, one JSON text a line, cut into
//! chunks that are bounded, as all of it is.
//!
//! Old and new may be of different versions. A part carries the version of its records; fields that a reader does not
//! know are passed over, those that are missing have defaults, and a line that cannot be read costs that line.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Most bytes of text in a chunk: escaped in a message it is under 256 KiB.
pub const CHUNK_BYTES: usize = 120 * 1024;
/// Most bytes of all of it: a million addresses in limits take a third. What has no room stays behind.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of one character.
const WIDEST: usize = 4;
/// Most parts that are listened to; there are fewer.
const MOST_PARTS: usize = 64;
/// Most reasons that are told of one part, and characters of each.
const MOST_REASONS: usize = 4;
const REASON_CHARS: usize = 120;

/// A piece of the stream of one part.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Chunk {
    /// The part's name.
    pub part: String,
    /// The version of its records.
    pub version: u32,
    /// Lines, or a piece of one.
    pub records: Text,
}

/// Text that is not shown: keys of tickets and addresses of clients are in it.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Records {
    chunks: Vec<Chunk>,
    bytes: usize,
    part: &'static str,
    version: u32,
    left_out: BTreeMap<&'static str, usize>,
}

impl Records {
    /// Records of this part follow.
    pub(super) fn begin(&mut self, part: &'static str, version: u32) {
        (self.part, self.version) = (part, version);
    }

    /// Bytes that still have room, for one record.
    pub fn room(&self) -> usize {
        MOST_BYTES.saturating_sub(self.bytes + 1)
    }

    /// Adds a record, if there is room for it.
    pub fn put(&mut self, record: &impl Serialize) {
        match serde_json::to_string(record) {
            Ok(line) if line.len() <= self.room() => self.line(line),
            _ => self.left_out(1),
        }
    }

    /// Notes that so many things stay behind.
    pub fn left_out(&mut self, count: usize) {
        if count > 0 {
            *self.left_out.entry(self.part).or_default() += count;
        }
    }

    fn line(&mut self, mut line: String) {
        line.push('\n');
        self.bytes += line.len();
        let (part, mut rest) = (self.part, line.as_str());
        while !rest.is_empty() {
            // Room for any character, so that each turn moves on.
            let fits = |open: &&mut Chunk| {
                open.part == part && open.records.0.len() + WIDEST <= CHUNK_BYTES
            };
            match self.chunks.last_mut().filter(fits) {
                Some(open) => {
                    let room = CHUNK_BYTES - open.records.0.len();
                    let (now, later) = rest.split_at(rest.floor_char_boundary(room));
                    open.records.0.push_str(now);
                    rest = later;
                }
                None => self.chunks.push(Chunk {
                    part: part.to_owned(),
                    version: self.version,
                    records: Text::default(),
                }),
            }
        }
    }

    /// The chunks, in order, and what stays behind, by part.
    pub(super) fn done(self) -> (Vec<Chunk>, BTreeMap<&'static str, usize>) {
        (self.chunks, self.left_out)
    }
}

/// What came of an old process.
#[derive(Debug, Default)]
pub struct Incoming {
    streams: BTreeMap<String, Stream>,
    bytes: usize,
    refused_bytes: usize,
    since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) version: u32,
    pub(super) text: Text,
}

impl Incoming {
    /// Takes a chunk that came at `now`.
    pub fn add(&mut self, chunk: Chunk, now: Instant) {
        self.since.get_or_insert(now);
        let known = self.streams.contains_key(&chunk.part);
        let bytes = chunk.records.0.len();
        if self.bytes + bytes > MOST_BYTES || (!known && self.streams.len() >= MOST_PARTS) {
            self.refused_bytes += bytes;
            return;
        }
        self.bytes += bytes;
        let stream = self.streams.entry(chunk.part).or_insert_with(|| Stream {
            version: chunk.version,
            text: Text::default(),
        });
        // The higher one decides whether it can be read.
        stream.version = stream.version.max(chunk.version);
        stream.text.0.push_str(&chunk.records.0);
    }

    /// How old it is at `now`.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn take(&mut self, part: &str) -> Option<Stream> {
        self.streams.remove(part)
    }

    /// What nobody took: the names of parts, fit for a log line, and bytes that were over the bound.
    pub(super) fn rest(self) -> (Vec<String>, usize) {
        let names = self.streams.keys().take(MOST_REASONS);
        (names.map(|name| shown(name)).collect(), self.refused_bytes)
    }
}

/// The records of one part, and what comes of them.
pub struct Given<'r> {
    lines: &'r str,
    /// How long ago they were taken.
    pub age: Duration,
    taken: usize,
    skipped: usize,
    reasons: Vec<String>,
}

impl<'r> Given<'r> {
    pub(super) fn new(lines: &'r str, age: Duration) -> Self {
        Self {
            lines,
            age,
            taken: 0,
            skipped: 0,
            reasons: Vec::new(),
        }
    }

    /// Gives `take` each record; it says how many things it took, or why none.
    pub fn each<T: DeserializeOwned>(&mut self, mut take: impl FnMut(T) -> Result<usize, String>) {
        for line in self.lines.lines() {
            // The reader's own words could show what is in the line.
            match serde_json::from_str(line).map_err(|_| "not readable".to_owned()) {
                Ok(record) => match take(record) {
                    Ok(taken) => self.taken += taken,
                    Err(why) => self.skip(1, &why),
                },
                Err(why) => self.skip(1, &why),
            }
        }
    }

    /// Counts what was taken.
    pub fn took(&mut self, count: usize) {
        self.taken += count;
    }

    /// Counts what was not taken, and why.
    pub fn skip(&mut self, count: usize, why: &str) {
        if count == 0 {
            return;
        }
        self.skipped += count;
        let why = shown(why);
        if self.reasons.len() < MOST_REASONS && !self.reasons.contains(&why) {
            self.reasons.push(why);
        }
    }

    /// For the log: what was taken, and what was not; none when there was nothing.
    pub(super) fn report(&self, part: &str) -> (Option<String>, Option<String>) {
        let taken = (self.taken > 0).then(|| format!("{part} {}", self.taken));
        let skipped = (self.skipped > 0)
            .then(|| format!("{part} {} ({})", self.skipped, self.reasons.join("; ")));
        (taken, skipped)
    }
}

/// Text that came from elsewhere, fit for a log line.
fn shown(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(REASON_CHARS).map(safe).collect()
}
