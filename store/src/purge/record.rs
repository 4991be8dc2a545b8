//! A line of the journal: 64 bytes, each with its own checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | checksum (XXH3, seeded with the store's name) of the rest |
//! | 8 | what it is: 1 purge, 2 mark, 3 position of a node, 4 the number this node's stream has reached |
//! | 9 | scope: 0 all, 1 host, 2 prefix, 3 tag, 4 url |
//! | 10 | kind: 0 hard, 1 soft |
//! | 12..16 | length of the prefix |
//! | 16..24 | node, 0 for this one |
//! | 24..32 | number |
//! | 32..40 | stamp |
//! | 40..48 | milliseconds since 1970 |
//! | 48..56 | host, tag or url |
//! | 56..64 | hash of the prefix |

use super::table::Mark;
use super::{Kind, Purge, Scope};
use crate::hash::checksum;
use crate::stamp::Stamp;

/// Bytes of a line.
pub(crate) const LINE: usize = 64;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A purge; node 0 is this one.
    Purge {
        node: u64,
        number: u64,
        stamp: Stamp,
        purge: Purge,
    },
    /// What is in force for a scope, as one kind.
    Mark { stamp: Stamp, purge: Purge },
    /// How far another node's purges have been applied.
    Node { node: u64, number: u64 },
    /// The number of this node's last purge.
    Last { number: u64 },
}

impl Line {
    pub(crate) fn encode(&self, name: u64) -> [u8; LINE] {
        let mut out = [0; LINE];
        let (what, node, number, stamp, purge) = match *self {
            Self::Purge {
                node,
                number,
                stamp,
                purge,
            } => (1, node, number, stamp, Some(purge)),
            Self::Mark { stamp, purge } => (2, 0, 0, stamp, Some(purge)),
            Self::Node { node, number } => (3, node, number, Stamp::ZERO, None),
            Self::Last { number } => (4, 0, number, Stamp::ZERO, None),
        };
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = out.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(8, &[what]);
        put(16, &node.to_le_bytes());
        put(24, &number.to_le_bytes());
        put(32, &stamp.bits().to_le_bytes());
        if let Some(purge) = purge {
            let (scope, len, name, hash) = match purge.scope {
                Scope::All => (0, 0, 0, 0),
                Scope::Host(host) => (1, 0, host, 0),
                Scope::Prefix { host, len, hash } => (2, len, host, hash),
                Scope::Tag(tag) => (3, 0, tag, 0),
                Scope::Url(url) => (4, 0, url, 0),
            };
            put(9, &[scope, u8::from(purge.kind == Kind::Soft)]);
            put(12, &u32::to_le_bytes(len));
            put(40, &purge.at_ms.to_le_bytes());
            put(48, &u64::to_le_bytes(name));
            put(56, &u64::to_le_bytes(hash));
        }
        let sum = checksum(name, out.get(8..).unwrap_or_default());
        if let Some(place) = out.first_chunk_mut::<8>() {
            *place = sum.to_le_bytes();
        }
        out
    }

    /// `None` for anything that [`Line::encode`] did not write.
    pub(crate) fn decode(name: u64, bytes: &[u8; LINE]) -> Option<Self> {
        let u64_at = |at: usize| {
            bytes
                .get(at..)?
                .first_chunk::<8>()
                .map(|b| u64::from_le_bytes(*b))
        };
        if u64_at(0)? != checksum(name, bytes.get(8..)?) {
            return None;
        }
        let stamp = Stamp::from_bits(u64_at(32)?);
        let (node, number) = (u64_at(16)?, u64_at(24)?);
        let purge = || {
            let len = bytes
                .get(12..)?
                .first_chunk::<4>()
                .map(|b| u32::from_le_bytes(*b))?;
            let name = u64_at(48)?;
            let scope = match bytes.get(9)? {
                0 => Scope::All,
                1 => Scope::Host(name),
                2 => Scope::Prefix {
                    host: name,
                    len,
                    hash: u64_at(56)?,
                },
                3 => Scope::Tag(name),
                4 => Scope::Url(name),
                _ => return None,
            };
            let kind = match bytes.get(10)? {
                0 => Kind::Hard,
                1 => Kind::Soft,
                _ => return None,
            };
            Some(Purge {
                scope,
                kind,
                at_ms: u64_at(40)?,
            })
        };
        match bytes.get(8)? {
            1 => Some(Self::Purge {
                node,
                number,
                stamp,
                purge: purge()?,
            }),
            2 => Some(Self::Mark {
                stamp,
                purge: purge()?,
            }),
            3 => Some(Self::Node { node, number }),
            4 => Some(Self::Last { number }),
            _ => None,
        }
    }

    /// The lines that say what is in force for a scope.
    pub(crate) fn of_mark(scope: Scope, mark: Mark) -> impl Iterator<Item = Self> {
        let hard = (Kind::Hard, mark.hard, 0);
        let soft = (Kind::Soft, mark.soft, mark.soft_ms);
        [hard, soft]
            .into_iter()
            .filter(|(_, stamp, _)| *stamp > Stamp::ZERO)
            .map(move |(kind, stamp, at_ms)| Self::Mark {
                stamp,
                purge: Purge { scope, kind, at_ms },
            })
    }
}
