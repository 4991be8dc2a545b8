//! A body that stays on disk and is read as it is wanted.
//!
//! Its chunks are read by the threads of its disk, for all its readers together: each reader has a window of the chunk
//! it is at and four more, and a chunk lives as long as it is in somebody's window. Each is compared with its
//! checksum before a byte is given. A reader that begins elsewhere has its window there: nothing before it is read.
//!
//! While somebody reads all of it from its beginning and there is room, what was read is kept; when all has come, the
//! object is one in memory. What cannot be read is an error to all readers, and the object is forgotten.

pub(crate) mod chunk;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use self::window::{Data, Phase, Slot, State, wakers, window};
use super::hold::Holding;
use super::log::{DiskLog, Located};
use super::share::Share;
use crate::index::Place;
use crate::object::CHUNK;
use crate::reader::ReadError;
use crate::size::allocated;

/// Readers of one body; more get an error.
const READERS: usize = 65_536;

/// What a body asks of the reads of its disk.
pub(crate) trait Ask: Send + Sync {
    /// Has a chunk read.
    fn ask(&self, body: &Arc<FarBody>, index: u64) -> Asked;
    /// It has readers from now on: it is looked at for those that wait too long.
    fn watch(&self, body: &Arc<FarBody>);
    /// It has none any more.
    fn forget(&self, body: &FarBody);
    /// Closes a file that may take long to close.
    fn close_file(&self, holding: Holding);
}

impl fmt::Debug for dyn Ask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the reads of a disk")
    }
}

/// What became of a wish for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Yes,
    /// Too many wait: another time.
    Full,
    /// The store has ended.
    Closed,
}

/// A body on disk.
#[derive(Debug)]
pub(crate) struct FarBody {
    pub(crate) log: Arc<DiskLog>,
    /// Of the key.
    pub(crate) hash: u128,
    /// Where the index said that the object lies, when its head was read.
    pub(crate) place: Place,
    /// Where its body does.
    pub(crate) body_place: Place,
    located: Located,
    asks: Arc<dyn Ask>,
    share: Arc<Share>,
    since: Instant,
    state: Mutex<State>,
}

/// Which reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotId(usize);

impl FarBody {
    pub(crate) fn new(
        log: &Arc<DiskLog>,
        hash: u128,
        (place, body_place): (Place, Place),
        located: Located,
        asks: &Arc<dyn Ask>,
        share: &Arc<Share>,
    ) -> Arc<Self> {
        let holding = Holding::of(log, located.segment);
        let state = State {
            phase: Phase::Reading,
            pieces: HashMap::new(),
            busy: 0,
            here: 0,
            slots: Vec::new(),
            readers: 0,
            gathers: false,
            ahead: 0,
            holding,
        };
        let body = Arc::new(Self {
            log: Arc::clone(log),
            hash,
            place,
            body_place,
            located,
            asks: Arc::clone(asks),
            share: Arc::clone(share),
            since: Instant::now(),
            state: Mutex::new(state),
        });
        asks.watch(&body);
        body
    }

    pub(crate) fn len(&self) -> u64 {
        self.located.len
    }

    /// Whether it is what was found there, in a segment of that number.
    pub(super) fn is_at(&self, located: &Located) -> bool {
        let own = &self.located;
        (own.segment, own.offset, own.len) == (located.segment, located.offset, located.len)
            && !self.is_lost()
    }

    /// Bytes of memory without its chunks.
    pub(crate) fn weight(&self) -> usize {
        allocated(size_of::<Self>() + 2 * size_of::<usize>())
            + allocated(self.located.sums.len() * 8)
    }

    /// Whether it cannot be read any more, as far as is known.
    pub(crate) fn is_lost(&self) -> bool {
        self.log.is_failed() || matches!(self.state.lock().phase, Phase::Failed)
    }

    // A reader's side.

    /// A new reader from the beginning; `None` when there are too many.
    pub(crate) fn attach(self: &Arc<Self>) -> Option<SlotId> {
        let mut state = self.state.lock();
        if state.readers >= READERS {
            return None;
        }
        let slot = Some(Slot {
            at: 0,
            until: self.len(),
            window: 0..0,
            waker: None,
            waits: None,
            cut: false,
            whole: false,
        });
        let id = match state.slots.iter().position(Option::is_none) {
            Some(free) => {
                *state.slots.get_mut(free)? = slot;
                free
            }
            None => {
                state.slots.push(slot);
                state.slots.len() - 1
            }
        };
        state.readers += 1;
        if state.readers == 1 {
            self.asks.watch(self);
        }
        Some(SlotId(id))
    }

