//! What the budget promises to be exact, with many threads at it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::upstream::balance::random::{Wyrand, below};
use crate::upstream::retry::*;

const THREADS: u64 = 8;
const MANY: u64 = 1 << 40;

fn base() -> Instant {
    RetryBudget::default().request(Instant::now());
    Instant::now()
}

/// Runs `work` on all threads at once and gives back what each returned.
fn at_once<T: Send>(work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn exactly_the_share_is_granted() {
    let now = base();
    let options = BudgetOptions {
        share: 0.25,
        min_per_second: 3,
    };
    for _ in 0..20 {
        let budget = Arc::new(RetryBudget::default());
        // Begins the slot: while one thread does, the first attempts of others may count as older than they are.
        budget.status(&options, now);
        at_once(|_| {
            for _ in 0..1_000 {
                budget.request(now);
            }
        });
        let granted: u64 = at_once(|_| {
            (0..1_000)
                .filter(|_| budget.try_retry(&options, MANY, now).is_ok())
                .count() as u64
        })
        .into_iter()
        .sum();
        assert_eq!(granted, THREADS * 1_000 / 4 + 30);
        assert_eq!(budget.status(&options, now).in_flight, 0);
    }
}

#[test]
fn never_more_in_flight_than_allowed() {
    let now = base();
    let options = BudgetOptions {
        share: 0.05,
        min_per_second: 0,
    };
    let budget = Arc::new(RetryBudget::default());
    for _ in 0..2_000_000 {
        budget.request(now);
    }
    // 5 of 100. Each thread holds two at once.
    let (held, highest) = (AtomicU64::new(0), AtomicU64::new(0));
    let granted: u64 = at_once(|_| {
        let mut granted = 0;
        for _ in 0..5_000 {
            let guards: Vec<_> = (0..2)
                .filter_map(|_| budget.try_retry(&options, 100, now).ok())
                .collect();
            let taken = guards.len() as u64;
            granted += taken;
            highest.fetch_max(
                held.fetch_add(taken, Ordering::SeqCst) + taken,
                Ordering::SeqCst,
            );
            thread::yield_now();
            held.fetch_sub(taken, Ordering::SeqCst);
            drop(guards);
        }
        granted
    })
    .into_iter()
    .sum();
    assert!(highest.into_inner() <= 5);
    let status = budget.status(&options, now);
    assert_eq!((status.in_flight, status.granted_total), (0, granted));
    assert_eq!(status.refused_window_total, 0);

    // All at once, none ends: exactly five.
    let guards: Vec<_> = at_once(|_| budget.try_retry(&options, 100, now).ok());
    assert_eq!(guards.iter().flatten().count(), 5);
}

/// All threads at one time, then the next time: within a round the order does not matter, so the
/// windows can be counted afterwards.
#[test]
fn the_window_holds_round_by_round() {
    let now = base();
    let options = BudgetOptions {
        share: 0.3,
        min_per_second: 1,
    };
    let budget = Arc::new(RetryBudget::default());
    let mut random = Wyrand::new(11);
    let rounds: Vec<u64> = (0..120)
        .scan(0, |time, _| {
            *time += below(random.next_u64(), 1_500);
            Some(*time)
        })
        .collect();
    let turn = Barrier::new(THREADS as usize);
    let counts = Mutex::new(vec![(0_u64, 0_u64); rounds.len()]);
    at_once(|number| {
        let mut random = Wyrand::new(number);
        for (round, time) in rounds.iter().enumerate() {
            let at = now + Duration::from_millis(*time);
            turn.wait();
            let (mut first, mut retries) = (0, 0);
            for _ in 0..below(random.next_u64(), 200) {
                if below(random.next_u64(), 2) == 0 {
                    budget.request(at);
                    first += 1;
                } else {
                    retries += u64::from(budget.try_retry(&options, MANY, at).is_ok());
                }
            }
            let mut counts = counts.lock().unwrap();
            counts[round].0 += first;
            counts[round].1 += retries;
        }
    });
    let counts = counts.into_inner().unwrap();
    let (mut refused, mut all) = (false, 0);
    for (round, end) in rounds.iter().enumerate() {
        let of_window = |(at, _): &(&u64, &(u64, u64))| **at + 10_000 > *end;
        let (first, retries) = rounds
            .iter()
            .zip(&counts)
            .take(round + 1)
            .filter(of_window)
            .fold((0, 0), |sum, (_, count)| (sum.0 + count.0, sum.1 + count.1));
        let most = first * 3 / 10 + 10;
        // The bound is one on grants: a window that ends without one may have lost its deposits.
        let held = retries <= most || counts[round].1 == 0;
        assert!(held, "round {round}: {retries} of {most}");
        all += counts[round].1;
        refused |= retries + 5 > most;
    }
    assert!(
        all > 500 && refused,
        "{all} retries, at the bound: {refused}"
    );
}

/// A clock that moves under the threads, so that they bring times in any order while slots change.
#[test]
fn no_time_holds_more_than_its_share() {
    let now = base();
    let options = BudgetOptions {
        share: 0.2,
        min_per_second: 2,
    };
    let budget = Arc::new(RetryBudget::default());
    let clock_ms = AtomicU64::new(0);
    let counts = at_once(|number| {
        let mut random = Wyrand::new(number + 100);
        let (mut first, mut retries) = (0_u64, 0_u64);
        for _ in 0..40_000 {
            let time = clock_ms.fetch_add(below(random.next_u64(), 3), Ordering::Relaxed);
            let at = now + Duration::from_millis(time);
            if below(random.next_u64(), 2) == 0 {
                budget.request(at);
                first += 1;
            }
            retries += u64::from(budget.try_retry(&options, MANY, at).is_ok());
        }
        (first, retries)
    });
    let (first, retries) = counts
        .into_iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let windows = clock_ms.into_inner() / 10_000 + 1;
    let most = first / 5 + 20 * windows;
    assert!(retries <= most, "{retries} of {most}");
    assert!(retries * 10 > most * 8, "{retries} of {most}");
}
