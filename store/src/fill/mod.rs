//! Fills: an object while it comes.
//!
//! A fill is written by one and read by many at once. What comes is seen by readers at once, in pieces as it came; a
//! full chunk replaces its pieces, so the stored body has chunks of one size and no foreign buffer is kept alive.
//!
//! A fill that grows beyond the limit, or for which there is no memory, is not kept any more, but goes on: what its
//! slowest reader has taken is let go, and [`Fill::room`] waits while the slowest reader is more than 1 MiB behind.
//! A reader that takes nothing at all for [`crate::Limits::patience`] while it holds the writer up is cut, so the
//! writer never waits longer than that for somebody who does not read.

pub(crate) mod flow;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::counters::{count, count_by};
use crate::head::Head;
use crate::object::{Body, CHUNK, Object, ObjectId};
use crate::purge::table::Verdict;
use crate::reader::Reader;
use crate::stamp::Stamp;
use crate::store::{Core, Hit};
use flow::{Ending, Flow};

/// Pieces below this are copied: they may be slices of buffers far larger than they are.
const SMALL: usize = 16 * 1024;
/// Pieces of one chunk that is being filled; then they become one.
const PIECES: usize = 64;

/// What is known of an object before its body.
#[derive(Clone, Copy, Debug)]
pub struct FillOptions {
    /// When the origin was asked: [`crate::Store::start`], taken before the request was sent. Purges since then hit it.
    pub start: Stamp,
    /// Bytes of the body, where the origin said it. A fill that ends with another length is aborted.
    pub length: Option<u64>,
    /// Most body bytes to store; beyond, the object passes through.
    pub max_bytes: u64,
    /// Uses, the fill counted, before it goes to disk: 1 puts it there at once, 4 is the most that is told apart, 0 keeps
    /// it off the disk. One that takes the place of an older one on disk goes there at once.
    pub disk_uses: u8,
}

/// Why a whole object was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// It is larger than [`FillOptions::max_bytes`] or than a share of the memory, or memory was full of what is read.
    TooLarge,
    /// A purge hit it while it came.
    Purged,
    /// Another fill of the key, begun later, was stored before.
    Overtaken,
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is found by lookups.
    Stored(ObjectId),
    /// Its readers get all of it, later lookups do not find it.
    Passed(NotStored),
    /// It has another length than was promised: its readers get an error.
    WrongLength,
}

/// The writer of a fill. Dropped before [`Fill::finish`] it is aborted: readers get an error, nothing is stored.
#[derive(Debug)]
pub struct Fill<H: Head> {
    core: Arc<Core<H>>,
    flow: Arc<Flow<H>>,
    options: FillOptions,
    /// Bytes that came.
    end: u64,
    /// The pieces of the chunk that is being filled, as the readers see them.
    tail: Vec<Bytes>,
    tail_bytes: usize,
    /// The one piece of the tail is an allocation of its own.
    owned: bool,
    keeps: bool,
    open: bool,
}

impl<H: Head> Fill<H> {
    pub(crate) fn new(core: Arc<Core<H>>, flow: Arc<Flow<H>>, options: FillOptions) -> Self {
        count(&core.counters.fills);
        count(&core.counters.fills_now);
        Self {
            core,
            keeps: flow.keeps(),
            flow,
            options,
            end: 0,
            tail: Vec::new(),
            tail_bytes: 0,
            owned: false,
            open: true,
        }
    }

