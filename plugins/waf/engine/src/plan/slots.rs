//! Names of the collection TX, interned when rules are compiled: a name in a rule becomes a number.

use std::collections::HashMap;

use crate::operators::regex::Regex;

/// Number of a name in TX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u16);

/// How many slots `capture` fills: TX:0 to TX:9, which are the first ones.
pub(crate) const CAPTURES: usize = 10;

/// The names, in lower case, as `setvar` and selectors ignore the letter case.
#[derive(Debug)]
pub(crate) struct Slots {
    names: Vec<Box<[u8]>>,
    by_name: HashMap<Box<[u8]>, Slot>,
}

impl Slots {
    /// The slots of captures alone.
    pub(crate) fn new() -> Self {
        let mut slots = Self {
            names: Vec::new(),
            by_name: HashMap::new(),
        };
        for digit in b'0'..=b'9' {
            slots.intern(&[digit]);
        }
        slots
    }

    /// The slot of a name, made if there is none. Rule files have some hundred names; what does not
    /// fit into a `u16` shares the last slot, which no real rule set reaches.
    pub(crate) fn intern(&mut self, name: &[u8]) -> Slot {
        let name = name.to_ascii_lowercase().into_boxed_slice();
        if let Some(slot) = self.by_name.get(&name) {
            return *slot;
        }
        let slot = Slot(u16::try_from(self.names.len()).unwrap_or(u16::MAX));
        self.names.push(name.clone());
        self.by_name.insert(name, slot);
        slot
    }

    /// The slot of a name in lower case, if rules name it.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Slot> {
        self.by_name.get(name).copied()
    }

    /// The name of a slot.
    pub(crate) fn name(&self, slot: Slot) -> &[u8] {
        self.names.get(usize::from(slot.0)).map_or(b"", |name| name)
    }

    /// The slots whose names a pattern takes.
    pub(crate) fn matching(&self, pattern: &Regex) -> Box<[Slot]> {
        let slots = self.names.iter().zip(0u16..);
        slots
            .filter(|(name, _)| pattern.is_match(name))
            .map(|(_, slot)| Slot(slot))
            .collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}
