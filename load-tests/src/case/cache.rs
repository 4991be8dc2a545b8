//! `[cache]` of `load.toml`: what is asked of a cache, and so what the origin behind it does.

use serde::Deserialize;

/// `[cache]` of `load.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CacheLoad {
    /// Which objects are asked for.
    pub(crate) asks: Asks,
}

/// Which objects are asked for. An object is the case's target with a number behind it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Asks {
    /// The same ones again and again, which the cache was shown before: each connection walks through all of them.
    Hits {
        /// How many there are.
        objects: u32,
    },
    /// A new one every time.
    Misses {},
    /// A new one by many clients at the same moment, at an origin that is slow.
    Groups {
        /// Clients that ask for the same one. The case's connections are as many groups at a time as fit.
        clients: u32,
        /// Milliseconds the origin takes until it sends the head and the first part of the body.
        head_ms: u64,
        /// Milliseconds from there to the last part.
        body_ms: u64,
    },
}

impl CacheLoad {
    /// Whether it can be done on so many `connections`; the error says what cannot.
    pub(super) fn check(&self, connections: u32) -> Result<(), String> {
        match self.asks {
            Asks::Hits { objects: 0 } => Err("`cache.asks.hits.objects` is 0".into()),
            Asks::Groups { clients: 0, .. } => Err("`cache.asks.groups.clients` is 0".into()),
            Asks::Groups { head_ms: 0, .. } => {
                Err("`cache.asks.groups.head_ms` is 0: nothing to wait for together".into())
            }
            Asks::Groups { clients, .. } if !connections.is_multiple_of(clients) => Err(format!(
                "`connections` is {connections}, no multiple of the {clients} clients of a group"
            )),
            _ => Ok(()),
        }
    }

    /// Milliseconds until the origin's head; 0 where it is not slow.
    pub(crate) fn head_ms(&self) -> u64 {
        match self.asks {
            Asks::Groups { head_ms, .. } => head_ms,
            Asks::Hits { .. } | Asks::Misses {} => 0,
        }
    }

    /// Milliseconds from the origin's head to its last byte; 0 where it is not slow.
    pub(crate) fn body_ms(&self) -> u64 {
        match self.asks {
            Asks::Groups { body_ms, .. } => body_ms,
            Asks::Hits { .. } | Asks::Misses {} => 0,
        }
    }

    /// What its fetches are counted by.
    pub(crate) fn per(&self) -> Per {
        match self.asks {
            Asks::Groups { .. } => Per::Group,
            Asks::Hits { .. } | Asks::Misses {} => Per::Request,
        }
    }
}

/// What requests at the origin are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Per {
    /// By the requests of clients.
    Request,
    /// By groups of clients that asked for the same object.
    Group,
}
