use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn ticket(key: u64) -> Ticket {
    Ticket { key, life: 1 }
}

/// `count` endpoints of each upstream, numbered through, all due at `due`.
fn all_due(schedule: &mut Schedule, upstreams: &[(&str, u64)], due: Instant) {
    let mut key = 0;
    let mut all = Vec::new();
    for (name, count) in upstreams {
        let name: Arc<str> = (*name).into();
        for _ in 0..*count {
            all.push((ticket(key), Arc::clone(&name), Some(due)));
            key += 1;
        }
    }
    schedule.replace(all.into_iter());
}

fn started(schedule: &mut Schedule, now: Instant) -> Vec<Start> {
    std::iter::from_fn(|| schedule.start(now)).collect()
}

#[test]
fn nothing_starts_before_it_is_due_and_everything_when_it_is() {
    let (mut schedule, start) = (Schedule::default(), Instant::now());
    assert_eq!(schedule.next_due(), None);
    let name: Arc<str> = "a".into();
    let due = |key: u64, after: u64| (ticket(key), Arc::clone(&name), Some(start + ms(after)));
    schedule.replace([due(1, 30), due(2, 10), due(3, 20)].into_iter());
    assert!(started(&mut schedule, start).is_empty());
    assert_eq!(schedule.next_due(), Some(start + ms(10)));
    let first = started(&mut schedule, start + ms(20));
    let keys: Vec<u64> = first.iter().map(|start| start.ticket.key).collect();
    assert_eq!(keys, [2, 3]);
    assert_eq!([first[0].late, first[1].late], [ms(10), ms(0)]);
    schedule.ended(&name);
    schedule.again(ticket(2), start + ms(25));
    assert_eq!(schedule.next_due(), Some(start + ms(25)));
    assert_eq!(started(&mut schedule, start + ms(99)).len(), 2);
    assert_eq!(schedule.next_due(), None);
    assert_eq!(schedule.running(), 3);
}

#[test]
fn an_upstream_that_hangs_leaves_room_for_the_others() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    all_due(&mut schedule, &[("dead", 500), ("well", 3)], now);
    let first = started(&mut schedule, now);
    let of = |name: &str| {
        first
            .iter()
            .filter(|start| &*start.upstream == name)
            .count()
    };
    assert_eq!((of("dead"), of("well")), (MAX_PER_UPSTREAM, 3));
    assert_eq!(schedule.waiting(), 500 - MAX_PER_UPSTREAM);
    // A place that one upstream gives back goes to its own next one: the limit is its own.
    schedule.ended(&"well".into());
    assert!(started(&mut schedule, now).is_empty());
    schedule.ended(&"dead".into());
    assert_eq!(started(&mut schedule, now).len(), 1);
}

#[test]
fn upstreams_take_turns_when_all_places_are_taken() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let names: Vec<String> = (0..8).map(|number| format!("u{number}")).collect();
    let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 40)).collect();
    all_due(&mut schedule, &many, now);
    let first = started(&mut schedule, now);
    assert_eq!(first.len(), MAX_RUNNING);
    let mut of: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for start in &first {
        *of.entry(Arc::clone(&start.upstream)).or_default() += 1;
    }
    assert!(
        of.len() == 8 && of.values().all(|count| *count == 8),
        "{of:?}"
    );
}

#[test]
fn what_was_replaced_is_not_asked_again_but_gives_its_place_back() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    all_due(&mut schedule, &[("a", 20)], now);
    let running = started(&mut schedule, now);
    assert_eq!((running.len(), schedule.waiting()), (16, 4));
    // The same keys in a new life, one of them still running in it, the upstream's places taken by the old one.
    let name: Arc<str> = "a".into();
    let new = |key: u64| Ticket { key, life: 2 };
    let entries = (0..20).map(|key| (new(key), Arc::clone(&name), (key > 0).then_some(now)));
    schedule.replace(entries);
    assert!(started(&mut schedule, now).is_empty(), "no place");
    for start in &running {
        schedule.ended(&start.upstream);
        schedule.again(start.ticket, now);
    }
    let second = started(&mut schedule, now);
    assert_eq!(second.len(), 16);
    assert!(second.iter().all(|start| start.ticket.life == 2));
    assert!(second.iter().all(|start| start.ticket.key > 0));
    // The rest: 19 were due once each.
    for start in &second {
        schedule.ended(&start.upstream);
    }
    assert_eq!(started(&mut schedule, now).len(), 3);
    schedule.replace(std::iter::empty());
    assert_eq!((schedule.waiting(), schedule.next_due()), (0, None));
    for _ in 0..3 {
        schedule.ended(&name);
    }
    assert!(schedule.lanes.is_empty() && schedule.running() == 0);
}

#[derive(Clone, Debug)]
enum Step {
    /// Let time pass, in milliseconds.
    Pass(u64),
    /// End the n-th running probe; it is due again after so long.
    End(usize, u64),
    /// Replace the set: so many endpoints of three upstreams.
    Replace(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..50).prop_map(Step::Pass),
        (any::<usize>(), 0_u64..80).prop_map(|(at, after)| Step::End(at, after)),
        (0_u64..120).prop_map(Step::Replace),
    ]
}

proptest! {
    /// Whatever happens: both bounds hold, no endpoint runs twice in one life, nothing is lost, and no place stays
    /// free while something that may take it waits.
    #[test]
    fn places_are_bounded_and_nothing_is_lost(steps in prop::collection::vec(step(), 1..120)) {
        let names: Vec<Arc<str>> = ["a", "b", "c", "d", "e"].map(Arc::from).to_vec();
        let (mut schedule, mut now) = (Schedule::default(), Instant::now());
        let mut running: Vec<Start> = Vec::new();
        let (mut life, mut known) = (0, 0);
        for step in steps {
            match step {
                Step::Pass(time) => now += ms(time),
                Step::End(at, after) => {
                    if !running.is_empty() {
                        let start = running.swap_remove(at % running.len());
                        schedule.ended(&start.upstream);
                        schedule.again(start.ticket, now + ms(after));
                    }
                }
                Step::Replace(count) => {
                    life += 1;
                    known = count;
                    schedule.replace((0..count).map(|key| {
                        let name = Arc::clone(&names[key as usize % names.len()]);
                        (Ticket { key, life }, name, Some(now + ms(key % 40)))
                    }));
                }
            }
            running.extend(started(&mut schedule, now));
            prop_assert_eq!(schedule.running(), running.len());
            prop_assert!(running.len() <= MAX_RUNNING);
            let mut of: BTreeMap<&str, usize> = BTreeMap::new();
            for start in &running {
                *of.entry(&start.upstream).or_default() += 1;
            }
            prop_assert!(of.values().all(|count| *count <= MAX_PER_UPSTREAM));
            let tickets: BTreeSet<Ticket> = running.iter().map(|start| start.ticket).collect();
            prop_assert_eq!(tickets.len(), running.len());
            let current = tickets.iter().filter(|ticket| ticket.life == life).count();
            prop_assert_eq!(schedule.heap.len() + schedule.waiting() + current, known as usize);
            for (name, lane) in &schedule.lanes {
                let full = running.len() == MAX_RUNNING || of.get(&**name) == Some(&MAX_PER_UPSTREAM);
                prop_assert!(lane.waiting.is_empty() || full, "{} waits", name);
            }
        }
    }
}
