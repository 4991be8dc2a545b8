//! The side of the threads that read: chunks that come, and how reading a body ends.

use std::any::Any;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;

use super::FarBody;
use super::window::{Data, Phase, State, all_wakers, wakers};
use crate::budget::Lease;
use crate::disk::hold::Holding;
use crate::disk::log::{LoadError, Located};
use crate::hash::checksum;
use crate::object::{Body, CHUNK};
use crate::size::{PER_CHUNK, allocated};

/// A chunk with what it takes of the budget, as long as any slice of it lives.
struct Counted {
    bytes: Vec<u8>,
    _lease: Arc<Mutex<Lease>>,
}

/// A chunk, and what it takes until an object counts it.
pub(crate) type Chunk = (Bytes, Arc<Mutex<Lease>>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl FarBody {
    /// Whether somebody still wants a chunk that was asked for.
    pub(in crate::disk) fn is_wanted(&self, index: u64) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Reading) {
            return false;
        }
        let gathers = state.gathers;
        let wanted = state
            .pieces
            .get(&index)
            .is_some_and(|piece| piece.wanted > 0 || gathers);
        if !wanted {
            self.unask(&mut state, index);
        }
        wanted
    }

    /// There is no room for a chunk; whether it is read all the same, because somebody waits for it.
    pub(in crate::disk) fn is_needed(&self, index: u64) -> bool {
        let mut state = self.state.lock();
        self.stop_gathering(&mut state);
        let needed = state
            .pieces
            .get(&index)
            .is_some_and(|piece| !piece.waiting.is_empty());
        if !needed {
            self.unask(&mut state, index);
        }
        needed
    }

    fn unask(&self, state: &mut State, index: u64) {
        if let Some(piece) = state.pieces.get_mut(&index)
            && matches!(piece.data, Data::Asked)
        {
            piece.data = Data::None;
            state.busy -= 1;
            self.drop_unwanted(state, index);
            self.recount(state);
        }
    }

    /// Bytes of a chunk.
    fn chunk_len(&self, index: u64) -> usize {
        let rest = self.len().saturating_sub(index * CHUNK as u64);
        rest.min(CHUNK as u64) as usize
    }

    /// What it takes of the memory.
    pub(in crate::disk) fn chunk_weight(&self, index: u64) -> usize {
        allocated(self.chunk_len(index)) + PER_CHUNK
    }

    /// Reads and verifies a chunk.
    pub(in crate::disk) fn read(&self, index: u64) -> Result<Vec<u8>, LoadError> {
        let Located {
            segment,
            offset,
            seed,
            ..
        } = &self.located;
        if self.state.lock().holding.is_none() {
            let holding = Holding::of(&self.log, *segment);
            let mut state = self.state.lock();
            // Who came first holds it; and nobody does when all have gone.
            let unused = if state.readers > 0 && state.holding.is_none() {
                std::mem::replace(&mut state.holding, holding)
            } else {
                holding
            };
            drop(state);
            drop(unused);
        }
        let mut bytes = vec![0; self.chunk_len(index)];
        self.log
            .read_held(*segment, *offset + index * CHUNK as u64, &mut bytes)?;
        let known = usize::try_from(index)
            .ok()
            .and_then(|index| self.located.sums.get(index));
        if known != Some(&checksum(*seed, &bytes)) {
            return Err(LoadError::Corrupt);
        }
        Ok(bytes)
    }

    /// A chunk has come. When all are here now, `all` gets them before a reader is told.
    pub(in crate::disk) fn put(
        &self,
        index: u64,
        bytes: Vec<u8>,
        lease: Lease,
        all: impl FnOnce(Vec<Chunk>),
    ) {
        let lease = Arc::new(Mutex::new(lease));
        let chunk = Bytes::from_owner(Counted {
            bytes,
            _lease: Arc::clone(&lease),
        });
        let mut state = self.state.lock();
        let Some(piece) = state
            .pieces
            .get_mut(&index)
            .filter(|piece| matches!(piece.data, Data::Asked))
        else {
            return;
        };
        piece.data = Data::Here(chunk, lease);
        let waiting = piece.waiting.clone();
        let unwanted = piece.wanted == 0;
        state.here += 1;
        if unwanted {
            self.drop_unwanted(&mut state, index);
        }
        let chunks = self.chunks(&state);
        let wakers = wakers(&mut state, waiting);
        drop(state);
        chunks.map(all);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// All chunks, when all are here and kept.
    fn chunks(&self, state: &State) -> Option<Vec<Chunk>> {
        let count = self.len().div_ceil(CHUNK as u64);
        if !state.gathers || state.here as u64 != count {
            return None;
        }
        (0..count)
            .map(|index| match &state.pieces.get(&index)?.data {
                Data::Here(chunk, lease) => Some((chunk.clone(), Arc::clone(lease))),
                _ => None,
            })
            .collect()
    }

    /// It is in memory now, as `body`, which lives as long as `object`; or it is not to be, and is read on as it was.
    pub(crate) fn end_gathering(&self, whole: Option<(Body, Arc<dyn Any + Send + Sync>)>) {
        let mut state = self.state.lock();
        if let Some((body, object)) = whole
            && state.readers > 0
        {
            state.phase = Phase::Whole {
                body,
                _object: object,
            };
        }
        self.stop_gathering(&mut state);
        if !matches!(state.phase, Phase::Whole { .. }) {
            return;
        }
        self.clear(&mut state);
        let holding = state.holding.take();
        let wakers = all_wakers(&mut state);
        drop(state);
        self.let_go(holding);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// It cannot be read: an error to all who do. `known` is run before they are told, unless they were before.
    pub(crate) fn fail(&self, known: impl FnOnce()) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Reading) {
            return;
        }
        state.phase = Phase::Failed;
        self.stop_gathering(&mut state);
        self.clear(&mut state);
        let holding = state.holding.take();
        let wakers = all_wakers(&mut state);
        drop(state);
        known();
        self.let_go(holding);
        wakers.into_iter().for_each(Waker::wake);
    }
}
