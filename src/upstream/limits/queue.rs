//! Who waits at a gate, in which order. Plain data under the gate's lock; nothing here wakes anybody.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Class, GateOptions};

/// What a call tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// When its waiter finds nothing it can use, so many others further back are called in turn.
    pub(super) passes: u8,
    /// There may be more than one thing to take: who takes one calls the next.
    pub(super) more: bool,
}

impl Call {
    /// One thing was released.
    pub(super) const ONE: Self = Self {
        passes: 8,
        more: false,
    };
    /// Nobody counted how many.
    pub(super) const MANY: Self = Self {
        passes: 8,
        more: true,
    };

    const MORE: u8 = 0x80;

    const fn bits(self) -> u8 {
        self.passes | if self.more { Self::MORE } else { 0 }
    }

    const fn of(bits: u8) -> Self {
        Self {
            passes: bits & !Self::MORE,
            more: bits & Self::MORE != 0,
        }
    }
}

/// So many waiters that are called already are skipped to find one that is not.
const LOOKED_AT: usize = 64;

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A place of the gate, which is given to them.
    Place,
    /// Something that others release; they are called and take it themselves.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stand {
    Waiting,
    /// [`Want::Other`]: there may be something to take.
    Called,
    /// [`Want::Other`]: it is taking, or finding that it cannot.
    Trying,
    /// [`Want::Place`]: it has a place, which nobody else gives back.
    Granted,
    /// A higher class needed its place in the queue.
    Evicted,
    /// It is out of the queue by its own will.
    Left,
}

/// One that waits. `stand` and `call` change under the queue's lock only.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) signal: Notify,
    stand: AtomicU8,
    call: AtomicU8,
    since: Instant,
}

impl Waiter {
    pub(super) fn stand(&self) -> Stand {
        match self.stand.load(Ordering::Relaxed) {
            0 => Stand::Waiting,
            1 => Stand::Called,
            2 => Stand::Trying,
            3 => Stand::Granted,
            4 => Stand::Evicted,
            _ => Stand::Left,
        }
    }

    pub(super) fn set(&self, stand: Stand) {
        self.stand.store(stand as u8, Ordering::Relaxed);
    }

    /// The call it has not answered, or is answering.
    pub(super) fn called_by(&self) -> Call {
        Call::of(self.call.load(Ordering::Relaxed))
    }

    /// Calls it. A call that finds another one unanswered joins it: then there is more than one thing.
    pub(super) fn call(&self, call: Call) {
        let call = match self.stand() {
            Stand::Called => Call {
                passes: call.passes.max(self.called_by().passes),
                more: true,
            },
            _ => call,
        };
        self.call.store(call.bits(), Ordering::Relaxed);
        self.set(Stand::Called);
    }
}

type Row = BTreeMap<u64, Arc<Waiter>>;

/// Those who want the same thing: by class, and within a class by number.
#[derive(Debug, Default)]
pub(super) struct Line {
    critical: Row,
    default: Row,
    bulk: Row,
}

impl Line {
    fn row(&mut self, class: Class) -> &mut Row {
        match class {
            Class::Critical => &mut self.critical,
            Class::Default => &mut self.default,
            Class::Bulk => &mut self.bulk,
        }
    }

    fn rows(&self) -> [(Class, &Row); 3] {
        [
            (Class::Critical, &self.critical),
            (Class::Default, &self.default),
            (Class::Bulk, &self.bulk),
        ]
    }

    pub(super) fn len(&self) -> usize {
        self.critical.len() + self.default.len() + self.bulk.len()
    }

    /// True if a newcomer of this class goes to the head.
    pub(super) fn none_before(&self, class: Class) -> bool {
        self.rows()
            .iter()
            .all(|(other, row)| *other > class || row.is_empty())
    }

    /// Takes the first one out.
    pub(super) fn pop_first(&mut self) -> Option<Arc<Waiter>> {
        [&mut self.critical, &mut self.default, &mut self.bulk]
            .into_iter()
            .find_map(|row| row.pop_first())
            .map(|(_, waiter)| waiter)
    }

    /// Calls the first one that is not called yet, and returns it to be woken.
    pub(super) fn call_first(&self, call: Call) -> Option<Arc<Waiter>> {
        let all = || self.rows().into_iter().flat_map(|(_, row)| row.values());
        let uncalled = |waiter: &&Arc<Waiter>| waiter.stand() != Stand::Called;
        let found = all().take(LOOKED_AT).find(uncalled);
        let waiter = found.or_else(|| all().next())?;
        waiter.call(call);
        Some(Arc::clone(waiter))
    }

