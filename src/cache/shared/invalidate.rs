//! Taking back what is stored: removed objects, and purges in the store.

use std::sync::atomic::Ordering;

use farmgate_store::purge::{Applied, Gone, Numbered, Scope, TicketError};

use super::others::journalled;
use super::{Found, Place, SharedCache};
use crate::cache::key::KeyHash;

/// Invalidations by URL in an hour: a sixty-fourth of the purges in force.
const MOST_URLS_AN_HOUR: u32 = 1024;
/// What purges of another node came to.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// Those that were put in force now.
    pub new: usize,
    /// Those that had been applied before.
    pub known: usize,
    /// Those from this number on are missing; ask the other node for them.
    pub missing_from: Option<u64>,
    /// So many other nodes are known already that this one has no position: its purges count as new each time.
    pub too_many_nodes: bool,
    /// Whether they survive a crash.
    pub journal: Result<(), TicketError>,
}

impl SharedCache {
    /// [`SharedCache::invalidate`] in this process alone.
    pub fn invalidate_here(&self, primary: KeyHash) {
        self.flights.doom(&primary);
        self.unstored.forget_key(&primary);
        self.forget_key(primary);
    }

    /// What stands at a place of a key, or comes there just now, is not to be found again, nor what stands at the key.
    pub fn take_back(&self, place: &Place) {
        let store = self.store();
        store.remove(&store.key(&place.primary.0, place.variance()));
        self.forget_key(place.primary);
    }

    /// Forgets what is stored under a key. Without the list of its variants none of them is found again.
    fn forget_key(&self, primary: KeyHash) {
        let store = self.store();
        store.remove(&store.key(&primary.0, &[]));
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
        self.invalidate_scope(scope);
    }

    /// Forgets one stored response: the origin said something that forbids it.
    pub fn forget(&self, found: &Found) {
        let store = self.store();
        // The key of the store in which it was found may be none of the one there is now.
        let key = store.key(found.key.primary(), found.key.variance());
        store.remove(&key);
    }

    /// What the stream of this node's own purges is called among nodes. Another one than before where the numbers
    /// begin anew: at each start without folders, and with folders that were made anew.
    pub fn stream(&self) -> u64 {
        self.stream.load(Ordering::Relaxed)
    }

    /// This node's own purges from a number on, in order, at most `most`.
    ///
    /// # Errors
    /// They are not kept any more.
    pub fn purges_since(&self, from: u64, most: usize) -> Result<Vec<Numbered>, Gone> {
        self.store().purges_since(self.stream(), from, most)
    }

    /// Applies purges of another node, in order. Doing so again changes nothing.
    pub async fn replay(&self, purges: &[Numbered]) -> Replayed {
        let mut replayed = Replayed {
            new: 0,
            known: 0,
            missing_from: None,
            too_many_nodes: false,
            journal: Ok(()),
        };
        let mut tickets = Vec::with_capacity(purges.len());
        for purge in purges {
            let (applied, ticket) = self.store().apply(purge);
            tickets.push(ticket);
            if let Some(others) = self.others.get()
                && applied != Applied::Known
            {
                others.tell(purge.purge);
            }
            match applied {
                Applied::Known => replayed.known += 1,
                Applied::New => replayed.new += 1,
                Applied::Gap(first) => {
                    replayed.new += 1;
                    replayed.missing_from.get_or_insert(first);
                }
                Applied::TooManyNodes => {
                    replayed.new += 1;
                    replayed.too_many_nodes = true;
                }
            }
        }
        replayed.journal = journalled(tickets).await;
        replayed
    }
}
