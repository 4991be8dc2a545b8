//! The one shared cache of the process.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::cache::SharedCache;

/// Holds the cache over all generations. Unlike the rest of the state it holds it itself, not by a weak reference:
/// what is kept is worth more than the pictures that use it, its folders are locked by this process, and somebody
/// must let them go when the process ends, whatever requests are still there then.
#[derive(Debug, Default)]
pub struct CacheState {
    held: Mutex<Option<Held>>,
    /// Why its folders, or all of it, could not be opened.
    problem: Mutex<Option<Arc<str>>>,
}

/// The cache.
#[derive(Clone, Debug)]
pub struct Held {
    /// It.
    pub shared: Arc<SharedCache>,
}

impl CacheState {
    /// The cache, once there is one.
    pub fn get(&self) -> Option<Held> {
        self.held.lock().clone()
    }

    /// From now on this one, or none.
    pub fn set(&self, held: Option<Held>) {
        // The old one may be the last of its kind: it ends after the lock.
        let _old = std::mem::replace(&mut *self.held.lock(), held);
    }

    /// The cache, for whoever ends it.
    pub fn take(&self) -> Option<Held> {
        self.held.lock().take()
    }

    /// Why the cache is not what the configuration says.
    pub fn problem(&self) -> Option<Arc<str>> {
        self.problem.lock().clone()
    }

    /// From now on this is wrong with it, or nothing.
    pub fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock() = problem.map(Arc::from);
    }
}
