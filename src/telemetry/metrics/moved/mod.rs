//! Counts that move to another process at an upgrade, so that no metric jumps back.
//!
//! The form is tolerant, since the two processes may be of different versions: a family is found by its name and the
//! names of its labels, a word of a closed set by its text, and a histogram moves only with the same bounds. Whatever
//! does not fit is left out and told. Gauges do not move: they say what a process does now.

mod tally;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Metrics;
use super::cell::{BOUNDS_NS, Cell, CounterCell, GroupCell, HistogramCell};
use super::family::{Family, Series, SeriesBudget};

pub use tally::Tally;

/// Most families whose mismatch is told one by one.
const MAX_NOTES: usize = 16;

/// What was counted, of many families.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// One entry for each metric name.
    pub families: Vec<FamilyCounts>,
}

/// What was counted under one metric name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FamilyCounts {
    /// `farmgate_requests_total`.
    pub name: String,
    /// Names of the labels, in the order of the values.
    pub labels: Vec<String>,
    /// What the places of the counts are: words of a closed set, or buckets with the sum of nanoseconds.
    pub places: Vec<String>,
    /// The series that counted.
    pub series: Vec<SeriesCounts>,
}

/// What one series counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeriesCounts {
    /// Values of the labels.
    pub of: Vec<String>,
    /// It collects what was over `max_series`.
    #[serde(skip_serializing_if = "is_false")]
    pub folded: bool,
    /// Index of the place, and how much is to be added there.
    pub counts: Vec<(u32, u64)>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What came of adding counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Series that were added to.
    pub series: usize,
    /// Series that nobody holds here, or whose family does not fit.
    pub dropped: usize,
    /// Families that do not fit, and why; the first few.
    pub notes: Vec<String>,
}

impl Added {
    /// Takes what another addition came to.
    pub fn and(&mut self, other: Added) {
        self.series += other.series;
        self.dropped += other.dropped;
        other.notes.into_iter().for_each(|note| self.note(note));
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Counts that are read place by place.
pub(super) trait Reading: Send + Sync {
    /// How many places there are.
    fn len(&self) -> usize;
    /// The count at a place; 0 where there is none.
    fn read(&self, place: usize) -> u64;
}

/// A cell whose counts move.
pub(super) trait Moving: Cell + Reading + Sized {
    /// True if the places only make sense together: all of them are the same, or nothing moves.
    const WHOLE: bool;
    /// What the places are.
    fn places(closed: &'static [&'static str]) -> Vec<Cow<'static, str>>;
    /// Adds to a cell that folded series count in.
    fn add_folded(&self, place: usize, n: u64);
    /// Adds to a series; the budget is asked as it is for any count.
    fn add(series: &Series<Self>, place: usize, n: u64) {
        series.cell().add_folded(place, n);
    }
}

/// Gets labels, whether it collects folded ones, and the cell.
pub(super) type Visitor<'v> = dyn FnMut(&[Arc<str>], bool, Arc<dyn Reading>) + 'v;

/// A family whose counts move.
pub(super) trait Movable: Send + Sync {
    /// Names of its labels.
    fn labels(&self) -> &'static [&'static str];
    /// What its places are.
    fn places(&self) -> Vec<Cow<'static, str>>;
    /// True if the places only make sense together.
    fn is_whole(&self) -> bool;
    /// Shows every cell in use.
    fn visit(&self, see: &mut Visitor<'_>);
    /// Adds to the series of these values; false if nobody holds it.
    fn add(&self, of: &[String], folded: bool, counts: &[(usize, u64)]) -> bool;
}

impl<M: Moving> Movable for Family<M> {
    fn labels(&self) -> &'static [&'static str] {
        self.label_names()
    }

    fn places(&self) -> Vec<Cow<'static, str>> {
        M::places(self.closed_words())
    }

    fn is_whole(&self) -> bool {
        M::WHOLE
    }

    fn visit(&self, see: &mut Visitor<'_>) {
        self.each_cell(&mut |labels, folded, cell: &Arc<M>| {
            see(labels, folded, Arc::clone(cell) as Arc<dyn Reading>);
        });
    }

    fn add(&self, of: &[String], folded: bool, counts: &[(usize, u64)]) -> bool {
        let labels: Vec<Arc<str>> = of.iter().map(|value| Arc::from(value.as_str())).collect();
        if folded {
            let Some(cell) = self.folded_for(&labels) else {
                return false;
            };
            counts.iter().for_each(|(at, n)| cell.add_folded(*at, *n));
            return true;
        }
        let Some(series) = self.held(&labels) else {
            return false;
        };
        counts.iter().for_each(|(at, n)| M::add(&series, *at, *n));
        true
    }
}

