//! What must hold whatever sources say and whenever they say it.

use proptest::prelude::*;

use super::*;
use crate::upstream::discovery::follow::book::{Answer, Book};

#[derive(Clone, Debug)]
enum Event {
    /// An answer; each number is an address, some of which are refused.
    Say(Vec<u8>),
    /// An answer whose endpoints get nothing.
    SayWeightless(Vec<u8>),
    Fail,
    /// Of a source that was replaced since.
    SayLate(Vec<u8>),
    Remember(Vec<u8>),
    /// Other options, the same addresses allowed.
    Reload(u8),
    Pass(u16),
}

fn event() -> impl Strategy<Value = Event> {
    let set = || prop::collection::vec(0_u8..8, 0..5);
    prop_oneof![
        4 => set().prop_map(Event::Say),
        1 => set().prop_map(Event::SayWeightless),
        2 => Just(Event::Fail),
        1 => set().prop_map(Event::SayLate),
        1 => set().prop_map(Event::Remember),
        1 => (1_u8..100).prop_map(Event::Reload),
        5 => (0_u16..3000).prop_map(Event::Pass),
    ]
}

/// 0 to 5 are good, 6 and 7 are refused.
fn endpoints(numbers: &[u8], weight: u32) -> Vec<Found> {
    let endpoint = |number: &u8| {
        let network = if *number < 6 { "10.0" } else { "169.254" };
        let mut found = Found::at(format!("{network}.0.{number}:80").parse().unwrap());
        found.weight = weight;
        found
    };
    numbers.iter().map(endpoint).collect()
}

fn usable(numbers: &[u8]) -> Vec<Found> {
    let good: Vec<u8> = numbers
        .iter()
        .copied()
        .filter(|number| *number < 6)
        .collect();
    let mut good = endpoints(&good, 1);
    good.sort();
    good.dedup();
    good
}

/// The book, what it told last, and what it should tell in the end.
struct Model {
    book: Book,
    now: Instant,
    opened: u64,
    told: Vec<Found>,
    last: Vec<Found>,
    sourced: bool,
}

impl Model {
    fn answer(&mut self, opened: u64, said: Said) {
        let answer = Answer {
            upstream: "orders".into(),
            opened,
            said,
            left_out: None,
            longest_pause: 30 * SECOND,
        };
        let pause = self.book.record(answer, judge, self.now, 7);
        assert_eq!(pause.is_some(), opened == self.opened);
        assert!(pause.is_none_or(|pause| (SECOND / 50..=30 * SECOND).contains(&pause)));
    }

    /// Tells what is due and checks it.
    fn pass(&mut self) {
        for (_, set) in self.book.pass(judge, self.now) {
            assert!(!set.is_empty(), "an empty set was told");
            assert!(set.is_sorted() && !set.windows(2).any(|two| two[0].address == two[1].address));
            assert_ne!(*set, *self.told, "nothing changed");
            self.told = set.to_vec();
        }
        let due = self.book.due(false);
        assert!(
            due.is_none_or(|due| due > self.now),
            "the task would not rest"
        );
        let status = self.book.status(self.now).remove(0);
        assert_eq!(*status.endpoints, *self.told);
        assert_eq!(
            status.age.is_none(),
            status.provenance == Provenance::Nothing
        );
        assert_eq!(
            status.is_stale,
            status.age.is_some_and(|age| age > 10 * SECOND)
        );
    }
}

proptest! {
    #[test]
    fn what_is_known_is_never_lost(events in prop::collection::vec(event(), 1..60)) {
        let now = Instant::now();
        let mut model = Model {
            book: Book::new(false),
            now,
            opened: 1,
            told: Vec::new(),
            last: Vec::new(),
            sourced: false,
        };
        let options = |number: u8| wanted("orders", |options| {
            options.max_stale = 10 * SECOND;
            options.max_endpoints = 100 + usize::from(number);
        });
        model.book.set(vec![options(0)], judge, now);
        for event in events {
            match event {
                Event::Say(numbers) => {
                    let said = Discovered { endpoints: endpoints(&numbers, 1) };
                    model.answer(model.opened, Ok((said, SECOND)));
                    let usable = usable(&numbers);
                    if !usable.is_empty() {
                        model.last = usable;
                        model.sourced = true;
                    }
                }
                Event::SayWeightless(numbers) => {
                    let said = Discovered { endpoints: endpoints(&numbers, 0) };
                    model.answer(model.opened, Ok((said, SECOND)));
                }
                Event::Fail => model.answer(model.opened, Err(SourceError::new("down"))),
                Event::SayLate(numbers) => {
                    let said = Discovered { endpoints: endpoints(&numbers, 1) };
                    model.answer(model.opened - 1, Ok((said, SECOND)));
                }
                Event::Remember(numbers) => {
                    let first = model.last.is_empty();
                    let set = endpoints(&numbers, 1);
                    let taken = model.book.remember("orders", set, SECOND, judge, model.now);
                    let usable = usable(&numbers);
                    prop_assert_eq!(taken, first && !usable.is_empty());
                    if taken {
                        model.last = usable;
                    }
                }
                Event::Reload(number) => {
                    let before = model.book.running()[0].opened;
                    model.book.set(vec![options(number)], judge, model.now);
                    model.opened = model.book.running()[0].opened;
                    prop_assert!(model.opened >= before);
                }
                Event::Pass(ms) => {
                    model.now += Duration::from_millis(ms.into());
                    // The task wakes when it said.
                    model.pass();
                }
            }
        }
        model.now += SECOND;
        model.pass();
        prop_assert_eq!(&model.told, &model.last);
        let status = model.book.status(model.now).remove(0);
        let from_source = status.provenance == Provenance::Source;
        prop_assert_eq!(from_source, model.sourced);
        let Counts { updates, added, removed, .. } = status.counts;
        prop_assert_eq!(added - removed, model.told.len() as u64);
        prop_assert!(updates <= added + removed);
    }
}
