//! The budget on a clock of its own, against a count of every event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::upstream::retry::*;

/// So many requests in flight that only the window refuses.
const MANY: u64 = 1 << 40;

fn options(share: f32, min_per_second: u32) -> BudgetOptions {
    BudgetOptions {
        share,
        min_per_second,
    }
}

/// The time all tests count from, not before the one slots are counted from.
fn base() -> Instant {
    RetryBudget::default().request(Instant::now());
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn requests(budget: &RetryBudget, count: u64, now: Instant) {
    for _ in 0..count {
        budget.request(now);
    }
}

/// Retries that are granted until one is refused; each ends at once.
fn grants(budget: &Arc<RetryBudget>, options: &BudgetOptions, now: Instant) -> u64 {
    let mut granted = 0;
    loop {
        match budget.try_retry(options, MANY, now) {
            Ok(guard) => drop(guard),
            Err(spent) => {
                assert_eq!(spent, Spent::Window);
                return granted;
            }
        }
        granted += 1;
    }
}

#[test]
fn a_share_of_the_first_attempts_and_the_reserve() {
    let budget = Arc::new(RetryBudget::default());
    let usual = BudgetOptions::USUAL;
    let now = base();
    assert_eq!(grants(&budget, &usual, now), 100);
    requests(&budget, 1_000, now + ms(500));
    assert_eq!(grants(&budget, &usual, now + ms(900)), 200);
    assert_eq!(grants(&budget, &usual, now + ms(9_000)), 0);
    // 9.5 s after the requests, and more than 10.1 s after the first retries only.
    assert_eq!(grants(&budget, &usual, now + ms(10_150)), 100);
}

#[test]
fn both_leave_the_window_after_ten_seconds() {
    let budget = Arc::new(RetryBudget::default());
    let now = base();
    requests(&budget, 100, now);
    assert_eq!(grants(&budget, &options(0.5, 0), now), 50);
    assert_eq!(grants(&budget, &options(1.0, 0), now + ms(9_900)), 50);
    assert_eq!(grants(&budget, &options(1.0, 0), now + ms(10_000)), 0);
    let reserve = options(0.0, 10);
    let budget = Arc::new(RetryBudget::default());
    assert_eq!(grants(&budget, &reserve, now), 100);
    assert_eq!(grants(&budget, &reserve, now + ms(9_999)), 0);
    assert_eq!(grants(&budget, &reserve, now + ms(10_100)), 100);
    // Idle for a month.
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(grants(&budget, &reserve, now + month), 100);
    assert_eq!(grants(&budget, &reserve, now + month + ms(9_999)), 0);
}

#[test]
fn hardly_anything_of_the_share_is_lost() {
    let budget = Arc::new(RetryBudget::default());
    let share = options(0.2, 0);
    let now = base();
    let mut granted = 0;
    for t in 0..60_000 {
        budget.request(now + ms(t));
        // Every request fails.
        granted += u64::from(budget.try_retry(&share, MANY, now + ms(t)).is_ok());
    }
    assert!((11_700..=12_000).contains(&granted), "{granted}");
}

#[test]
fn a_storm_cannot_feed_itself() {
    let budget = Arc::new(RetryBudget::default());
    let usual = BudgetOptions::USUAL;
    let now = base();
    let (mut first, mut retries) = (0_u64, 0_u64);
    // 500 requests a second for a minute; each is retried as long as it is allowed.
    for t in (0..60_000).step_by(2) {
        budget.request(now + ms(t));
        first += 1;
        retries += grants(&budget, &usual, now + ms(t));
    }
    assert!(retries * 5 <= first + 5 * 100 * 6, "{retries} of {first}");
}

#[test]
fn retries_in_flight_are_bounded_by_the_greater_of_both() {
    let held = |options: &BudgetOptions, in_flight| {
        let budget = Arc::new(RetryBudget::default());
        let now = base();
        requests(&budget, 10_000, now);
        let mut guards = Vec::new();
        let spent = loop {
            match budget.try_retry(options, in_flight, now) {
                Ok(guard) => guards.push(guard),
                Err(spent) => break spent,
            }
        };
        assert_eq!(spent, Spent::InFlight);
        let held = guards.len() as u64;
        assert_eq!(budget.status(options, now).in_flight, held);
        // The end of one makes room for one.
        guards.pop();
        let last = budget.try_retry(options, in_flight, now);
        assert_eq!(last.is_ok(), held > 0);
        assert!(held == 0 || budget.try_retry(options, in_flight, now).is_err());
        drop((guards, last));
        assert_eq!(budget.status(options, now).in_flight, 0);
        held
    };
    assert_eq!(held(&options(0.2, 10), 1), 10);
    assert_eq!(held(&options(0.2, 10), 50), 10);
    assert_eq!(held(&options(0.2, 10), 1_000), 200);
    assert_eq!(held(&options(0.2, 10), 1_001), 201);
    assert_eq!(held(&options(0.2, 0), 1), 1);
    assert_eq!(held(&options(0.2, 0), 0), 0);
    assert_eq!(held(&options(0.0, 0), 1_000), 0);
}

#[test]
fn odd_shares_count_as_the_nearer_end() {
    let allowed = |share| {
        let budget = Arc::new(RetryBudget::default());
        let now = base();
        requests(&budget, 100, now);
        grants(&budget, &options(share, 1), now)
    };
    assert_eq!(allowed(-1.0), 10);
    assert_eq!(allowed(f32::NAN), 10);
    assert_eq!(allowed(2.0), 110);
    assert_eq!(allowed(f32::INFINITY), 110);
    let budget = Arc::new(RetryBudget::default());
    let most = options(1.0, u32::MAX);
    assert!(budget.try_retry(&most, u64::MAX, base()).is_ok());
}

#[test]
fn a_reload_changes_the_bounds_and_keeps_the_counts() {
    let budget = Arc::new(RetryBudget::default());
    let now = base();
    requests(&budget, 1_000, now);
    assert_eq!(grants(&budget, &options(0.2, 0), now), 200);
    assert_eq!(grants(&budget, &options(0.1, 0), now), 0);
    assert_eq!(grants(&budget, &options(0.3, 0), now), 100);
}

#[test]
fn an_operator_sees_what_is_left() {
    let budget = Arc::new(RetryBudget::default());
    let now = base();
    let share = options(0.5, 1);
    requests(&budget, 100, now);
    let kept: Vec<_> = (0..3)
        .filter_map(|_| budget.try_retry(&share, 6, now).ok())
        .collect();
    assert_eq!(
        budget.try_retry(&share, 6, now).err(),
        Some(Spent::InFlight)
    );
    let seen = budget.status(&share, now);
    let expected = BudgetStatus {
        in_flight: 3,
        first_attempts: 100,
        retries: 3,
        left: 57,
        granted_total: 3,
        refused_window_total: 0,
        refused_in_flight_total: 1,
    };
    assert_eq!(seen, expected);
    drop(kept);
    assert_eq!(grants(&budget, &share, now), 57);
    let later = budget.status(&share, now + ms(11_000));
    let expected = BudgetStatus {
        in_flight: 0,
        first_attempts: 0,
        retries: 0,
        left: 10,
        granted_total: 60,
        refused_window_total: 1,
        refused_in_flight_total: 1,
    };
    assert_eq!(later, expected);
    assert_eq!(
        [Spent::Window, Spent::InFlight].map(Spent::word),
        ["window", "in_flight"]
    );
}

#[test]
fn a_dead_connection_is_charged_but_not_held_up_by_those_in_flight() {
    let now = base();
    let bounds = options(0.2, 1);
    let budget = Arc::new(RetryBudget::default());
    requests(&budget, 100, now);
    let held = budget.try_retry(&bounds, 1, now).unwrap();
    assert_eq!(
        budget.try_retry(&bounds, 1, now).err(),
        Some(Spent::InFlight)
    );
    let charged = (0..100).filter(|_| budget.charge(&bounds, now).is_ok());
    assert_eq!(
        charged.count(),
        29,
        "a fifth, and one a second, less the one in flight"
    );
    assert_eq!(budget.charge(&bounds, now), Err(Spent::Window));
    drop(held);
    assert_eq!(budget.try_retry(&bounds, 1, now).err(), Some(Spent::Window));
    assert_eq!(budget.status(&bounds, now).in_flight, 0);
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Requests {
        count: u64,
        late_ms: u64,
    },
    Retries {
        count: u64,
        in_flight: u64,
        late_ms: u64,
    },
    End(u64),
    Reload {
        thousandths: u64,
        min_per_second: u32,
    },
}

fn any_event() -> impl Strategy<Value = Event> {
    let late = prop_oneof![6 => Just(0_u64), 1 => 0_u64..15_000];
    prop_oneof![
        4 => prop_oneof![0_u64..300, 0_u64..12_000, Just(100), Just(9_900), Just(10_000)]
            .prop_map(Event::Pass),
        4 => (0_u64..200, late.clone())
            .prop_map(|(count, late_ms)| Event::Requests { count, late_ms }),
        4 => (1_u64..60, 0_u64..500, late)
            .prop_map(|(count, in_flight, late_ms)| Event::Retries { count, in_flight, late_ms }),
        2 => (1_u64..60).prop_map(Event::End),
        1 => (0_u64..=1_000, 0_u32..4)
            .prop_map(|(thousandths, min_per_second)| Event::Reload { thousandths, min_per_second }),
    ]
}

/// Events of the last `window_ms` that end at `now`.
fn within(events: &[(u64, u64)], now: u64, window_ms: u64) -> u64 {
    events
        .iter()
        .filter(|(at, _)| at + window_ms > now)
        .map(|(_, count)| count)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Both bounds hold with every grant, in windows of exactly 10 s; and nothing is refused that
    /// would fit with a slot to spare.
    #[test]
    fn both_bounds_hold_with_every_grant(
        events in proptest::collection::vec(any_event(), 1..120),
    ) {
        let base = base();
        let budget = Arc::new(RetryBudget::default());
        let (mut bounds, mut share) = (options(0.2, 1), 200);
        // The time, and the latest that the budget was told.
        let (mut time, mut told) = (0_u64, 0_u64);
        let (mut first, mut retries) = (Vec::new(), Vec::new());
        let mut guards = Vec::new();
        for event in events {
            match event {
                Event::Pass(passed) => time += passed,
                Event::Reload { thousandths, min_per_second } => {
                    share = thousandths;
                    bounds = options(share as f32 / 1_000.0, min_per_second);
                }
                Event::End(count) => {
                    guards.truncate(guards.len().saturating_sub(count as usize));
                }
                Event::Requests { count, late_ms } => {
                    let now = time.saturating_sub(late_ms);
                    if count > 0 {
                        told = told.max(now);
                    }
                    requests(&budget, count, base + ms(now));
                    first.push((told, count));
                }
                Event::Retries { count, in_flight, late_ms } => {
                    let now = time.saturating_sub(late_ms);
                    told = told.max(now);
                    let least = u64::from(bounds.min_per_second);
                    let room = (share * in_flight).max(1_000 * least);
                    let most = |first_attempts| first_attempts * share / 1_000 + 10 * least;
                    for _ in 0..count {
                        let held = guards.len() as u64;
                        match budget.try_retry(&bounds, in_flight, base + ms(now)) {
                            Ok(guard) => {
                                prop_assert!(held * 1_000 < room);
                                guards.push(guard);
                                retries.push((told, 1));
                                let of = most(within(&first, told, 10_000));
                                prop_assert!(within(&retries, told, 10_000) <= of);
                            }
                            Err(Spent::InFlight) => prop_assert!(held * 1_000 >= room),
                            Err(Spent::Window) => {
                                let of = most(within(&first, told, 9_899));
                                prop_assert!(within(&retries, told, 10_101) >= of);
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(
                budget.status(&bounds, base + ms(told)).in_flight,
                guards.len() as u64
            );
        }
    }
}
