//! What is compared: the verdicts, and what they are made of, so that a difference which a verdict hides
//! is seen too.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::injection::html::Place;
use crate::injection::sqli::{Fingerprint, Reading};
use crate::injection::{sqli, xss};

/// Bytes of an [`Answer`], see `tests/libinjection.py`.
const BYTES: usize = 37;

/// Strings that are asked for at once: far less than a pipe holds, so neither side waits for the other.
const BATCH: usize = 64;

/// The fingerprint of the verdict, those of the five readings, and the bits of the five places and of
/// the verdict on scripts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer(pub(super) [u8; BYTES]);

impl Answer {
    /// What this engine says.
    pub(super) fn ours(value: &[u8]) -> Self {
        let mut answer = [0; BYTES];
        let mut put = |at: usize, fingerprint: Fingerprint| {
            let letters = fingerprint.as_bytes();
            answer[at * 6..][..letters.len()].copy_from_slice(letters);
        };
        put(0, sqli(value).unwrap_or_default());
        let readings = [
            (0, false),
            (0, true),
            (b'\'', false),
            (b'\'', true),
            (b'"', true),
        ];
        for (at, (quote, mysql)) in readings.into_iter().enumerate() {
            put(at + 1, Reading::new(value, quote, mysql).fingerprint);
        }
        let places = [
            Place::Text,
            Place::Tag,
            Place::Quotes(b'\''),
            Place::Quotes(b'"'),
            Place::Quotes(b'`'),
        ];
        for (at, place) in places.into_iter().enumerate() {
            answer[36] |= u8::from(crate::injection::xss::at(value, place)) << at;
        }
        answer[36] |= u8::from(xss(value)) << 5;
        Self(answer)
    }

    /// The fingerprint of the verdict; empty: no attack.
    pub(super) fn sqli(&self) -> String {
        self.letters(0)
    }

    /// The verdict on scripts.
    pub(super) fn xss(&self) -> bool {
        self.0[36] & 32 != 0
    }

    fn letters(&self, at: usize) -> String {
        let letters = self.0[at * 6..][..6].iter().take_while(|byte| **byte != 0);
        letters.map(|byte| char::from(*byte)).collect()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "sqli {:?}, readings", self.sqli())?;
        for at in 1..6 {
            write!(out, " {:?}", self.letters(at))?;
        }
        write!(out, ", xss {:06b}", self.0[36])
    }
}

/// Sums up answers in their order (FNV-1a).
pub(super) struct Sum(pub(super) u64);

impl Sum {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, answer: &Answer) {
        for byte in answer.0 {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The library, in a process of its own: this package forbids the unsafe code that a call needs.
pub(super) struct Library {
    process: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Its name and version.
    pub(super) version: String,
}

impl Library {
    /// Loads it; the reason when it cannot be.
    pub(super) fn load() -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libinjection.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("python3: {error}"))?;
        let ask = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut version = String::new();
        answers.read_line(&mut version).expect("a line");
        if version.is_empty() {
            let mut reason = String::new();
            let mut errors = process.stderr.take().expect("it is piped");
            errors.read_to_string(&mut reason).expect("text");
            process.wait().expect("it ended");
            return Err(reason.trim().to_owned());
        }
        Ok(Self {
            process,
            ask,
            answers,
            version: version.trim().to_owned(),
        })
    }

    /// Its answers, in the order of the strings.
    pub(super) fn answers(&mut self, values: &[Vec<u8>]) -> Vec<Answer> {
        let mut all = Vec::new();
        for batch in values.chunks(BATCH) {
            let mut asked = Vec::new();
            for value in batch {
                let bytes = u32::try_from(value.len()).expect("a short string");
                asked.extend_from_slice(&bytes.to_le_bytes());
                asked.extend_from_slice(value);
            }
            let ask = self.ask.as_mut().expect("it is open");
            ask.write_all(&asked).expect("it reads");
            for _ in batch {
                let mut answer = [0; BYTES];
                self.answers.read_exact(&mut answer).expect("an answer");
                all.push(Answer(answer));
            }
        }
        all
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // It ends with its input.
        self.ask = None;
        let _ = self.process.wait();
    }
}
