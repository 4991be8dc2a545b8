//! Entries in pages: they never move, and growing costs one page, not twice the whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Place;

/// Entries of a page: 5 KiB, a size class of the allocator.
const PAGE: usize = 128;
/// No entry.
pub(super) const NIL: u32 = u32::MAX;
/// Uses that are told apart: 0 to 3.
const MOST_USES: u8 = 3;

/// Which queue an entry stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InQueue {
    /// Not in memory.
    None,
    /// On probation.
    Small,
    /// Used more than once.
    Main,
}

/// One object.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    /// The low half of the key's hash. The shard is chosen by the high half.
    pub(super) hash: u64,
    pub(super) resident: Option<Arc<T>>,
    pub(super) place: Place,
    /// The next one of the bucket, or of the free list.
    pub(super) chain: u32,
    pub(super) previous: u32,
    pub(super) next: u32,
    uses: AtomicU8,
    pub(super) queue: InQueue,
    pub(super) taken: bool,
}

impl<T> Entry<T> {
    fn vacant(chain: u32) -> Self {
        Self {
            hash: 0,
            resident: None,
            place: Place::NONE,
            chain,
            previous: NIL,
            next: NIL,
            uses: AtomicU8::new(0),
            queue: InQueue::None,
            taken: false,
        }
    }

    pub(crate) fn resident(&self) -> Option<&Arc<T>> {
        self.resident.as_ref()
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn uses(&self) -> u8 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Counts a use. Two at once may count as one, which costs nothing but a chance in the queue; a counter that is
    /// full is only read, so that hot objects do not pass a cache line around.
    pub(crate) fn touch(&self) {
        let uses = self.uses();
        if uses < MOST_USES {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_uses(&self, uses: u8) {
        self.uses.store(uses.min(MOST_USES), Ordering::Relaxed);
    }
}

/// All entries of a shard.
#[derive(Debug)]
pub(super) struct Slab<T> {
    pages: Vec<Box<[Entry<T>]>>,
    free: u32,
    len: usize,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the pages and of their list.
    pub(super) fn bytes(&self) -> usize {
        self.pages.len() * PAGE * size_of::<Entry<T>>()
            + self.pages.capacity() * size_of::<Box<[Entry<T>]>>()
    }

    pub(super) fn get(&self, at: u32) -> Option<&Entry<T>> {
        let at = at as usize;
        self.pages
            .get(at / PAGE)?
            .get(at % PAGE)
            .filter(|e| e.taken)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Entry<T>> {
        self.raw_mut(at).filter(|entry| entry.taken)
    }

    fn raw_mut(&mut self, at: u32) -> Option<&mut Entry<T>> {
        let at = at as usize;
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    /// A fresh entry; `None` when the shard has four billion.
    pub(super) fn take(&mut self, hash: u64) -> Option<u32> {
        if self.free == NIL {
            self.grow()?;
        }
        let at = self.free;
        let entry = self.raw_mut(at)?;
        let next = entry.chain;
        *entry = Entry::vacant(NIL);
        entry.hash = hash;
        entry.taken = true;
        self.free = next;
        self.len += 1;
        Some(at)
    }

    fn grow(&mut self) -> Option<()> {
        let first = u32::try_from(self.pages.len() * PAGE).ok()?;
        let last = first.checked_add(PAGE as u32)?;
        if self.pages.len() == self.pages.capacity() {
            // An eighth more: doubling would be counted although it is not used.
            self.pages.reserve_exact(self.pages.len() / 8 + 1);
        }
        let page = (first..last).map(|at| Entry::vacant(if at + 1 < last { at + 1 } else { NIL }));
        self.pages.push(page.collect());
        self.free = first;
        Some(())
    }

    /// Gives an entry back; what was in memory is the caller's to drop, outside its lock.
    pub(super) fn give_back(&mut self, at: u32) -> Option<Arc<T>> {
        let free = self.free;
        let entry = self.get_mut(at)?;
        let resident = entry.resident.take();
        *entry = Entry::vacant(free);
        self.free = at;
        self.len -= 1;
        resident
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.pages
            .iter()
            .flat_map(|page| page.iter())
            .filter(|e| e.taken)
    }
}
