//! When which endpoint is asked next: a heap by due time, and a fair queue for what is due while all places are taken.
//!
//! Places are bounded twice. All upstreams together have [`MAX_RUNNING`], and one upstream has [`MAX_PER_UPSTREAM`]
//! of them: five hundred endpoints that do not answer, each for the length of a timeout, must not keep the checks of
//! another upstream waiting. What waits is started by upstreams in turn, inside one in the order it became due.
//!
//! Time is passed in; nothing here sleeps or asks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Most probes at once.
pub const MAX_RUNNING: usize = 64;

/// Most probes at once of one upstream.
pub const MAX_PER_UPSTREAM: usize = 16;

/// One due probe: which endpoint, and which of the endpoint's lives in the schedule (see [`Schedule::replace`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) key: u64,
    pub(super) life: u64,
}

/// A probe that may start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) ticket: Ticket,
    pub(super) upstream: Arc<str>,
    /// How long it had to wait for a place.
    pub(super) late: Duration,
}

#[derive(Debug, Default)]
struct Lane {
    running: usize,
    waiting: VecDeque<(Instant, Ticket)>,
    /// In `turns`.
    queued: bool,
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(Instant, Ticket)>>,
    upstream_of: HashMap<u64, (u64, Arc<str>)>,
    lanes: HashMap<Arc<str>, Lane>,
    /// Upstreams with something that waits and with a place of their own left.
    turns: VecDeque<Arc<str>>,
    running: usize,
    waiting: usize,
}

impl Schedule {
    /// Replaces everything: each endpoint with its life, its upstream and when it is due; no time for one whose probe
    /// runs. What runs of another life keeps its place until it ends, and is not due again.
    pub(super) fn replace(
        &mut self,
        all: impl Iterator<Item = (Ticket, Arc<str>, Option<Instant>)>,
    ) {
        self.heap.clear();
        self.upstream_of.clear();
        self.turns.clear();
        self.waiting = 0;
        self.lanes.retain(|_, lane| {
            lane.waiting.clear();
            lane.queued = false;
            lane.running > 0
        });
        for (ticket, upstream, due) in all {
            self.upstream_of.insert(ticket.key, (ticket.life, upstream));
            if let Some(due) = due {
                self.heap.push(Reverse((due, ticket)));
            }
        }
    }

    /// When an endpoint that ended a probe is due again. A ticket of an earlier life is passed over.
    pub(super) fn again(&mut self, ticket: Ticket, due: Instant) {
        let current = self.upstream_of.get(&ticket.key);
        if current.is_some_and(|(life, _)| *life == ticket.life) {
            self.heap.push(Reverse((due, ticket)));
        }
    }

    /// Gives a place back.
    pub(super) fn ended(&mut self, upstream: &Arc<str>) {
        self.running = self.running.saturating_sub(1);
        let Some(lane) = self.lanes.get_mut(upstream) else {
            return;
        };
        lane.running = lane.running.saturating_sub(1);
        if !lane.waiting.is_empty() && !lane.queued {
            lane.queued = true;
            self.turns.push_back(Arc::clone(upstream));
        }
        if lane.running == 0 && lane.waiting.is_empty() {
            self.lanes.remove(upstream);
        }
    }

    /// The next probe to start, if one is due and there is a place. Takes the place.
    pub(super) fn start(&mut self, now: Instant) -> Option<Start> {
        self.take_due(now);
        if self.running >= MAX_RUNNING {
            return None;
        }
        let upstream = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&upstream)?;
        lane.queued = false;
        let (due, ticket) = lane.waiting.pop_front()?;
        lane.running += 1;
        self.running += 1;
        self.waiting = self.waiting.saturating_sub(1);
        if !lane.waiting.is_empty() && lane.running < MAX_PER_UPSTREAM {
            lane.queued = true;
            self.turns.push_back(Arc::clone(&upstream));
        }
        Some(Start {
            ticket,
            upstream,
            late: now.saturating_duration_since(due),
        })
    }

    /// Moves what is due from the heap into the queues.
    fn take_due(&mut self, now: Instant) {
        while let Some(Reverse((due, ticket))) = self.heap.peek().copied() {
            if due > now {
                return;
            }
            self.heap.pop();
            let Some((_, upstream)) = self.upstream_of.get(&ticket.key) else {
                continue;
            };
            let lane = self.lanes.entry(Arc::clone(upstream)).or_default();
            lane.waiting.push_back((due, ticket));
            self.waiting += 1;
            if lane.running < MAX_PER_UPSTREAM && !lane.queued {
                lane.queued = true;
                self.turns.push_back(Arc::clone(upstream));
            }
        }
    }

    /// When the next probe becomes due that is not due yet. What waits for a place is started by the end of another.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests;
