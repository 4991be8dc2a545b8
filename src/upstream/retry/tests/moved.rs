//! Two processes, one after the other, grant no more than one would.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::upstream::retry::*;

const MANY: u64 = 1 << 40;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn options(share: f32, min_per_second: u32) -> BudgetOptions {
    BudgetOptions {
        share,
        min_per_second,
    }
}

fn grants(budget: &Arc<RetryBudget>, options: &BudgetOptions, most: u64, now: Instant) -> u64 {
    let granted = (0..most).filter(|_| budget.try_retry(options, MANY, now).is_ok());
    granted.count() as u64
}

fn requests(budget: &RetryBudget, count: u64, now: Instant) {
    (0..count).for_each(|_| budget.request(now));
}

/// As it goes over the channel.
fn sent(moved: &MovedBudget) -> MovedBudget {
    serde_json::from_str(&serde_json::to_string(moved).unwrap()).unwrap()
}

#[test]
fn the_reserve_is_not_granted_twice() {
    let now = Instant::now();
    let reserve = options(0.0, 10);
    let old = Arc::new(RetryBudget::default());
    assert_eq!(old.moved(now), None);
    assert_eq!(grants(&old, &reserve, 200, now), 100);
    let moved = sent(&old.moved(now + ms(400)).unwrap());
    let new = Arc::new(RetryBudget::default());
    new.restore(&moved, ms(100), now + ms(500));
    assert_eq!(new.status(&reserve, now + ms(500)).left, 0);
    assert_eq!(grants(&new, &reserve, 200, now + ms(9_900)), 0);
    assert_eq!(grants(&new, &reserve, 200, now + ms(10_400)), 100);
}

#[test]
fn first_attempts_go_along_and_end_in_time() {
    let now = Instant::now();
    let share = options(0.2, 0);
    let old = Arc::new(RetryBudget::default());
    requests(&old, 1_000, now);
    assert_eq!(grants(&old, &share, 50, now), 50);
    let new = Arc::new(RetryBudget::default());
    new.restore(&sent(&old.moved(now).unwrap()), ms(20), now + ms(20));
    let status = new.status(&share, now + ms(20));
    assert_eq!(
        (status.first_attempts, status.retries, status.left),
        (1_000, 50, 150)
    );
    assert_eq!(grants(&new, &share, 500, now + ms(5_000)), 150);
    assert_eq!(new.status(&share, now + ms(10_000)).first_attempts, 0);
}

#[test]
fn nonsense_and_old_news_grant_nothing() {
    let now = Instant::now();
    let share = options(0.2, 0);
    let new = Arc::new(RetryBudget::default());
    let slots = vec![[u64::MAX, u64::MAX]; 5_000];
    new.restore(
        &MovedBudget {
            slots: slots.clone(),
        },
        Duration::MAX,
        now,
    );
    new.restore(&MovedBudget { slots }, Duration::ZERO, now);
    assert_eq!(grants(&new, &share, 5, now), 0);
    assert_eq!(grants(&new, &share, 5, now + ms(20_000)), 0);
    let read: MovedBudget = serde_json::from_str("{\"other\": 1}").unwrap();
    assert_eq!(read, MovedBudget::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whenever the budget moves, all retries of any 10 s stay within their share of the first attempts.
    #[test]
    fn the_bound_holds_over_a_move(
        steps in proptest::collection::vec((0_u64..1_500, 0_u64..50, 0_u64..40), 1..60),
        moves in proptest::collection::vec(0_usize..60, 0..3),
        way_ms in 0_u64..700,
    ) {
        let begin = Instant::now();
        let bounds = options(0.2, 1);
        let mut budget = Arc::new(RetryBudget::default());
        let (mut first, mut retries) = (Vec::new(), Vec::new());
        let mut time = 0;
        for (number, (passed, asked, again)) in steps.into_iter().enumerate() {
            time += passed;
            if moves.contains(&number) {
                let moved = budget.moved(begin + ms(time));
                time += way_ms;
                let next = RetryBudget::default();
                if let Some(moved) = moved {
                    next.restore(&sent(&moved), ms(way_ms), begin + ms(time));
                }
                budget = Arc::new(next);
            }
            let now = begin + ms(time);
            requests(&budget, asked, now);
            first.push((time, asked));
            let granted = grants(&budget, &bounds, again, now);
            retries.push((time, granted));
            let within = |events: &[(u64, u64)]| -> u64 {
                let lately = events.iter().filter(|(at, _)| at + 10_000 > time);
                lately.map(|(_, count)| count).sum()
            };
            // Requests leave the window a little before retries do, so it is looked at with each grant.
            prop_assert!(granted == 0 || within(&retries) <= within(&first) / 5 + 10);
        }
    }
}
