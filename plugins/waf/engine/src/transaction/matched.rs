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

/// Most values that one chain keeps for MATCHED_VARS. Later links look at these values alone: what is not
/// kept is not seen, so whoever passes the bound must not pass the firewall. Far above what a request
/// of usual limits can hold.
pub(crate) const KEPT: usize = 65_536;

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

    /// Adds a value. Beyond the bound the last one gives way, as MATCHED_VAR is the newest; false then.
    pub(crate) fn push(&mut self, found: Found) -> bool {
        let full = self.found.len() >= KEPT;
        if full {
            self.found.pop();
        }
        self.found.push(found);
        !full
    }

    pub(crate) fn last(&self) -> Option<&Found> {
        self.found.last()
    }

    pub(crate) fn all(&self) -> &[Found] {
        &self.found
    }
}
