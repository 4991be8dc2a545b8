//! Reading from disk, by threads that a request waits for without blocking, and never for long.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::log::{DiskLog, LoadError};
use crate::counters::count;
use crate::head::Head;
use crate::index::Place;
use crate::key::Key;
use crate::object::{Body, Object, ObjectId};
use crate::store::{Core, Hit, Tier};

/// Reads that wait; more are misses.
const WAITING: usize = 4_096;
/// How long a request waits for a disk; then it is a miss.
const LONGEST: Duration = Duration::from_secs(2);

/// Uses after which an object that lost its place on disk goes there again: the next hit.
const EARNED: u8 = 2;

/// A read, with all who wait for it.
#[derive(Debug)]
pub(crate) struct Answer<H> {
    since: Instant,
    state: Mutex<AnswerState<H>>,
}

#[derive(Debug)]
struct AnswerState<H> {
    done: Option<Option<Arc<Object<H>>>>,
    wakers: Vec<Waker>,
}

impl<H> Answer<H> {
    fn give(&self, object: Option<Arc<Object<H>>>) {
        let mut state = self.state.lock();
        // The first answer counts: who gave up has gone.
        state.done.get_or_insert(object);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct State<H> {
    waiting: VecDeque<(u128, Place, Arc<Answer<H>>)>,
    pending: HashMap<u64, Arc<Answer<H>>>,
    stop: bool,
}

/// The reads of one disk.
#[derive(Debug)]
pub(crate) struct Reads<H> {
    state: Mutex<State<H>>,
    changed: Condvar,
}

impl<H> Default for Reads<H> {
    fn default() -> Self {
        let state = State {
            waiting: VecDeque::new(),
            pending: HashMap::new(),
            stop: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}

impl<H: Head> Reads<H> {
    /// Asks for what lies at `place`, or joins who did already; `None` when too many wait.
    pub(crate) fn ask(&self, hash: u128, place: Place) -> Option<Arc<Answer<H>>> {
        let mut state = self.state.lock();
        if let Some(answer) = state.pending.get(&place.bits()) {
            return Some(Arc::clone(answer));
        }
        if state.stop || state.waiting.len() >= WAITING {
            return None;
        }
        let answer = AnswerState {
            done: None,
            wakers: Vec::new(),
        };
        let answer = Arc::new(Answer {
            since: Instant::now(),
            state: Mutex::new(answer),
        });
        state.pending.insert(place.bits(), Arc::clone(&answer));
        state.waiting.push_back((hash, place, Arc::clone(&answer)));
        drop(state);
        self.changed.notify_one();
        Some(answer)
    }

    /// A thread that reads, until the store ends.
    pub(crate) fn run(&self, core: &Weak<Core<H>>, log: &DiskLog) {
        loop {
            let mut state = self.state.lock();
            let (hash, place, answer) = loop {
                if state.stop {
                    return;
                }
                match state.waiting.pop_front() {
                    Some(next) => break next,
                    None => self.changed.wait(&mut state),
                }
            };
            drop(state);
            let object = core
                .upgrade()
                .and_then(|core| load(&core, log, hash, place));
            self.state.lock().pending.remove(&place.bits());
            answer.give(object);
        }
    }

    /// Who waits too long gets a miss.
    pub(crate) fn tick(&self, now: Instant) {
        let mut state = self.state.lock();
        let late = |answer: &Arc<Answer<H>>| now.saturating_duration_since(answer.since) >= LONGEST;
        let given_up: Vec<_> = state.pending.extract_if(|_, answer| late(answer)).collect();
        state.waiting.retain(|(_, _, answer)| !late(answer));
        drop(state);
        given_up
            .into_iter()
            .for_each(|(_, answer)| answer.give(None));
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        state.waiting.clear();
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        self.changed.notify_all();
        pending.into_values().for_each(|answer| answer.give(None));
    }
}

/// Reads an object, compares it with the purges and puts it into memory.
pub(crate) fn load<H: Head>(
    core: &Core<H>,
    log: &DiskLog,
    hash: u128,
    place: Place,
) -> Option<Arc<Object<H>>> {
    if log.is_failed() {
        return None;
    }
    let loaded = match log.load(place, core.most_object()) {
        Ok(loaded) => loaded,
        Err(LoadError::Io) => return None,
        Err(error) => {
            if error == LoadError::Corrupt {
                count(&core.counters.disk_corrupt);
            }
            core.drop_place(hash, place);
            return None;
        }
    };
    let key = Key::from_bytes(core.seed, loaded.key);
    let head = if core.is_same_slot(key.hash(), hash) {
        H::decode(&loaded.head)
    } else {
        None
    };
    let Some(head) = head else {
        // Verified and yet not what was written: another version, or the index led to another key.
        count(&core.counters.disk_corrupt);
        core.drop_place(hash, place);
        return None;
    };
    let (id, start) = (ObjectId(loaded.header.id), loaded.header.start);
    let object = Object::new(
        (&core.budget, &core.counters),
        key,
        Arc::new(head),
        Body::new(loaded.chunks),
        id,
        start,
        EARNED,
    );
    if loaded.header.soft_ms > 0 {
        object.expire(loaded.header.soft_ms);
    }
    object.set_body_place(loaded.body_place);
    object.set_queued();
    core.promote(hash, place, &object).then_some(object)
}

/// A hit on disk on its way: a future that ends within two seconds, as a hit or as a miss.
#[derive(Debug)]
pub struct Fetch<H: Head> {
    core: Arc<Core<H>>,
    key: Key,
    answer: Arc<Answer<H>>,
}

impl<H: Head> Fetch<H> {
    pub(crate) fn new(core: Arc<Core<H>>, key: Key, answer: Arc<Answer<H>>) -> Self {
        Self { core, key, answer }
    }
}

impl<H: Head> Future for Fetch<H> {
    type Output = Option<Hit<H>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.answer.state.lock();
        let Some(done) = state.done.clone() else {
            if !state
                .wakers
                .iter()
                .any(|waker| waker.will_wake(context.waker()))
            {
                state.wakers.push(context.waker().clone());
            }
            return Poll::Pending;
        };
        drop(state);
        let core = &self.core;
        let found = done.filter(|object| object.key == self.key && core.survives(object));
        count(if found.is_some() {
            &core.counters.hits_disk
        } else {
            &core.counters.misses
        });
        Poll::Ready(found.map(|object| Hit::of_object(object, Tier::Disk)))
    }
}
