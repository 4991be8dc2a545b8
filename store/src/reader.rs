//! Readers: the bytes of an object, from wherever they are.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use crate::counters::count_by;
use crate::disk::far::{self, FarBody};
use crate::fill::flow::{Flow, SlotId};
use crate::head::Head;
use crate::object::Object;

/// Why a reader ends before the end. What was sent so far must not be made to look whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The fill was dropped before its end, or had another length than was promised.
    Aborted,
    /// The fill stood still for longer than [`crate::Limits::stall`].
    Stalled,
    /// The reader held up a fill that is not kept, or asked for bytes that are not held any more.
    TooSlow,
    /// The disk did not give the bytes that were written, or not in time.
    Disk,
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Aborted => "the fill ended before its end",
            Self::Stalled => "the fill stands still",
            Self::TooSlow => "the reader held up a fill that is not kept",
            Self::Disk => "the disk did not give the body back",
        })
    }
}

impl std::error::Error for ReadError {}

/// Reads a body in slices of at most 128 KiB, which are shared and not copied.
#[derive(Debug)]
pub struct Reader<H: Head> {
    source: Source<H>,
    until: u64,
}

#[derive(Debug)]
enum Source<H: Head> {
    Object {
        object: Arc<Object<H>>,
        at: u64,
    },
    Flow {
        flow: Arc<Flow<H>>,
        slot: SlotId,
    },
    /// The object keeps the head in memory; without a slot there are too many readers.
    Far {
        object: Arc<Object<H>>,
        far: Arc<FarBody>,
        slot: Option<far::SlotId>,
    },
}

impl<H: Head> Reader<H> {
    pub(crate) fn of_object(object: Arc<Object<H>>) -> Self {
        Self {
            until: object.body.len(),
            source: match object.body.far().cloned() {
                None => Source::Object { object, at: 0 },
                Some(far) => Source::Far {
                    slot: far.attach(),
                    object,
                    far,
                },
            },
        }
    }

    pub(crate) fn of_flow(flow: &Arc<Flow<H>>) -> Option<Self> {
        let slot = flow.attach(Instant::now())?;
        Some(Self {
            source: Source::Flow {
                flow: Arc::clone(flow),
                slot,
            },
            until: u64::MAX,
        })
    }

    /// Reads only `from..until` from now on; `None` is the end. In a fill that runs it may lie ahead of what has
    /// come; of a body on disk nothing before it is read. Costs the same for every place.
    ///
    /// # Errors
    /// `TooSlow` when the fill is not kept and has let go what lies at `from`.
    pub fn seek(&mut self, from: u64, until: Option<u64>) -> Result<(), ReadError> {
        match &mut self.source {
            Source::Object { object, at } => {
                *at = from;
                self.until = until.unwrap_or(u64::MAX).min(object.body.len());
            }
            Source::Flow { flow, slot } => {
                flow.seek(*slot, from)?;
                self.until = until.unwrap_or(u64::MAX);
            }
            Source::Far { far, slot, .. } => {
                self.until = until.unwrap_or(u64::MAX).min(far.len());
                if let Some(slot) = slot {
                    far.seek(*slot, from, self.until);
                }
            }
        }
        Ok(())
    }

    /// The next slice, `None` at the end, or a wait for the fill or the disk.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        let next = match &mut self.source {
            Source::Object { object, at } => {
                let slice = object.body.slice(*at, self.until);
                *at += slice.as_ref().map_or(0, |slice| slice.len() as u64);
                Poll::Ready(slice.map(Ok))
            }
            Source::Flow { flow, slot } => flow.poll_read(*slot, self.until, context),
            Source::Far { far, slot, .. } => match slot {
                Some(slot) => far.poll_read(*slot, context),
                None => Poll::Ready(Some(Err(ReadError::Disk))),
            },
        };
        if let Poll::Ready(Some(Ok(bytes))) = &next {
            let counters = match &self.source {
                Source::Object { object, .. } | Source::Far { object, .. } => &object.counters,
                Source::Flow { flow, .. } => &flow.counters,
            };
            count_by(&counters.bytes_read, bytes.len());
        }
        next
    }

    /// The next slice, `None` at the end. Waits at most [`crate::Limits::stall`] for a fill, and two
    /// seconds for each chunk of 128 KiB from a disk.
    ///
    /// # Errors
    /// The object will not end as it should: what was sent must be broken off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|context| self.poll_next(context)).await.transpose()
    }
}

impl<H: Head> Drop for Reader<H> {
    fn drop(&mut self) {
        match &self.source {
            Source::Flow { flow, slot } => flow.detach(*slot),
            Source::Far {
                far,
                slot: Some(slot),
                ..
            } => far.detach(*slot),
            Source::Object { .. } | Source::Far { .. } => {}
        }
    }
}