    /// Calls the one behind `number`, and returns it to be woken.
    pub(super) fn call_behind(&self, class: Class, number: u64, call: Call) -> Option<Arc<Waiter>> {
        let behind = |(other, row): (Class, &Row)| {
            let after = match other.cmp(&class) {
                std::cmp::Ordering::Less => return None,
                std::cmp::Ordering::Equal => Bound::Excluded(number),
                std::cmp::Ordering::Greater => Bound::Unbounded,
            };
            let mut range = row.range((after, Bound::Unbounded));
            range.next().map(|(_, waiter)| Arc::clone(waiter))
        };
        let waiter = self.rows().into_iter().find_map(behind)?;
        waiter.call(call);
        Some(waiter)
    }
}

/// One in the queue, by its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) want: Want,
    pub(super) class: Class,
    pub(super) number: u64,
}

/// All who wait at one gate.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) places: Line,
    pub(super) others: Line,
    /// Of the last newcomer: they hold for all who wait.
    pub(super) options: Option<Arc<GateOptions>>,
    pub(super) pace: Pace,
    next_number: u64,
}

impl Queue {
    fn line(&mut self, want: Want) -> &mut Line {
        match want {
            Want::Place => &mut self.places,
            Want::Other => &mut self.others,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() + self.others.len()
    }

    pub(super) fn see(&mut self, options: &Arc<GateOptions>) {
        let known = |known: &Arc<GateOptions>| Arc::ptr_eq(known, options);
        if !self.options.as_ref().is_some_and(known) {
            self.options = Some(Arc::clone(options));
        }
    }

    pub(super) fn add(&mut self, want: Want, class: Class, now: Instant) -> (Spot, Arc<Waiter>) {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let waiter = Arc::new(Waiter {
            signal: Notify::new(),
            stand: AtomicU8::new(Stand::Waiting as u8),
            call: AtomicU8::new(0),
            since: now,
        });
        let row = self.line(want).row(class);
        row.insert(number, Arc::clone(&waiter));
        let spot = Spot {
            want,
            class,
            number,
        };
        (spot, waiter)
    }

    pub(super) fn remove(&mut self, spot: Spot) -> Option<Arc<Waiter>> {
        self.line(spot.want).row(spot.class).remove(&spot.number)
    }

    /// Who makes way for a newcomer: the newest of the lowest class, if that is below the newcomer's.
    pub(super) fn lowest_below(&self, class: Class) -> Option<Spot> {
        let places = self.places.rows().map(|row| (Want::Place, row));
        let others = self.others.rows().map(|row| (Want::Other, row));
        let newest = |(want, (class, row)): (Want, (Class, &Row))| {
            let (&number, _) = row.last_key_value()?;
            Some(Spot {
                want,
                class,
                number,
            })
        };
        places
            .into_iter()
            .chain(others)
            .filter_map(newest)
            .filter(|spot| spot.class > class)
            .max_by_key(|spot| (spot.class, spot.number))
    }

    /// How many of this class wait.
    pub(super) fn waiting(&self, class: Class) -> u32 {
        let lines = [&self.places, &self.others];
        let rows = lines.iter().flat_map(|line| line.rows());
        let of_class = rows.filter(|(other, _)| *other == class);
        let sum: usize = of_class.map(|(_, row)| row.len()).sum();
        u32::try_from(sum).unwrap_or(u32::MAX)
    }

    /// Since when the one waits who waits longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let lines = [&self.places, &self.others];
        let rows = lines.into_iter().flat_map(|line| line.rows());
        rows.filter_map(|(_, row)| row.first_key_value())
            .map(|(_, waiter)| waiter.since)
            .min()
    }
}

/// How fast places come free. Looked at only by those who find none, so it costs nothing otherwise.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<(Instant, u32)>,
    per_second: Option<f32>,
}

/// The shortest time a rate is taken over, in seconds.
const SHORTEST: f32 = 0.5;
/// The longest, in seconds: before that there was nobody who found no place.
const LONGEST: f32 = 2.0;

impl Pace {
    /// `released` counts places given back, in 24 bits. Returns the rate per second if it is known.
    pub(super) fn look(&mut self, now: Instant, released: u32) -> Option<f32> {
        let Some((since, before)) = self.last else {
            self.last = Some((now, released));
            return None;
        };
        let elapsed = now.saturating_duration_since(since).as_secs_f32();
        if elapsed < SHORTEST {
            return self.per_second;
        }
        self.last = Some((now, released));
        self.per_second = if elapsed > LONGEST {
            None
        } else {
            let count = released.wrapping_sub(before) & 0x00ff_ffff;
            let rate = count as f32 / elapsed;
            Some(self.per_second.map_or(rate, |old| (old + rate) / 2.0))
        };
        self.per_second
    }
}
