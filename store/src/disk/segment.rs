//! Segments: files of records, with a header, and with a footer when they are sealed.
//!
//! Header, 64 bytes: `FGs1`, version (4 bytes), store's name, number, checksum of these. Footer: 32 bytes per record
//! (hash of the key 16, place in units of 16 bytes 4, length in the same units 4, what it is 1, zero), then 64 bytes:
//! `FGf1`, how many records (4), number, where the records of the footer begin, their checksum, checksum of these.

use std::io;

use super::place::ALIGN;
use super::record::{Front, HEADER, Header, What, seed};
use super::{Disk, FileName, read_exact};
use crate::hash::{checksum, hash128};

/// Bytes of a segment's header, and of the end of its footer.
pub(crate) const EDGE: usize = 64;
/// Bytes of a line of a footer.
pub(crate) const LINE: usize = 32;
const VERSION: u32 = 1;

/// A record in a footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) hash: u128,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) what: What,
}

impl Line {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.to_le_bytes());
        // A segment with more than one record is below 64 GiB, and the only record of another begins at its begin.
        out.extend_from_slice(&((self.offset / ALIGN) as u32).to_le_bytes());
        out.extend_from_slice(
            &u32::try_from(self.len / ALIGN)
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        );
        out.extend_from_slice(&[self.what.number(), 0, 0, 0, 0, 0, 0, 0]);
    }

    fn read(bytes: &[u8; LINE]) -> Option<Self> {
        let (hash, rest) = bytes.split_first_chunk::<16>()?;
        let (offset, rest) = rest.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            hash: u128::from_le_bytes(*hash),
            offset: u64::from(u32::from_le_bytes(*offset)) * ALIGN,
            len: u64::from(u32::from_le_bytes(*len)) * ALIGN,
            what: What::of(*rest.first()?)?,
        })
    }
}

/// The header of segment `number`.
pub(crate) fn header(name: u64, number: u64) -> [u8; EDGE] {
    let mut out = [0; EDGE];
    let fields = [
        &b"FGs1"[..],
        &VERSION.to_le_bytes(),
        &name.to_le_bytes(),
        &number.to_le_bytes(),
    ]
    .concat();
    let sum = checksum(name, &fields);
    for (place, byte) in out.iter_mut().zip(fields.iter().chain(&sum.to_le_bytes())) {
        *place = *byte;
    }
    out
}

/// The footer, for a segment that is `end` bytes long without it.
pub(crate) fn footer(name: u64, number: u64, end: u64, lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * LINE + EDGE);
    lines.iter().for_each(|line| line.write(&mut out));
    let sum = checksum(seed(name, number), &out);
    let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let mut last = [
        &b"FGf1"[..],
        &count.to_le_bytes(),
        &number.to_le_bytes(),
        &end.to_le_bytes(),
        &sum.to_le_bytes(),
    ]
    .concat();
    let sum = checksum(seed(name, number), &last);
    last.extend_from_slice(&sum.to_le_bytes());
    last.resize(EDGE, 0);
    out.extend_from_slice(&last);
    out
}

/// The records of a segment.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) lines: Vec<Line>,
    /// Where the records end; what follows is a footer or nothing that counts.
    pub(crate) end: u64,
}

/// Reads the footer of a segment of `len` bytes; `None` when it has none that verifies.
pub(crate) fn read_footer(
    disk: &dyn Disk,
    name: u64,
    number: u64,
    len: u64,
) -> io::Result<Option<Listing>> {
    let Some(last_at) = len.checked_sub(EDGE as u64).filter(|at| *at >= EDGE as u64) else {
        return Ok(None);
    };
    let mut last = [0; EDGE];
    read_exact(disk, FileName::Segment(number), last_at, &mut last)?;
    let Some((count, end, sum)) = parse_last(&last, name, number) else {
        return Ok(None);
    };
    let size = count as u64 * LINE as u64;
    if end < EDGE as u64 || end.checked_add(size) != Some(last_at) {
        return Ok(None);
    }
    let mut bytes = vec![0; count as usize * LINE];
    read_exact(disk, FileName::Segment(number), end, &mut bytes)?;
    if checksum(seed(name, number), &bytes) != sum {
        return Ok(None);
    }
    let lines: Option<Vec<Line>> = bytes.as_chunks::<LINE>().0.iter().map(Line::read).collect();
    Ok(lines.map(|lines| Listing { lines, end }))
}

fn parse_last(last: &[u8; EDGE], name: u64, number: u64) -> Option<(u32, u64, u64)> {
    let (covered, rest) = last.split_first_chunk::<32>()?;
    if checksum(seed(name, number), covered) != u64::from_le_bytes(*rest.first_chunk::<8>()?) {
        return None;
    }
    let (magic, rest) = covered.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<8>()?;
    let (end, rest) = rest.split_first_chunk::<8>()?;
    let sum = rest.first_chunk::<8>()?;
    (magic == b"FGf1").then(|| {
        (
            u32::from_le_bytes(*count),
            u64::from_le_bytes(*end),
            u64::from_le_bytes(*sum),
        )
    })
}

/// Walks the records of a segment without a footer, up to the first that does not verify.
pub(crate) fn scan(
    disk: &dyn Disk,
    name: u64,
    key_seed: u64,
    number: u64,
    len: u64,
) -> io::Result<Option<Listing>> {
    let mut first = [0; EDGE];
    match read_exact(disk, FileName::Segment(number), 0, &mut first) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if first != header(name, number) {
        return Ok(None);
    }
    let mut lines = Vec::new();
    let mut at = EDGE as u64;
    let mut front = Vec::new();
    while at + HEADER as u64 <= len {
        front.resize(HEADER, 0);
        read_exact(disk, FileName::Segment(number), at, &mut front)?;
        let Some(record) = Header::read(&front) else {
            break;
        };
        let layout = record.layout();
        let covered = usize::try_from(layout.covered).unwrap_or(usize::MAX);
        if layout.len > len - at {
            break;
        }
        front.resize(covered, 0);
        read_exact(disk, FileName::Segment(number), at, &mut front)?;
        let Some(verified) = Front::read(&front, seed(name, number)) else {
            break;
        };
        let hash = hash128(key_seed, verified.key);
        lines.push(Line {
            hash,
            offset: at,
            len: layout.len,
            what: verified.header.what,
        });
        at += layout.len;
    }
    Ok(Some(Listing { lines, end: at }))
}
