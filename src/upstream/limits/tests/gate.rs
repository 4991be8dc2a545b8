//! The gate by hand: order, eviction, deadlines, waiters that go away. Tokio's clock stands still.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::upstream::limits::gate::{Gate, Waiting};
use crate::upstream::limits::{AdaptiveOptions, Class, GateOptions, Place, Shed};

use Class::{Bulk, Critical, Default as Middle};

pub(super) type Entering = Pin<Box<dyn Future<Output = Result<Place, Shed>>>>;
type Taking = Pin<Box<dyn Future<Output = Result<u32, Shed>>>>;

pub(super) fn options(in_flight: u32, queue: u32) -> Arc<GateOptions> {
    Arc::new(GateOptions {
        in_flight: Some(in_flight),
        queue,
        queue_timeout: Duration::from_secs(1),
        adaptive: None,
    })
}

fn never() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A future that is polled once already.
pub(super) fn entering(gate: &Arc<Gate>, options: &Arc<GateOptions>, class: Class) -> Entering {
    let (gate, options) = (gate.clone(), options.clone());
    let mut entering: Entering =
        Box::pin(async move { gate.enter(&options, class, never()).await });
    assert!(poll(&mut entering).is_none(), "it waits");
    entering
}

pub(super) fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Option<T> {
    // Not by tokio's measure of how much one task may do at once: it would look like waiting.
    let unconstrained = std::pin::pin!(tokio::task::unconstrained(future.as_mut()));
    match unconstrained.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Waits for a number above 0 in `room`, which it takes down by one.
fn taking(gate: &Arc<Gate>, options: &Arc<GateOptions>, class: Class, room: &Room) -> Taking {
    let (gate, options, room) = (gate.clone(), options.clone(), room.clone());
    Box::pin(async move {
        let take = || room.take();
        gate.wait_for(&options, class, never(), take).await
    })
}

/// Something that is released outside of the gate.
#[derive(Clone, Default)]
struct Room(std::rc::Rc<(Cell<u32>, Cell<u32>)>);

impl Room {
    fn take(&self) -> Option<u32> {
        self.0.1.set(self.0.1.get() + 1);
        let less = self.0.0.get().checked_sub(1)?;
        self.0.0.set(less);
        Some(less)
    }
    fn put(&self, count: u32) {
        self.0.0.set(self.0.0.get() + count);
    }
    fn tries(&self) -> u32 {
        self.0.1.replace(0)
    }
}

fn waiting(gate: &Gate) -> (u32, u32, u32) {
    let Waiting {
        critical,
        default,
        bulk,
    } = gate.status(&GateOptions::default(), Instant::now()).waiting;
    (critical, default, bulk)
}

#[tokio::test(start_paused = true)]
async fn places_go_by_class_and_then_in_order() {
    let gate = Arc::new(Gate::default());
    let two = options(2, 10);
    let first = gate.try_enter(&two, Bulk).unwrap();
    let second = gate.enter(&two, Bulk, never()).await.unwrap();
    assert!(gate.try_enter(&two, Critical).is_none());
    let mut bulk = entering(&gate, &two, Bulk);
    let mut early = entering(&gate, &two, Middle);
    let mut late = entering(&gate, &two, Middle);
    let mut critical = entering(&gate, &two, Critical);
    assert_eq!(waiting(&gate), (1, 2, 1));
    drop(first);
    assert_eq!(gate.in_flight(), 2, "given, not free");
    assert!(
        gate.try_enter(&two, Critical).is_none(),
        "nobody comes between"
    );
    assert!(poll(&mut early).is_none());
    let critical = poll(&mut critical).unwrap().unwrap();
    drop(second);
    let early = poll(&mut early).unwrap().unwrap();
    drop(critical);
    assert!(poll(&mut bulk).is_none());
    let late = poll(&mut late).unwrap().unwrap();
    drop(early);
    let bulk = poll(&mut bulk).unwrap().unwrap();
    drop((late, bulk));
    assert_eq!((gate.in_flight(), waiting(&gate)), (0, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_with_a_place_passes_it_on() {
    let gate = Arc::new(Gate::default());
    let one = options(1, 10);
    let place = gate.try_enter(&one, Middle).unwrap();
    let first = entering(&gate, &one, Middle);
    let gone = entering(&gate, &one, Middle);
    let mut third = entering(&gate, &one, Middle);
    drop(gone);
    drop(place);
    // It was given the place and never runs.
    drop(first);
    let third = poll(&mut third).expect("it is woken").unwrap();
    assert_eq!(gate.in_flight(), 1);
    drop(third);
    assert_eq!((gate.in_flight(), waiting(&gate)), (0, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sheds_the_lowest_class_first() {
    let gate = Arc::new(Gate::default());
    let three = options(1, 3);
    let place = gate.try_enter(&three, Middle).unwrap();
    let mut old_bulk = entering(&gate, &three, Bulk);
    let mut new_bulk = entering(&gate, &three, Bulk);
    let mut middle = entering(&gate, &three, Middle);
    let full = gate.enter(&three, Bulk, never()).await;
    assert_eq!(full.unwrap_err(), Shed::Full, "its own class stays");
    let mut second = entering(&gate, &three, Middle);
    assert_eq!(poll(&mut new_bulk).unwrap().unwrap_err(), Shed::Full);
    assert!(poll(&mut old_bulk).is_none());
    let critical = entering(&gate, &three, Critical);
    assert_eq!(poll(&mut old_bulk).unwrap().unwrap_err(), Shed::Full);
    let _other = entering(&gate, &three, Critical);
    assert_eq!(poll(&mut second).unwrap().unwrap_err(), Shed::Full);
    assert!(poll(&mut middle).is_none());
    assert_eq!(waiting(&gate), (2, 1, 0));
    // Without a queue nobody waits, and nobody is driven out.
    let none = options(1, 0);
    let full = gate.enter(&none, Critical, never()).await;
    assert_eq!(full.unwrap_err(), Shed::Full);
    drop((critical, place));
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_with_the_earlier_deadline() {
    let gate = Arc::new(Gate::default());
    let one = options(1, 10);
    let place = gate.try_enter(&one, Middle).unwrap();
    let start = Instant::now();
    let shed = gate.enter(&one, Middle, never()).await.unwrap_err();
    assert_eq!((shed, start.elapsed().as_millis()), (Shed::TimedOut, 1000));
    let until = Instant::now() + Duration::from_millis(300);
    let start = Instant::now();
    let shed = gate.enter(&one, Middle, until).await.unwrap_err();
    assert!(shed == Shed::TimedOut && start.elapsed() < Duration::from_millis(310));
    let shed = gate.enter(&one, Middle, until).await.unwrap_err();
    assert_eq!(shed, Shed::TimedOut, "too late already");
    let start = Instant::now();
    let room = Room::default();
    let shed = gate.wait_for(&one, Middle, never(), || room.take()).await;
    assert_eq!(shed, Err(Shed::TimedOut));
    assert_eq!(start.elapsed().as_millis(), 1000);
    assert_eq!(waiting(&gate), (0, 0, 0));
    // The place and the deadline come together: the place counts.
    let mut lucky = entering(&gate, &one, Middle);
    let mut unlucky = entering(&gate, &one, Middle);
    advance(Duration::from_millis(400)).await;
    let longest = gate.status(&one, Instant::now()).longest_wait;
    assert_eq!(longest.as_millis(), 400);
    advance(Duration::from_secs(1)).await;
    drop(place);
    let place = poll(&mut lucky).unwrap().unwrap();
    assert_eq!(poll(&mut unlucky).unwrap().unwrap_err(), Shed::TimedOut);
    drop(place);
    assert_eq!(gate.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn options_change_under_those_who_wait() {
    let gate = Arc::new(Gate::default());
    let two = options(2, 10);
    let mut places = vec![gate.try_enter(&two, Middle), gate.try_enter(&two, Middle)];
    let mut first = entering(&gate, &two, Middle);
    // Raised: the next newcomer brings it for all.
    let four = options(4, 10);
    let newcomer = gate.enter(&four, Middle, never()).await.unwrap();
    let first = poll(&mut first).unwrap().unwrap();
    assert_eq!(gate.in_flight(), 4);
    // Lowered: nobody is thrown out, and nobody enters before there is room again.
    let one = options(1, 10);
    let mut waits = entering(&gate, &one, Middle);
    drop((first, newcomer, places.pop()));
    assert!(poll(&mut waits).is_none() && gate.in_flight() == 1);
    drop(places);
    let place = poll(&mut waits).unwrap().unwrap();
    // No limit at all any more.
    let mut waits = entering(&gate, &one, Bulk);
    let open = Arc::new(GateOptions::default());
    assert_eq!(gate.status(&open, Instant::now()).limit, None);
    let other = gate.enter(&open, Critical, never()).await.unwrap();
    let last = gate.enter(&open, Bulk, never()).await.unwrap();
    let waits = poll(&mut waits).unwrap().unwrap();
    assert_eq!(gate.in_flight(), 4);
    drop((place, other, waits, last));
}

#[tokio::test(start_paused = true)]
async fn the_adaptive_limit_counts_too() {
    let gate = Arc::new(Gate::default());
    let adaptive = Some(AdaptiveOptions {
        min: 2,
        ..AdaptiveOptions::default()
    });
    let options = Arc::new(GateOptions {
        adaptive,
        ..GateOptions::clone(&options(100, 1))
    });
    let _places = [
        gate.try_enter(&options, Middle),
        gate.try_enter(&options, Middle),
    ];
    assert!(gate.try_enter(&options, Middle).is_none());
    let status = gate.status(&options, Instant::now());
    assert_eq!(
        (status.in_flight, status.limit, status.adaptive),
        (2, Some(2), Some(2))
    );
}

#[tokio::test(start_paused = true)]
async fn those_who_are_called_keep_their_turn() {
    let gate = Arc::new(Gate::default());
    let any = options(1, 10);
    let room = Room::default();
    room.put(1);
    let taken = gate.wait_for(&any, Middle, never(), || room.take()).await;
    assert_eq!((taken, room.tries()), (Ok(0), 1));
    let mut first = taking(&gate, &any, Middle, &room);
    let mut second = taking(&gate, &any, Middle, &room);
    assert!(poll(&mut first).is_none());
    assert_eq!(
        room.tries(),
        2,
        "once more in the queue: it may have come in between"
    );
    assert!(poll(&mut second).is_none());
    assert_eq!(room.tries(), 0, "it is not its turn");
    // A call that the first one cannot use: it goes on, and both stay.
    gate.freed();
    assert!(poll(&mut second).is_none() && room.tries() == 0);
    assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
    assert_eq!((room.tries(), waiting(&gate)), (2, (0, 2, 0)));
    // A newcomer does not overtake, one of a higher class does.
    room.put(1);
    let mut third = taking(&gate, &any, Bulk, &room);
    assert!(poll(&mut third).is_none() && room.tries() == 0);
    let mut critical = taking(&gate, &any, Critical, &room);
    assert_eq!(poll(&mut critical), Some(Ok(0)));
    // It found something nobody was called for, so the next one looks for more.
    room.tries();
    assert!(poll(&mut first).is_none() && room.tries() == 1);
    assert!(
        poll(&mut second).is_none() && room.tries() == 1,
        "and the one behind it"
    );
    assert!(poll(&mut third).is_none() && room.tries() == 1);
    room.put(1);
    gate.freed();
    assert!(poll(&mut second).is_none());
    assert_eq!(poll(&mut first), Some(Ok(0)), "still the first");
    // More than one at once: the one who is served calls the next.
    room.put(2);
    gate.freed_many();
    assert!(poll(&mut third).is_none() && room.tries() == 1);
    assert_eq!(poll(&mut second), Some(Ok(1)));
    assert_eq!(poll(&mut third), Some(Ok(0)));
    assert_eq!(waiting(&gate), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_never_lost() {
    let gate = Arc::new(Gate::default());
    let any = options(1, 3);
    let room = Room::default();
    // Released between the first look and the queue, when nobody seemed to wait.
    let looks = Cell::new(0);
    let between = || {
        looks.set(looks.get() + 1);
        if looks.get() == 1 {
            gate.freed();
            room.put(1);
            return None;
        }
        room.take()
    };
    let waits = gate.wait_for(&any, Middle, never(), between).await;
    assert_eq!(waits, Ok(0));
    let wait = |class| {
        let mut waits = taking(&gate, &any, class, &room);
        assert!(poll(&mut waits).is_none());
        waits
    };
    // The one who was called goes away without having looked.
    let (first, mut second) = (wait(Middle), wait(Middle));
    room.put(1);
    gate.freed();
    drop(first);
    assert_eq!(poll(&mut second), Some(Ok(0)));
    // The one who was called is driven out by a newcomer of a higher class that needs something else.
    let place = gate.try_enter(&any, Middle).unwrap();
    let (mut first, mut second) = (wait(Bulk), wait(Bulk));
    let mut enters = entering(&gate, &any, Middle);
    gate.freed();
    assert!(
        poll(&mut first).is_none(),
        "the call is the second one's now"
    );
    room.put(1);
    let other = entering(&gate, &any, Middle);
    assert_eq!(poll(&mut second), Some(Err(Shed::Full)), "the newest");
    assert_eq!(poll(&mut first), Some(Ok(0)));
    drop(place);
    assert!(poll(&mut enters).unwrap().is_ok());
    drop(other);
    // It is called as its deadline comes: it looks.
    let mut late = wait(Middle);
    advance(Duration::from_secs(2)).await;
    room.put(1);
    gate.freed();
    assert_eq!(poll(&mut late), Some(Ok(0)));
    assert_eq!((gate.in_flight(), waiting(&gate)), (0, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn places_and_other_things_do_not_block_each_other() {
    let gate = Arc::new(Gate::default());
    let one = options(1, 10);
    let room = Room::default();
    let place = gate.try_enter(&one, Middle).unwrap();
    let mut enters = entering(&gate, &one, Critical);
    let mut takes = taking(&gate, &one, Bulk, &room);
    assert!(poll(&mut takes).is_none());
    room.put(1);
    gate.freed();
    assert_eq!(
        poll(&mut takes),
        Some(Ok(0)),
        "the one who holds places goes on"
    );
    let mut takes = taking(&gate, &one, Bulk, &room);
    assert!(poll(&mut takes).is_none());
    drop(place);
    assert!(poll(&mut enters).unwrap().is_ok());
    assert!(
        gate.try_enter(&one, Bulk).is_some(),
        "nobody waits for a place"
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_follows_how_fast_places_come_free() {
    let gate = Arc::new(Gate::default());
    let few = options(2, 40);
    let seconds = || gate.retry_after().as_secs();
    assert_eq!(seconds(), 1, "nothing is known");
    let mut places: Vec<_> = (0..2)
        .map(|_| gate.try_enter(&few, Middle).unwrap())
        .collect();
    let mut queue = std::collections::VecDeque::new();
    // Two places a second, and always forty that wait.
    let long = Arc::new(GateOptions {
        queue_timeout: Duration::from_secs(1000),
        ..GateOptions::clone(&few)
    });
    for _ in 0..40 {
        queue.push_back(entering(&gate, &long, Middle));
    }
    for _ in 0..20 {
        advance(Duration::from_millis(500)).await;
        drop(places.swap_remove(0));
        let mut next = queue.pop_front().unwrap();
        places.push(poll(&mut next).unwrap().unwrap());
        queue.push_back(entering(&gate, &long, Middle));
        let _ = gate.enter(&long, Middle, never()).await.unwrap_err();
    }
    assert!(
        (20..=22).contains(&seconds()),
        "41 at two a second: {}",
        seconds()
    );
    // Nothing comes free any more.
    for _ in 0..20 {
        advance(Duration::from_millis(500)).await;
        let _ = gate.enter(&long, Middle, never()).await.unwrap_err();
    }
    assert_eq!(seconds(), 30, "the most it says");
    drop((places, queue));
    assert_eq!(gate.in_flight(), 0);
    // Long after that it is not known again.
    advance(Duration::from_secs(10)).await;
    let none = options(0, 0);
    let _ = gate.enter(&none, Middle, never()).await.unwrap_err();
    assert_eq!(seconds(), 1);
}
