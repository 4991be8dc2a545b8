//! Checks that are under way: one for the same login however many wait for it, a bounded number in all.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use parking_lot::Mutex;

use super::verdicts::Ticket;

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is the password.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// There was no thread for it.
    Busy,
    /// It could not be done.
    Failed,
}

/// A check, as long as it lasts.
pub(super) type Check = Pin<Box<dyn Future<Output = Checked> + Send>>;

/// A check that others may wait for, too. It ends when nobody does any more.
pub(super) type Flight = Shared<Check>;

/// Bounds of what is under way at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Checks.
    pub(super) checks: usize,
    /// Checks for one client: what one sends does not keep all others out.
    pub(super) checks_of_client: usize,
    /// Requests that wait for them.
    pub(super) waiting: usize,
}

/// One of the bounds is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The checks of a plugin that are under way. They outlive reloads.
#[derive(Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<Ticket, Entry, RandomState>>,
    numbers: AtomicU64,
    waiting: AtomicUsize,
}

struct Entry {
    /// Which one: the next check of the same login has another number.
    number: u64,
    client: u128,
    flight: WeakShared<Check>,
}

/// A request's place among those that wait.
pub(super) struct Place(Arc<Flights>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes the entry away when the check is over, or nobody waits for it.
struct Landing {
    flights: Arc<Flights>,
    ticket: Ticket,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock();
        if under_way
            .get(&self.ticket)
            .is_some_and(|entry| entry.number == self.number)
        {
            under_way.remove(&self.ticket);
        }
    }
}

impl Flights {
    /// Waits for the check of this login that is under way, or begins one with `begin`, for this client.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(super) fn join(
        self: &Arc<Self>,
        ticket: Ticket,
        client: u128,
        bounds: Bounds,
        begin: impl FnOnce() -> Check,
    ) -> Result<(Flight, Place), Full> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(self));
        if before >= bounds.waiting {
            return Err(Full);
        }
        let mut under_way = self.under_way.lock();
        // Nothing that is locked here may be the last to hold a flight: its landing locks, too.
        if let Some(flight) = under_way
            .get(&ticket)
            .and_then(|entry| entry.flight.upgrade())
        {
            drop(under_way);
            return Ok((flight, place));
        }
        let of_client = under_way
            .values()
            .filter(|entry| entry.client == client)
            .count();
        if under_way.len() >= bounds.checks || of_client >= bounds.checks_of_client {
            return Err(Full);
        }
        let check = begin();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let landing = Landing {
            flights: Arc::clone(self),
            ticket,
            number,
        };
        let check: Check = Box::pin(async move {
            let _landing = landing;
            check.await
        });
        let flight = check.shared();
        if let Some(weak) = flight.downgrade() {
            let entry = Entry {
                number,
                client,
                flight: weak,
            };
            under_way.insert(ticket, entry);
        }
        drop(under_way);
        Ok((flight, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{pending, ready};
    use std::task::{Context, Poll, Waker};

    const BOUNDS: Bounds = Bounds {
        checks: 4,
        checks_of_client: 2,
        waiting: 6,
    };

    fn poll(flight: &mut Flight) -> Poll<Checked> {
        Pin::new(flight).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn soon() -> Check {
        Box::pin(ready(Checked::Right))
    }

    fn never() -> Check {
        Box::pin(pending())
    }

    fn refuse() -> Check {
        panic!("begun twice")
    }

    #[test]
    fn the_same_login_is_checked_once() {
        let flights = Arc::new(Flights::default());
        let (mut first, _one) = flights.join(1, 7, BOUNDS, soon).unwrap();
        let (mut second, _two) = flights.join(1, 8, BOUNDS, refuse).unwrap();
        assert_eq!(poll(&mut second), Poll::Ready(Checked::Right));
        assert_eq!(poll(&mut first), Poll::Ready(Checked::Right));
        // It is over: the next one is another.
        assert!(flights.under_way.lock().is_empty());
        let (mut third, _three) = flights
            .join(1, 7, BOUNDS, || Box::pin(ready(Checked::Wrong)))
            .unwrap();
        assert_eq!(poll(&mut third), Poll::Ready(Checked::Wrong));
    }

    #[test]
    fn a_check_that_nobody_waits_for_ends() {
        let flights = Arc::new(Flights::default());
        let (first, one) = flights.join(1, 7, BOUNDS, never).unwrap();
        let (mut second, two) = flights.join(1, 7, BOUNDS, refuse).unwrap();
        drop((first, one));
        // One is gone; the other still waits for the same.
        assert_eq!(poll(&mut second), Poll::Pending);
        assert_eq!(flights.under_way.lock().len(), 1);
        drop((second, two));
        assert!(flights.under_way.lock().is_empty());
        assert_eq!(flights.waiting.load(Ordering::Relaxed), 0);
        assert!(flights.join(1, 7, BOUNDS, soon).is_ok());
    }

    #[test]
    fn checks_are_bounded_in_all_and_for_a_client() {
        let flights = Arc::new(Flights::default());
        let one = flights.join(1, 7, BOUNDS, never).unwrap();
        let _two = flights.join(2, 7, BOUNDS, never).unwrap();
        assert_eq!(flights.join(3, 7, BOUNDS, refuse).err(), Some(Full));
        let _three = flights.join(3, 8, BOUNDS, never).unwrap();
        let _four = flights.join(4, 9, BOUNDS, never).unwrap();
        assert_eq!(flights.join(5, 10, BOUNDS, refuse).err(), Some(Full));
        drop(one);
        assert!(flights.join(5, 10, BOUNDS, never).is_ok());
    }

    #[test]
    fn who_waits_is_bounded_too() {
        let flights = Arc::new(Flights::default());
        let mut waiting: Vec<_> = (0..6)
            .map(|_| flights.join(1, 7, BOUNDS, never).unwrap())
            .collect();
        assert_eq!(flights.join(1, 7, BOUNDS, refuse).err(), Some(Full));
        waiting.pop();
        assert!(flights.join(1, 7, BOUNDS, refuse).is_ok());
    }

    /// Ready at the third look.
    struct Slow(u8);

    impl Future for Slow {
        type Output = Checked;
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Checked> {
            self.0 += 1;
            if self.0 < 3 {
                Poll::Pending
            } else {
                Poll::Ready(Checked::Right)
            }
        }
    }

    #[test]
    fn threads_that_join_leave_and_finish_leave_nothing_behind() {
        let flights = Arc::new(Flights::default());
        let bounds = Bounds {
            checks: 3,
            checks_of_client: 3,
            waiting: 8,
        };
        let run = |seed: u64| {
            let flights = Arc::clone(&flights);
            move || {
                let mut random = seed;
                for _ in 0..20_000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(seed);
                    let ticket = Ticket::from(random >> 61);
                    let Ok((mut flight, _place)) =
                        flights.join(ticket, 1, bounds, || Box::pin(Slow(0)))
                    else {
                        continue;
                    };
                    // Some leave before it is over.
                    for _ in 0..(random >> 32) % 4 {
                        if let Poll::Ready(checked) = poll(&mut flight) {
                            assert_eq!(checked, Checked::Right);
                            break;
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for seed in [3, 5, 7, 11] {
                scope.spawn(run(seed));
            }
        });
        assert!(flights.under_way.lock().is_empty());
        assert_eq!(flights.waiting.load(Ordering::Relaxed), 0);
    }
}
