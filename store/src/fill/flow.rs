//! What the writer of a fill and its readers share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::budget::{Budget, Lease};
use crate::counters::Counters;
use crate::key::Key;
use crate::object::{CHUNK, Object};
use crate::reader::ReadError;
use crate::size::PER_CHUNK;
use crate::stamp::Stamp;

/// Readers of one fill; more are told that there is nothing.
const READERS: usize = 65_536;
/// Bytes that a fill which is not kept may be ahead of its slowest reader.
pub(crate) const WINDOW: u64 = 1 << 20;
/// The same while memory is over its limit.
const NARROW: u64 = 64 << 10;

/// A fill that runs, or that ended while it was read.
#[derive(Debug)]
pub(crate) struct Flow<H> {
    pub(crate) key: Key,
    pub(crate) head: Arc<H>,
    pub(crate) start: Stamp,
    pub(crate) length: Option<u64>,
    pub(crate) counters: Arc<Counters>,
    state: Mutex<State<H>>,
}

#[derive(Debug)]
enum Phase<H> {
    Running,
    /// All bytes came, and are kept only for readers.
    Whole,
    /// All bytes came, and this holds them.
    Stored(Arc<Object<H>>),
    Failed,
}

#[derive(Debug)]
struct State<H> {
    /// Whole chunks, the first of which begins at `base`.
    chunks: VecDeque<Bytes>,
    base: u64,
    /// What follows them.
    tail: Vec<Bytes>,
    end: u64,
    phase: Phase<H>,
    /// It is to be stored. Otherwise only what a reader still wants is held.
    keeps: bool,
    /// A later fill of the key was stored.
    overtaken: bool,
    slots: Vec<Option<Slot>>,
    writer: Option<Waker>,
    lease: Lease,
}

/// One reader.
#[derive(Debug)]
struct Slot {
    at: u64,
    waker: Option<Waker>,
    /// Since when it waits for bytes.
    waits: Option<Instant>,
    /// When it last took bytes; looked at only in a window.
    moved: Instant,
    cut: Option<ReadError>,
}

/// Which reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotId(usize);

