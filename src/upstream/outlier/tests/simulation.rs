//! Farms under load, by a clock that only the test moves: how soon a bad endpoint is out, and what it costs.

use super::*;
use crate::upstream::balance::random::{Wyrand, below};

/// How an endpoint answers.
#[derive(Clone, Copy, Debug)]
struct Health {
    /// Of a thousand.
    bad: u64,
    took: Duration,
}

const FINE: Health = Health {
    bad: 0,
    took: ms(10),
};

/// What came of a run.
#[derive(Debug, Default)]
struct Run {
    requests: u64,
    errors: u64,
    /// Requests that went to endpoint 0.
    to_first: u64,
    /// Each ejection: when, who, by which word.
    ejections: Vec<(Duration, usize, &'static str)>,
    /// Each return: when, who.
    returns: Vec<(Duration, usize)>,
    most_out: usize,
}

struct Load {
    farm: Farm,
    generator: Wyrand,
    start: Instant,
    /// Of the upstream.
    per_second: u32,
    turn: usize,
    run: Run,
}

impl Load {
    fn new(count: usize, per_second: u32, options: OutlierOptions) -> Self {
        let farm = Farm::new(count, options);
        let start = farm.now;
        let mut load = Self {
            farm,
            generator: Wyrand::new(42),
            start,
            per_second,
            turn: 0,
            run: Run::default(),
        };
        load.tick(0);
        load
    }

    /// Round robin over those in use; over all when that is nobody.
    fn pick(&mut self) -> usize {
        let count = self.farm.nodes.len();
        for _ in 0..count {
            self.turn = (self.turn + 1) % count;
            if !self.farm.nodes[self.turn].is_marked() {
                return self.turn;
            }
        }
        self.turn
    }

    fn request(&mut self, health: &impl Fn(usize, Duration) -> Health) {
        let which = self.pick();
        let at = self.farm.now - self.start;
        let health = health(which, at);
        let is_bad = below(self.generator.next_u64(), 1000) < health.bad;
        // From half to one and a half of it.
        let spread = below(self.generator.next_u64(), 1001) as u32;
        let took = health.took * (500 + spread) / 1000;
        self.run.requests += 1;
        self.run.errors += u64::from(is_bad);
        self.run.to_first += u64::from(which == 0);
        let node = self.farm.nodes[which].clone();
        let seen = if is_bad { BAD } else { GOOD };
        let Some(cause) = node.outlier.record(&self.farm.options, seen, Some(took)) else {
            return;
        };
        let random = self.generator.next_u64();
        let (options, now) = (&self.farm.options, self.farm.now);
        let ejector = &self.farm.ejector;
        let verdict = ejector.eject(options, &self.farm.nodes, &node.outlier, cause, now, random);
        if matches!(verdict, Verdict::Ejected { .. }) {
            self.run.ejections.push((at, which, cause.word()));
        }
    }

    fn tick(&mut self, random: u64) {
        let (options, now) = (&self.farm.options, self.farm.now);
        let at = now - self.start;
        let ejector = &self.farm.ejector;
        for change in ejector.tick(options, &self.farm.nodes, now, random) {
            match change.what {
                What::Ejected { cause, .. } => {
                    self.run.ejections.push((at, change.index, cause.word()));
                }
                What::Returned { .. } => self.run.returns.push((at, change.index)),
                What::Spared { .. } => {}
            }
        }
    }

