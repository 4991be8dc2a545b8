//! What plugins keep over reloads: their shared values and their switches.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Registry;

/// A value that a plugin shares with its successor.
pub type Shared = Arc<dyn Any + Send + Sync>;

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

#[derive(Debug, Default)]
struct Values {
    entries: HashMap<ValueId, Weak<dyn Any + Send + Sync>>,
    purge_at: usize,
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
        make: &mut dyn FnMut() -> Shared,
    ) -> Shared {
        let id = ValueId {
            kind,
            plugin: Arc::clone(plugin),
            key: key.into(),
        };
        let known = |values: &Values| values.entries.get(&id).and_then(Weak::upgrade);
        if let Some(value) = known(&self.values.lock()) {
            return value;
        }
        // Not under the lock: it is code of a plugin, and may ask for another value.
        let made = make();
        let mut values = self.values.lock();
        if let Some(value) = known(&values) {
            return value;
        }
        if values.entries.len() >= values.purge_at {
            values.purge();
        }
        values.entries.insert(id, Arc::downgrade(&made));
        made
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
        self.entries.retain(|_, value| value.strong_count() > 0);
        let left = self.entries.len();
        self.purge_at = left * 2 + SLACK;
        before - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn number(state: &PluginState, kind: &'static str, plugin: &str, key: &str, n: u32) -> Shared {
        state.shared(kind, &plugin.into(), key, &mut || Arc::new(n))
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
            number(&state, "k", "p", "inner", 7)
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