impl<H> Flow<H> {
    pub(crate) fn new(
        (budget, counters): (&Arc<Budget>, &Arc<Counters>),
        key: Key,
        head: Arc<H>,
        start: Stamp,
        length: Option<u64>,
        keeps: bool,
    ) -> Self {
        Self {
            key,
            head,
            start,
            length,
            counters: Arc::clone(counters),
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                base: 0,
                tail: Vec::new(),
                end: 0,
                phase: Phase::Running,
                keeps,
                overtaken: false,
                slots: Vec::new(),
                writer: None,
                lease: Lease::take(budget, 0),
            }),
        }
    }

    /// A new reader from the beginning; `None` when the beginning is not held any more, or it failed.
    pub(crate) fn attach(&self, now: Instant) -> Option<SlotId> {
        let mut state = self.state.lock();
        if state.base > 0 || matches!(state.phase, Phase::Failed) {
            return None;
        }
        let slot = Slot {
            at: 0,
            waker: None,
            waits: None,
            moved: now,
            cut: None,
        };
        if let Some(free) = state.slots.iter().position(Option::is_none) {
            *state.slots.get_mut(free)? = Some(slot);
            return Some(SlotId(free));
        }
        if state.slots.len() >= READERS {
            return None;
        }
        state.slots.push(Some(slot));
        Some(SlotId(state.slots.len() - 1))
    }

    pub(crate) fn has_readers(&self) -> bool {
        self.state.lock().slots.iter().any(Option::is_some)
    }

    pub(crate) fn detach(&self, id: SlotId) {
        let mut state = self.state.lock();
        if let Some(slot) = state.slots.get_mut(id.0) {
            *slot = None;
        }
        let writer = state.trim();
        drop(state);
        wake(writer);
    }

    /// Goes to `at`. Back only as far as the bytes are held: for all of a fill that is kept.
    pub(crate) fn seek(&self, id: SlotId, at: u64) -> Result<(), ReadError> {
        let mut state = self.state.lock();
        let base = state.base;
        let Some(Some(slot)) = state.slots.get_mut(id.0) else {
            return Err(ReadError::Aborted);
        };
        if at < base {
            return Err(ReadError::TooSlow);
        }
        slot.at = at;
        let writer = state.trim();
        drop(state);
        wake(writer);
        Ok(())
    }

    /// The next bytes up to `until`, or the end, or a wait.
    pub(crate) fn poll_read(
        &self,
        id: SlotId,
        until: u64,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        let mut state = self.state.lock();
        let Some(Some(slot)) = state.slots.get(id.0) else {
            return Poll::Ready(Some(Err(ReadError::Aborted)));
        };
        if let Some(cut) = slot.cut {
            return Poll::Ready(Some(Err(cut)));
        }
        let at = slot.at;
        if at >= until {
            return Poll::Ready(None);
        }
        let Some(bytes) = state.slice(at, until) else {
            return match state.phase {
                Phase::Failed => Poll::Ready(Some(Err(ReadError::Aborted))),
                Phase::Running => {
                    state.wait(id, context.waker());
                    Poll::Pending
                }
                Phase::Whole | Phase::Stored(_) => Poll::Ready(None),
            };
        };
        let keeps = state.keeps;
        if let Some(Some(slot)) = state.slots.get_mut(id.0) {
            slot.at += bytes.len() as u64;
            slot.waits = None;
            if !keeps {
                slot.moved = Instant::now();
            }
        }
        let writer = if keeps { None } else { state.trim() };
        drop(state);
        wake(writer);
        Poll::Ready(Some(Ok(bytes)))
    }

    /// How many bytes there are, when all have come.
    pub(crate) fn whole_len(&self) -> Option<u64> {
        let state = self.state.lock();
        matches!(state.phase, Phase::Whole | Phase::Stored(_)).then_some(state.end)
    }

    pub(crate) fn keeps(&self) -> bool {
        self.state.lock().keeps
    }

    pub(crate) fn is_overtaken(&self) -> bool {
        self.state.lock().overtaken
    }

    pub(crate) fn set_overtaken(&self) {
        self.state.lock().overtaken = true;
    }

    // The writer's side.

    /// Adds a piece to the tail, in the place of the `merged` pieces that are there when it holds them too; a whole
    /// chunk leaves the tail empty. `len` is what is new in it.
    pub(super) fn publish(&self, piece: Bytes, replaces: bool, len: usize) {
        let mut state = self.state.lock();
        state.end += len as u64;
        if replaces {
            state.tail.clear();
        }
        if piece.len() == CHUNK {
            state.chunks.push_back(piece);
        } else {
            state.tail.push(piece);
        }
        if !state.keeps {
            state.trim();
        }
        state.count();
        let wakers = state.wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// From now on only what readers want is held.
    pub(super) fn stop_keeping(&self) {
        let mut state = self.state.lock();
        state.keeps = false;
        let now = Instant::now();
        state
            .slots
            .iter_mut()
            .flatten()
            .for_each(|slot| slot.moved = now);
        state.trim();
    }

    /// Whether the writer may go on: the slowest reader is near enough.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.has_room() {
            return Poll::Ready(());
        }
        match &mut state.writer {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// All whole chunks, for an object.
    pub(super) fn chunks(&self) -> Vec<Bytes> {
        self.state.lock().chunks.iter().cloned().collect()
    }

    /// Ends it: as an object, as something for its readers only, or as a failure.
    pub(super) fn end(&self, how: Ending<H>) {
        let mut state = self.state.lock();
        state.phase = match how {
            Ending::Stored(object) => {
                state.chunks = VecDeque::new();
                state.tail = Vec::new();
                state.lease.resize(0);
                Phase::Stored(object)
            }
            Ending::Passed => {
                state.keeps = false;
                state.trim();
                Phase::Whole
            }
            Ending::Failed => {
                state.chunks = VecDeque::new();
                state.tail = Vec::new();
                state.lease.resize(0);
                Phase::Failed
            }
        };
        let wakers = state.wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Cuts readers that waited longer than `stall` for bytes, and readers that hold the writer up and took nothing
    /// for `patience`. Gives how many of each.
    pub(crate) fn tick(&self, now: Instant, stall: Duration, patience: Duration) -> (usize, usize) {
        let mut state = self.state.lock();
        let (end, full, window) = (state.end, !state.keeps && !state.has_room(), state.window());
        // Who reads alone holds nobody up but the writer, who has nobody else to write for.
        let alone = state.slots.iter().flatten().count() == 1;
        let mut wakers = Vec::new();
        let (mut stalled, mut slow) = (0, 0);
        for slot in state
            .slots
            .iter_mut()
            .flatten()
            .filter(|slot| slot.cut.is_none())
        {
            let waited = |since: Instant| now.saturating_duration_since(since);
            if slot.waits.is_some_and(|since| waited(since) >= stall) {
                slot.cut = Some(ReadError::Stalled);
                stalled += 1;
            } else if full
                && !alone
                && end - slot.at.min(end) > window
                && waited(slot.moved) >= patience
            {
                slot.cut = Some(ReadError::TooSlow);
                slow += 1;
            } else {
                continue;
            }
            wakers.extend(slot.waker.take());
        }
        wakers.extend(if state.keeps { None } else { state.trim() });
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        (stalled, slow)
    }
}

/// How a fill ended.
#[derive(Debug)]
pub(super) enum Ending<H> {
    Stored(Arc<Object<H>>),
    Passed,
    Failed,
}

impl<H> State<H> {
    fn tail_base(&self) -> u64 {
        self.base + (self.chunks.len() * CHUNK) as u64
    }

    fn slice(&self, at: u64, until: u64) -> Option<Bytes> {
        if let Phase::Stored(object) = &self.phase {
            return object.body.slice(at, until);
        }
        let until = until.min(self.end);
        if at >= until || at < self.base {
            return None;
        }
        let index = usize::try_from((at - self.base) / CHUNK as u64).ok()?;
        if let Some(chunk) = self.chunks.get(index) {
            return Some(cut(chunk, self.base + (index * CHUNK) as u64, at, until));
        }
        let mut begin = self.tail_base();
        for piece in &self.tail {
            let end = begin + piece.len() as u64;
            if at < end {
                return Some(cut(piece, begin, at, until));
            }
            begin = end;
        }
        None
    }

    fn wait(&mut self, id: SlotId, waker: &Waker) {
        if let Some(Some(slot)) = self.slots.get_mut(id.0) {
            match &mut slot.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            slot.waits.get_or_insert_with(Instant::now);
        }
    }

    fn wakers(&mut self) -> Vec<Waker> {
        let readers = self.slots.iter_mut().flatten();
        readers
            .filter_map(|slot| {
                slot.waits = None;
                slot.waker.take()
            })
            .collect()
    }

    /// The place of the slowest reader that still counts.
    fn slowest(&self) -> Option<u64> {
        let readers = self
            .slots
            .iter()
            .flatten()
            .filter(|slot| slot.cut.is_none());
        readers.map(|slot| slot.at).min()
    }

    fn has_room(&self) -> bool {
        self.keeps
            || self
                .slowest()
                .is_none_or(|at| self.end.saturating_sub(at) <= self.window())
    }

    fn window(&self) -> u64 {
        if self.lease.is_over() { NARROW } else { WINDOW }
    }

    /// Lets go what no reader wants, in a fill that is not kept; gives the writer to wake.
    fn trim(&mut self) -> Option<Waker> {
        if self.keeps || matches!(self.phase, Phase::Stored(_) | Phase::Failed) {
            return None;
        }
        // The tail stays: it is less than a chunk, and becomes part of one.
        let wanted = self.slowest().unwrap_or(self.end);
        while self.base + CHUNK as u64 <= wanted && self.chunks.pop_front().is_some() {
            self.base += CHUNK as u64;
        }
        self.count();
        if self.has_room() {
            self.writer.take()
        } else {
            None
        }
    }

    /// Counts what is held.
    fn count(&mut self) {
        let held = usize::try_from(self.end - self.base).unwrap_or(usize::MAX);
        let pieces = (self.chunks.len() + self.tail.len()) * PER_CHUNK;
        self.lease.resize(held.saturating_add(pieces));
    }
}

fn cut(piece: &Bytes, begin: u64, at: u64, until: u64) -> Bytes {
    // Both lie within the piece or behind its end.
    let from = (at - begin) as usize;
    let to = usize::try_from(until - begin)
        .unwrap_or(usize::MAX)
        .min(piece.len());
    piece.slice(from..to)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
