//! Purges as stamps: one mark makes any number of objects old, and every hit is compared with the marks.
//!
//! A purge takes O(1), works for objects on disk that nobody has read yet, and covers fills that are running: an
//! object is hit when its fill *began* before the purge. A purge is in force as soon as [`crate::Store::purge`]
//! returns; it is acknowledged when its [`Ticket`] says so, and then a crash does not undo it.

pub(crate) mod journal;
mod record;
pub(crate) mod stream;
pub(crate) mod table;

#[cfg(test)]
mod tests;

pub use journal::{Ticket, TicketError};
pub use stream::{Applied, Gone, Numbered};

use crate::hash::hash64;

/// What a purge selects. Names are hashed by [`hash64`]; the same scope on two nodes is equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// All of one host, as [`crate::Head::host`] says.
    Host(u64),
    /// All of one host whose path begins so.
    Prefix {
        /// The host.
        host: u64,
        /// Bytes of the prefix.
        len: u32,
        /// Their hash.
        hash: u64,
    },
    /// All with one tag.
    Tag(u64),
    /// One URL, with all variants and on all routes.
    Url(u64),
}

impl Scope {
    /// All of `host` whose path begins with `path`. A path beyond 4 GiB selects the whole host.
    #[must_use]
    pub fn prefix(host: u64, path: &[u8]) -> Self {
        u32::try_from(path.len()).map_or(Self::Host(host), |len| Self::Prefix {
            host,
            len,
            hash: hash64(path),
        })
    }
}

/// What a purge does to the objects it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// They are gone.
    Hard,
    /// They are stale, and may be served as far as stale objects may.
    Soft,
}

/// A purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// What it selects.
    pub scope: Scope,
    /// What it does.
    pub kind: Kind,
    /// When it was ordered, in milliseconds since 1970: from then on objects count as stale. It decides nothing else.
    pub at_ms: u64,
}
