//! Regular expressions in the syntax of PCRE, as far as they can be searched in linear time.
//!
//! A pattern is rewritten into the syntax of regex-syntax: [`rewrite`] reads it token by token.
//! It works on bytes: `.` is any byte, `\w` and its like know ASCII only, `\x{e9}` is the byte E9.
//! `$` is the end of the value, never before a line feed; `(?m)` changes that as usual.

mod class;
mod error;
mod escape;
mod rewrite;

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::Hir;

pub use error::RegexError;

use super::captures::{CAPTURES, Captures};

/// The most bytes of a compiled automaton. The largest of the Core Rule Set has half a MiB.
const NFA_BYTES: usize = 10 << 20;

/// The most bytes of one-pass automata, which find groups fastest.
const ONE_PASS_BYTES: usize = 1 << 20;

/// Bytes of the cache in which states of the lazy automaton are kept, for each regex and each
/// thread that searches with it at the same time. Most regexes of the Core Rule Set stay under
/// 100 KiB; all of them took 4 MiB a thread. When it is full it is emptied, and if that
/// happens too often the search goes on without it: slower, still linear.
const CACHE_BYTES: usize = 512 << 10;

/// How deep groups may be nested.
const DEPTH: u32 = 250;

/// The most bytes of a pattern. The longest of the Core Rule Set has 12 126.
const PATTERN_BYTES: usize = 1 << 20;

/// A compiled regular expression. Cloning it is cheap; clones share their automata, and each thread
/// that searches at the same time as others gets a cache of its own from a pool inside.
#[derive(Clone, Debug)]
pub struct Regex {
    inner: meta::Regex,
}

/// Compiles a pattern.
pub fn compile(pattern: &[u8]) -> Result<Regex, RegexError> {
    let hir = hir(pattern)?;
    let config = meta::Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(NFA_BYTES))
        .onepass_size_limit(Some(ONE_PASS_BYTES))
        .hybrid_cache_capacity(CACHE_BYTES);
    meta::Regex::builder()
        .configure(config)
        .build_from_hir(&hir)
        .map(|inner| Regex { inner })
        .map_err(|error| RegexError::Compile(error.to_string()))
}

/// What a pattern means, for analyses such as the literals that a match must hold.
pub fn hir(pattern: &[u8]) -> Result<Hir, RegexError> {
    if pattern.len() > PATTERN_BYTES {
        return Err(RegexError::TooLong(PATTERN_BYTES));
    }
    let rewritten = rewrite::rewrite(pattern)?;
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .nest_limit(DEPTH)
        .build()
        .parse(&rewritten)
        .map_err(|error| {
            RegexError::Syntax(match &error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                other => other.to_string(),
            })
        })
}

impl Regex {
    /// True if it matches anywhere.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.inner.is_match(value)
    }

    /// Looks for the first match; groups 0 to 9 are set, those that took no part are not. What the
    /// captures held before stays where no group is set.
    pub fn captures(&self, value: &[u8], captures: &mut Captures) -> bool {
        let mut room = [None; 2 * CAPTURES];
        let slots = self.own_slots(&mut room);
        if self.inner.search_slots(&Input::new(value), slots).is_none() {
            return false;
        }
        for (index, group) in groups(slots, value) {
            captures.set(index, group);
        }
        true
    }

    /// Looks for all matches one after another; the groups of each are set behind those of the one
    /// before, as far as there is room.
    pub fn captures_all(&self, value: &[u8], captures: &mut Captures) -> bool {
        let mut room = [None; 2 * CAPTURES];
        let slots = self.own_slots(&mut room);
        let mut input = Input::new(value);
        let mut base: usize = 0;
        while base < CAPTURES && input.start() <= value.len() {
            slots.fill(None);
            if self.inner.search_slots(&input, slots).is_none() {
                break;
            }
            let [Some(start), Some(end), ..] = *slots else {
                break;
            };
            let mut count: usize = 0;
            for (index, group) in groups(slots, value) {
                captures.set(base.saturating_add(index), group);
                count = count.saturating_add(1);
            }
            base = base.saturating_add(count.max(1));
            // Behind an empty match the search goes on one byte further.
            let next = end.get().saturating_add(usize::from(start == end));
            input.set_start(next);
        }
        base > 0
    }

    /// As many slots as the pattern has groups for, at most. With more, the slowest of the automata, which
    /// long values of large patterns come to, reads beyond its table (regex-automata 0.4.18) and panics.
    fn own_slots<'s>(
        &self,
        room: &'s mut [Option<NonMaxUsize>; 2 * CAPTURES],
    ) -> &'s mut [Option<NonMaxUsize>] {
        let count = self.inner.captures_len().saturating_mul(2).min(room.len());
        room.split_at_mut(count).0
    }

    /// The first match in a part of the value, from and to. `\b`, `^` and `$` see the whole value.
    pub(super) fn find_in(
        &self,
        value: &[u8],
        from: usize,
        to: usize,
        anchored: bool,
    ) -> Option<(usize, usize)> {
        if from > to || to > value.len() {
            return None;
        }
        let anchored = if anchored {
            Anchored::Yes
        } else {
            Anchored::No
        };
        let input = Input::new(value).range(from..to).anchored(anchored);
        let found = self.inner.search(&input)?;
        Some((found.start(), found.end()))
    }

    /// Bytes of the compiled automata, without the caches.
    pub fn memory_usage(&self) -> usize {
        self.inner.memory_usage()
    }
}

fn groups<'v>(
    slots: &[Option<NonMaxUsize>],
    value: &'v [u8],
) -> impl Iterator<Item = (usize, &'v [u8])> {
    let (pairs, _) = slots.as_chunks::<2>();
    pairs
        .iter()
        .enumerate()
        .filter_map(|(index, [start, end])| {
            let group = value.get((*start)?.get()..(*end)?.get())?;
            Some((index, group))
        })
}

#[cfg(test)]
mod tests;