/// How often a label value was folded: the budget's own counter.
impl Movable for SeriesBudget {
    fn labels(&self) -> &'static [&'static str] {
        &[]
    }

    fn places(&self) -> Vec<Cow<'static, str>> {
        CounterCell::places(&[])
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn visit(&self, see: &mut Visitor<'_>) {
        see(&[], false, self.folded_cell().clone() as Arc<dyn Reading>);
    }

    fn add(&self, _: &[String], _: bool, counts: &[(usize, u64)]) -> bool {
        for (at, n) in counts {
            self.folded_cell().add_folded(*at, *n);
        }
        true
    }
}

impl Reading for CounterCell {
    fn len(&self) -> usize {
        1
    }

    fn read(&self, place: usize) -> u64 {
        if place == 0 { self.get() } else { 0 }
    }
}

impl Moving for CounterCell {
    const WHOLE: bool = false;

    fn places(_: &'static [&'static str]) -> Vec<Cow<'static, str>> {
        vec![Cow::Borrowed("count")]
    }

    fn add_folded(&self, place: usize, n: u64) {
        if place == 0 {
            self.add(n);
        }
    }
}

impl Reading for GroupCell {
    fn len(&self) -> usize {
        self.slots().len()
    }

    fn read(&self, place: usize) -> u64 {
        self.get(place)
    }
}

impl Moving for GroupCell {
    const WHOLE: bool = false;

    fn places(closed: &'static [&'static str]) -> Vec<Cow<'static, str>> {
        closed.iter().copied().map(Cow::Borrowed).collect()
    }

    fn add_folded(&self, place: usize, n: u64) {
        self.add(place, n);
    }

    fn add(series: &Series<Self>, place: usize, n: u64) {
        series.add(place, n);
    }
}

impl Reading for HistogramCell {
    fn len(&self) -> usize {
        BOUNDS_NS.len() + 2
    }

    fn read(&self, place: usize) -> u64 {
        match self.bucket(place) {
            Some(count) => count,
            None if place + 1 == self.len() => self.sum_ns(),
            None => 0,
        }
    }
}

impl Moving for HistogramCell {
    const WHOLE: bool = true;

    fn places(_: &'static [&'static str]) -> Vec<Cow<'static, str>> {
        let bounds = BOUNDS_NS.iter().map(|ns| Cow::Owned(format!("le {ns} ns")));
        let rest = ["le +Inf", "sum ns"].map(Cow::Borrowed);
        bounds.chain(rest).collect()
    }

    fn add_folded(&self, place: usize, n: u64) {
        self.add(place, n);
    }
}

impl Metrics {
    /// Adds what another process counted, into the series that somebody holds here; what nobody holds is dropped.
    pub fn add(&self, counts: &Counts) -> Added {
        let mut added = Added::default();
        for family in &counts.families {
            match self.fit(family) {
                Ok((here, places)) => add_family(&*here, family, &places, &mut added),
                Err(why) => {
                    added.dropped += family.series.len();
                    added.note(format!("{}: {why}", shown(&family.name)));
                }
            }
        }
        added
    }

    /// The family of this name, and for each of the sender's places the one here.
    fn fit(&self, family: &FamilyCounts) -> Result<Fit, &'static str> {
        let here = self.book.find(&family.name);
        let here = here.ok_or("no counter here has this name")?;
        if family.labels != here.labels() {
            return Err("its labels are others here");
        }
        let places = here.places();
        if here.is_whole() && family.places != places {
            return Err("its buckets are others here");
        }
        let find = |there: &String| places.iter().position(|place| place == there);
        let places = family.places.iter().map(find).collect();
        Ok((here, places))
    }
}

type Fit = (Arc<dyn Movable>, Vec<Option<usize>>);

fn add_family(
    here: &dyn Movable,
    family: &FamilyCounts,
    places: &[Option<usize>],
    added: &mut Added,
) {
    for series in &family.series {
        let mut unknown = false;
        let translated = series.counts.iter().filter_map(|(place, n)| {
            let at = usize::try_from(*place).ok();
            let at = at.and_then(|at| places.get(at).copied().flatten());
            unknown |= at.is_none();
            at.map(|at| (at, *n))
        });
        let counts: Vec<_> = translated.collect();
        if unknown {
            let name = shown(&family.name);
            added.note(format!("{name}: some of its words are not known here"));
        }
        let fits = series.of.len() == family.labels.len();
        if fits && here.add(&series.of, series.folded, &counts) {
            added.series += 1;
        } else {
            added.dropped += 1;
        }
    }
}

/// A name that came from elsewhere, fit for a log line.
fn shown(name: &str) -> String {
    const MOST: usize = 80;
    let fits = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    name.chars().take(MOST).map(fits).collect()
}
