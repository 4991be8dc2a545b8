//! What was sent already: the difference to now is what is still to be sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Counts, FamilyCounts, Movable, Reading, SeriesCounts};
use crate::telemetry::metrics::Metrics;

/// Remembers what was sent of each series, so that everything is sent exactly once: the first call gives all that was
/// counted so far, each later one what was counted since the one before.
///
/// A series that it has seen is read to its end, also when its last holder lets it go in between. One that begins and
/// ends between two calls is missed; a node that drains takes no new configuration, so that it has none.
#[derive(Default)]
pub struct Tally {
    pub(super) families: BTreeMap<Arc<str>, HashMap<usize, Known>>,
}

pub(super) struct Known {
    cell: Arc<dyn Reading>,
    of: Vec<String>,
    folded: bool,
    sent: Box<[u64]>,
}

impl Tally {
    /// What `metrics` counted since the last call, in pieces of at most `most_bytes` of JSON each. Only a series that
    /// is longer alone makes a piece that is longer. Nothing was counted: no piece.
    pub fn since(&mut self, metrics: &Metrics, most_bytes: usize) -> Vec<Counts> {
        let mut pieces = Pieces::new(most_bytes);
        for (name, family) in metrics.book.all() {
            let known = self.families.entry(Arc::clone(&name)).or_default();
            family.visit(&mut |labels, folded, cell| {
                // The address tells cells apart, because they are held as long as they are known.
                let address = Arc::as_ptr(&cell).cast::<()>().addr();
                known.entry(address).or_insert_with(|| Known {
                    of: labels.iter().map(ToString::to_string).collect(),
                    folded,
                    sent: vec![0; cell.len()].into(),
                    cell,
                });
            });
            pieces.begin(&name, &*family);
            known.retain(|_, one| {
                // Asked before the count is read: when nobody else has the cell, that count is the last one.
                let is_last = Arc::get_mut(&mut one.cell).is_some();
                let counts = one.fresh();
                if !counts.is_empty() {
                    pieces.push(SeriesCounts {
                        of: one.of.clone(),
                        folded: one.folded,
                        counts,
                    });
                }
                !is_last
            });
        }
        pieces.done()
    }
}

impl Known {
    fn fresh(&mut self) -> Vec<(u32, u64)> {
        let mut counts = Vec::new();
        for (place, sent) in self.sent.iter_mut().enumerate() {
            let now = self.cell.read(place);
            // Sums of nanoseconds go round after 584 years of waiting.
            let more = now.wrapping_sub(*sent);
            if let (1.., Ok(place)) = (more, u32::try_from(place)) {
                counts.push((place, more));
                *sent = now;
            }
        }
        counts
    }
}

/// Collects records and begins a new piece when one is full.
struct Pieces {
    most_bytes: usize,
    done: Vec<Counts>,
    open: Counts,
    open_bytes: usize,
    head: FamilyCounts,
    /// The head was put into the open piece.
    is_there: bool,
}

impl Pieces {
    fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            done: Vec::new(),
            open: Counts::default(),
            open_bytes: EMPTY_BYTES,
            head: FamilyCounts::default(),
            is_there: false,
        }
    }

    fn begin(&mut self, name: &str, family: &dyn Movable) {
        self.head = FamilyCounts {
            name: name.to_owned(),
            labels: family.labels().iter().map(ToString::to_string).collect(),
            places: family.places().iter().map(ToString::to_string).collect(),
            series: Vec::new(),
        };
        self.is_there = false;
    }

    fn push(&mut self, series: SeriesCounts) {
        let bytes = series_bytes(&series);
        let with_head = bytes + head_bytes(&self.head);
        let needed = if self.is_there { bytes } else { with_head };
        if self.open_bytes + needed > self.most_bytes && !self.open.families.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
            self.open_bytes = EMPTY_BYTES;
            self.is_there = false;
        }
        if !self.is_there {
            self.open.families.push(self.head.clone());
            self.is_there = true;
            self.open_bytes += with_head;
        } else {
            self.open_bytes += bytes;
        }
        if let Some(family) = self.open.families.last_mut() {
            family.series.push(series);
        }
    }

    fn done(mut self) -> Vec<Counts> {
        if !self.open.families.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }
}

/// `{"families":[]}`
const EMPTY_BYTES: usize = 15;

/// Bytes of JSON of a family without series, and its comma.
fn head_bytes(head: &FamilyCounts) -> usize {
    // {"name":,"labels":[],"places":[],"series":[]},
    46 + text_bytes(&head.name) + list_bytes(&head.labels) + list_bytes(&head.places)
}

/// Bytes of JSON of a series, and its comma.
fn series_bytes(series: &SeriesCounts) -> usize {
    // {"of":[],"counts":[]},
    let counts = series.counts.iter();
    let counts = counts.map(|(place, n)| digits(u64::from(*place)) + digits(*n) + 4);
    let folded = if series.folded { 14 } else { 0 };
    22 + folded + list_bytes(&series.of) + counts.sum::<usize>()
}

fn list_bytes(list: &[String]) -> usize {
    list.iter().map(|text| text_bytes(text) + 1).sum()
}

/// Bytes of a JSON string, its quotes included.
fn text_bytes(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(of).sum::<usize>()
}

fn digits(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}
