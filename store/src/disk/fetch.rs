//! Reading from disk, by threads that a request waits for without blocking, and never for long.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::far::{Ask, Asked, FarBody};
use super::hold::Holding;
use super::log::{DiskLog, LoadError, Loaded, Located};
use crate::budget::Lease;
use crate::counters::{count, count_by};
use crate::head::Head;
use crate::index::Place;
use crate::key::Key;
use crate::object::{Body, Object, ObjectId};
use crate::store::{Core, Hit, Tier};

/// Reads that wait; more are misses, and chunks of a body are asked for again.
const WAITING: usize = 4_096;
/// How long a request waits for a disk; then it is a miss, or an error where the head was given already.
const LONGEST: Duration = Duration::from_secs(2);
/// Bodies up to this are read whole before anything is given: a disk that reads 500 MB a second takes 2 ms for them, and
/// from then on they are served from memory. What is larger is read as it is wanted.
pub(crate) const MOST_WHOLE: u64 = 1 << 20;

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

/// Something to read.
#[derive(Debug)]
enum Job<H> {
    /// An object of which nothing is in memory.
    Object(u128, Place, Arc<Answer<H>>),
    /// A chunk of a body.
    Chunk(Arc<FarBody>, u64),
    /// A file to close, which may take as long as reading.
    Close(Holding),
}

#[derive(Debug)]
struct State<H> {
    waiting: VecDeque<Job<H>>,
    pending: HashMap<u64, Arc<Answer<H>>>,
    /// Bodies that have readers, or had their head read just now, by their place.
    far: HashMap<u64, Weak<FarBody>>,
    stop: bool,
    /// Threads that wait for a job.
    idle: usize,
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
            far: HashMap::new(),
            stop: false,
            idle: 0,
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
        state
            .waiting
            .push_back(Job::Object(hash, place, Arc::clone(&answer)));
        drop(state);
        self.changed.notify_one();
        Some(answer)
    }

    /// A thread that reads, until the store ends.
    pub(crate) fn run(self: &Arc<Self>, core: &Weak<Core<H>>, log: &Arc<DiskLog>) {
        loop {
            let mut state = self.state.lock();
            let job = loop {
                if state.stop {
                    return;
                }
                match state.waiting.pop_front() {
                    Some(next) => break next,
                    None => {
                        state.idle += 1;
                        self.changed.wait(&mut state);
                        state.idle -= 1;
                    }
                }
            };
            drop(state);
            match (job, core.upgrade()) {
                (Job::Object(hash, place, answer), core) => {
                    let object = core.and_then(|core| self.load(&core, log, hash, place));
                    self.state.lock().pending.remove(&place.bits());
                    answer.give(object);
                }
                (Job::Chunk(far, index), Some(core)) => read_chunk(&core, &far, index),
                (Job::Chunk(far, _), None) => {
                    far.fail(|| ());
                }
                (Job::Close(holding), _) => drop(holding),
            }
        }
    }

    /// Reads an object, or only its head when its body is large.
    fn load(
        self: &Arc<Self>,
        core: &Core<H>,
        log: &Arc<DiskLog>,
        hash: u128,
        place: Place,
    ) -> Option<Arc<Object<H>>> {
        let loaded = read(core, log, hash, place, MOST_WHOLE)?;
        take_up(core, hash, place, loaded, |key, located, body_place| {
            // One that is read already, by those who found it before its head lost its place in memory.
            let known = self.state.lock().far.get(&body_place.bits()).cloned();
            let known = known.and_then(|known| known.upgrade());
            let same = |far: &Arc<FarBody>| far.hash == key && far.is_at(&located);
            Body::Far(known.filter(same).unwrap_or_else(|| {
                let asks = Arc::clone(self) as Arc<dyn Ask>;
                FarBody::new(log, key, (place, body_place), located, &asks, &core.share)
            }))
        })
    }

    /// Who waits too long gets a miss.
    pub(crate) fn tick(&self, now: Instant) {
        let mut state = self.state.lock();
        let late = |answer: &Arc<Answer<H>>| now.saturating_duration_since(answer.since) >= LONGEST;
        let given_up: Vec<_> = state.pending.extract_if(|_, answer| late(answer)).collect();
        state
            .waiting
            .retain(|job| !matches!(job, Job::Object(_, _, answer) if late(answer)));
        let far: Vec<_> = state.far.values().filter_map(Weak::upgrade).collect();
        drop(state);
        for body in far {
            let cut = body.tick(now, LONGEST);
            count_by(&body.log.counters.disk_waits_cut, cut);
        }
        given_up
            .into_iter()
            .for_each(|(_, answer)| answer.give(None));
    }

    /// Jobs that wait for a thread.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Threads that have nothing to do, when nothing waits.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        let state = self.state.lock();
        if state.waiting.is_empty() {
            state.idle
        } else {
            0
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        let waiting = std::mem::take(&mut state.waiting);
        let pending = std::mem::take(&mut state.pending);
        let far: Vec<_> = state.far.values().filter_map(Weak::upgrade).collect();
        drop(state);
        self.changed.notify_all();
        drop(waiting);
        for body in far {
            body.fail(|| ());
        }
        pending.into_values().for_each(|answer| answer.give(None));
    }
}

