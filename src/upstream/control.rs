//! Runtime changes by an operator: drain, enable, weight.
//!
//! A change belongs to a configured entry. It stays over reloads as long as that entry stays as
//! it is, and is dropped when a reload changes or removes the entry.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::moved::MovedChange;

/// Runtime changes kept per upstream.
const MAX_CONTROLS: usize = 1024;

/// What an operator asks for one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// No new requests; those in flight end.
    Drain,
    /// Ends a drain. A weight set at runtime stays.
    Enable,
    /// A weight in 0..=1,000,000 instead of the configured one; 0 gets nothing.
    Weight(u32),
}

/// Why a runtime change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// No entry and no resolved address of this upstream has this text.
    UnknownEndpoint,
    /// The weight is above 1,000,000.
    WeightOutOfRange,
    /// 1,024 runtime changes are kept already.
    TooMany,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownEndpoint => "the upstream has no such endpoint",
            Self::WeightOutOfRange => "a weight is a number from 0 to 1000000",
            Self::TooMany => "too many runtime changes for this upstream",
        })
    }
}

impl std::error::Error for ControlError {}

/// The part of a configured entry that, when changed, ends runtime changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPrint {
    pub(super) configured: Arc<str>,
    pub(super) weight: u32,
    pub(super) priority: u8,
    pub(super) zone: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Kept {
    entry: EntryPrint,
    drained: bool,
    weight: Option<u32>,
}

/// What is in force for one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InForce {
    pub(super) drained: bool,
    pub(super) weight: Option<u32>,
}

/// All runtime changes of one upstream, by address text.
#[derive(Debug, Default)]
pub(super) struct Controls(Mutex<BTreeMap<Box<str>, Kept>>);

impl EntryPrint {
    /// True if this is the entry a change of another process belongs to, with nothing changed.
    pub(super) fn is_of(&self, moved: &MovedChange) -> bool {
        *self.configured == *moved.configured
            && self.weight == moved.entry_weight
            && self.priority == moved.entry_priority
            && self.zone.as_deref() == moved.entry_zone.as_deref()
    }
}

impl Controls {
    /// Keeps a change for the address `text`, which belongs to `entry`.
    pub(super) fn apply(
        &self,
        text: &str,
        entry: EntryPrint,
        control: Control,
    ) -> Result<(), ControlError> {
        let mut kept = self.0.lock();
        if !kept.contains_key(text) && kept.len() >= MAX_CONTROLS {
            return Err(ControlError::TooMany);
        }
        let change = kept.entry(text.into()).or_insert_with(|| Kept {
            entry: entry.clone(),
            drained: false,
            weight: None,
        });
        if change.entry != entry {
            *change = Kept {
                entry,
                drained: false,
                weight: None,
            };
        }
        match control {
            Control::Drain => change.drained = true,
            Control::Enable => change.drained = false,
            Control::Weight(weight) => change.weight = Some(weight),
        }
        if !change.drained && change.weight.is_none() {
            kept.remove(text);
        }
        Ok(())
    }

    /// What holds for the member `address` of `entry`. A weight of the address itself wins over
    /// one of its entry; a drain of either holds.
    pub(super) fn in_force(&self, entry: &EntryPrint, address: &str) -> InForce {
        let kept = self.0.lock();
        if kept.is_empty() {
            return InForce::default();
        }
        let find = |text: &str| kept.get(text).filter(|change| change.entry == *entry);
        let (whole, own) = (find(&entry.configured), find(address));
        InForce {
            drained: whole.is_some_and(|change| change.drained)
                || own.is_some_and(|change| change.drained),
            weight: own
                .and_then(|change| change.weight)
                .or(whole.and_then(|change| change.weight)),
        }
    }

    /// All changes, for another process; `upstream` is the name of theirs.
    pub(super) fn moved(&self, upstream: &str) -> Vec<MovedChange> {
        let kept = self.0.lock();
        let moved = kept.iter().map(|(address, change)| MovedChange {
            upstream: upstream.to_owned(),
            address: address.to_string(),
            configured: change.entry.configured.to_string(),
            entry_weight: change.entry.weight,
            entry_priority: change.entry.priority,
            entry_zone: change.entry.zone.as_deref().map(str::to_owned),
            drained: change.drained,
            weight: change.weight,
        });
        moved.collect()
    }

    /// Takes over a change of another process for this entry; false when there is no room. A change that was made
    /// here stays.
    pub(super) fn take_over(&self, entry: EntryPrint, moved: &MovedChange) -> bool {
        let mut kept = self.0.lock();
        let room = kept.len() < MAX_CONTROLS || kept.contains_key(moved.address.as_str());
        if room {
            kept.entry(moved.address.as_str().into())
                .or_insert_with(|| Kept {
                    entry,
                    drained: moved.drained,
                    weight: moved.weight,
                });
        }
        room
    }

    /// Lets changes follow entries that discovery gave another weight, priority or zone. Those of
    /// addresses that are gone stay, for the case that they come back.
    pub(super) fn follow(&self, entries: &[EntryPrint]) {
        let mut kept = self.0.lock();
        if kept.is_empty() {
            return;
        }
        let by_text: BTreeMap<&str, &EntryPrint> = entries
            .iter()
            .map(|entry| (&*entry.configured, entry))
            .collect();
        for change in kept.values_mut() {
            if let Some(&entry) = by_text.get(&*change.entry.configured) {
                change.entry = entry.clone();
            }
        }
    }

    /// Forgets changes whose entry is not among `entries` any more.
    pub(super) fn retain(&self, entries: &[EntryPrint]) {
        self.0
            .lock()
            .retain(|_, change| entries.contains(&change.entry));
    }
}
