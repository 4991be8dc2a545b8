//! The breaker on a clock of our own.

mod model;
mod threads;
mod time;

use std::time::{Duration, Instant};

use super::*;

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// Opens after 4 calls of which half failed; open for 1 s, then 2 s, at most 3 s.
fn options() -> BreakerOptions {
    BreakerOptions {
        window: ms(10_000),
        min_requests: 4,
        error_rate: Some(0.5),
        open_for: ms(1000),
        max_open_for: ms(3000),
        ..BreakerOptions::default()
    }
}

/// A random number that makes neither more nor less of an open time, to a millisecond.
const NO_JITTER: u64 = 1 << 63;

/// A breaker with options and a clock.
struct Bench {
    breaker: Breaker,
    options: BreakerOptions,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(options: BreakerOptions) -> Self {
        let start = Instant::now();
        let bench = Self {
            breaker: Breaker::default(),
            options,
            start,
            now: start,
        };
        bench.breaker.origin(start);
        bench
    }

    fn at(&mut self, at_ms: u64) -> &mut Self {
        self.now = self.start + ms(at_ms);
        self
    }

    fn admit(&self) -> Result<(Admitted, Option<Change>), Refused> {
        self.breaker.admit(&self.options, self.now)
    }

    fn enter(&self) -> Admitted {
        self.admit().expect("admitted").0
    }

    fn refused(&self) -> Refused {
        self.admit().expect_err("refused")
    }

    fn record(&self, admitted: Admitted, outcome: Outcome, took_ms: u64) -> Option<Change> {
        let took = ms(took_ms);
        self.breaker
            .record(&self.options, admitted, outcome, took, self.now, NO_JITTER)
    }

    /// One call after the other; gives the change of the last one.
    fn calls(&self, outcome: Outcome, calls: usize) -> Option<Change> {
        let last = (0..calls).map(|_| self.record(self.enter(), outcome, 1));
        last.reduce(|before, change| {
            assert_eq!(before, None, "a change before the last call");
            change
        })
        .flatten()
    }

    fn status(&self) -> Status {
        self.breaker.status(&self.options, self.now)
    }

    fn phase(&self) -> Phase {
        self.status().phase
    }

    /// Opens it with four failures.
    fn opened(options: BreakerOptions) -> Self {
        let bench = Self::new(options);
        let change = bench.calls(Outcome::Failure, 4).expect("it opens");
        assert_eq!((change.from, change.to), (Phase::Closed, Phase::Open));
        bench
    }
}

#[test]
fn opens_at_the_share_and_not_before_the_least_number_of_calls() {
    let bench = Bench::new(options());
    assert_eq!(bench.calls(Outcome::Failure, 3), None);
    assert_eq!(bench.phase(), Phase::Closed);
    let change = bench.calls(Outcome::Failure, 1).unwrap();
    assert_eq!(change.why, Why::ErrorRate(1.0));
    assert_eq!(bench.status().opened_total, 1);

    let bench = Bench::new(options());
    bench.calls(Outcome::Success, 6);
    assert_eq!(bench.calls(Outcome::Failure, 5), None);
    let status = bench.status();
    assert_eq!(status.requests, 11);
    assert_eq!(status.error_share, 5.0 / 11.0);
    let change = bench.calls(Outcome::Failure, 1).unwrap();
    assert_eq!(change.why, Why::ErrorRate(0.5));
}

#[test]
fn a_share_is_reached_when_it_is_equal_as_written() {
    for percent in 1..=100_u64 {
        let rate = percent as f32 / 100.0;
        let bench = Bench::new(BreakerOptions {
            min_requests: 100,
            error_rate: Some(rate),
            ..options()
        });
        bench.calls(Outcome::Success, 100 - percent as usize);
        assert!(bench.calls(Outcome::Failure, percent as usize).is_some());
    }
}

#[test]
fn a_success_never_opens_it() {
    let mut bench = Bench::new(options());
    bench.calls(Outcome::Failure, 3);
    assert_eq!(bench.calls(Outcome::Success, 1), None, "3 of 4 failed");
    assert_eq!(
        bench.at(10).calls(Outcome::Failure, 1).unwrap().to,
        Phase::Open
    );
}

#[test]
fn slow_calls_open_it_and_are_no_failures() {
    let bench = Bench::new(BreakerOptions {
        error_rate: Some(0.1),
        slow_call: Some(ms(200)),
        slow_rate: Some(0.75),
        ..options()
    });
    bench.record(bench.enter(), Outcome::Success, 199);
    bench.record(bench.enter(), Outcome::Success, 200);
    bench.record(bench.enter(), Outcome::Success, 5000);
    let change = bench.record(bench.enter(), Outcome::Success, 300).unwrap();
    assert_eq!(change.why, Why::SlowRate(0.75));
    // Without a rate, slow calls are counted for nobody.
    let bench = Bench::new(BreakerOptions {
        slow_call: Some(ms(200)),
        ..options()
    });
    for _ in 0..20 {
        assert_eq!(bench.record(bench.enter(), Outcome::Success, 300), None);
    }
    assert_eq!(bench.status().slow_share, 1.0);
    assert_eq!(bench.status().error_share, 0.0);
}

