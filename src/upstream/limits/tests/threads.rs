//! What has to hold with many threads: never one too many, never one forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::limits::gate::{Gate, Waiting};
use crate::upstream::limits::{Bulkhead, Class, GateOptions, Shed};

/// A forgotten waiter ends as `Shed::TimedOut` after this, and fails its test.
const PATIENCE: Duration = Duration::from_secs(30);

fn class(number: u64) -> Class {
    match number % 3 {
        0 => Class::Critical,
        1 => Class::Default,
        _ => Class::Bulk,
    }
}

/// Counts up, and says if that is one too many.
struct Room {
    limit: u32,
    inside: AtomicU32,
    worst: AtomicU32,
}

impl Room {
    fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit,
            inside: AtomicU32::new(0),
            worst: AtomicU32::new(0),
        })
    }
    /// For those who have a place: nobody asks.
    fn go_in(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.worst.fetch_max(inside, Ordering::SeqCst);
    }
    /// As an endpoint with its own limit.
    fn try_go_in(&self) -> bool {
        let less = |inside: u32| (inside < self.limit).then_some(inside + 1);
        let order = Ordering::SeqCst;
        self.inside.fetch_update(order, order, less).is_ok()
    }
    fn go_out(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

fn patient(in_flight: u32) -> Arc<GateOptions> {
    Arc::new(GateOptions {
        in_flight: Some(in_flight),
        queue: 10_000,
        queue_timeout: PATIENCE,
        adaptive: None,
    })
}

fn assert_empty(gate: &Gate, options: &GateOptions) {
    let status = gate.status(options, Instant::now());
    assert_eq!(status.in_flight, 0);
    assert_eq!(status.waiting, Waiting::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_one_too_many_and_all_get_in() {
    for limit in [1, 3] {
        let gate = Arc::new(Gate::default());
        let options = patient(limit);
        let room = Room::new(limit);
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let (gate, options, room) = (gate.clone(), options.clone(), room.clone());
                tokio::spawn(async move {
                    for round in 0..1_000 {
                        let until = Instant::now() + PATIENCE;
                        let place = gate.enter(&options, class(task + round), until).await;
                        let place = place.expect("everybody gets in in the end");
                        room.go_in();
                        if round % 3 == 0 {
                            tokio::task::yield_now().await;
                        }
                        room.go_out();
                        drop(place);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        // How many meet inside is the scheduler's affair; that all places are given is shown without threads.
        assert!(room.worst.load(Ordering::SeqCst) <= limit);
        assert_empty(&gate, &options);
    }
}

/// Half of the waiting futures are dropped at any moment, as when clients leave, some with a place in their hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_leave_take_nothing_with_them() {
    let gate = Arc::new(Gate::default());
    let options = patient(2);
    let room = Room::new(2);
    let left = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..16u64)
        .map(|task| {
            let (gate, options, room) = (gate.clone(), options.clone(), room.clone());
            let left = left.clone();
            tokio::spawn(async move {
                for round in 0..1_000 {
                    let until = Instant::now() + PATIENCE;
                    let enter = gate.enter(&options, class(task + round), until);
                    let entered = tokio::select! {
                        biased;
                        entered = enter => Some(entered.expect("nobody is forgotten")),
                        () = yields((task * 7 + round) % 5), if task % 2 == 0 => None,
                    };
                    let Some(place) = entered else {
                        left.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    room.go_in();
                    tokio::task::yield_now().await;
                    room.go_out();
                    drop(place);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(left.load(Ordering::Relaxed) > 100, "many left");
    assert!(room.worst.load(Ordering::SeqCst) <= 2);
    assert_empty(&gate, &options);
}

async fn yields(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// The room is released outside of the gate: between a failed look and the queue, and while waiters leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_who_waits_for_others_is_forgotten() {
    let gate = Arc::new(Gate::default());
    let options = patient(1_000);
    let room = Room::new(1);
    let left = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..12u64)
        .map(|task| {
            let (gate, options, room) = (gate.clone(), options.clone(), room.clone());
            let left = left.clone();
            tokio::spawn(async move {
                for round in 0..1_000 {
                    let until = Instant::now() + PATIENCE;
                    let take = || room.try_go_in().then_some(());
                    let wait = gate.wait_for(&options, class(task + round), until, take);
                    let taken = tokio::select! {
                        biased;
                        taken = wait => taken.is_ok() || panic!("somebody is forgotten"),
                        () = yields((task + round) % 4), if task % 3 == 0 => false,
                    };
                    if !taken {
                        left.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    if round % 2 == 0 {
                        tokio::task::yield_now().await;
                    }
                    room.go_out();
                    gate.freed();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(left.load(Ordering::Relaxed) > 50, "many left");
    assert_eq!(room.inside.load(Ordering::SeqCst), 0);
    assert_empty(&gate, &options);
}

/// Deadlines that pass in the moment in which places are given.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deadlines_lose_no_place() {
    let gate = Arc::new(Gate::default());
    let options = Arc::new(GateOptions {
        queue_timeout: Duration::from_micros(300),
        queue: 8,
        ..GateOptions::clone(&patient(2))
    });
    let room = Room::new(2);
    let sheds = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let (gate, options, room) = (gate.clone(), options.clone(), room.clone());
            let sheds = sheds.clone();
            tokio::spawn(async move {
                for round in 0..300 {
                    let until = Instant::now() + PATIENCE;
                    match gate.enter(&options, class(task + round), until).await {
                        Ok(place) => {
                            room.go_in();
                            // It stays for longer than one may wait, whatever the machine's speed.
                            let stays = Instant::now() + Duration::from_micros(500);
                            while Instant::now() < stays {
                                tokio::task::yield_now().await;
                            }
                            room.go_out();
                            drop(place);
                        }
                        Err(shed) => {
                            sheds[usize::from(shed == Shed::Full)].fetch_add(1, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(sheds.iter().all(|count| count.load(Ordering::Relaxed) > 0));
    assert!(room.worst.load(Ordering::SeqCst) <= 2);
    assert_empty(&gate, &options);
}

#[test]
fn a_bulkhead_is_exact_over_threads_while_keys_come_and_go() {
    let bulkhead = Arc::new(Bulkhead::default());
    // All in one group of the table, twice as many as it has words.
    let keys = super::bulkhead::keys_of_one_group(128);
    let rooms: Vec<_> = keys.iter().map(|_| Room::new(3)).collect();
    let refused = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (bulkhead, keys, rooms, refused) = (&bulkhead, &keys, &rooms, &refused);
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0..100_000usize {
                    // Few keys often, all of them sometimes.
                    let at = if round % 4 == 0 {
                        round * 31 + thread
                    } else {
                        round % 3
                    };
                    let at = at % keys.len();
                    match bulkhead.try_enter(keys[at], 3) {
                        Some(occupied) => {
                            rooms[at].go_in();
                            held.push((at, occupied));
                        }
                        None => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    if held.len() > round % 7 {
                        for (at, occupied) in held.drain(..) {
                            rooms[at].go_out();
                            drop(occupied);
                        }
                    }
                }
                for (at, occupied) in held {
                    rooms[at].go_out();
                    drop(occupied);
                }
            });
        }
    });
    assert!(
        rooms
            .iter()
            .all(|room| room.worst.load(Ordering::SeqCst) <= 3)
    );
    assert!(refused.load(Ordering::Relaxed) > 0);
    assert_eq!(bulkhead.no_space_total(), 0);
    assert_eq!(bulkhead.keys(), 0);
}
