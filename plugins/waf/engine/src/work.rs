//! Work: what judging costs, counted and never timed, so that the same request costs the same on a busy
//! machine. A unit is about a nanosecond of the machine on which [`COSTS`] was measured, on input that
//! is meant to be slow; harmless input costs less time than its units say. [`calibrate`] tells how
//! many units the machine at hand does in a microsecond.

use std::hint::black_box;
use std::time::Instant;

use crate::injection;
use crate::operators::regex;
use crate::transform::{ByteSet, Transformation};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Going over the rules of a phase; `amount` is their number.
    Rules,
    /// Going over the entries of a list; their number.
    Entries,
    /// A new distinct string: its hash and its set of bytes; its length.
    String,
    /// The steps of a string: which transformations may change it, which checks are asked; their number.
    Steps,
    /// A transformation; bytes it reads.
    Transform,
    /// The pass for the literals of all rules.
    Scan,
    /// A search for a regex.
    Regex,
    /// A search for a regex and its groups.
    Groups,
    /// A search for phrases.
    Phrases,
    /// libinjection's reading as SQL.
    Sqli,
    /// libinjection's reading as HTML.
    Xss,
    /// Any other operator.
    Plain,
    /// A rule that is looked at on its own: one.
    Rule,
    /// A match: what is copied of it.
    Found,
    /// A macro expanded, a variable set: what is written.
    Write,
    /// Records of matches; their number.
    Record,
    /// A body's bytes, read by its parser.
    Body,
    /// Bytes of a multipart body: most are the content of files, which is only searched for boundaries.
    /// So many that a body of 100 MiB stays within the plugin's usual 50 ms.
    Upload,
    /// Its lines; their number.
    Lines,
}

/// Units of each kind: for each time, and for [`FRACTION`] of its amount. In the order of [`Kind`].
///
/// Fitted to the time of all cases of `farmgate-waf-suite`'s `worst` at several sizes with the Core Rule Set,
/// counting too little four times as bad as counting too much. What a byte costs depends on what it is
/// even so: a lazy automaton that meets its states for the first time, or a cache of the processor that is
/// too small for all of them, makes some strings twice as slow as the average of bad strings.
const COSTS: [(u64, u64); 19] = [
    (200, 8),    // Rules
    (10, 104),   // Entries
    (85, 18),    // String
    (64, 65),    // Steps
    (30, 16),    // Transform
    (67, 32),    // Scan
    (75, 22),    // Regex
    (200, 40),   // Groups
    (30, 86),    // Phrases
    (150, 118),  // Sqli
    (200, 24),   // Xss
    (10, 8),     // Plain
    (40, 0),     // Rule
    (60, 2),     // Found
    (40, 2),     // Write
    (100, 4800), // Record
    (50, 16),    // Body
    (50, 6),     // Upload
    (0, 112),    // Lines
];

/// Of how many bytes (entries, steps) the second number of [`COSTS`] is.
const FRACTION: u64 = 16;

/// Work done and still allowed, in units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) done: u64,
    pub(crate) limit: u64,
}

impl Work {
    /// Counts work; false when the limit is passed.
    #[inline]
    pub(crate) fn spend(&mut self, kind: Kind, amount: usize) -> bool {
        let (each, many) = COSTS[kind as usize];
        let units = each + (amount as u64).saturating_mul(many) / FRACTION;
        self.done = self.done.saturating_add(units);
        self.done <= self.limit
    }

    pub(crate) fn is_over(&self) -> bool {
        self.done > self.limit
    }
}

/// Rounds of [`calibrate`]; the fastest counts, as the others were interrupted.
const ROUNDS: u32 = 16;

/// Units of one round of [`calibrate`]: its nanoseconds on the machine of [`COSTS`].
const ROUND_UNITS: f64 = 344_000.0;

/// How many units this machine does in a microsecond: 1000 on the machine on which the costs were
/// measured. Takes 5 to 10 ms of one processor; for the start of a process, not for a request.
pub fn calibrate() -> f64 {
    let pieces: [&[u8]; 6] = [
        b"select a.b from c where d = 'e' or 1 = 1 ",
        b"<a href=\"javascript:x(1)\" onload=y> ",
        b"%2e%2e%2f&lt;\\x41\\u0042/**/",
        b"the quick brown fox jumps over the lazy dog ",
        b"cat /etc/passwd; $(id) `ls` ${x} ",
        b"0123456789-_.~!*'()",
    ];
    let text: Vec<u8> = pieces
        .iter()
        .copied()
        .cycle()
        .take(1200)
        .flatten()
        .copied()
        .collect();
    let regexes: Vec<regex::Regex> = [
        &br"(?i)union\s+(?:all\s+)?select\s+[\w,]+\s+from"[..],
        br"(?i)\bon[a-z]{3,20}\s*=\s*[^>]{1,40}>>",
        br"(?:\$\{[^}]{0,15}){3}",
        br"(?i)(?:c['\x22\\]*a['\x22\\]*t|l['\x22\\]*s)\s+/[a-z]+/shadow",
    ]
    .iter()
    .filter_map(|pattern| regex::compile(pattern).ok())
    .collect();
    let transformations = [
        Transformation::UrlDecodeUni,
        Transformation::HtmlEntityDecode,
        Transformation::JsDecode,
        Transformation::Lowercase,
    ];
    let mut made = Vec::new();
    let mut best = u128::MAX;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let text = black_box(text.as_slice());
        black_box(ByteSet::of(text));
        for regex in &regexes {
            black_box(regex.is_match(text));
        }
        for transformation in transformations {
            black_box(transformation.apply(text, &mut made));
        }
        for part in text.chunks(97) {
            black_box((injection::sqli(part), injection::xss(part)));
        }
        best = best.min(begin.elapsed().as_nanos());
    }
    // What a clock too coarse to see a round tells is of no use; nothing is that fast.
    ROUND_UNITS / (best.max(1000) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Work, calibrate};

    #[test]
    fn work_stops_at_its_limit_and_never_wraps() {
        let mut work = Work {
            done: 0,
            limit: 1000,
        };
        assert!(work.spend(Kind::Regex, 16));
        assert!(!work.spend(Kind::Sqli, 1 << 20) && work.is_over());
        assert!(!work.spend(Kind::Record, usize::MAX));
        let all = [
            Kind::Rules,
            Kind::Entries,
            Kind::String,
            Kind::Steps,
            Kind::Transform,
            Kind::Scan,
            Kind::Regex,
            Kind::Groups,
            Kind::Phrases,
            Kind::Sqli,
            Kind::Xss,
            Kind::Plain,
            Kind::Rule,
            Kind::Found,
            Kind::Write,
            Kind::Record,
            Kind::Body,
        ];
        for kind in all {
            let mut work = Work {
                done: 0,
                limit: u64::MAX,
            };
            assert!(work.spend(kind, 1) && work.done > 0, "{kind:?} is free");
        }
    }

    #[test]
    fn a_machine_has_a_speed() {
        let speed = calibrate();
        assert!(
            (5.0..100_000.0).contains(&speed),
            "{speed} units a microsecond"
        );
    }
}