#[test]
fn what_left_the_window_does_not_count() {
    let mut bench = Bench::new(options());
    bench.calls(Outcome::Failure, 3);
    assert_eq!(bench.at(10_000).calls(Outcome::Failure, 3), None);
    assert_eq!(bench.status().requests, 3);
    assert!(bench.at(19_999).calls(Outcome::Failure, 1).is_some());
}

#[test]
fn clients_that_left_count_for_nothing() {
    let bench = Bench::new(options());
    assert_eq!(bench.calls(Outcome::Neither, 100), None);
    assert_eq!(bench.status().requests, 0);
}

#[test]
fn one_probe_decides() {
    let mut bench = Bench::opened(options());
    let left = bench.refused().retry_after;
    assert!(left.abs_diff(ms(1000)) < ms(2), "{left:?}");
    assert_eq!(bench.status().open_left, Some(left));
    bench.at(990).refused();
    let (probe, change) = bench.at(1010).admit().expect("a probe");
    let change = change.unwrap();
    assert_eq!((change.to, change.why), (Phase::HalfOpen, Why::TimeUp));
    assert!(probe.is_probe());
    assert_eq!(bench.refused().retry_after, ms(1000));
    assert_eq!(bench.status().probes_in_flight, 1);
    let change = bench.record(probe, Outcome::Success, 1).unwrap();
    assert_eq!((change.to, change.why), (Phase::Closed, Why::ProbesPassed));
    assert!(!bench.enter().is_probe());
    assert_eq!(bench.status().requests, 0, "it counts from nothing");
}

#[test]
fn no_more_probes_than_asked_for_and_all_must_pass() {
    let mut bench = Bench::opened(BreakerOptions {
        probes: 3,
        ..options()
    });
    bench.at(1010);
    let probes = [bench.enter(), bench.enter(), bench.enter()];
    bench.refused();
    assert_eq!(bench.record(probes[0], Outcome::Success, 1), None);
    bench.refused();
    // A client that left says nothing: its place is free for another probe.
    assert_eq!(bench.record(probes[1], Outcome::Neither, 1), None);
    let fourth = bench.enter();
    bench.refused();
    assert_eq!(bench.record(fourth, Outcome::Success, 1), None);
    let change = bench.record(probes[2], Outcome::Success, 1).unwrap();
    assert_eq!(change.to, Phase::Closed);

    let mut bench = Bench::opened(bench.options);
    bench.at(1010);
    let probes = [bench.enter(), bench.enter()];
    let change = bench.record(probes[0], Outcome::Failure, 1).unwrap();
    assert_eq!((change.to, change.why), (Phase::Open, Why::ProbeFailed));
    assert_eq!(bench.record(probes[1], Outcome::Success, 1), None);
    bench.refused();
}

#[test]
fn a_slow_probe_fails() {
    let mut bench = Bench::opened(BreakerOptions {
        slow_call: Some(ms(200)),
        ..options()
    });
    let probe = bench.at(1010).enter();
    let change = bench.record(probe, Outcome::Success, 200).unwrap();
    assert_eq!((change.to, change.why), (Phase::Open, Why::ProbeFailed));
    // One whose client left after a long wait says nothing still.
    let probe = bench.at(3100).enter();
    assert_eq!(bench.record(probe, Outcome::Neither, 5000), None);
    assert_eq!(bench.phase(), Phase::HalfOpen);
}

#[test]
fn a_result_of_an_earlier_phase_counts_in_no_later_one() {
    let mut bench = Bench::new(options());
    let early: Vec<Admitted> = (0..9).map(|_| bench.enter()).collect();
    bench.calls(Outcome::Failure, 4);
    assert_eq!(bench.record(early[0], Outcome::Failure, 1), None);
    let probe = bench.at(1010).enter();
    assert_eq!(bench.record(early[1], Outcome::Failure, 1), None);
    assert_eq!(bench.record(early[2], Outcome::Success, 1), None);
    assert_eq!(bench.status().probes_in_flight, 1);
    assert!(bench.record(probe, Outcome::Success, 1).is_some());
    for admitted in &early[3..] {
        assert_eq!(bench.record(*admitted, Outcome::Failure, 1), None);
    }
    assert_eq!(bench.record(probe, Outcome::Failure, 1), None);
    assert_eq!((bench.phase(), bench.status().requests), (Phase::Closed, 0));
}

