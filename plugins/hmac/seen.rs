//! What was verified already: as long as its time allows it to come again.
//!
//! Saved for the process that takes over at an upgrade as
//!
//! ```text
//! version      1
//! then each:   16 bytes of what it is known by, 8 bytes: until when, in seconds since 1970
//! ```
//!
//! numbers in network order. The end is a time of day, not a span: it is compared with times of day that
//! senders wrote, and clocks of both processes are the same.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use farmgate_plugin_api::services::{Kept, Saved};
use foldhash::fast::RandomState;
use parking_lot::Mutex;

const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 24;

/// Most that may ever be kept; what a plugin keeps is a setting.
pub(super) const MOST: usize = 1_000_000;

/// What a verified request is known by: 128 bits of SHA-256 of its id, or of its signature. Only who knows
/// the secret can bring anything in here.
pub(super) type Mark = u128;

/// What remembering a mark came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    /// It was not known; so many that were nearest to their end were forgotten for it.
    New(u64),
    /// It is known.
    Again,
}

/// The marks of a plugin. They outlive reloads and upgrades.
#[derive(Default)]
pub(super) struct Seen(Mutex<Marks>);

#[derive(Default)]
struct Marks {
    until: HashMap<Mark, u64, RandomState>,
    /// The same, the first to end first.
    ends: BTreeSet<(u64, Mark)>,
}

impl Seen {
    /// Remembers a mark to the end of the second `until`, unless it is known.
    pub(super) fn remember(&self, mark: Mark, now: u64, until: u64, most: usize) -> Remembered {
        let mut marks = self.0.lock();
        marks.expire(now);
        if marks.until.contains_key(&mark) {
            return Remembered::Again;
        }
        let mut evicted = 0;
        // More than one when the setting has become smaller.
        while marks.until.len() >= most
            && let Some((_, first)) = marks.ends.first().copied()
        {
            marks.remove(first);
            evicted += 1;
        }
        marks.until.insert(mark, until);
        marks.ends.insert((until, mark));
        Remembered::New(evicted)
    }

    /// Forgets a mark: what it stands for may come again.
    pub(super) fn forget(&self, mark: Mark) {
        self.0.lock().remove(mark);
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.0.lock().until.len()
    }
}

impl Marks {
    fn remove(&mut self, mark: Mark) {
        if let Some(until) = self.until.remove(&mark) {
            self.ends.remove(&(until, mark));
        }
    }

    fn expire(&mut self, now: u64) {
        while let Some((until, mark)) = self.ends.first().copied()
            && until < now
        {
            self.remove(mark);
        }
    }
}

impl Kept for Seen {
    fn save(&self, most_bytes: usize) -> Saved {
        let marks = self.0.lock();
        let room = most_bytes.saturating_sub(1) / ENTRY_BYTES;
        let mut saved = Saved {
            entries: marks.ends.len().min(room),
            left_out: marks.ends.len().saturating_sub(room),
            ..Saved::default()
        };
        if most_bytes == 0 {
            return saved;
        }
        saved.bytes.push(VERSION);
        // Those that last longest matter most.
        for (until, mark) in marks.ends.iter().rev().take(room) {
            saved.bytes.extend(mark.to_be_bytes());
            saved.bytes.extend(until.to_be_bytes());
        }
        saved
    }

    fn restore(&self, saved: &[u8], _age: Duration) -> Result<usize, String> {
        let Some((version, bytes)) = saved.split_first() else {
            return Err("it is empty".to_owned());
        };
        if *version != VERSION {
            return Err(format!("version {version} is not known, {VERSION} is"));
        }
        let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(format!(
                "it ends within an entry, {} bytes too late",
                rest.len()
            ));
        }
        let mut marks = self.0.lock();
        let mut taken = 0;
        for entry in entries {
            let read = entry.first_chunk().zip(entry.last_chunk());
            let Some((mark, until)) =
                read.map(|(m, u)| (Mark::from_be_bytes(*m), u64::from_be_bytes(*u)))
            else {
                continue;
            };
            if marks.until.len() >= MOST {
                break;
            }
            taken += 1;
            let known = marks.until.get(&mark).copied();
            if known.is_none_or(|known| known < until) {
                marks.remove(mark);
                marks.until.insert(mark, until);
                marks.ends.insert((until, mark));
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mark_is_known_until_its_end() {
        let seen = Seen::default();
        assert_eq!(seen.remember(1, 100, 160, 10), Remembered::New(0));
        assert_eq!(seen.remember(1, 160, 160, 10), Remembered::Again);
        assert_eq!(seen.remember(1, 161, 200, 10), Remembered::New(0));
        seen.forget(1);
        seen.forget(2);
        assert_eq!(seen.len(), 0);
        assert_eq!(seen.remember(1, 161, 200, 10), Remembered::New(0));
    }

    #[test]
    fn a_full_table_forgets_what_ends_first() {
        let seen = Seen::default();
        for (mark, until) in [(1, 300), (2, 200), (3, 400)] {
            assert_eq!(seen.remember(mark, 100, until, 3), Remembered::New(0));
        }
        assert_eq!(seen.remember(4, 100, 250, 3), Remembered::New(1));
        assert_eq!(seen.remember(3, 100, 400, 3), Remembered::Again);
        assert_eq!(seen.remember(1, 100, 300, 3), Remembered::Again);
        assert_eq!(seen.remember(2, 100, 200, 3), Remembered::New(1));
    }

    #[test]
    fn what_is_saved_is_restored_and_cut_where_it_matters_least() {
        let seen = Seen::default();
        for mark in 0..10 {
            seen.remember(mark, 0, 100 + u64::try_from(mark).unwrap(), 100);
        }
        let whole = seen.save(1000);
        assert_eq!(
            (whole.entries, whole.left_out, whole.bytes.len()),
            (10, 0, 241)
        );
        let cut = seen.save(240);
        assert_eq!((cut.entries, cut.left_out), (9, 1));
        let next = Seen::default();
        assert_eq!(next.restore(&cut.bytes, Duration::ZERO), Ok(9));
        assert_eq!(next.remember(0, 0, 100, 100), Remembered::New(0));
        assert_eq!(next.remember(9, 0, 1, 100), Remembered::Again);
        assert!(next.restore(&whole.bytes[..240], Duration::ZERO).is_err());
    }

    proptest! {
        /// Against a plain list: known exactly while it was not forgotten and has not ended.
        #[test]
        fn the_table_agrees_with_a_list(steps in prop::collection::vec((0_u128..12, 0_u64..4, 1_u64..20, any::<bool>()), 1..200)) {
            let seen = Seen::default();
            let mut list: HashMap<u128, u64> = HashMap::new();
            let mut now = 1000;
            for (mark, passed, lasts, forget) in steps {
                now += passed;
                list.retain(|_, until| *until >= now);
                if forget {
                    seen.forget(mark);
                    list.remove(&mark);
                    continue;
                }
                let expected = if list.contains_key(&mark) { Remembered::Again } else { Remembered::New(0) };
                prop_assert_eq!(seen.remember(mark, now, now + lasts, 100), expected);
                list.entry(mark).or_insert(now + lasts);
                prop_assert_eq!(seen.len(), list.len());
            }
        }
    }
}
