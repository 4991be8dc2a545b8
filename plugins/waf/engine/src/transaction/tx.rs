//! The collection TX of a transaction.

use std::collections::HashMap;
use std::sync::Arc;

use crate::plan::slots::{Slot, Slots};

/// A value in TX. Sums stay numbers, so that scores are never printed and read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TxValue {
    /// What `=+` and `=-` leave.
    Number(i64),
    /// Everything else; shared, as most values are constants of the rules.
    Bytes(Arc<[u8]>),
}

impl TxValue {
    /// The number it stands for, as `atoi` reads it.
    pub(crate) fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(bytes) => crate::operators::number(bytes),
        }
    }

    /// Appends its text.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => write_number(*number, out),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }
}

/// Appends a number in decimal.
pub(crate) fn write_number(number: i64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a Vec does not fail.
    let _ = write!(out, "{number}");
}

/// Most names that a transaction may make beyond those the rules name: rules make them out of
/// argument names, which clients choose.
pub(crate) const MAX_DYNAMIC: usize = 2048;

/// TX: the plan's initial values, under what this transaction wrote.
#[derive(Debug)]
pub(crate) struct Tx {
    initial: Arc<[Option<TxValue>]>,
    /// By slot; `None`: as in `initial`.
    written: Vec<Option<Option<TxValue>>>,
    dynamic: Vec<(Box<[u8]>, TxValue)>,
    by_name: HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>,
}

impl Tx {
    pub(crate) fn new(initial: &Arc<[Option<TxValue>]>) -> Self {
        Self {
            initial: Arc::clone(initial),
            written: Vec::new(),
            dynamic: Vec::new(),
            by_name: HashMap::default(),
        }
    }

    /// How many names were made up.
    pub(crate) fn made_up(&self) -> usize {
        self.dynamic.len()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&TxValue> {
        let at = usize::from(slot.0);
        match self.written.get(at) {
            Some(Some(value)) => value.as_ref(),
            _ => self.initial.get(at).and_then(Option::as_ref),
        }
    }

    pub(crate) fn set(&mut self, slot: Slot, value: Option<TxValue>) {
        let at = usize::from(slot.0);
        if self.written.len() <= at {
            self.written.resize(self.initial.len().max(at + 1), None);
        }
        if let Some(place) = self.written.get_mut(at) {
            *place = Some(value);
        }
    }

    /// A value by a name that was made up per request, in lower case.
    pub(crate) fn find(&self, slots: &Slots, name: &[u8]) -> Option<&TxValue> {
        match slots.find(name) {
            Some(slot) => self.get(slot),
            None => {
                let at = *self.by_name.get(name)?;
                self.dynamic.get(at as usize).map(|(_, value)| value)
            }
        }
    }

    /// Sets a value by such a name; false when there are too many.
    pub(crate) fn set_named(&mut self, slots: &Slots, name: &[u8], value: Option<TxValue>) -> bool {
        if let Some(slot) = slots.find(name) {
            self.set(slot, value);
            return true;
        }
        match (self.by_name.get(name).copied(), value) {
            (Some(at), Some(value)) => {
                if let Some(entry) = self.dynamic.get_mut(at as usize) {
                    entry.1 = value;
                }
            }
            (Some(at), None) => {
                let at = at as usize;
                if at < self.dynamic.len() {
                    self.by_name.remove(name);
                    self.dynamic.remove(at);
                    for place in self.by_name.values_mut() {
                        if *place as usize > at {
                            *place -= 1;
                        }
                    }
                }
            }
            (None, Some(value)) => {
                if self.dynamic.len() >= MAX_DYNAMIC {
                    return false;
                }
                let at = u32::try_from(self.dynamic.len()).unwrap_or(u32::MAX);
                self.by_name.insert(name.into(), at);
                self.dynamic.push((name.into(), value));
            }
            (None, None) => {}
        }
        true
    }

    /// Every value whose name the rules know.
    pub(crate) fn each(&self, slots: &Slots, visit: &mut dyn FnMut(&[u8], &TxValue)) {
        for at in 0..slots.len() {
            let Ok(at) = u16::try_from(at) else { break };
            if let Some(value) = self.get(Slot(at)) {
                visit(slots.name(Slot(at)), value);
            }
        }
    }

    /// The values under made-up names, in the order they were made.
    pub(crate) fn made_up_values(&self) -> impl Iterator<Item = (&[u8], &TxValue)> {
        self.dynamic.iter().map(|(name, value)| (&**name, value))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MAX_DYNAMIC, Tx, TxValue};
    use crate::plan::slots::Slots;

    fn bytes(text: &str) -> TxValue {
        TxValue::Bytes(text.as_bytes().into())
    }

    #[test]
    fn slots_lie_over_the_plans_values_and_names_beside_them() {
        let mut slots = Slots::new();
        let a = slots.intern(b"A");
        let b = slots.intern(b"b");
        let mut initial = vec![None; slots.len()];
        initial[usize::from(a.0)] = Some(bytes("5"));
        let mut tx = Tx::new(&Arc::from(initial));
        assert_eq!(tx.get(a).map(TxValue::number), Some(5));
        tx.set(a, None);
        tx.set(b, Some(TxValue::Number(7)));
        assert_eq!(
            (tx.get(a), tx.find(&slots, b"b")),
            (None, Some(&TxValue::Number(7)))
        );
        for name in ["x", "y", "z"] {
            assert!(tx.set_named(&slots, name.as_bytes(), Some(bytes(name))));
        }
        tx.set_named(&slots, b"y", None);
        let mut seen = Vec::new();
        tx.each(&slots, &mut |name, _| seen.push(name.to_vec()));
        seen.extend(tx.made_up_values().map(|(name, _)| name.to_vec()));
        assert_eq!(seen, [&b"b"[..], b"x", b"z"]);
        assert_eq!(tx.find(&slots, b"z"), Some(&bytes("z")));
    }

    #[test]
    fn made_up_names_are_bounded() {
        let slots = Slots::new();
        let mut tx = Tx::new(&Arc::from(vec![None; slots.len()]));
        for i in 0..MAX_DYNAMIC {
            assert!(tx.set_named(&slots, format!("n{i}").as_bytes(), Some(TxValue::Number(1))));
        }
        assert!(!tx.set_named(&slots, b"one more", Some(TxValue::Number(1))));
        assert!(tx.set_named(&slots, b"n0", Some(TxValue::Number(2))));
    }
}
