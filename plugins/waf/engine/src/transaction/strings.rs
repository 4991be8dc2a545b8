//! The distinct strings of a transaction, and what one pass over each has told.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::values::{Span, Values};
use crate::transform::ByteSet;

/// Number of a distinct string.
pub(crate) type Id = u32;

/// No string.
pub(crate) const NONE: Id = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Info {
    hash: u64,
    span: Span,
    /// In the strings' own arena, not in that of the values.
    own: bool,
    present: Option<ByteSet>,
    /// Where its met clauses begin; `NONE` before the pass.
    met: u32,
}

/// The strings.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    list: Vec<Info>,
    /// Open addressing: ids by hash, a power of two of places.
    table: Vec<Id>,
    own: Vec<u8>,
    met: Vec<u64>,
}

impl Strings {
    /// Room for those of a plain request.
    pub(crate) fn new() -> Self {
        Self {
            list: Vec::with_capacity(192),
            table: vec![NONE; 512],
            own: Vec::with_capacity(4 * 1024),
            met: Vec::with_capacity(2 * 1024),
        }
    }

    /// The id of bytes that lie in the values.
    pub(crate) fn of_value(&mut self, values: &Values, span: Span) -> Id {
        let bytes = values.bytes(span);
        let hash = hash(bytes);
        match self.find(values, hash, bytes) {
            Ok(id) => id,
            Err(place) => self.add(
                place,
                Info {
                    hash,
                    span,
                    own: false,
                    present: None,
                    met: NONE,
                },
            ),
        }
    }

    /// The id of bytes that were made.
    pub(crate) fn of_made(&mut self, values: &Values, bytes: &[u8]) -> Id {
        let hash = hash(bytes);
        match self.find(values, hash, bytes) {
            Ok(id) => id,
            Err(place) => {
                let (Ok(start), Ok(len)) =
                    (u32::try_from(self.own.len()), u32::try_from(bytes.len()))
                else {
                    return NONE;
                };
                self.own.extend_from_slice(bytes);
                let span = Span { start, len };
                self.add(
                    place,
                    Info {
                        hash,
                        span,
                        own: true,
                        present: None,
                        met: NONE,
                    },
                )
            }
        }
    }

    fn add(&mut self, place: usize, info: Info) -> Id {
        let id = u32::try_from(self.list.len()).unwrap_or(NONE);
        self.list.push(info);
        if let Some(entry) = self.table.get_mut(place) {
            *entry = id;
        }
        id
    }

    /// The id, or the place in the table where it belongs.
    fn find(&mut self, values: &Values, hash: u64, bytes: &[u8]) -> Result<Id, usize> {
        if self.list.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mask = self.table.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        loop {
            match self.table.get(place).copied() {
                None | Some(NONE) => return Err(place),
                Some(id) => {
                    let same = self
                        .list
                        .get(id as usize)
                        .is_some_and(|info| info.hash == hash);
                    if same && self.bytes(values, id) == bytes {
                        return Ok(id);
                    }
                }
            }
            place = (place + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(256);
        self.table.clear();
        self.table.resize(size, NONE);
        let mask = size - 1;
        for (info, id) in self.list.iter().zip(0u32..) {
            let mut place = info.hash as usize & mask;
            while self.table.get(place).is_some_and(|taken| *taken != NONE) {
                place = (place + 1) & mask;
            }
            if let Some(entry) = self.table.get_mut(place) {
                *entry = id;
            }
        }
    }

    /// The bytes of a string.
    pub(crate) fn bytes<'a>(&'a self, values: &'a Values, id: Id) -> &'a [u8] {
        match self.list.get(id as usize) {
            None => b"",
            Some(info) if info.own => {
                let start = info.span.start as usize;
                self.own
                    .get(start..start.saturating_add(info.span.len as usize))
                    .unwrap_or_default()
            }
            Some(info) => values.bytes(info.span),
        }
    }

    /// Which bytes the string has.
    pub(crate) fn present(&mut self, values: &Values, id: Id) -> ByteSet {
        if let Some(present) = self.list.get(id as usize).and_then(|info| info.present) {
            return present;
        }
        let present = ByteSet::of(self.bytes(values, id));
        if let Some(info) = self.list.get_mut(id as usize) {
            info.present = Some(present);
        }
        present
    }

    /// The clauses that the string meets, if the pass was made.
    pub(crate) fn met(&self, id: Id, words: usize) -> Option<&[u64]> {
        let start = self.list.get(id as usize)?.met;
        if start == NONE {
            return None;
        }
        self.met.get(start as usize..start as usize + words)
    }

    /// Makes room for the clauses of a string and lets `scan` fill it.
    pub(crate) fn set_met(
        &mut self,
        values: &Values,
        id: Id,
        words: usize,
        scan: impl FnOnce(&[u8], &mut [u64]),
    ) {
        let start = self.met.len();
        self.met.resize(start + words, 0);
        let mut room = std::mem::take(&mut self.met);
        if let Some(met) = room.get_mut(start..) {
            scan(self.bytes(values, id), met);
        }
        self.met = room;
        if let Some(info) = self.list.get_mut(id as usize) {
            info.met = u32::try_from(start).unwrap_or(NONE);
        }
    }

    /// Notes what a pass that was made elsewhere has told.
    pub(crate) fn set_scanned(&mut self, id: Id, present: ByteSet, met: &[u64]) {
        let start = u32::try_from(self.met.len()).unwrap_or(NONE);
        self.met.extend_from_slice(met);
        if let Some(info) = self.list.get_mut(id as usize) {
            info.present = Some(present);
            info.met = start;
        }
    }

    /// A string that differs from another in letter case alone meets the same clauses.
    pub(crate) fn share_met(&mut self, from: Id, to: Id) {
        if let Some(met) = self.list.get(from as usize).map(|info| info.met)
            && let Some(info) = self.list.get_mut(to as usize)
        {
            info.met = met;
        }
    }
}

/// Keyed per process: strings come from clients, and the table must not degrade at their will.
fn hash(bytes: &[u8]) -> u64 {
    static SEED: std::sync::LazyLock<FixedState> = std::sync::LazyLock::new(|| {
        FixedState::with_seed(foldhash::quality::RandomState::default().hash_one(0u8))
    });
    SEED.hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use super::Strings;
    use crate::transaction::values::Values;

    #[test]
    fn equal_bytes_have_one_id_wherever_they_lie() {
        let mut values = Values::new();
        let mut strings = Strings::default();
        let spans: Vec<_> = (0..1000)
            .map(|i| values.keep(format!("value {}", i % 400).as_bytes()))
            .collect();
        let ids: Vec<_> = spans
            .iter()
            .map(|span| strings.of_value(&values, *span))
            .collect();
        assert_eq!(strings.list.len(), 400);
        for (i, id) in ids.iter().enumerate() {
            assert_eq!(
                strings.bytes(&values, *id),
                format!("value {}", i % 400).as_bytes()
            );
            assert_eq!(
                strings.of_made(&values, format!("value {}", i % 400).as_bytes()),
                *id
            );
        }
        let made = strings.of_made(&values, b"another");
        assert_eq!(strings.bytes(&values, made), b"another");
        assert!(strings.present(&values, made).contains(b'h'));
    }
}
