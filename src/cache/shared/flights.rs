//! One fetch per key: who wants what is just being fetched waits for its head, not for its end.
//!
//! A flight begins when somebody decides to ask the origin, and ends when it is known what others can make of the
//! answer: it is being stored (they read it while it comes), it cannot be shared, or it failed. It is bounded by the
//! requests under way: each holds or awaits at most one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::place::Place;
use crate::cache::key::KeyHash;
use crate::telemetry::Reason;

/// Parts with a lock each; a power of two.
const SHARDS: usize = 64;

/// What a flight came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Look again: it is stored, or being stored.
    Look,
    /// The answer is not for others.
    Unshared,
    /// The origin answered with an error, for which what is stored may stand in.
    Error,
    /// The origin failed.
    Failed(Reason),
}

/// A fetch under way.
#[derive(Debug)]
pub struct Flight {
    /// Where it is found: it moves when it has taken too long.
    place: Mutex<Place>,
    begun: Instant,
    landed: watch::Sender<Option<Landed>>,
    /// What it stands for was purged or changed meanwhile by an accepted unsafe request: not to be stored.
    doomed: AtomicBool,
}

type Shard = Mutex<HashMap<Place, Arc<Flight>>>;

/// All flights of a cache.
#[derive(Debug)]
pub struct Flights {
    shards: Box<[Shard]>,
    /// Numbers those that nobody waits for. Lists of variants are numbered from 1, these stand at 0.
    alone: AtomicU64,
    /// Requests that wait.
    waiting: AtomicUsize,
}

/// What became of the wish to fetch.
pub enum Joined {
    /// It is on us: the flight ends with this guard.
    Lead(Lead),
    /// Somebody does already.
    Wait(Waiting),
}

/// A flight that others wait for.
pub struct Waiting {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

/// Counts a request as waiting until it is dropped, as with the request of a client that left.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Waits until it has landed, at most for `longest`. A flight that has taken longer than `patience` is left to itself
    /// then: the next who comes begins another.
    pub async fn landed(self, longest: Duration, patience: Duration) -> Option<Landed> {
        self.flights.waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.flights.waiting);
        let mut landed = self.flight.landed.subscribe();
        let told = tokio::time::timeout(longest, landed.wait_for(Option::is_some)).await;
        match told {
            Ok(Ok(landed)) => Some(landed.unwrap_or(Landed::Unshared)),
            // Whoever led it is gone without a word.
            Ok(Err(_)) => Some(Landed::Failed(Reason::Internal)),
            Err(_) => {
                if self.flight.begun.elapsed() >= patience {
                    self.flights.set_aside(&self.flight);
                }
                None
            }
        }
    }
}

impl Flight {
    fn to(place: Place) -> Arc<Self> {
        Arc::new(Self {
            place: Mutex::new(place),
            begun: Instant::now(),
            landed: watch::Sender::new(None),
            doomed: AtomicBool::new(false),
        })
    }
}

/// Whoever leads a flight. Dropped without a word, those who wait are told that it failed.
pub struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

impl std::fmt::Debug for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.flight.fmt(f)
    }
}

impl Lead {
    /// Ends the flight.
    pub fn land(self, landed: Landed) {
        self.end(landed);
    }

    /// True if what comes is not to be stored.
    pub fn is_doomed(&self) -> bool {
        self.flight.doomed.load(Ordering::Acquire)
    }

    fn end(&self, landed: Landed) {
        self.flights.remove(&self.flight);
        self.flight.landed.send_if_modified(|state| {
            let first = state.is_none();
            state.get_or_insert(landed);
            first
        });
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.end(Landed::Failed(Reason::Internal));
    }
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            alone: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Flights {
    fn shard(&self, primary: &KeyHash) -> &Shard {
        let [first, ..] = primary.0;
        // tidy: in bounds: masked to the length
        &self.shards[usize::from(first) & (SHARDS - 1)]
    }

    /// Leads the flight to a place, or waits for the one that is under way.
    pub fn join(self: &Arc<Self>, place: &Place) -> Joined {
        let mut shard = self.shard(&place.primary).lock();
        if let Some(flight) = shard.get(place) {
            return Joined::Wait(Waiting {
                flights: Arc::clone(self),
                flight: Arc::clone(flight),
            });
        }
        let flight = Flight::to(*place);
        shard.insert(*place, Arc::clone(&flight));
        drop(shard);
        Joined::Lead(Lead {
            flights: Arc::clone(self),
            flight,
        })
    }

    /// Leads a flight that nobody waits for: it is only known, so that it can be doomed.
    pub fn alone(self: &Arc<Self>, primary: KeyHash) -> Lead {
        let place = self.aside(primary);
        let flight = Flight::to(place);
        self.shard(&primary)
            .lock()
            .insert(place, Arc::clone(&flight));
        Lead {
            flights: Arc::clone(self),
            flight,
        }
    }

    /// A place that nobody looks at.
    fn aside(&self, primary: KeyHash) -> Place {
        let [low, high] = [self.alone.fetch_add(1, Ordering::Relaxed), u64::MAX];
        let mut variant = [0; 24];
        let bytes = low.to_le_bytes().into_iter().chain(high.to_le_bytes());
        for (to, from) in variant.iter_mut().skip(8).zip(bytes) {
            *to = from;
        }
        Place {
            primary,
            variant: Some(variant),
        }
    }

    /// Nobody waits for it any more. It can still be doomed.
    fn set_aside(&self, flight: &Arc<Flight>) {
        let primary = flight.place.lock().primary;
        let mut shard = self.shard(&primary).lock();
        let mut place = flight.place.lock();
        let current = shard.get(&*place);
        if current.is_some_and(|current| Arc::ptr_eq(current, flight)) {
            shard.remove(&*place);
            *place = self.aside(primary);
            shard.insert(*place, Arc::clone(flight));
        }
    }

    fn remove(&self, flight: &Arc<Flight>) {
        let primary = flight.place.lock().primary;
        let mut shard = self.shard(&primary).lock();
        let place = flight.place.lock();
        let current = shard.get(&*place);
        if current.is_some_and(|current| Arc::ptr_eq(current, flight)) {
            shard.remove(&*place);
        }
    }

    /// What is fetched of this key now is not to be stored.
    pub fn doom(&self, primary: &KeyHash) {
        for (place, flight) in self.shard(primary).lock().iter() {
            if place.primary == *primary {
                flight.doomed.store(true, Ordering::Release);
            }
        }
    }

    /// Flights under way.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Requests that wait for one of them.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn place(primary: u8, variant: Option<u8>) -> Place {
        Place {
            primary: KeyHash([primary; 16]),
            variant: variant.map(|byte| [byte; 24]),
        }
    }

