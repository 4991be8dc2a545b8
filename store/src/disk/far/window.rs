//! Which chunks are wanted: the windows of the readers, and what is kept of what was read.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Asked, FarBody};
use crate::budget::Lease;
use crate::disk::hold::Holding;
use crate::object::{Body, CHUNK};

/// Chunks that are read before a reader asks for them: as many as a disk has threads that read.
const AHEAD: u64 = 4;

#[derive(Debug)]
pub(super) enum Phase {
    Reading,
    /// It is in memory, and this keeps it there for who reads it.
    Whole {
        body: Body,
        _object: Arc<dyn Any + Send + Sync>,
    },
    Failed,
}

/// A chunk of the body.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// Readers in whose windows it is.
    pub(super) wanted: usize,
    /// Readers that waited for it and have not taken it yet.
    pub(super) waiting: HashSet<usize>,
    pub(super) data: Data,
}

#[derive(Debug, Default)]
pub(super) enum Data {
    /// There was no room to read it ahead.
    #[default]
    None,
    Asked,
    Here(Bytes, Arc<Mutex<Lease>>),
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) at: u64,
    pub(super) until: u64,
    /// The chunks it is counted at.
    pub(super) window: Range<u64>,
    pub(super) waker: Option<Waker>,
    pub(super) waits: Option<Instant>,
    pub(super) cut: bool,
    /// It reads all from the beginning.
    pub(super) whole: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) pieces: HashMap<u64, Piece>,
    /// Pieces that were asked for, or are here.
    pub(super) busy: usize,
    pub(super) here: usize,
    pub(super) slots: Vec<Option<Slot>>,
    pub(super) readers: usize,
    /// What is read is kept until all is there.
    pub(super) gathers: bool,
    /// What the share knows of chunks that are not gathered.
    pub(super) ahead: usize,
    pub(super) holding: Option<Holding>,
}

impl FarBody {
    /// A reader wants nothing for now.
    pub(super) fn leave(&self, state: &mut State, id: usize) {
        self.move_window(state, id, 0..0);
        let Some(Some(slot)) = state.slots.get_mut(id) else {
            return;
        };
        slot.waits = None;
        let was_whole = std::mem::take(&mut slot.whole);
        if was_whole && !state.slots.iter().flatten().any(|slot| slot.whole) {
            self.stop_gathering(state);
        }
    }

    /// A reader took `bytes`.
    pub(super) fn take(&self, state: &mut State, id: usize, bytes: &Bytes) {
        let Some(Some(slot)) = state.slots.get_mut(id) else {
            return;
        };
        slot.at += bytes.len() as u64;
        slot.waits = None;
        let next = match state.phase {
            Phase::Reading => window(slot.at, slot.until),
            _ => 0..0,
        };
        self.move_window(state, id, next);
    }

    pub(super) fn move_window(&self, state: &mut State, id: usize, next: Range<u64>) {
        let Some(Some(slot)) = state.slots.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut slot.window, next.clone());
        if before == next {
            return;
        }
        for index in next {
            state.pieces.entry(index).or_default().wanted += 1;
        }
        for index in before {
            if let Some(piece) = state.pieces.get_mut(&index) {
                piece.wanted = piece.wanted.saturating_sub(1);
                piece.waiting.remove(&id);
            }
            self.drop_unwanted(state, index);
        }
        self.recount(state);
    }

    /// Lets a chunk go that is in nobody's window, or that nobody waits for when too much is held. One that is asked for
    /// stays until its turn comes.
    pub(super) fn drop_unwanted(&self, state: &mut State, index: u64) {
        let gathers = state.gathers;
        let Some(piece) = state.pieces.get_mut(&index) else {
            return;
        };
        let spared = piece.wanted > 0 && !(piece.waiting.is_empty() && self.share.is_over());
        if spared || gathers {
            return;
        }
        if matches!(piece.data, Data::Here(..)) {
            piece.data = Data::None;
            state.here -= 1;
            state.busy -= 1;
        }
        if piece.wanted == 0 && matches!(piece.data, Data::None) {
            state.pieces.remove(&index);
        }
        self.recount(state);
    }

    /// Asks for what is in a reader's window: the chunk it waits for in any case, the others when there is room.
    pub(super) fn ask(self: &Arc<Self>, state: &mut State, id: usize, waits: bool) -> Asked {
        let Some(Some(slot)) = state.slots.get(id) else {
            return Asked::Yes;
        };
        let window = slot.window.clone();
        for index in window.clone() {
            let needed = (waits && index == window.start) || state.gathers;
            let Some(piece) = state.pieces.get_mut(&index) else {
                continue;
            };
            if !matches!(piece.data, Data::None) {
                continue;
            }
            if !needed && !self.share.may_read_ahead() {
                break;
            }
            match self.asks.ask(self, index) {
                Asked::Yes => {}
                refused => return refused,
            }
            piece.data = Data::Asked;
            state.busy += 1;
            self.recount(state);
        }
        Asked::Yes
    }

    pub(super) fn recount(&self, state: &mut State) {
        let now = if state.gathers { 0 } else { state.busy * CHUNK };
        self.share.count_ahead(state.ahead, now);
        state.ahead = now;
    }

    pub(super) fn gathered_bytes(&self) -> usize {
        usize::try_from(self.len()).unwrap_or(usize::MAX)
    }

    pub(super) fn start_gathering(&self, state: &mut State) {
        if !state.gathers && self.share.begin_whole(self.gathered_bytes()) {
            state.gathers = true;
            self.recount(state);
        }
    }

    pub(super) fn stop_gathering(&self, state: &mut State) {
        if !std::mem::take(&mut state.gathers) {
            return;
        }
        self.share.end_whole(self.gathered_bytes());
        let indices: Vec<u64> = state.pieces.keys().copied().collect();
        for index in indices {
            self.drop_unwanted(state, index);
        }
        self.recount(state);
    }

    /// Nothing is wanted from the disk any more.
    pub(super) fn clear(&self, state: &mut State) {
        for slot in state.slots.iter_mut().flatten() {
            slot.window = 0..0;
        }
        state.pieces.clear();
        state.busy = 0;
        state.here = 0;
        self.recount(state);
    }
}

/// The chunks a reader at `at` is counted at.
pub(super) fn window(at: u64, until: u64) -> Range<u64> {
    if at >= until {
        return 0..0;
    }
    let first = at / CHUNK as u64;
    first..(first + 1 + AHEAD).min(until.div_ceil(CHUNK as u64))
}

pub(super) fn wakers(state: &mut State, of: impl IntoIterator<Item = usize>) -> Vec<Waker> {
    let waiting = of.into_iter().filter_map(|id| {
        let slot = state.slots.get_mut(id)?.as_mut()?;
        slot.waits = None;
        slot.waker.take()
    });
    waiting.collect()
}

pub(super) fn all_wakers(state: &mut State) -> Vec<Waker> {
    let all = 0..state.slots.len();
    wakers(state, all)
}
