//! The gate as a state machine: any order of coming, leaving and giving back, against a plain model.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::time::Instant;

use super::gate::{Entering, options, poll};
use crate::upstream::limits::gate::Gate;
use crate::upstream::limits::{Class, Place, Shed};

#[derive(Clone, Debug)]
enum Step {
    Enter(Class),
    /// Gives back the n-th place.
    GiveBack(usize),
    /// The n-th waiter goes away, given a place or not.
    Leave(usize),
    /// The n-th waiter runs.
    Run(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![
        Just(Class::Critical),
        Just(Class::Default),
        Just(Class::Bulk)
    ];
    prop_oneof![
        3 => class.prop_map(Step::Enter),
        2 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Run),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Waits,
    Place,
    Full,
}

/// What should happen: those who wait in the order of their coming.
#[derive(Default)]
struct Model {
    held: usize,
    waiters: Vec<(u64, Class, Expected)>,
}

impl Model {
    fn waits(&self) -> impl Iterator<Item = &(u64, Class, Expected)> {
        let waits = |(_, _, state): &&(u64, Class, Expected)| *state == Expected::Waits;
        self.waiters.iter().filter(waits)
    }
    fn taken(&self) -> usize {
        let given = |(_, _, state): &&(u64, Class, Expected)| *state == Expected::Place;
        self.held + self.waiters.iter().filter(given).count()
    }
    fn set(&mut self, number: u64, state: Expected) {
        for waiter in &mut self.waiters {
            if waiter.0 == number {
                waiter.2 = state;
            }
        }
    }
    fn fill(&mut self, limit: usize) {
        while self.taken() < limit {
            let first = self
                .waits()
                .min_by_key(|(number, class, _)| (*class, *number));
            let Some(number) = first.map(|waiter| waiter.0) else {
                break;
            };
            self.set(number, Expected::Place);
        }
    }
}

proptest! {
    #[test]
    fn as_the_model_says(limit in 1usize..4, queue in 0usize..5, steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _inside = runtime.enter();
        let gate = Arc::new(Gate::default());
        let options = options(limit as u32, queue as u32);
        let mut model = Model::default();
        let mut places: Vec<Place> = Vec::new();
        let mut futures: Vec<(u64, Entering)> = Vec::new();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Enter(class) => {
                    number += 1;
                    let (of_task, its) = (gate.clone(), options.clone());
                    let until = Instant::now() + std::time::Duration::from_secs(60);
                    let mut future: Entering = Box::pin(async move { of_task.enter(&its, class, until).await });
                    let got = poll(&mut future);
                    let worst = model.waits().max_by_key(|(number, class, _)| (*class, *number)).copied();
                    let expected = if model.taken() < limit {
                        Expected::Place
                    } else if model.waits().count() < queue {
                        Expected::Waits
                    } else {
                        match worst {
                            Some((number, lowest, _)) if lowest > class => {
                                model.set(number, Expected::Full);
                                Expected::Waits
                            }
                            _ => Expected::Full,
                        }
                    };
                    match (expected, got) {
                        (Expected::Place, Some(Ok(place))) => {
                            model.held += 1;
                            places.push(place);
                        }
                        (Expected::Full, Some(Err(Shed::Full))) => {}
                        (Expected::Waits, None) => {
                            model.waiters.push((number, class, Expected::Waits));
                            futures.push((number, future));
                        }
                        (expected, got) => prop_assert!(false, "expected {expected:?}, got {got:?}"),
                    }
                }
                Step::GiveBack(which) if !places.is_empty() => {
                    drop(places.swap_remove(which % places.len()));
                    model.held -= 1;
                }
                Step::Leave(which) if !futures.is_empty() => {
                    let (number, future) = futures.swap_remove(which % futures.len());
                    drop(future);
                    model.waiters.retain(|waiter| waiter.0 != number);
                }
                Step::Run(which) if !futures.is_empty() => {
                    let at = which % futures.len();
                    let number = futures[at].0;
                    let state = model.waiters.iter().find(|waiter| waiter.0 == number).unwrap().2;
                    match (state, poll(&mut futures[at].1)) {
                        (Expected::Waits, None) => continue,
                        (Expected::Place, Some(Ok(place))) => {
                            model.held += 1;
                            places.push(place);
                        }
                        (Expected::Full, Some(Err(Shed::Full))) => {}
                        (expected, got) => prop_assert!(false, "expected {expected:?}, got {got:?}"),
                    }
                    drop(futures.swap_remove(at));
                    model.waiters.retain(|waiter| waiter.0 != number);
                }
                Step::GiveBack(_) | Step::Leave(_) | Step::Run(_) => {}
            }
            model.fill(limit);
            prop_assert_eq!(gate.in_flight() as usize, model.taken());
            let waiting = gate.status(&options, Instant::now()).waiting;
            let all = waiting.critical + waiting.default + waiting.bulk;
            prop_assert_eq!(all as usize, model.waits().count());
        }
        drop(futures);
        drop(places);
        prop_assert_eq!(gate.in_flight(), 0);
    }
}