    fn lead(flights: &Arc<Flights>, place: &Place) -> Lead {
        match flights.join(place) {
            Joined::Lead(lead) => lead,
            Joined::Wait(_) => panic!("somebody leads"),
        }
    }

    fn wait(flights: &Arc<Flights>, place: &Place) -> Waiting {
        match flights.join(place) {
            Joined::Lead(_) => panic!("nobody leads"),
            Joined::Wait(waiting) => waiting,
        }
    }

    #[tokio::test]
    async fn one_leads_and_all_hear_how_it_ended() {
        let flights = Arc::new(Flights::default());
        let lead = lead(&flights, &place(1, None));
        let waiting = [
            wait(&flights, &place(1, None)),
            wait(&flights, &place(1, None)),
        ];
        assert_eq!(flights.len(), 1);
        lead.land(Landed::Look);
        for one in waiting {
            assert_eq!(one.landed(LONG, LONG).await, Some(Landed::Look));
        }
        assert!(flights.is_empty());
        // The next one leads again.
        drop(self::lead(&flights, &place(1, None)));
    }

    #[tokio::test]
    async fn who_waits_is_counted_until_it_leaves() {
        let flights = Arc::new(Flights::default());
        let lead = lead(&flights, &place(1, None));
        let mut one = Box::pin(wait(&flights, &place(1, None)).landed(LONG, LONG));
        let mut two = Box::pin(wait(&flights, &place(1, None)).landed(LONG, LONG));
        assert_eq!(flights.waiting(), 0, "nobody has begun to wait");
        for waiting in [&mut one, &mut two] {
            let polled = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending())
            });
            assert!(polled.await);
        }
        assert_eq!(flights.waiting(), 2);
        drop(one);
        assert_eq!(flights.waiting(), 1);
        lead.land(Landed::Look);
        assert_eq!(two.await, Some(Landed::Look));
        assert_eq!(flights.waiting(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_is_a_failure() {
        let flights = Arc::new(Flights::default());
        let lead = lead(&flights, &place(1, None));
        let waiting = wait(&flights, &place(1, None));
        drop(lead);
        let landed = waiting.landed(LONG, LONG).await;
        assert_eq!(landed, Some(Landed::Failed(Reason::Internal)));
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_set_aside() {
        let flights = Arc::new(Flights::default());
        let slow = lead(&flights, &place(1, None));
        let waiting = wait(&flights, &place(1, None));
        assert_eq!(waiting.landed(Duration::ZERO, LONG).await, None);
        let waiting = wait(&flights, &place(1, None));
        assert_eq!(waiting.landed(Duration::ZERO, Duration::ZERO).await, None);
        // The next one leads, and what is fetched twice is doomed twice.
        let next = lead(&flights, &place(1, None));
        flights.doom(&KeyHash([1; 16]));
        assert!(slow.is_doomed() && next.is_doomed());
        drop(slow);
        assert_eq!(flights.len(), 1);
        drop(next);
        assert!(flights.is_empty());
    }

    #[test]
    fn variants_fly_apart_and_are_doomed_together() {
        let flights = Arc::new(Flights::default());
        let one = lead(&flights, &place(1, Some(1)));
        let two = lead(&flights, &place(1, Some(2)));
        let other = lead(&flights, &place(65, None));
        flights.doom(&KeyHash([1; 16]));
        assert!(one.is_doomed() && two.is_doomed() && !other.is_doomed());
    }
}
