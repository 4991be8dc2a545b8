//! Values by identity, kept alive by their users only.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Entries that may be dead before an insertion purges by itself.
const SLACK: usize = 64;

/// A table of shared values. It never keeps a value alive, so it is bounded by what is in use:
/// an insertion purges when the table has doubled since the last purge.
#[derive(Debug)]
pub struct Registry<K, V> {
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    entries: HashMap<K, Weak<V>>,
    purge_at: usize,
}

impl<K, V> Default for Registry<K, V> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: HashMap::new(),
                purge_at: SLACK,
            }),
        }
    }
}

impl<K: Eq + Hash, V> Registry<K, V> {
    /// The value of `key`; made if nobody uses one. `make` runs under the lock, so it may not
    /// call the registry.
    pub fn get_or_insert(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut inner = self.inner.lock();
        if let Some(value) = inner.entries.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        if inner.entries.len() >= inner.purge_at {
            inner.purge();
        }
        let value = Arc::new(make());
        inner.entries.insert(key, Arc::downgrade(&value));
        value
    }

    /// The value of `key`, if it is in use.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.inner.lock().entries.get(key).and_then(Weak::upgrade)
    }

    /// The values in use, with their identities.
    pub fn living(&self) -> Vec<(K, Arc<V>)>
    where
        K: Clone,
    {
        let inner = self.inner.lock();
        let living = inner.entries.iter();
        living
            .filter_map(|(key, value)| Some((key.clone(), value.upgrade()?)))
            .collect()
    }

    /// Frees the entries nobody uses. Returns how many.
    pub fn purge(&self) -> usize {
        self.inner.lock().purge()
    }

    /// Entries in the table, unused ones that were not purged yet too.
    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// True if the table has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash, V> Inner<K, V> {
    fn purge(&mut self) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, value| value.strong_count() > 0);
        let left = self.entries.len();
        self.purge_at = left * 2 + SLACK;
        before - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_value_stays_while_it_is_used_and_goes_with_its_last_user() {
        let registry: Registry<String, AtomicU32> = Registry::default();
        let old = registry.get_or_insert("app".into(), AtomicU32::default);
        old.store(7, Ordering::Relaxed);
        // A reload: the new snapshot asks before the old one is dropped.
        let new = registry.get_or_insert("app".into(), AtomicU32::default);
        drop(old);
        assert_eq!(new.load(Ordering::Relaxed), 7);
        assert_eq!(registry.purge(), 0);
        drop(new);
        assert!(registry.get("app").is_none());
        assert_eq!(registry.purge(), 1);
        assert!(registry.is_empty());
        let fresh = registry.get_or_insert("app".into(), AtomicU32::default);
        assert_eq!(fresh.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn identities_do_not_share() {
        let registry: Registry<u8, AtomicU32> = Registry::default();
        let (one, two) = (
            registry.get_or_insert(1, AtomicU32::default),
            registry.get_or_insert(2, AtomicU32::default),
        );
        assert!(!Arc::ptr_eq(&one, &two));
    }

    #[test]
    fn dead_entries_do_not_pile_up() {
        let registry: Registry<u32, u32> = Registry::default();
        let living: Vec<_> = (0..10)
            .map(|key| registry.get_or_insert(key, || key))
            .collect();
        for key in 10..100_000 {
            drop(registry.get_or_insert(key, || key));
        }
        assert!(registry.len() <= 2 * living.len() + SLACK + 1);
        assert!((0..10).all(|key| registry.get(&key).is_some()));
    }
}
