//! A whole object in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;

use crate::budget::{Budget, Lease};
use crate::counters::Counters;
use crate::disk::far::FarBody;
use crate::head::Head;
use crate::index::Place;
use crate::key::Key;
use crate::size::{PER_CHUNK, allocated};
use crate::stamp::Stamp;

/// Bytes of a chunk of a body; all chunks of one but the last have this size, so that a place is found without a
/// search. 128 KiB is the best of 32 KiB, 128 KiB and 1 MiB as measured for bodies of 100 KB and 10 MB.
pub(crate) const CHUNK: usize = 128 * 1024;

/// Names one generation of an object: another fill of the same key has another one. An update of its head keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) u64);

impl ObjectId {
    /// As a number.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// A body, shared by all objects that differ in their head only.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// In memory: chunks in order.
    Near {
        /// All of [`CHUNK`] bytes but the last one.
        chunks: Arc<[Bytes]>,
        /// Bytes of all.
        len: u64,
    },
    /// On disk only; its object stands in memory with its head alone.
    Far(Arc<FarBody>),
}

impl Body {
    /// `chunks` are all of [`CHUNK`] bytes but the last one.
    pub(crate) fn new(chunks: Vec<Bytes>) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::Near {
            chunks: chunks.into(),
            len,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Near { len, .. } => *len,
            Self::Far(far) => far.len(),
        }
    }

    /// The chunks, when it is in memory.
    pub(crate) fn chunks(&self) -> Option<&[Bytes]> {
        match self {
            Self::Near { chunks, .. } => Some(chunks),
            Self::Far(_) => None,
        }
    }

    /// The body on disk, when it is there only.
    pub(crate) fn far(&self) -> Option<&Arc<FarBody>> {
        match self {
            Self::Near { .. } => None,
            Self::Far(far) => Some(far),
        }
    }

    /// The bytes from `at` to the end of their chunk, at most up to `end`; of a body in memory.
    pub(crate) fn slice(&self, at: u64, end: u64) -> Option<Bytes> {
        match self {
            Self::Near { chunks, len } => slice_of(chunks, 0, at, end.min(*len)),
            Self::Far(_) => None,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Near { chunks, .. } => {
                let weigh = |c: &Bytes| allocated(c.len()) + PER_CHUNK;
                chunks.iter().map(weigh).sum::<usize>() + 16
            }
            Self::Far(far) => far.weight(),
        }
    }
}

/// A slice of a list of chunks whose first begins at `base`.
pub(crate) fn slice_of(chunks: &[Bytes], base: u64, at: u64, end: u64) -> Option<Bytes> {
    if at >= end {
        return None;
    }
    let from = at.checked_sub(base)?;
    let index = usize::try_from(from / CHUNK as u64).ok()?;
    let chunk = chunks.get(index)?;
    // Below CHUNK.
    let offset = (from % CHUNK as u64) as usize;
    let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
    let until = offset.saturating_add(wanted).min(chunk.len());
    (offset < until).then(|| chunk.slice(offset..until))
}

/// The index has another one, or none: it must not be found again.
const DEAD: u8 = 1;
/// It is on disk or on its way there.
const QUEUED: u8 = 2;
/// An older one may be on disk.
const REPLACES: u8 = 4;

/// Most uses that are told apart: what the index counts, and the fill.
const MOST_DISK_USES: u8 = 4;

/// An object in memory. Its bytes are counted until the last one that holds it lets go.
#[derive(Debug)]
pub(crate) struct Object<H> {
    pub(crate) key: Key,
    pub(crate) head: Arc<H>,
    pub(crate) body: Body,
    /// The generation: the start of the fill that brought the body.
    pub(crate) id: ObjectId,
    /// When the origin was last asked about it: what purges are compared with.
    pub(crate) start: Stamp,
    pub(crate) stored: Instant,
    /// The purge up to which it was compared.
    checked: AtomicU64,
    /// When it was made stale, in milliseconds since 1970; 0 for never.
    soft_ms: AtomicU64,
    /// Where its body lies on disk; what the index says may be a newer head.
    body_place: AtomicU64,
    /// [`DEAD`], [`QUEUED`], [`REPLACES`].
    state: AtomicU8,
    /// Uses before it goes to disk; 0 for never.
    pub(crate) disk_uses: u8,
    /// Here, so that a hit holds one thing only: counting holders of the whole store would be felt by all cores.
    pub(crate) counters: Arc<Counters>,
    lease: Lease,
}

