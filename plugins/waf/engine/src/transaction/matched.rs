//! MATCHED_VAR and its kin: what the conditions of the rule at work have matched.

use crate::operators::Captures;
use crate::seclang::Variable;

/// A value for which a condition holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) variable: Variable,
    pub(crate) count: bool,
    /// Its name in the collection; empty for a variable that is none.
    pub(crate) name: Vec<u8>,
    /// As the operator saw it.
    pub(crate) value: Vec<u8>,
    pub(crate) captures: Option<Captures>,
}

impl Found {
    /// `ARGS:q`, `&ARGS`, `REQUEST_URI`.
    pub(crate) fn display(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.name.len() + 20);
        self.write_display(&mut out);
        out
    }

    pub(crate) fn write_display(&self, out: &mut Vec<u8>) {
        if self.count {
            out.push(b'&');
        }
        if self.variable == Variable::Xml {
            out.extend_from_slice(b"XML:");
            out.extend_from_slice(&self.name);
            return;
        }
        out.extend_from_slice(self.variable.word().as_bytes());
        if !self.name.is_empty() && self.variable.is_collection() {
            out.push(b':');
            out.extend_from_slice(&self.name);
        }
    }
}

/// Most values that one chain keeps for MATCHED_VARS.
const KEPT: usize = 256;

/// The values matched by the rule at work, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    found: Vec<Found>,
}

impl Matched {
    /// A new rule begins.
    pub(crate) fn clear(&mut self) {
        self.found.clear();
    }

    /// Adds a value; beyond the bound the last one gives way, as MATCHED_VAR is the newest.
    pub(crate) fn push(&mut self, found: Found) {
        if self.found.len() >= KEPT {
            self.found.pop();
        }
        self.found.push(found);
    }

    pub(crate) fn last(&self) -> Option<&Found> {
        self.found.last()
    }

    pub(crate) fn all(&self) -> &[Found] {
        &self.found
    }
}