    pub(crate) fn detach(&self, id: SlotId) {
        let mut state = self.state.lock();
        self.leave(&mut state, id.0);
        if let Some(slot) = state.slots.get_mut(id.0)
            && slot.take().is_some()
        {
            state.readers -= 1;
        }
        let idle = state.readers == 0;
        let holding = if idle {
            self.asks.forget(self);
            // An object of which only a part is in memory keeps none of it for nobody; one that is whole has its own.
            if matches!(state.phase, Phase::Whole { .. }) {
                state.phase = Phase::Reading;
            }
            state.holding.take()
        } else {
            None
        };
        drop(state);
        self.let_go(holding);
    }

    fn let_go(&self, holding: Option<Holding>) {
        match holding {
            Some(holding) if holding.is_of_removed() => self.asks.close_file(holding),
            other => drop(other),
        }
    }

    pub(crate) fn seek(&self, id: SlotId, from: u64, until: u64) {
        let mut state = self.state.lock();
        self.leave(&mut state, id.0);
        if let Some(Some(slot)) = state.slots.get_mut(id.0) {
            slot.at = from;
            slot.until = until.min(self.len());
        }
    }

    pub(crate) fn poll_read(
        self: &Arc<Self>,
        id: SlotId,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        let mut state = self.state.lock();
        let failed = matches!(state.phase, Phase::Failed);
        let Some(Some(slot)) = state.slots.get_mut(id.0) else {
            return Poll::Ready(Some(Err(ReadError::Disk)));
        };
        if slot.cut || failed {
            return Poll::Ready(Some(Err(ReadError::Disk)));
        }
        let (at, until) = (slot.at, slot.until);
        if at >= until {
            return Poll::Ready(None);
        }
        slot.whole |= at == 0 && until == self.len();
        let begins = slot.whole && at == 0;
        let whole = match &state.phase {
            Phase::Whole { body, .. } => body.slice(at, until),
            _ => None,
        };
        if let Some(bytes) = whole {
            self.take(&mut state, id.0, &bytes);
            return Poll::Ready(Some(Ok(bytes)));
        }
        if begins {
            self.start_gathering(&mut state);
        }
        self.move_window(&mut state, id.0, window(at, until));
        let index = at / CHUNK as u64;
        let here = match state.pieces.get(&index).map(|piece| &piece.data) {
            Some(Data::Here(chunk, _)) => cut(chunk, at, until),
            _ => None,
        };
        if let Some(bytes) = here {
            self.take(&mut state, id.0, &bytes);
            // The next ones come while this one is sent.
            self.ask(&mut state, id.0, false);
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.ask(&mut state, id.0, true) == Asked::Closed {
            return Poll::Ready(Some(Err(ReadError::Disk)));
        }
        let Some(Some(slot)) = state.slots.get_mut(id.0) else {
            return Poll::Ready(Some(Err(ReadError::Disk)));
        };
        match &mut slot.waker {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        slot.waits.get_or_insert_with(Instant::now);
        if let Some(piece) = state.pieces.get_mut(&index) {
            piece.waiting.insert(id.0);
        }
        Poll::Pending
    }

    /// Ends waits that are over, asks again for what was refused, and lets the file go that nobody came to read. Gives
    /// how many waits it ended.
    pub(in crate::disk) fn tick(self: &Arc<Self>, now: Instant, longest: Duration) -> usize {
        let over = |since: Instant| now.saturating_duration_since(since) >= longest;
        let mut state = self.state.lock();
        let mut late = Vec::new();
        for id in 0..state.slots.len() {
            let Some(Some(slot)) = state.slots.get(id) else {
                continue;
            };
            match slot.waits {
                Some(since) if over(since) => late.push(id),
                Some(_) => {
                    self.ask(&mut state, id, true);
                }
                None => {}
            }
        }
        for id in &late {
            self.leave(&mut state, *id);
            if let Some(Some(slot)) = state.slots.get_mut(*id) {
                slot.cut = true;
            }
        }
        let ended = late.len();
        let wakers = wakers(&mut state, late);
        let holding = if state.readers == 0 && over(self.since) {
            self.asks.forget(self);
            state.holding.take()
        } else {
            None
        };
        drop(state);
        self.let_go(holding);
        wakers.into_iter().for_each(Waker::wake);
        ended
    }
}

impl Drop for FarBody {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        self.stop_gathering(&mut state);
        self.clear(&mut state);
        let holding = state.holding.take();
        drop(state);
        self.let_go(holding);
        self.asks.forget(self);
    }
}

/// The bytes of a chunk from `at`, up to `until`.
fn cut(chunk: &Bytes, at: u64, until: u64) -> Option<Bytes> {
    // Below CHUNK.
    let from = (at % CHUNK as u64) as usize;
    let wanted = usize::try_from(until - at).unwrap_or(usize::MAX);
    let to = from.saturating_add(wanted).min(chunk.len());
    (from < to).then(|| chunk.slice(from..to))
}
