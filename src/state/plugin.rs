//! What plugins keep over reloads: their shared values and their switches. Values that say how are kept over
//! upgrades too.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Registry;

/// A value that a plugin shares with its successor.
pub type Shared = Arc<dyn Any + Send + Sync>;

/// A shared value, and how it is taken along to another process if that can be done.
pub type Made = (Shared, Option<Arc<dyn Keep>>);

/// Takes a value along to another process. It refers to the value weakly: the table keeps nothing alive.
pub trait Keep: Send + Sync {
    /// The value in at most `most_bytes`; none if it is gone.
    fn save(&self, most_bytes: usize) -> Option<SavedValue>;
    /// Takes over what was saved `age` ago; how many entries, or why it cannot be read.
    ///
    /// # Errors
    /// The bytes cannot be read.
    fn restore(&self, saved: &[u8], age: Duration) -> Result<usize, String>;
}

/// A value in bytes. They may hold values of requests and secrets: it is not to be shown.
pub struct SavedValue {
    /// What `restore` reads.
    pub bytes: Vec<u8>,
    /// Entries in it.
    pub entries: usize,
    /// Entries that found no room.
    pub left_out: usize,
}

/// Entries that may be dead before an insertion purges by itself.
const SLACK: usize = 64;

/// Whose value it is. The kind stands for the value's type: a kind keeps one type under a key, and
/// the code of a kind cannot change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ValueId {
    kind: &'static str,
    plugin: Arc<str>,
    key: Box<str>,
}

struct Value {
    value: Weak<dyn Any + Send + Sync>,
    keep: Option<Arc<dyn Keep>>,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("users", &self.value.strong_count())
            .field("is_kept", &self.keep.is_some())
            .finish()
    }
}

#[derive(Debug, Default)]
struct Values {
    entries: HashMap<ValueId, Value>,
    purge_at: usize,
}

/// Whose value it is, for another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptId {
    /// The plugin's kind.
    pub kind: String,
    /// Its name.
    pub plugin: String,
    /// What it calls the value.
    pub key: String,
}

/// All state of plugins. Like every table here it keeps nothing alive.
#[derive(Debug, Default)]
pub struct PluginState {
    values: Mutex<Values>,
    switches: Registry<Arc<str>, AtomicBool>,
}

impl PluginState {
    /// The value of a plugin under `key`, made by `make` if nobody uses one.
    pub fn shared(
        &self,
        kind: &'static str,
        plugin: &Arc<str>,
        key: &str,
        make: &mut dyn FnMut() -> Made,
    ) -> Shared {
        let id = ValueId {
            kind,
            plugin: Arc::clone(plugin),
            key: key.into(),
        };
        let known = |values: &Values| values.entries.get(&id)?.value.upgrade();
        if let Some(value) = known(&self.values.lock()) {
            return value;
        }
        // Not under the lock: it is code of a plugin, and may ask for another value.
        let (made, keep) = make();
        let mut values = self.values.lock();
        if let Some(value) = known(&values) {
            return value;
        }
        if values.entries.len() >= values.purge_at {
            values.purge();
        }
        let value = Arc::downgrade(&made);
        values.entries.insert(id, Value { value, keep });
        made
    }

    /// How the values in use are taken along, in the order of their identities.
    pub fn kept(&self) -> Vec<(KeptId, Arc<dyn Keep>)> {
        let values = self.values.lock();
        let living = values
            .entries
            .iter()
            .filter(|(_, value)| value.value.strong_count() > 0);
        let kept = living.filter_map(|(id, value)| {
            let id = KeptId {
                kind: id.kind.to_owned(),
                plugin: id.plugin.to_string(),
                key: id.key.to_string(),
            };
            Some((id, Arc::clone(value.keep.as_ref()?)))
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        kept
    }

    /// The plugins that an operator has switched off.
    pub fn switched_off(&self) -> Vec<Arc<str>> {
        let off = |(_, on): &(Arc<str>, Arc<AtomicBool>)| !on.load(Ordering::Relaxed);
        let switches = self.switches.living().into_iter();
        switches.filter(off).map(|(name, _)| name).collect()
    }

    /// Switches a plugin off; false if there is none of this name.
    pub fn switch_off(&self, plugin: &str) -> bool {
        let switch = self.switches.get(plugin);
        switch.is_some_and(|on| {
            on.store(false, Ordering::Relaxed);
            true
        })
    }

    /// The operator's switch of a plugin; on when nobody uses one yet.
    pub fn switch(&self, plugin: &str) -> Arc<AtomicBool> {
        self.switches
            .get_or_insert(plugin.into(), || AtomicBool::new(true))
    }

    /// Frees entries nothing uses any more. Returns how many.
    pub fn purge(&self) -> usize {
        self.values.lock().purge() + self.switches.purge()
    }
}

impl Values {
    fn purge(&mut self) -> usize {
        let before = self.entries.len();
        self.entries
            .retain(|_, value| value.value.strong_count() > 0);
        let left = self.entries.len();
        self.purge_at = left * 2 + SLACK;
        before - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(state: &PluginState, kind: &'static str, plugin: &str, key: &str, n: u32) -> Shared {
        state.shared(kind, &plugin.into(), key, &mut || (Arc::new(n), None))
    }

    fn value(shared: &Shared) -> u32 {
        *shared.downcast_ref::<u32>().unwrap()
    }

    #[test]
    fn a_value_is_found_by_kind_plugin_and_key_while_it_is_used() {
        let state = PluginState::default();
        let first = number(&state, "rate_limit", "edge", "a", 1);
        let again = number(&state, "rate_limit", "edge", "a", 2);
        assert_eq!(value(&again), 1);
        for (kind, plugin, key) in [
            ("rate_limit", "edge", "b"),
            ("rate_limit", "other", "a"),
            ("api_key", "edge", "a"),
        ] {
            assert_eq!(value(&number(&state, kind, plugin, key, 3)), 3);
        }
        drop((first, again));
        assert_eq!(value(&number(&state, "rate_limit", "edge", "a", 4)), 4);
        assert_eq!(state.purge(), 4);
    }

    #[test]
    fn making_a_value_may_ask_for_another() {
        let state = PluginState::default();
        let outer = state.shared("k", &"p".into(), "outer", &mut || {
            (number(&state, "k", "p", "inner", 7), None)
        });
        assert_eq!(value(&outer), 7);
    }

    #[test]
    fn dead_values_do_not_pile_up() {
        let state = PluginState::default();
        for n in 0..10_000 {
            drop(number(&state, "k", "p", &n.to_string(), n));
        }
        assert!(state.values.lock().entries.len() <= SLACK + 1);
    }

    #[test]
    fn a_switch_stays_while_the_plugin_is_configured() {
        let state = PluginState::default();
        let old = state.switch("edge");
        assert!(old.load(Ordering::Relaxed));
        old.store(false, Ordering::Relaxed);
        let new = state.switch("edge");
        drop(old);
        assert!(!new.load(Ordering::Relaxed));
        drop(new);
        assert!(state.switch("edge").load(Ordering::Relaxed));
    }
}
