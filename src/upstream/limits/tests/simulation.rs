//! The adaptive limit before a simulated origin: C places, a queue without end, a service time that varies.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use crate::upstream::limits::{Adaptive, AdaptiveOptions, MovedLimit};

/// How service times vary around their mean.
#[derive(Clone, Copy, Debug)]
enum Noise {
    None,
    /// 0.5..1.5 of the mean.
    Even,
    Exponential,
}

struct Origin {
    places: usize,
    service: f64,
    noise: Noise,
    /// Share of requests that are dropped at once.
    dropping: f64,
}

struct World {
    adaptive: Adaptive,
    options: AdaptiveOptions,
    start: Instant,
    origin: Origin,
    now: f64,
    next_arrival: f64,
    seed: u64,
    in_flight: u32,
    busy: usize,
    /// (arrival) of those that wait at the origin.
    queue: VecDeque<u64>,
    /// (end, arrival), in nanoseconds.
    serving: BinaryHeap<Reverse<(u64, u64)>>,
}

/// What happened in a stretch of time.
#[derive(Debug, Default)]
struct Seen {
    served: u64,
    shed: u64,
    queued_seconds: f64,
    limit_sum: f64,
    limit_count: f64,
    lowest: u32,
    highest: u32,
}

impl Seen {
    fn queueing(&self) -> f64 {
        self.queued_seconds / self.served.max(1) as f64
    }
    fn limit(&self) -> f64 {
        self.limit_sum / self.limit_count
    }
}

impl World {
    fn new(origin: Origin, options: AdaptiveOptions) -> Self {
        Self {
            adaptive: Adaptive::default(),
            options,
            start: Instant::now(),
            origin,
            now: 0.0,
            next_arrival: 0.0,
            seed: 0x2545_f491_4f6c_dd1d,
            in_flight: 0,
            busy: 0,
            queue: VecDeque::new(),
            serving: BinaryHeap::new(),
        }
    }

    fn random(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }

    fn serve(&mut self, arrived: u64, seen: &mut Seen) {
        let random = self.random();
        let factor = match self.origin.noise {
            Noise::None => 1.0,
            Noise::Even => 0.5 + random,
            Noise::Exponential => -(1.0 - random).ln(),
        };
        seen.queued_seconds += self.now - arrived as f64 / 1e9;
        let end = self.now + self.origin.service * factor;
        self.busy += 1;
        self.serving.push(Reverse(((end * 1e9) as u64, arrived)));
    }

    fn refill(&mut self, seen: &mut Seen) {
        while self.busy < self.origin.places {
            match self.queue.pop_front() {
                Some(arrived) => self.serve(arrived, seen),
                None => break,
            }
        }
    }

    /// Runs for so many seconds with `per_second` requests offered.
    fn run(&mut self, seconds: f64, per_second: f64) -> Seen {
        let until = self.now + seconds;
        let mut seen = Seen {
            lowest: u32::MAX,
            ..Seen::default()
        };
        self.next_arrival = self.now;
        while self.now < until {
            let end = self
                .serving
                .peek()
                .map(|Reverse((end, _))| *end as f64 / 1e9);
            match end {
                Some(end) if end <= self.next_arrival => {
                    let Some(Reverse((_, arrived))) = self.serving.pop() else {
                        break;
                    };
                    self.now = end;
                    self.busy -= 1;
                    seen.served += 1;
                    self.ended(arrived, false);
                    self.refill(&mut seen);
                }
                _ => {
                    self.now = self.next_arrival;
                    // Arrivals of a Poisson process.
                    self.next_arrival += -(1.0 - self.random()).ln() / per_second;
                    self.arrive(&mut seen);
                }
            }
            let limit = self.adaptive.limit(&self.options);
            seen.limit_sum += f64::from(limit);
            seen.limit_count += 1.0;
            seen.lowest = seen.lowest.min(limit);
            seen.highest = seen.highest.max(limit);
        }
        seen
    }

    fn arrive(&mut self, seen: &mut Seen) {
        if self.in_flight >= self.adaptive.limit(&self.options) {
            seen.shed += 1;
            return;
        }
        self.in_flight += 1;
        let arrived = (self.now * 1e9) as u64;
        if self.random() < self.origin.dropping {
            self.ended(arrived, true);
            return;
        }
        self.queue.push_back(arrived);
        self.refill(seen);
    }

    fn ended(&mut self, arrived: u64, dropped: bool) {
        let took = Duration::from_nanos(((self.now * 1e9) as u64).saturating_sub(arrived));
        let now = self.start + Duration::from_secs_f64(self.now);
        self.adaptive
            .observe(&self.options, took, self.in_flight, dropped, now);
        self.in_flight -= 1;
    }
}

fn origin(places: usize, service_ms: u32, noise: Noise) -> Origin {
    Origin {
        places,
        service: f64::from(service_ms) / 1e3,
        noise,
        dropping: 0.0,
    }
}

