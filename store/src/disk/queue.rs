//! What waits to be written to a disk. Bounded: who comes when it is full stays off the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::head::Head;
use crate::index::Place;
use crate::object::Object;

/// Most jobs that wait.
const JOBS: usize = 16_384;
/// Most keys that are to be marked as gone.
const GONE: usize = 65_536;

/// Something to write.
#[derive(Debug)]
pub(crate) enum Job<H: Head> {
    /// A whole object.
    Object(Arc<Object<H>>),
    /// Its head; the body lies there already.
    Head(Arc<Object<H>>, Place),
    /// The key has no object any more.
    Gone(Box<[u8]>),
}

impl<H: Head> Job<H> {
    fn bytes(&self) -> usize {
        match self {
            Self::Object(object) => object.charge(),
            Self::Head(object, _) => object.head.weight(),
            Self::Gone(key) => key.len(),
        }
    }
}

#[derive(Debug)]
struct State<H: Head> {
    jobs: VecDeque<Job<H>>,
    bytes: usize,
    /// The writer shall end when nothing waits.
    closing: bool,
    /// The writer works on what it took.
    busy: bool,
    /// The writer has ended.
    ended: bool,
}

/// The queue of one disk.
#[derive(Debug)]
pub(crate) struct Queue<H: Head> {
    state: Mutex<State<H>>,
    changed: Condvar,
    most_bytes: usize,
    /// A job was refused and none was taken since: what can wait need not ask.
    full: AtomicBool,
}

impl<H: Head> Queue<H> {
    pub(crate) fn new(most_bytes: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            bytes: 0,
            closing: false,
            busy: false,
            ended: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            most_bytes,
            full: AtomicBool::new(false),
        }
    }

    /// Takes a job, or gives it back when there is no room. A key that is gone needs next to none.
    pub(crate) fn push(&self, job: Job<H>) -> Result<(), Job<H>> {
        let mut state = self.state.lock();
        let gone = matches!(job, Job::Gone(_));
        let most = if gone { JOBS + GONE } else { JOBS };
        let fits = gone || state.bytes + job.bytes() <= self.most_bytes || state.jobs.is_empty();
        if state.closing || state.jobs.len() >= most || !fits {
            self.full.store(true, Ordering::Relaxed);
            return Err(job);
        }
        state.bytes += job.bytes();
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes what waits, at most `most` jobs, after waiting at most `longest`; `None` when it is closed and empty.
    pub(crate) fn take(&self, most: usize, longest: Duration) -> Option<Vec<Job<H>>> {
        let mut state = self.state.lock();
        state.busy = false;
        self.changed.notify_all();
        if state.jobs.is_empty() && !state.closing {
            self.changed.wait_for(&mut state, longest);
        }
        if state.jobs.is_empty() && state.closing {
            return None;
        }
        self.full.store(false, Ordering::Relaxed);
        let count = state.jobs.len().min(most);
        let jobs: Vec<Job<H>> = state.jobs.drain(..count).collect();
        let bytes: usize = jobs.iter().map(Job::bytes).sum();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.busy = !jobs.is_empty();
        Some(jobs)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Whether all that was taken is written, or dropped.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.jobs.is_empty() && !state.busy
    }

    /// Waits until the writer took something, or `until`.
    pub(crate) fn wait_taken(&self, until: Instant) {
        let mut state = self.state.lock();
        if self.is_full() {
            self.changed.wait_until(&mut state, until);
        }
    }

    /// The writer says that it has ended.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Whether the writer has ended by `deadline`.
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.ended {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return state.ended;
            }
        }
        true
    }

    /// Drops what waits; the writer ends with what it has in its hands.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.jobs.clear();
        state.bytes = 0;
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }
}
