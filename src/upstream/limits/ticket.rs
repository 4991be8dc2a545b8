//! One that waits at a gate, from its coming to its leaving.

use std::sync::Arc;

use super::Shed;
use super::gate::{Gate, Place};
use super::queue::{Call, Spot, Stand, Waiter};

/// Wakes one, never under the lock: what a waker does is not ours.
pub(super) fn wake(waiter: Option<Arc<Waiter>>) {
    if let Some(waiter) = waiter {
        waiter.signal.notify_one();
    }
}

/// One that waits. Dropping it takes it out of the queue; what it holds goes on to the next one.
pub(super) struct Ticket<'g> {
    pub(super) gate: &'g Arc<Gate>,
    pub(super) spot: Spot,
    pub(super) waiter: Arc<Waiter>,
}

impl Ticket<'_> {
    pub(super) fn stand(&self) -> Stand {
        let _queue = self.gate.queue.lock();
        self.waiter.stand()
    }

    /// The place it was given.
    pub(super) fn into_place(self) -> Place {
        self.waiter.set(Stand::Left);
        self.gate.place()
    }

    /// The deadline has come. Whatever it was given until the last moment counts.
    pub(super) fn late(self) -> Result<Place, Shed> {
        let mut queue = self.gate.queue.lock();
        let stand = self.waiter.stand();
        if stand == Stand::Waiting {
            self.gate.take_out(&mut queue, self.spot);
            self.waiter.set(Stand::Left);
        }
        drop(queue);
        match stand {
            Stand::Granted => Ok(self.into_place()),
            Stand::Evicted => Err(Shed::Full),
            _ => Err(Shed::TimedOut),
        }
    }

    /// The call, if it is called.
    pub(super) fn answer(&self) -> Option<Call> {
        let _queue = self.gate.queue.lock();
        if self.waiter.stand() != Stand::Called {
            return None;
        }
        self.waiter.set(Stand::Trying);
        Some(self.waiter.called_by())
    }

    /// It found nothing it could use: it keeps its spot, and the call goes on to the one behind it.
    pub(super) fn pass_on(&self, call: Call) {
        let queue = self.gate.queue.lock();
        // It may have been called again, or evicted, in the meantime.
        if self.waiter.stand() == Stand::Trying {
            self.waiter.set(Stand::Waiting);
        }
        let Some(passes) = call.passes.checked_sub(1) else {
            return;
        };
        let call = Call { passes, ..call };
        let Spot { class, number, .. } = self.spot;
        let called = queue.others.call_behind(class, number, call);
        drop(queue);
        wake(called);
    }

    /// It took something.
    pub(super) fn served(&self, call: Call) {
        let mut queue = self.gate.queue.lock();
        // Called again in the meantime: that call was for something else.
        let again = (self.waiter.stand() == Stand::Called).then(|| self.waiter.called_by());
        self.gate.take_out(&mut queue, self.spot);
        self.waiter.set(Stand::Left);
        let next = if call.more { Some(Call::MANY) } else { again };
        let called = next.and_then(|call| queue.others.call_first(call));
        drop(queue);
        wake(called);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue.lock();
        let stand = self.waiter.stand();
        self.waiter.set(Stand::Left);
        let called = match stand {
            Stand::Evicted | Stand::Left => return,
            Stand::Granted => {
                drop(queue);
                return self.gate.give_back();
            }
            Stand::Waiting => None,
            Stand::Called | Stand::Trying => Some(self.waiter.called_by()),
        };
        self.gate.take_out(&mut queue, self.spot);
        let called = called.and_then(|call| queue.others.call_first(call));
        drop(queue);
        wake(called);
    }
}
