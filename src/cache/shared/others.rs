//! Purges and invalidations, here and in the other processes of the node: while an upgrade drains there are several, each
//! with what it holds in memory.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use farmgate_store::purge::{Kind, Purge, Scope, Ticket, TicketError};

use super::SharedCache;
use crate::cache::key::KeyHash;

/// How long an order to purge waits for the journal. The purge is in force meanwhile.
const JOURNAL: Duration = Duration::from_secs(10);

/// What the other processes made of purges: the number of the last one where one of them writes the journal, or who
/// did not confirm it.
pub type Confirmed = Pin<Box<dyn Future<Output = Result<Option<u64>, String>> + Send>>;

/// The other processes of the node.
pub trait Others: Send + Sync + std::fmt::Debug {
    /// The number of the present share of work between them; none while it changes. An order that saw it change says
    /// so, since it may have missed one.
    fn turn(&self) -> Option<u64>;

    /// Has all of them purge, and waits for that, not for long.
    fn purge(&self, purges: &[Purge]) -> Confirmed;

    /// Has all of them purge, without an answer.
    fn tell(&self, purge: Purge);

    /// Has all of them forget what stands at a key, without an answer.
    fn gone(&self, primary: KeyHash);
}

/// What an order to purge came to. The purges are in force in this process.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The number of the last of them in the stream of this node.
    pub number: u64,
    /// Whether they survive a crash.
    pub journal: Result<(), TicketError>,
    /// Whether they are in force in every other process of the node, or who did not confirm it.
    pub others: Result<(), String>,
}

/// Another process takes over just now: to be asked again in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandingOver;

pub(super) async fn journalled(tickets: Vec<Ticket>) -> Result<(), TicketError> {
    let all = async {
        for ticket in tickets {
            ticket.await?;
        }
        Ok(())
    };
    let written = tokio::time::timeout(JOURNAL, all).await;
    written.unwrap_or(Err(TicketError::TooSlow))
}

impl SharedCache {
    /// From now on these are told what changes. Only the first ones count.
    pub fn set_others(&self, others: std::sync::Arc<dyn Others>) {
        // One server sets it, once for each cache.
        let _ = self.others.set(others);
    }

    /// Purges scopes, as one order: all are in force before the first is waited for. Answers once that survives a
    /// crash and every other process of the node has said so, or has not in time.
    ///
    /// # Errors
    /// Another process takes over.
    pub async fn purge_all(&self, scopes: &[Scope], kind: Kind) -> Result<Ordered, HandingOver> {
        let at_ms = self.now().cache_ms;
        let purges: Vec<Purge> = scopes
            .iter()
            .map(|scope| Purge {
                scope: *scope,
                kind,
                at_ms,
            })
            .collect();
        self.order(&purges).await
    }

    /// The same for purges that were ordered somewhere else.
    ///
    /// # Errors
    /// Another process takes over.
    pub async fn order(&self, purges: &[Purge]) -> Result<Ordered, HandingOver> {
        let others = self.others.get();
        let turn = match others.map(|others| others.turn()) {
            Some(None) => return Err(HandingOver),
            Some(turn) => turn,
            None => None,
        };
        let (number, tickets) = self.purge_here(purges);
        let confirmed = async {
            match others {
                Some(others) => others.purge(purges).await,
                None => Ok(None),
            }
        };
        let (journal, confirmed) = tokio::join!(journalled(tickets), confirmed);
        if others.and_then(|others| others.turn()) != turn {
            return Err(HandingOver);
        }
        Ok(match confirmed {
            // The journal is another process's.
            Ok(Some(number)) => Ordered {
                number,
                journal: Ok(()),
                others: Ok(()),
            },
            confirmed => Ordered {
                number,
                journal,
                others: confirmed.map(drop),
            },
        })
    }

    /// Purges in this process alone. In force when it returns.
    pub fn purge_here(&self, purges: &[Purge]) -> (u64, Vec<Ticket>) {
        let store = self.store();
        let mut number = 0;
        let mut tickets = Vec::with_capacity(purges.len());
        for purge in purges {
            let (own, ticket) = store.purge(*purge);
            number = own;
            tickets.push(ticket);
        }
        (number, tickets)
    }

    /// Purges without waiting for anything: an accepted unsafe request changed what the scope stands for.
    pub fn invalidate_scope(&self, scope: Scope) {
        let purge = Purge {
            scope,
            kind: Kind::Hard,
            at_ms: self.now().cache_ms,
        };
        // It is in force now, and an invalidation need not survive a crash of the node.
        drop(self.purge_here(&[purge]));
        if let Some(others) = self.others.get() {
            others.tell(purge);
        }
    }

    /// An accepted unsafe request changed what this key stands for (RFC 9111 section 4.4): all variants are gone, and
    /// what is fetched just now is not stored.
    pub fn invalidate(&self, primary: KeyHash) {
        self.invalidate_here(primary);
        if let Some(others) = self.others.get() {
            others.gone(primary);
        }
    }
}