fn min(min: u32) -> AdaptiveOptions {
    AdaptiveOptions {
        min,
        ..AdaptiveOptions::default()
    }
}

/// Under twice its capacity: the limit is near what the origin can do, which is used, and few wait there.
fn assert_settles(places: usize, service_ms: u32, noise: Noise) {
    let mut world = World::new(origin(places, service_ms, noise), min(4));
    let offered = 2.0 * places as f64 / world.origin.service;
    world.run(20.0, offered);
    let seen = world.run(60.0, offered);
    let relative = seen.limit() / places as f64;
    let queueing = seen.queueing() / world.origin.service;
    let used = seen.served as f64 * 2.0 / (60.0 * offered);
    let all =
        format!("{places} {service_ms} {noise:?}: {relative:.2} {queueing:.2} {used:.3} {seen:?}");
    assert!((0.8..=1.6).contains(&relative), "{all}");
    assert!(queueing < 1.0, "{all}");
    assert!(used > 0.95, "{all}");
    assert!(seen.highest as f64 <= 2.5 * places as f64, "{all}");
}

#[test]
fn settles_near_what_the_origin_can_do() {
    for noise in [Noise::None, Noise::Even, Noise::Exponential] {
        for (places, service_ms) in [
            (8, 20),
            (20, 10),
            (100, 10),
            (100, 50),
            (400, 10),
            (400, 100),
        ] {
            assert_settles(places, service_ms, noise);
        }
    }
}

#[test]
fn follows_an_origin_that_changes() {
    let mut world = World::new(origin(100, 20, Noise::Even), min(4));
    let offered = 10_000.0;
    world.run(20.0, offered);
    // Each request takes five times as long, for a reason of its own.
    world.origin.service = 0.1;
    world.run(15.0, offered);
    let slow = world.run(10.0, offered);
    assert!((80.0..=160.0).contains(&slow.limit()), "{slow:?}");
    world.origin.service = 0.02;
    world.run(5.0, offered);
    let back = world.run(10.0, offered);
    assert!((80.0..=160.0).contains(&back.limit()), "{back:?}");
    // It loses most of its places.
    world.origin.places = 10;
    world.run(5.0, offered);
    let small = world.run(10.0, offered);
    assert!((8.0..=18.0).contains(&small.limit()), "{small:?}");
    assert!(small.queueing() < 0.02, "{small:?}");
    world.origin.places = 100;
    world.run(5.0, offered);
    let back = world.run(10.0, offered);
    assert!((80.0..=160.0).contains(&back.limit()), "{back:?}");
}

#[test]
fn failures_as_under_overload_lower_it() {
    let mut world = World::new(origin(100, 20, Noise::Even), min(4));
    world.run(20.0, 10_000.0);
    world.origin.dropping = 1.0;
    let dead = world.run(5.0, 10_000.0);
    assert_eq!(dead.lowest, 4);
    world.origin.dropping = 0.0;
    world.run(10.0, 10_000.0);
    let back = world.run(10.0, 10_000.0);
    assert!((80.0..=160.0).contains(&back.limit()), "{back:?}");
}

#[test]
fn load_below_capacity_is_let_through() {
    for noise in [Noise::None, Noise::Even, Noise::Exponential] {
        let mut world = World::new(origin(100, 20, noise), min(10));
        // Finds its limit within seconds.
        world.run(10.0, 2_500.0);
        let half = world.run(120.0, 2_500.0);
        let share = half.shed as f64 / (half.shed + half.served) as f64;
        assert!(share < 0.005, "{noise:?} {share} {half:?}");
    }
}

#[test]
fn another_process_goes_on() {
    let mut world = World::new(origin(100, 20, Noise::None), min(10));
    assert_eq!(
        (world.adaptive.moved(), world.adaptive.base_seconds()),
        (None, None)
    );
    world.run(20.0, 10_000.0);
    let moved = world.adaptive.moved().expect("something is known");
    assert!((0.018..0.025).contains(&moved.base_seconds), "{moved:?}");
    let next = Adaptive::default();
    let nonsense = MovedLimit {
        limit: f64::NAN,
        base_seconds: 1.0,
    };
    next.restore(nonsense);
    assert_eq!(next.limit(&world.options), 10);
    next.restore(moved);
    assert_eq!(next.limit(&world.options), moved.limit as u32);
    next.restore(MovedLimit {
        limit: 999.0,
        ..moved
    });
    assert_eq!(next.moved(), Some(moved), "what is known here counts");
    // Other options hold at once.
    let narrow = AdaptiveOptions { max: 50, ..min(20) };
    assert_eq!(next.limit(&narrow), 50);
    let odd = AdaptiveOptions { max: 0, ..min(0) };
    assert_eq!(next.limit(&odd), 1);
}