    /// The generation that this becomes when it is stored.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        ObjectId(self.flow.start.bits())
    }

    /// Takes bytes and gives them to the readers. Never waits; [`Fill::room`] says when to go on.
    pub fn append(&mut self, mut bytes: Bytes) {
        count_by(&self.core.counters.bytes_filled, bytes.len());
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(CHUNK - self.tail_bytes));
            self.push(piece);
        }
        if self.keeps && (self.end > self.options.max_bytes || !self.core.make_room()) {
            self.keeps = false;
            self.flow.stop_keeping();
        }
    }

    fn push(&mut self, piece: Bytes) {
        let len = piece.len();
        self.end += len as u64;
        self.tail_bytes += len;
        let small = len < SMALL && self.tail_bytes < CHUNK;
        let piece = if small {
            Bytes::copy_from_slice(&piece)
        } else {
            piece
        };
        self.owned = small && self.tail.is_empty();
        self.tail.push(piece.clone());
        if self.tail_bytes == CHUNK {
            let chunk = join(&self.tail, self.tail_bytes);
            self.tail.clear();
            self.tail_bytes = 0;
            self.flow.publish(chunk, true, len);
        } else if self.tail.len() > PIECES {
            let merged = join(&self.tail, self.tail_bytes);
            self.tail.clear();
            self.tail.push(merged.clone());
            self.owned = true;
            self.flow.publish(merged, true, len);
        } else {
            self.flow.publish(piece, false, len);
        }
    }

    /// Whether more may come: always for a fill that is kept, and for others when the slowest reader is near.
    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.keeps {
            Poll::Ready(())
        } else {
            self.flow.poll_room(context)
        }
    }

    /// Waits until more may come, at most for [`crate::Limits::patience`] since the slowest reader took something.
    pub async fn room(&mut self) {
        poll_fn(|context| self.poll_room(context)).await;
    }

    /// Whether it is to be stored, as far as is known.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.keeps
    }

    /// Whether there is a use in going on: it is to be stored, or somebody reads it.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.keeps || self.flow.has_readers()
    }

    /// What a lookup would give: the head, and a reader from the beginning. `None` when that is not held any more.
    #[must_use]
    pub fn hit(&self) -> Option<Hit<H>> {
        let reader = self.reader()?;
        Some(Hit::of_flow(Arc::clone(&self.flow), reader, None))
    }

    /// A reader of this fill from its beginning; `None` when that is not held any more.
    #[must_use]
    pub fn reader(&self) -> Option<Reader<H>> {
        Reader::of_flow(&self.flow)
    }

    /// All bytes came.
    pub fn finish(mut self) -> Finished {
        if self.flow.length.is_some_and(|length| length != self.end) {
            self.abort();
            return Finished::WrongLength;
        }
        self.open = false;
        let finished = self.store();
        self.core
            .counters
            .fills_now
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        let counter = match finished {
            Finished::Stored(_) => &self.core.counters.fills_stored,
            _ => &self.core.counters.fills_passed,
        };
        count(counter);
        finished
    }

    fn store(&mut self) -> Finished {
        let refused = if !self.keeps {
            Some(NotStored::TooLarge)
        } else if self
            .core
            .purges
            .verdict(self.flow.head.as_ref(), self.flow.start)
            .0
            == Verdict::Hard
        {
            Some(NotStored::Purged)
        } else {
            None
        };
        if let Some(reason) = refused {
            return self.pass(reason);
        }
        let mut chunks = self.flow.chunks();
        match self.tail.as_slice() {
            [] => {}
            [one] if self.owned => chunks.push(one.clone()),
            _ => chunks.push(join(&self.tail, self.tail_bytes)),
        }
        let object = Object::new(
            (&self.core.budget, &self.core.counters),
            self.flow.key.clone(),
            Arc::clone(&self.flow.head),
            Body::new(chunks),
            self.id(),
            self.flow.start,
            self.options.disk_uses,
        );
        if !self.core.insert_filled(&self.flow, &object) {
            return self.pass(NotStored::Overtaken);
        }
        self.flow.end(Ending::Stored(object));
        self.core.make_room();
        Finished::Stored(self.id())
    }

    fn pass(&mut self, reason: NotStored) -> Finished {
        self.core.remove_running(&self.flow);
        self.flow.end(Ending::Passed);
        Finished::Passed(reason)
    }

    fn abort(&mut self) {
        self.open = false;
        self.core.remove_running(&self.flow);
        self.flow.end(Ending::Failed);
        count(&self.core.counters.fills_aborted);
        self.core
            .counters
            .fills_now
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl<H: Head> Drop for Fill<H> {
    fn drop(&mut self) {
        if self.open {
            self.abort();
        }
    }
}

/// One allocation of exactly `len` bytes.
fn join(pieces: &[Bytes], len: usize) -> Bytes {
    let mut out = Vec::with_capacity(len);
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    out.into()
}
