//! Taking back what is stored: removed objects, and purges in the store.

use farmgate_store::purge::{Kind, Purge, Scope, Ticket};

use super::{Found, SharedCache};
use crate::cache::key::KeyHash;

impl SharedCache {
    /// An accepted unsafe request changed what this key stands for (RFC 9111 section 4.4): all variants are gone, and
    /// what is fetched just now is not stored.
    pub fn invalidate(&self, primary: KeyHash) {
        self.flights.doom(&primary);
        self.unstored.forget_key(&primary);
        // Without the list of its variants none of them is found again.
        self.store.remove(&self.store.key(&primary.0, &[]));
    }

    /// Forgets one stored response: the origin said something that forbids it.
    pub fn forget(&self, found: &Found) {
        self.store.remove(&found.key);
    }

    /// Purges. In force when it returns; the ticket resolves when that survives a crash. Gives the purge's number in the
    /// stream of this node, too.
    pub fn purge(&self, scope: Scope, kind: Kind) -> (u64, Ticket) {
        self.store.purge(Purge {
            scope,
            kind,
            at_ms: self.now().cache_ms,
        })
    }
}
