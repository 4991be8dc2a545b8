//! Records: what a segment consists of.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `FGr1` |
//! | 4 | what it is: 1 object, 2 head of an object whose body lies elsewhere, 3 key without an object |
//! | 8..16 | checksum of all up to the body, seeded with the store's name and the segment's number |
//! | 16..24 | id |
//! | 24..32 | start |
//! | 32..40 | bytes of the body |
//! | 40..44 | bytes of the key |
//! | 44..48 | bytes of the head |
//! | 48..56 | stale since, in milliseconds since 1970, or 0 |
//! | 56..64 | place of the body, for a head |
//! | 64.. | key, head, one checksum of 8 bytes per 128 KiB of body, up to a multiple of 16, body, up to a multiple of 16 |

use super::place::ALIGN;
use crate::hash::checksum;
use crate::object::CHUNK;
use crate::stamp::Stamp;

/// Bytes before the key.
pub(crate) const HEADER: usize = 64;
const MAGIC: [u8; 4] = *b"FGr1";
/// Longest key and longest head that are read: a wrong length must not cost memory.
const MOST_TEXT: u64 = 16 << 20;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Object,
    Head,
    Gone,
}

impl What {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Object => 1,
            Self::Head => 2,
            Self::Gone => 3,
        }
    }

    pub(crate) fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Object),
            2 => Some(Self::Head),
            3 => Some(Self::Gone),
            _ => None,
        }
    }
}

/// The first 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) what: What,
    pub(crate) id: u64,
    pub(crate) start: Stamp,
    pub(crate) body_len: u64,
    pub(crate) key_len: u32,
    pub(crate) head_len: u32,
    pub(crate) soft_ms: u64,
    pub(crate) body_place: u64,
    sum: u64,
}

/// Where the parts of a record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Up to where the first checksum covers.
    pub(crate) covered: u64,
    pub(crate) body: u64,
    /// All of it.
    pub(crate) len: u64,
}

/// The seed of checksums in a segment: bytes of another store or segment never verify.
pub(crate) fn seed(name: u64, segment: u64) -> u64 {
    name ^ segment.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk::<8>()
        .map(|b| u64::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk::<4>()
        .map(|b| u32::from_le_bytes(*b))
}

impl Header {
    /// `None` for what is no record. The checksum is compared later, when all it covers is there.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.first_chunk::<4>() != Some(&MAGIC) {
            return None;
        }
        let header = Self {
            what: What::of(*bytes.get(4)?)?,
            sum: u64_at(bytes, 8)?,
            id: u64_at(bytes, 16)?,
            start: Stamp::from_bits(u64_at(bytes, 24)?),
            body_len: u64_at(bytes, 32)?,
            key_len: u32_at(bytes, 40)?,
            head_len: u32_at(bytes, 44)?,
            soft_ms: u64_at(bytes, 48)?,
            body_place: u64_at(bytes, 56)?,
        };
        let sane = u64::from(header.key_len) + u64::from(header.head_len) <= MOST_TEXT
            && header.body_len < 1 << 48;
        sane.then_some(header)
    }

    fn chunks(&self) -> u64 {
        if self.what == What::Object {
            self.body_len.div_ceil(CHUNK as u64)
        } else {
            0
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        let text = u64::from(self.key_len) + u64::from(self.head_len);
        let covered = HEADER as u64 + text + self.chunks() * 8;
        let body = covered.next_multiple_of(ALIGN);
        let own = if self.what == What::Object {
            self.body_len
        } else {
            0
        };
        Layout {
            covered,
            body,
            len: (body + own).next_multiple_of(ALIGN),
        }
    }
}

/// All of a record but the body, verified.
#[derive(Clone, Debug)]
pub(crate) struct Front<'a> {
    pub(crate) header: Header,
    pub(crate) key: &'a [u8],
    pub(crate) head: &'a [u8],
    sums: &'a [u8],
    seed: u64,
}

impl<'a> Front<'a> {
    /// Reads and verifies; `bytes` begin with the record and hold at least what its checksum covers.
    pub(crate) fn read(bytes: &'a [u8], seed: u64) -> Option<Self> {
        let header = Header::read(bytes)?;
        let covered = bytes.get(..usize::try_from(header.layout().covered).ok()?)?;
        if checksum(seed, covered.get(16..)?) != header.sum ^ u64::from(header.what.number()) {
            return None;
        }
        let (key, rest) = covered
            .get(HEADER..)?
            .split_at_checked(header.key_len as usize)?;
        let (head, sums) = rest.split_at_checked(header.head_len as usize)?;
        Some(Self {
            header,
            key,
            head,
            sums,
            seed,
        })
    }

    /// The checksums of all chunks of the body.
    pub(crate) fn sums(&self) -> Box<[u64]> {
        let sums = self.sums.as_chunks::<8>().0;
        sums.iter().map(|sum| u64::from_le_bytes(*sum)).collect()
    }

    /// Whether `bytes` are what chunk `index` of the body was.
    pub(crate) fn verify_chunk(&self, index: usize, bytes: &[u8]) -> bool {
        u64_at(self.sums, index * 8) == Some(checksum(self.seed, bytes))
    }
}

/// What a record is made of.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) what: What,
    pub(crate) id: u64,
    pub(crate) start: Stamp,
    pub(crate) soft_ms: u64,
    pub(crate) body_place: u64,
    pub(crate) body_len: u64,
    pub(crate) key: &'a [u8],
    pub(crate) head: &'a [u8],
    /// Chunks of the body; only of an object.
    pub(crate) chunks: &'a [bytes::Bytes],
}

/// Appends a record to `out`, whose length is a multiple of 16; `None` when key or head are too long.
pub(crate) fn write(parts: &Parts<'_>, seed: u64, out: &mut Vec<u8>) -> Option<()> {
    if (parts.key.len() + parts.head.len()) as u64 > MOST_TEXT {
        return None;
    }
    let begin = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[parts.what.number(), 0, 0, 0]);
    out.extend_from_slice(&[0; 8]);
    for number in [parts.id, parts.start.bits(), parts.body_len] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for len in [parts.key.len(), parts.head.len()] {
        out.extend_from_slice(&u32::try_from(len).ok()?.to_le_bytes());
    }
    out.extend_from_slice(&parts.soft_ms.to_le_bytes());
    out.extend_from_slice(&parts.body_place.to_le_bytes());
    out.extend_from_slice(parts.key);
    out.extend_from_slice(parts.head);
    if parts.what == What::Object {
        for chunk in parts.chunks {
            out.extend_from_slice(&checksum(seed, chunk).to_le_bytes());
        }
    }
    // What it is stands before the covered bytes; so it is mixed into the sum.
    let sum = checksum(seed, out.get(begin + 16..)?) ^ u64::from(parts.what.number());
    out.get_mut(begin + 8..begin + 16)?
        .copy_from_slice(&sum.to_le_bytes());
    pad(out);
    if parts.what == What::Object {
        parts
            .chunks
            .iter()
            .for_each(|chunk| out.extend_from_slice(chunk));
        pad(out);
    }
    Some(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGN as usize), 0);
}