    /// Goes on for some seconds.
    fn go(&mut self, seconds: u64, health: impl Fn(usize, Duration) -> Health) -> &Run {
        for _ in 0..seconds {
            for _ in 0..self.per_second {
                self.farm.now += Duration::from_secs(1) / self.per_second;
                self.request(&health);
                let out = self.farm.out().len();
                self.run.most_out = self.run.most_out.max(out);
                let tally = self.farm.tally();
                assert!(tally.out <= tally.most && tally.available > 0, "{tally:?}");
            }
            let random = self.generator.next_u64();
            self.tick(random);
        }
        println!("{:?}", self.run);
        &self.run
    }
}

fn bad_first(bad: u64) -> impl Fn(usize, Duration) -> Health {
    move |which, _| {
        if which == 0 {
            Health { bad, ..FINE }
        } else {
            FINE
        }
    }
}

#[test]
fn one_of_five_with_half_its_answers_5xx() {
    let mut load = Load::new(5, 500, OutlierOptions::default());
    let run = load.go(120, bad_first(500));
    // Five in a row of coins take 62 requests on average: 0.6 s of its 100 a second.
    let (at, which, word) = run.ejections[0];
    assert!(at < secs(4), "{at:?}");
    assert_eq!((which, word), (0, "consecutive_5xx"));
    assert!(run.ejections.iter().all(|(_, which, _)| *which == 0));
    // Out for 10, 20, 40 and 80 s, in use for moments between.
    assert!((3..=4).contains(&run.ejections.len()));
    assert!(run.errors < 400, "of 6,000 without ejection");
}

#[test]
fn one_of_five_with_half_its_answers_5xx_by_its_share_alone() {
    let options = OutlierOptions {
        consecutive_5xx: None,
        success_rate: Some(SuccessRate::default()),
        ..OutlierOptions::default()
    };
    let mut load = Load::new(5, 500, options);
    let run = load.go(120, bad_first(500));
    assert_eq!(run.ejections[0], (secs(10), 0, "success_rate"));
    assert!(run.ejections.iter().all(|(_, which, _)| *which == 0));
    assert!(run.errors < 2100, "of 6,000 without ejection");
}

#[test]
fn one_that_fails_at_once_costs_five_requests() {
    let mut load = Load::new(5, 500, OutlierOptions::default());
    let run = load.go(10, bad_first(1000));
    assert_eq!(run.errors, 5);
    assert!(run.ejections[0].0 < ms(60), "{run:?}");
}

#[test]
fn one_of_five_with_300_ms() {
    let options = OutlierOptions {
        latency: Some(SlowEndpoint::default()),
        ..OutlierOptions::default()
    };
    let slow = Health {
        took: ms(300),
        ..FINE
    };
    let health = |which, _| if which == 0 { slow } else { FINE };
    let mut load = Load::new(5, 500, options);
    let run = load.go(300, health);
    assert_eq!(run.ejections[0], (secs(10), 0, "latency"));
    assert!(run.ejections.iter().all(|(_, which, _)| *which == 0));
    let share = run.to_first as f64 / run.requests as f64;
    assert!(share < 0.04, "{share}: a fifth without ejection");
}

#[test]
fn a_shorter_interval_finds_the_slow_one_sooner() {
    let options = OutlierOptions {
        latency: Some(SlowEndpoint::default()),
        interval: secs(2),
        ..OutlierOptions::default()
    };
    let slow = Health {
        took: ms(300),
        ..FINE
    };
    let mut load = Load::new(5, 500, options);
    let run = load.go(5, |which, _| if which == 0 { slow } else { FINE });
    assert_eq!(run.ejections, [(secs(2), 0, "latency")]);
}

#[test]
fn all_bad_at_once() {
    let options = OutlierOptions {
        success_rate: Some(SuccessRate::default()),
        latency: Some(SlowEndpoint::default()),
        ..OutlierOptions::default()
    };
    let mut load = Load::new(5, 500, options);
    let health = |_, at: Duration| {
        let is_bad = (secs(10)..secs(130)).contains(&at);
        let bad = if is_bad { 1000 } else { 0 };
        let took = if is_bad { ms(900) } else { ms(10) };
        Health { bad, took }
    };
    let run = load.go(130, health);
    assert_eq!(run.most_out, 2, "half of five");
    assert!(
        run.ejections
            .iter()
            .all(|(_, _, word)| *word == "consecutive_5xx")
    );
    let so_far = run.ejections.len();
    // All are well again, and in use when the longest ejection that began is over.
    let run = load.go(90, health);
    assert_eq!(run.ejections.len(), so_far);
    assert!(load.farm.out().is_empty());
}

/// Good for five seconds, bad for five, for half an hour.
fn flapping(max_ejection: Duration) -> Load {
    let options = OutlierOptions {
        max_ejection,
        ..OutlierOptions::default()
    };
    let mut load = Load::new(5, 100, options);
    load.go(1800, |which, at| {
        let is_bad = which == 0 && (at.as_secs() / 5) % 2 == 1;
        Health {
            bad: if is_bad { 1000 } else { 0 },
            ..FINE
        }
    });
    load
}

#[test]
fn who_flaps_is_out_for_longer_each_time() {
    let mut load = flapping(secs(300));
    let (now, node) = (load.farm.now, load.farm.nodes[0].clone());
    assert!(load.run.ejections.len() <= 11, "{:?}", load.run);
    assert!((1..=3).contains(&node.outlier.flaps(now)));
    assert!(load.run.errors <= 55);
    // Without growth it is back and out again all the time, and that is seen.
    let steady = flapping(secs(10));
    assert!(steady.run.ejections.len() > 80);
    assert!(steady.farm.nodes[0].outlier.flaps(now) > 20);
    assert!(steady.run.errors > 6 * load.run.errors);
    // Well again, it is forgiven: five minutes out at most, then about ten to forget.
    let before = load.run.ejections.len();
    load.per_second = 10;
    load.go(1300, |_, _| FINE);
    assert_eq!(load.run.ejections.len(), before);
    let status = node.outlier.status(load.farm.now);
    assert_eq!((status.times, status.flaps), (0, 0));
}

/// An hour of a farm in which every endpoint has some errors and a few very slow answers.
#[test]
fn who_is_like_the_others_stays() {
    let options = OutlierOptions {
        success_rate: Some(SuccessRate::default()),
        latency: Some(SlowEndpoint::default()),
        ..OutlierOptions::default()
    };
    let mut load = Load::new(5, 100, options);
    let run = load.go(3600, |which, at| Health {
        bad: 10,
        // One request in about sixteen seconds and a half takes two seconds.
        took: if (at.as_millis() / 10 + which as u128).is_multiple_of(33) {
            secs(2)
        } else {
            ms(20 + 5 * which as u64)
        },
    });
    assert_eq!(run.ejections, []);
}
