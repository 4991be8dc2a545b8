//! Equal questions at one time are one question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farmgate_plugin_api::services::HostFuture;
use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

use super::answer::{Failure, Judged};

/// What comes of a question.
pub(super) type Outcome = Result<Judged, Failure>;

/// A question that the host's client answers.
pub(super) type HostOutcome = HostFuture<Outcome>;

/// A question under way; whoever waits for it drives it, and when nobody does any more it is given up.
pub(super) type Flight = Shared<HostOutcome>;

/// Questions under way by their key. As many as there may be questions at once: each removes itself at its end.
#[derive(Default)]
pub(super) struct Flights(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    flying: HashMap<u128, (u64, WeakShared<HostOutcome>)>,
    next: u64,
}

/// How a request came to its flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// It asked.
    First,
    /// Another one had asked already.
    Joined,
}

/// Removes a flight from the list when its question ends, however it ends.
pub(super) struct Landing {
    flights: Arc<Flights>,
    key: u128,
    number: u64,
}

impl Flights {
    /// Joins the question under way with this key, or begins one.
    pub(super) fn join(
        self: &Arc<Self>,
        key: u128,
        begin: impl FnOnce(Landing) -> HostOutcome,
    ) -> (Flight, Seat) {
        let mut inner = self.lock();
        let flying = inner.flying.get(&key);
        if let Some(flight) = flying.and_then(|(_, flight)| flight.upgrade()) {
            return (flight, Seat::Joined);
        }
        inner.next += 1;
        let number = inner.next;
        let landing = Landing {
            flights: Arc::clone(self),
            key,
            number,
        };
        let flight = begin(landing).shared();
        if let Some(weak) = flight.downgrade() {
            inner.flying.insert(key, (number, weak));
        }
        (flight, Seat::First)
    }

    /// How many are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().flying.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut inner = self.flights.lock();
        let own = inner.flying.get(&self.key);
        // Another one may have begun since this one was given up.
        if own.is_some_and(|(number, _)| *number == self.number) {
            inner.flying.remove(&self.key);
        }
    }
}