#[test]
fn a_probe_that_is_never_heard_of_has_failed() {
    let mut bench = Bench::opened(options());
    let lost = bench.at(1010).enter();
    assert_eq!(bench.at(4009).refused().change, None);
    let refused = bench.at(4010).refused();
    let change = refused.change.expect("it opens");
    assert_eq!((change.from, change.to), (Phase::HalfOpen, Phase::Open));
    assert_eq!(change.why, Why::ProbeFailed);
    assert_eq!(Some(refused.retry_after), bench.status().open_left);
    assert_eq!(bench.refused().change, None, "told once");
    assert_eq!(bench.record(lost, Outcome::Success, 1), None);
    let probe = bench.at(8000).enter();
    assert!(bench.record(probe, Outcome::Success, 1).is_some());
}

#[test]
fn an_operator_has_the_last_word() {
    let mut bench = Bench::new(options());
    let now = bench.now;
    assert_eq!(bench.breaker.set(Manual::Auto, now), None);
    let change = bench.breaker.set(Manual::Open, now).unwrap();
    assert_eq!((change.to, change.why), (Phase::Open, Why::Manual));
    assert_eq!(bench.breaker.set(Manual::Open, now), None);
    let refused = bench.at(3_600_000).refused();
    assert_eq!(refused.retry_after, ms(1000));
    assert_eq!(bench.status().open_left, None);
    // Back to automatic: the upstream has to show that it works.
    let change = bench.breaker.set(Manual::Auto, bench.now).unwrap();
    assert_eq!((change.from, change.to), (Phase::Open, Phase::HalfOpen));
    let probe = bench.enter();
    bench.refused();
    // Held closed: nothing opens it, but all is counted.
    let change = bench.breaker.set(Manual::Close, bench.now).unwrap();
    assert_eq!((change.from, change.to), (Phase::HalfOpen, Phase::Closed));
    assert_eq!(bench.record(probe, Outcome::Failure, 1), None);
    assert_eq!(bench.calls(Outcome::Failure, 100), None);
    let status = bench.status();
    assert_eq!((status.requests, status.error_share), (100, 1.0));
    assert_eq!(status.manual, Manual::Close);
    // What was admitted before still counts after: the phase is the same.
    let admitted = bench.enter();
    assert_eq!(bench.breaker.set(Manual::Auto, bench.now), None);
    let change = bench.record(admitted, Outcome::Failure, 1).unwrap();
    assert_eq!(change.why, Why::ErrorRate(1.0));
    assert_eq!(bench.status().opened_total, 2);
    // Held open while open: it does not end by itself.
    assert_eq!(bench.breaker.set(Manual::Open, bench.now), None);
    bench.at(7_200_000).refused();
}

#[test]
fn options_may_change_while_it_runs() {
    // Fewer probes than have passed already.
    let mut bench = Bench::opened(BreakerOptions {
        probes: 3,
        ..options()
    });
    bench.at(1010);
    let (first, second) = (bench.enter(), bench.enter());
    bench.record(first, Outcome::Success, 1);
    bench.record(second, Outcome::Success, 1);
    bench.options.probes = 2;
    let (admitted, change) = bench.admit().expect("it closes");
    assert_eq!(change.unwrap().why, Why::ProbesPassed);
    assert!(!admitted.is_probe());
    // Another window counts from nothing.
    bench.calls(Outcome::Failure, 3);
    bench.options.window = ms(20_000);
    assert_eq!(bench.calls(Outcome::Failure, 3), None);
    assert_eq!(bench.calls(Outcome::Failure, 1).unwrap().to, Phase::Open);
}

#[test]
fn options_out_of_range_do_no_harm() {
    let mut bench = Bench::new(BreakerOptions {
        window: ms(0),
        min_requests: 0,
        error_rate: Some(0.0),
        slow_call: Some(ms(0)),
        slow_rate: Some(f32::NAN),
        open_for: Duration::MAX,
        max_open_for: ms(0),
        probes: 0,
    });
    assert!(bench.calls(Outcome::Failure, 1).is_some());
    let (probe, _) = bench.at(1).admit().expect("max_open_for holds");
    bench.record(probe, Outcome::Failure, 0);
    bench.options.slow_call = None;
    let (probe, _) = bench.at(2).admit().expect("a probe");
    assert!(bench.record(probe, Outcome::Success, 0).is_some());
    bench.options.max_open_for = Duration::MAX;
    assert!(bench.calls(Outcome::Failure, 1).is_some());
    assert!(bench.at(1_000_000).refused().retry_after > ms(1_000_000));
}

#[test]
fn words_are_read_as_they_are_written() {
    for phase in [Phase::Closed, Phase::Open, Phase::HalfOpen] {
        assert_eq!(Phase::parse(phase.word()), Some(phase));
    }
    for manual in [Manual::Auto, Manual::Open, Manual::Close] {
        assert_eq!(Manual::parse(manual.word()), Some(manual));
    }
    assert_eq!(Phase::parse("ajar"), None);
    assert_eq!(Manual::parse("closed"), None);
}
