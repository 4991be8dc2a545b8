//! Taking back what is stored: removed objects, and purges in the store.

use farmgate_store::purge::{Kind, Purge, Scope, Ticket};

use super::{Found, SharedCache};
use crate::cache::key::KeyHash;

/// Invalidations by URL in an hour: a sixty-fourth of the purges in force.
const MOST_URLS_AN_HOUR: u32 = 1024;

impl SharedCache {
    /// An accepted unsafe request changed what this key stands for (RFC 9111 section 4.4): all variants are gone, and
    /// what is fetched just now is not stored.
    pub fn invalidate(&self, primary: KeyHash) {
        self.flights.doom(&primary);
        self.unstored.forget_key(&primary);
        // Without the list of its variants none of them is found again.
        self.store.remove(&self.store.key(&primary.0, &[]));
    }

    /// The same for all that one URL stands for, whatever else is in their keys. It takes a place among the purges in
    /// force, of which there are so many; so that nobody can push out those of operators by writing much, only so many are
    /// made in an hour. Beyond that the copies of other clients live until they are stale.
    pub fn invalidate_url(&self, scope: Scope) {
        let hour = self.started.elapsed().as_secs() / 3600;
        let mut made = self.invalidated.lock();
        if made.0 != hour {
            *made = (hour, 0);
        }
        if made.1 >= MOST_URLS_AN_HOUR {
            return;
        }
        made.1 += 1;
        drop(made);
        // Not waited for: it is in force now, and an invalidation need not survive a crash of the node.
        drop(self.purge(scope, Kind::Hard));
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