impl<H: Head> Object<H> {
    pub(crate) fn new(
        (budget, counters): (&Arc<Budget>, &Arc<Counters>),
        key: Key,
        head: Arc<H>,
        body: Body,
        id: ObjectId,
        start: Stamp,
        disk_uses: u8,
    ) -> Arc<Self> {
        let weight = Self::weigh(&key, &head, &body);
        Arc::new(Self {
            key,
            head,
            body,
            id,
            start,
            stored: Instant::now(),
            checked: AtomicU64::new(0),
            soft_ms: AtomicU64::new(0),
            body_place: AtomicU64::new(0),
            state: AtomicU8::new(0),
            disk_uses: disk_uses.min(MOST_DISK_USES),
            counters: Arc::clone(counters),
            lease: Lease::take(budget, weight),
        })
    }

    /// Bytes of memory that such an object takes, index entry not included.
    pub(crate) fn weigh(key: &Key, head: &H, body: &Body) -> usize {
        // Both counters of an Arc.
        let counters = 2 * size_of::<usize>();
        allocated(size_of::<Self>() + counters)
            + allocated(key.bytes().len())
            + allocated(head.weight() + counters)
            + body.weight()
    }

    pub(crate) fn charge(&self) -> usize {
        self.lease.bytes()
    }

    /// The last purge it is known to have survived.
    pub(crate) fn checked(&self) -> Stamp {
        Stamp::from_bits(self.checked.load(Ordering::Acquire)).max(self.start)
    }

    /// Notes that it survived `epoch`, perhaps as stale since `soft_ms`.
    pub(crate) fn set_checked(&self, epoch: Stamp, soft_ms: Option<u64>) {
        if let Some(ms) = soft_ms {
            self.soft_ms.store(ms.max(1), Ordering::Relaxed);
        }
        // Release: who sees the epoch sees the time above. The maximum, because two may check at once.
        self.checked.fetch_max(epoch.bits(), Ordering::Release);
    }

    /// When it was made stale, in milliseconds since 1970.
    pub(crate) fn soft_ms(&self) -> Option<u64> {
        let ms = self.soft_ms.load(Ordering::Relaxed);
        (ms > 0).then_some(ms)
    }

    /// Makes it stale.
    pub(crate) fn expire(&self, now_ms: u64) {
        self.soft_ms.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// Whether its body is this one on disk.
    pub(crate) fn is_of(&self, far: &Arc<FarBody>) -> bool {
        self.body.far().is_some_and(|own| Arc::ptr_eq(own, far))
    }

    fn has(&self, state: u8) -> bool {
        self.state.load(Ordering::Relaxed) & state != 0
    }

    // All of these are written under the lock of the object's shard, or by one thread; reading an older state makes
    // a second write to disk or a miss.

    pub(crate) fn is_dead(&self) -> bool {
        self.has(DEAD)
    }

    pub(crate) fn set_dead(&self) {
        self.state.fetch_or(DEAD, Ordering::Relaxed);
    }

    /// Whether it was before.
    pub(crate) fn set_queued(&self) -> bool {
        self.state.fetch_or(QUEUED, Ordering::Relaxed) & QUEUED != 0
    }

    /// Whether it is to go to disk and has not gone, after so many uses, the fill counted.
    pub(crate) fn wants_disk(&self, uses: u8) -> bool {
        self.body.far().is_none()
            && self.disk_uses > 0
            && uses >= self.disk_uses
            && !self.has(QUEUED)
    }

    pub(crate) fn replaces_disk(&self) -> bool {
        self.has(REPLACES)
    }

    pub(crate) fn set_replaces_disk(&self) {
        self.state.fetch_or(REPLACES, Ordering::Relaxed);
    }

    /// Whether this or an older one may be on disk.
    pub(crate) fn touches_disk(&self) -> bool {
        self.has(QUEUED | REPLACES)
    }

    /// It is not on disk, nor on its way there: it may go there again.
    pub(crate) fn left_disk(&self) {
        self.state.fetch_and(!QUEUED, Ordering::Relaxed);
    }

    pub(crate) fn body_place(&self) -> Place {
        Place::from_bits(self.body_place.load(Ordering::Relaxed))
    }

    pub(crate) fn set_body_place(&self, place: Place) {
        self.body_place.store(place.bits(), Ordering::Relaxed);
    }
}