impl<H: Head> Ask for Reads<H> {
    fn ask(&self, body: &Arc<FarBody>, index: u64) -> Asked {
        let mut state = self.state.lock();
        if state.stop {
            return Asked::Closed;
        }
        if state.waiting.len() >= WAITING {
            return Asked::Full;
        }
        state.waiting.push_back(Job::Chunk(Arc::clone(body), index));
        drop(state);
        self.changed.notify_one();
        Asked::Yes
    }

    fn watch(&self, body: &Arc<FarBody>) {
        let place = body.body_place.bits();
        self.state.lock().far.insert(place, Arc::downgrade(body));
    }

    fn forget(&self, body: &FarBody) {
        let mut state = self.state.lock();
        let place = body.body_place.bits();
        let own = |known: &Weak<FarBody>| std::ptr::eq(known.as_ptr(), body);
        if state.far.get(&place).is_some_and(own) {
            state.far.remove(&place);
        }
    }

    fn close_file(&self, holding: Holding) {
        let mut state = self.state.lock();
        if state.stop {
            drop(state);
            drop(holding);
            return;
        }
        // Always: as many as there are segments held, and what they take is a part of the disk.
        state.waiting.push_back(Job::Close(holding));
        drop(state);
        self.changed.notify_one();
    }
}

/// Reads an object whole, compares it with the purges and puts it into memory.
pub(crate) fn load<H: Head>(
    core: &Core<H>,
    log: &DiskLog,
    hash: u128,
    place: Place,
) -> Option<Arc<Object<H>>> {
    let loaded = read(core, log, hash, place, u64::MAX)?;
    let none = |_, _, _| Body::new(Vec::new());
    take_up(core, hash, place, loaded, none)
}

/// Reads what lies at `place`; bodies above `least_far` are only located.
fn read<H: Head>(
    core: &Core<H>,
    log: &DiskLog,
    hash: u128,
    place: Place,
    least_far: u64,
) -> Option<Loaded> {
    if log.is_failed() {
        return None;
    }
    match log.load_or_locate(place, core.most_object(), least_far) {
        Ok(loaded) => Some(loaded),
        Err(LoadError::Io) => None,
        Err(error) => {
            if error == LoadError::Corrupt {
                count(&core.counters.disk_corrupt);
            }
            core.drop_place(hash, place);
            None
        }
    }
}

/// Makes an object of what was read and puts it into memory; `far` makes a body of one that was only located.
fn take_up<H: Head>(
    core: &Core<H>,
    hash: u128,
    place: Place,
    loaded: Loaded,
    far: impl FnOnce(u128, Located, Place) -> Body,
) -> Option<Arc<Object<H>>> {
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
    let body = match loaded.located {
        Some(located) => far(key.hash(), located, loaded.body_place),
        None => Body::new(loaded.chunks),
    };
    let (id, start) = (ObjectId(loaded.header.id), loaded.header.start);
    let object = Object::new(
        (&core.budget, &core.counters),
        key,
        Arc::new(head),
        body,
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

/// Reads a chunk of a body, if somebody wants it still and there is room or somebody waits.
fn read_chunk<H: Head>(core: &Core<H>, far: &Arc<FarBody>, index: u64) {
    if !far.is_wanted(index) {
        return;
    }
    let lease = Lease::take(&core.budget, far.chunk_weight(index));
    if !core.make_room() && !far.is_needed(index) {
        return;
    }
    match far.read(index) {
        Ok(bytes) => {
            far.put(index, bytes, lease, |chunks| core.body_came(far, chunks));
        }
        Err(error) => {
            count_by(
                &core.counters.disk_corrupt,
                usize::from(error == LoadError::Corrupt),
            );
            far.fail(|| {
                count(&core.counters.disk_bodies_lost);
                core.body_lost(far);
            });
        }
    }
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
