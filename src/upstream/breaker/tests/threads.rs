//! What is exact whatever the threads do.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::thread;

use super::*;

const THREADS: usize = 8;

/// Runs `work` on all threads, which begin together; gives what each gave.
fn together<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS);
    let run = |index| {
        barrier.wait();
        work(index)
    };
    let run = &run;
    thread::scope(|scope| {
        let spawn = |index| scope.spawn(move || run(index));
        let threads: Vec<_> = (0..THREADS).map(spawn).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, T>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    })
}

#[test]
fn every_call_is_counted_once() {
    let bench = Bench::new(BreakerOptions {
        min_requests: u32::MAX,
        slow_call: Some(ms(5)),
        ..options()
    });
    together(|index| {
        for call in 0..20_000 {
            let outcome = if call % 4 == 0 {
                Outcome::Failure
            } else {
                Outcome::Success
            };
            let took = if index % 2 == 0 { 5 } else { 4 };
            assert_eq!(bench.record(bench.enter(), outcome, took), None);
        }
    });
    let status = bench.status();
    assert_eq!(status.requests, 160_000);
    assert_eq!((status.error_share, status.slow_share), (0.25, 0.5));
}

#[test]
fn the_last_of_the_least_calls_opens_it_once() {
    for round in 0..2000 {
        let bench = Bench::new(BreakerOptions {
            min_requests: THREADS as u32 * 3,
            error_rate: Some(1.0),
            ..options()
        });
        let changes = together(|_| {
            let record = |_| bench.record(bench.enter(), Outcome::Failure, 1);
            (0..3).filter_map(record).collect::<Vec<_>>()
        });
        let changes = changes.concat();
        assert_eq!(changes.len(), 1, "round {round}: {changes:?}");
        assert_eq!(changes[0].to, Phase::Open);
        assert_eq!(bench.phase(), Phase::Open);
    }
}

#[test]
fn never_more_probes_at_once_than_asked_for() {
    for round in 0..300_u32 {
        let probes = round % 4 + 1;
        let mut bench = Bench::opened(BreakerOptions {
            probes,
            ..options()
        });
        bench.at(1010);
        let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let let_through = AtomicU32::new(0);
        let passes = AtomicU32::new(0);
        let changes = together(|_| {
            let mut changes = Vec::new();
            // Most probes say nothing and make room again; then as many as are asked for succeed.
            while passes.load(Ordering::SeqCst) < probes {
                let Ok((admitted, change)) = bench.admit() else {
                    thread::yield_now();
                    continue;
                };
                changes.extend(change);
                if !admitted.is_probe() {
                    break;
                }
                let here = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(here, Ordering::SeqCst);
                let passed = let_through.fetch_add(1, Ordering::SeqCst) >= 50;
                let outcome = if passed {
                    Outcome::Success
                } else {
                    Outcome::Neither
                };
                running.fetch_sub(1, Ordering::SeqCst);
                changes.extend(bench.record(admitted, outcome, 1));
                if passed {
                    passes.fetch_add(1, Ordering::SeqCst);
                }
            }
            changes
        });
        let most = most.into_inner();
        assert!((1..=probes).contains(&most), "{most} of {probes} at once");
        assert_eq!(passes.into_inner(), probes, "no probe too many");
        assert_eq!(let_through.into_inner(), 50 + probes);
        let mut whys: Vec<Why> = changes.concat().iter().map(|change| change.why).collect();
        whys.sort_by_key(|why| why.word());
        assert_eq!(whys, [Why::ProbesPassed, Why::TimeUp], "each told once");
    }
}

#[test]
fn one_probe_of_many_requests_and_all_others_refused() {
    for _ in 0..1000 {
        let mut bench = Bench::opened(options());
        bench.at(1010);
        let admitted = together(|_| bench.admit().is_ok());
        assert_eq!(admitted.iter().filter(|ok| **ok).count(), 1);
    }
}

#[test]
fn late_results_never_count_in_a_later_phase() {
    let bench = Bench::new(BreakerOptions {
        min_requests: u32::MAX,
        ..options()
    });
    // All threads hold leave of one phase; it ends, and the next closed one counts, while they record failures.
    for _ in 0..2000 {
        bench.breaker.set(Manual::Open, bench.now);
        bench.breaker.set(Manual::Close, bench.now);
        let early = bench.enter();
        let counted = together(|index| {
            if index == 0 {
                bench.breaker.set(Manual::Open, bench.now);
                bench.breaker.set(Manual::Close, bench.now);
                let calls = || bench.record(bench.enter(), Outcome::Success, 1);
                (0..10).for_each(|_| assert_eq!(calls(), None));
                return 10;
            }
            for _ in 0..50 {
                bench.record(early, Outcome::Failure, 1);
            }
            0
        });
        let status = bench.status();
        assert_eq!(status.requests, counted.iter().sum::<u64>());
        assert_eq!(status.error_share, 0.0);
    }
}

#[test]
fn changes_form_one_chain() {
    // Everything at once, on a clock that all threads move on: every change is told to one thread, so what the threads
    // were told leads from closed to where it is.
    let mut bench = Bench::new(BreakerOptions {
        window: ms(100),
        min_requests: 3,
        open_for: ms(5),
        max_open_for: ms(20),
        probes: 2,
        ..options()
    });
    bench.at(0);
    let clock_ms = AtomicUsize::new(0);
    let counts = together(|index| {
        let mut random = Wyrand::new(index as u64);
        // Changes to each phase less those from it.
        let mut net = [0_i64; 3];
        for _ in 0..20_000 {
            let at = clock_ms.fetch_add(
                usize::from(random.next_u64().is_multiple_of(64)),
                Ordering::Relaxed,
            );
            let now = bench.start + ms(at as u64);
            let mut told = |change: Option<Change>| {
                if let Some(Change { from, to, .. }) = change {
                    assert_ne!(from, to);
                    net[from as usize] -= 1;
                    net[to as usize] += 1;
                }
            };
            match bench.breaker.admit(&bench.options, now) {
                Err(refused) => told(refused.change),
                Ok((admitted, change)) => {
                    told(change);
                    // Most calls fail and most probes pass, so that it opens and closes all the time.
                    let usual = if admitted.is_probe() {
                        Outcome::Success
                    } else {
                        Outcome::Failure
                    };
                    let outcome = match random.next_u64() % 8 {
                        0 => Outcome::Neither,
                        1 => Outcome::Success,
                        2 => Outcome::Failure,
                        _ => usual,
                    };
                    let draw = random.next_u64();
                    told(
                        bench
                            .breaker
                            .record(&bench.options, admitted, outcome, ms(1), now, draw),
                    );
                }
            }
        }
        net
    });
    let mut net = [1_i64, 0, 0];
    for thread in counts {
        (0..3).for_each(|phase| net[phase] += thread[phase]);
    }
    let mut expected = [0; 3];
    expected[bench.phase() as usize] = 1;
    assert_eq!(net, expected);
    assert!(bench.status().opened_total > 10, "{:?}", bench.status());
}
