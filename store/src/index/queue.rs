//! A first-in, first-out queue that runs through entries.

use super::slab::{InQueue, NIL, Slab};

#[derive(Debug)]
pub(super) struct Queue {
    which: InQueue,
    oldest: u32,
    newest: u32,
    pub(super) len: usize,
    /// Bytes of the objects in it.
    pub(super) bytes: usize,
}

impl Queue {
    pub(super) fn new(which: InQueue) -> Self {
        Self {
            which,
            oldest: NIL,
            newest: NIL,
            len: 0,
            bytes: 0,
        }
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    pub(super) fn push<T>(&mut self, slab: &mut Slab<T>, at: u32, bytes: usize) {
        let newest = self.newest;
        let Some(entry) = slab.get_mut(at) else {
            return;
        };
        entry.queue = self.which;
        entry.previous = newest;
        entry.next = NIL;
        match slab.get_mut(newest) {
            Some(before) => before.next = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.len += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove<T>(&mut self, slab: &mut Slab<T>, at: u32, bytes: usize) {
        let Some(entry) = slab.get_mut(at) else {
            return;
        };
        let (previous, next) = (entry.previous, entry.next);
        entry.queue = InQueue::None;
        entry.previous = NIL;
        entry.next = NIL;
        match slab.get_mut(previous) {
            Some(before) => before.next = next,
            None => self.oldest = next,
        }
        match slab.get_mut(next) {
            Some(after) => after.previous = previous,
            None => self.newest = previous,
        }
        self.len -= 1;
        self.bytes -= bytes;
    }
}
