//! Everything that a phase asks of a string of certain classes, and how much of it is left when the
//! string's bytes are known.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::chains::{Chains, ROOT};
use super::checks::Asked;
use crate::transform::{ByteSet, Transformation};

/// A set of transformations, a bit each.
type Changes = u64;

/// Most answers that a profile keeps of [`Profile::left`].
const KEPT: usize = 64;

/// A transformation of what another step left, and the checks asked then.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) parent: u16,
    /// None for the first: the string as it is.
    pub(crate) transformation: Option<Transformation>,
    pub(crate) asked: Option<Asked>,
    /// The transformations that lie before it, its own among them.
    path: Changes,
}

/// The steps of a string; a step's parent stands before it.
#[derive(Debug)]
pub(crate) struct Profile {
    /// No other of this process has it.
    number: u64,
    steps: Vec<Step>,
    used: Vec<Transformation>,
    words: usize,
    left: RefCell<HashMap<Changes, Rc<Left>, foldhash::fast::RandomState>>,
}

/// What is to do for a string that some transformations may change.
#[derive(Debug)]
pub(crate) struct Left {
    /// Asked of the string as it is: of every step up to which nothing changes it.
    pub(crate) unchanged: Asked,
    /// The other steps.
    pub(crate) steps: Vec<u16>,
}

impl Profile {
    /// Puts what is asked after each list of transformations in order.
    pub(crate) fn new(chains: &Chains, words: usize, by_node: &[(u16, Asked)]) -> Self {
        let mut nodes: Vec<u16> = by_node
            .iter()
            .flat_map(|(node, _)| chains.path(*node))
            .collect();
        nodes.push(ROOT);
        nodes.sort_unstable();
        nodes.dedup();
        let mut steps: Vec<Step> = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let shape = chains.nodes().get(usize::from(*node));
            let parent = shape.map_or(ROOT, |shape| shape.parent);
            let parent = nodes.binary_search(&parent).unwrap_or(0);
            let transformation = shape.and_then(|shape| shape.transformation);
            let before = steps.get(parent).map_or(0, |step| step.path);
            steps.push(Step {
                parent: u16::try_from(parent).unwrap_or(0),
                transformation,
                asked: by_node
                    .iter()
                    .find(|(known, _)| known == node)
                    .map(|(_, asked)| asked.clone()),
                path: before | transformation.map_or(0, bit),
            });
        }
        let all = steps.iter().fold(0, |all, step| all | step.path);
        let used = Transformation::ALL
            .iter()
            .map(|(transformation, _)| *transformation)
            .filter(|transformation| all & bit(*transformation) != 0)
            .collect();
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            steps,
            used,
            words,
            left: RefCell::default(),
        }
    }

    /// A number that no other profile of this process has or had.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A step.
    pub(crate) fn step(&self, number: u16) -> Option<&Step> {
        self.steps.get(usize::from(number))
    }

    /// How many steps there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// What is to do for a string of these bytes.
    pub(crate) fn left(&self, present: &ByteSet) -> Rc<Left> {
        let changes = self
            .used
            .iter()
            .filter(|transformation| transformation.may_change(present))
            .fold(0, |all, transformation| all | bit(*transformation));
        let mut kept = self.left.borrow_mut();
        if let Some(left) = kept.get(&changes) {
            return Rc::clone(left);
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        let left = Rc::new(self.left_after(changes));
        kept.insert(changes, Rc::clone(&left));
        left
    }

    fn left_after(&self, changes: Changes) -> Left {
        let mut unchanged = Asked::new(self.words);
        let mut steps = Vec::new();
        for (step, number) in self.steps.iter().zip(0u16..) {
            if step.path & changes != 0 {
                steps.push(number);
                continue;
            }
            if let Some(asked) = &step.asked {
                unchanged.add_last(asked);
                // With `multiMatch` a step that changes nothing is not asked again.
                if step.transformation.is_none() {
                    unchanged.add_every(asked);
                }
            }
        }
        Left { unchanged, steps }
    }
}

fn bit(transformation: Transformation) -> Changes {
    1 << (transformation as u8)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Chains, Profile};
    use crate::transform::ByteSet;
    use crate::transform::Transformation::{Lowercase, RemoveNulls, UrlDecodeUni};

    #[test]
    fn what_cannot_change_a_string_is_asked_at_once() {
        let mut chains = Chains::new();
        let asked = |bits: u64| Asked {
            last: [bits].into(),
            every: [0].into(),
        };
        let by_node = [
            (chains.intern(&[]).unwrap(), asked(1)),
            (chains.intern(&[UrlDecodeUni]).unwrap(), asked(2)),
            (chains.intern(&[UrlDecodeUni, Lowercase]).unwrap(), asked(4)),
            (chains.intern(&[RemoveNulls]).unwrap(), asked(8)),
        ];
        let profile = Profile::new(&chains, 1, &by_node);
        for (text, bits, steps) in [
            ("word", 15, 0),
            ("Word", 11, 1),
            ("%41", 9, 2),
            ("\0", 7, 1),
        ] {
            let left = profile.left(&ByteSet::of(text.as_bytes()));
            assert_eq!(
                (left.unchanged.last[0], left.steps.len()),
                (bits, steps),
                "{text:?}"
            );
        }
    }
}
