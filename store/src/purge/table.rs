//! The marks in force.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Kind, Purge, Scope};
use crate::hash::hash64;
use crate::head::Head;
use crate::stamp::Stamp;

/// What purges say of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// None has hit it.
    Clear,
    /// It is stale since then, in milliseconds since 1970.
    Soft(u64),
    /// It is gone.
    Hard,
}

/// The latest purges of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) hard: Stamp,
    pub(crate) soft: Stamp,
    pub(crate) soft_ms: u64,
}

impl Mark {
    pub(crate) fn merge(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        if other.soft > self.soft {
            self.soft = other.soft;
            self.soft_ms = other.soft_ms;
        }
    }

    fn latest(&self) -> Stamp {
        self.hard.max(self.soft)
    }

    pub(crate) fn of(purge: &Purge, stamp: Stamp) -> Self {
        match purge.kind {
            Kind::Hard => Self {
                hard: stamp,
                ..Self::default()
            },
            Kind::Soft => Self {
                soft: stamp,
                soft_ms: purge.at_ms,
                ..Self::default()
            },
        }
    }
}

/// All marks, guarded.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    all: Mark,
    by_scope: HashMap<Scope, Mark>,
    /// The lengths of prefixes in force, per host, with how many there are.
    prefixes: HashMap<u64, BTreeMap<u32, u32>>,
}

impl Marks {
    pub(crate) fn len(&self) -> usize {
        self.by_scope.len()
    }

    /// Every mark with its scope.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Scope, Mark)> {
        let all = (self.all != Mark::default()).then_some((Scope::All, self.all));
        all.into_iter()
            .chain(self.by_scope.iter().map(|(scope, mark)| (*scope, *mark)))
    }

    /// Puts a mark in force; true when the table was full and its older half was folded.
    pub(crate) fn set(&mut self, scope: Scope, mark: Mark, most: usize) -> bool {
        if scope == Scope::All {
            self.all.merge(mark);
            self.forget_covered();
            return false;
        }
        let folded = !self.by_scope.contains_key(&scope) && self.by_scope.len() >= most;
        if folded {
            self.fold();
        }
        if !self.by_scope.contains_key(&scope)
            && let Scope::Prefix { host, len, .. } = scope
        {
            *self
                .prefixes
                .entry(host)
                .or_default()
                .entry(len)
                .or_default() += 1;
        }
        self.by_scope.entry(scope).or_default().merge(mark);
        folded
    }

    /// The older half becomes a mark on everything: more is purged than was asked for, never less.
    fn fold(&mut self) {
        let mut stamps: Vec<Stamp> = self.by_scope.values().map(Mark::latest).collect();
        let middle = stamps.len() / 2;
        let (_, limit, _) = stamps.select_nth_unstable(middle);
        let limit = *limit;
        let mut all = self.all;
        for mark in self.by_scope.values().filter(|mark| mark.latest() <= limit) {
            all.merge(*mark);
        }
        self.all = all;
        self.keep(|mark| mark.latest() > limit);
    }

    /// Marks that one on everything has overtaken say nothing any more.
    fn forget_covered(&mut self) {
        let all = self.all;
        self.keep(|mark| mark.hard > all.hard || mark.soft > all.soft.max(all.hard));
    }

    fn keep(&mut self, keep: impl Fn(&Mark) -> bool) {
        self.by_scope.retain(|_, mark| keep(mark));
        self.prefixes.clear();
        for scope in self.by_scope.keys() {
            if let Scope::Prefix { host, len, .. } = scope {
                *self
                    .prefixes
                    .entry(*host)
                    .or_default()
                    .entry(*len)
                    .or_default() += 1;
            }
        }
    }

    /// The sum of the marks on an object.
    fn on<H: Head>(&self, head: &H) -> Mark {
        let mut sum = self.all;
        let mut add = |scope: Scope| {
            if let Some(mark) = self.by_scope.get(&scope) {
                sum.merge(*mark);
            }
        };
        let host = head.host();
        add(Scope::Host(host));
        add(Scope::Url(head.url()));
        head.tags().iter().for_each(|tag| add(Scope::Tag(*tag)));
        if let Some(lengths) = self.prefixes.get(&host) {
            let path = head.path();
            for len in lengths.keys() {
                let Some(prefix) = path.get(..*len as usize) else {
                    break;
                };
                add(Scope::Prefix {
                    host,
                    len: *len,
                    hash: hash64(prefix),
                });
            }
        }
        sum
    }
}

/// The marks, and the counter that orders fills and purges.
#[derive(Debug)]
pub(crate) struct Purges {
    marks: RwLock<Marks>,
    most: usize,
    counter: AtomicU64,
    /// The stamp of the latest purge: an object that began later, or was compared since, is not compared.
    epoch: AtomicU64,
}

impl Purges {
    pub(crate) fn new(most: usize, boot: u32) -> Self {
        Self {
            marks: RwLock::default(),
            most: most.max(1),
            counter: AtomicU64::new(Stamp::first_of(boot).bits()),
            epoch: AtomicU64::new(0),
        }
    }

    /// The next stamp, for a fill that begins now.
    pub(crate) fn next(&self) -> Stamp {
        Stamp::from_bits(self.counter.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Later stamps will be greater than `stamp`.
    pub(crate) fn raise(&self, stamp: Stamp) {
        self.counter.fetch_max(stamp.bits(), Ordering::AcqRel);
    }

    pub(crate) fn epoch(&self) -> Stamp {
        Stamp::from_bits(self.epoch.load(Ordering::Acquire))
    }

    /// Puts a purge in force. `note` is called with its stamp while no other purge can be, so that what it writes
    /// down stands in the same order. Returns what `note` gave and whether the table was folded.
    pub(crate) fn apply<R>(&self, purge: &Purge, note: impl FnOnce(Stamp) -> R) -> (R, bool) {
        let mut marks = self.marks.write();
        let stamp = self.next();
        let folded = marks.set(purge.scope, Mark::of(purge, stamp), self.most);
        // Release, after the mark: who sees the epoch finds the mark.
        self.epoch.fetch_max(stamp.bits(), Ordering::Release);
        (note(stamp), folded)
    }

    /// Puts back what a journal said.
    pub(crate) fn restore(&self, scope: Scope, mark: Mark) {
        if mark.latest() == Stamp::ZERO {
            return;
        }
        self.raise(mark.latest());
        self.marks.write().set(scope, mark, self.most);
        self.epoch
            .fetch_max(mark.latest().bits(), Ordering::Release);
    }

    pub(crate) fn len(&self) -> usize {
        self.marks.read().len()
    }

    /// All marks, while no purge can come between.
    pub(crate) fn with<R>(&self, read: impl FnOnce(&Marks) -> R) -> R {
        read(&self.marks.read())
    }

    /// What purges say of an object that began at `start`, and up to which purge that holds.
    pub(crate) fn verdict<H: Head>(&self, head: &H, start: Stamp) -> (Verdict, Stamp) {
        let marks = self.marks.read();
        // Under the lock: no purge comes between the epoch and the marks.
        let epoch = self.epoch();
        let mark = marks.on(head);
        let verdict = if mark.hard > start {
            Verdict::Hard
        } else if mark.soft > start {
            Verdict::Soft(mark.soft_ms)
        } else {
            Verdict::Clear
        };
        (verdict, epoch)
    }
}
