//! The purges of this node as a numbered stream, and how far those of others have been applied.

use std::collections::{HashMap, VecDeque};

use super::Purge;

/// Purges of this node that can be asked for again.
pub(crate) const KEPT: usize = 16_384;
/// Other nodes whose position is known.
pub(crate) const NODES: usize = 256;

/// A purge of the stream of the node that ordered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The node.
    pub node: u64,
    /// Its number there, from 1, without gaps.
    pub number: u64,
    /// The purge.
    pub purge: Purge,
}

/// What became of a purge from another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in force.
    New,
    /// It had been applied before; nothing was done.
    Known,
    /// It is in force, but those from this number on are missing: ask the node for them.
    Gap(u64),
    /// It is in force, but [`NODES`] other nodes are known already: its stream has no position here, and every
    /// purge of it counts as new.
    TooManyNodes,
}

/// The purges from the asked number on are not kept any more: purge everything instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The first number that is kept.
    pub first: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The number of the last one.
    last: u64,
    kept: VecDeque<Purge>,
    /// Up to which number all purges of a node have been applied.
    nodes: HashMap<u64, u64>,
}

impl Stream {
    /// Gives a purge of this node its number.
    pub(crate) fn number(&mut self, purge: Purge) -> u64 {
        self.last += 1;
        self.keep(purge);
        self.last
    }

    fn keep(&mut self, purge: Purge) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(purge);
    }

    /// Puts back what a journal said: purges of this node, in order.
    pub(crate) fn restore_own(&mut self, number: u64, purge: Option<Purge>) {
        match purge {
            Some(purge) if number == self.last + 1 || self.kept.is_empty() => {
                self.last = number;
                self.keep(purge);
            }
            // A gap: what came before it cannot be given any more.
            Some(purge) if number > self.last => {
                self.kept.clear();
                self.last = number;
                self.keep(purge);
            }
            Some(_) => {}
            None if number > self.last => {
                self.kept.clear();
                self.last = number;
            }
            None => {}
        }
    }

    /// Puts back how far another node's purges were applied.
    pub(crate) fn restore_node(&mut self, node: u64, number: u64) {
        let known = self.nodes.len();
        if self.nodes.contains_key(&node) || known < NODES {
            let position = self.nodes.entry(node).or_default();
            *position = number.max(*position);
        }
    }

    /// What a purge of another node is, and whether it has to be put in force.
    pub(crate) fn see(&mut self, node: u64, number: u64) -> Applied {
        if !self.nodes.contains_key(&node) && self.nodes.len() >= NODES {
            return Applied::TooManyNodes;
        }
        let position = self.nodes.entry(node).or_default();
        if number <= *position {
            Applied::Known
        } else if number == *position + 1 {
            *position = number;
            Applied::New
        } else {
            Applied::Gap(*position + 1)
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    fn first(&self) -> u64 {
        self.last + 1 - self.kept.len() as u64
    }

    /// Own purges from number `from` on, at most `most`.
    pub(crate) fn since(&self, node: u64, from: u64, most: usize) -> Result<Vec<Numbered>, Gone> {
        let first = self.first();
        if from < first {
            return Err(Gone { first });
        }
        let skip = usize::try_from(from - first).unwrap_or(usize::MAX);
        let numbers = from..;
        Ok(numbers
            .zip(self.kept.iter().skip(skip).take(most))
            .map(|(number, purge)| Numbered {
                node,
                number,
                purge: *purge,
            })
            .collect())
    }

    pub(crate) fn own(&self) -> impl Iterator<Item = (u64, Purge)> {
        (self.first()..).zip(self.kept.iter().copied())
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (u64, u64)> {
        self.nodes.iter().map(|(node, number)| (*node, *number))
    }
}
