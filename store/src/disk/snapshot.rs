//! The index as it was at a clean stop.
//!
//! 64 bytes: `FGi1`, starts (4), number of the newest segment (8), shards (4), seed of keys (8), checksum (8). Then
//! blocks of up to 64 Ki lines: how many (8), checksum of the lines (8), lines of 24 bytes: hash of the key, low half
//! (8), place (8), shard (4), uses (4). A block of zero lines is the end.

use std::io;

use super::log::DiskLog;
use super::place::Spot;
use super::recover::Hot;
use super::{FileName, read_exact, write_all};
use crate::hash::checksum;
use crate::head::Head;
use crate::index::Place;
use crate::store::Core;

const HEADER: usize = 64;
const LINE: usize = 24;
const BLOCK: usize = 64 * 1024;
/// Uses that make an object hot.
const HOT_USES: u32 = 2;

fn header(boot: u32, newest: u64, shards: usize, log: &DiskLog) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    let mut fields = [&b"FGi1"[..], &boot.to_le_bytes(), &newest.to_le_bytes()].concat();
    fields.extend_from_slice(&(shards as u32).to_le_bytes());
    fields.extend_from_slice(&log.key_seed.to_le_bytes());
    let sum = checksum(log.name, &fields);
    fields.extend_from_slice(&sum.to_le_bytes());
    for (place, byte) in out.iter_mut().zip(fields) {
        *place = byte;
    }
    out
}

/// Writes all entries with a place on this disk.
pub(crate) fn write<H: Head>(
    core: &Core<H>,
    log: &DiskLog,
    boot: u32,
    newest: u64,
) -> io::Result<()> {
    let disk = log.disk.as_ref();
    let file = FileName::SnapshotNew;
    disk.remove(file)?;
    write_all(disk, file, 0, &header(boot, newest, core.shards.len(), log))?;
    let mut at = HEADER as u64;
    let mut lines = Vec::with_capacity(BLOCK * LINE);
    let mut put = |lines: &mut Vec<u8>| -> io::Result<()> {
        let count = (lines.len() / LINE) as u64;
        let sum = checksum(log.name ^ at, lines);
        let block = [&count.to_le_bytes()[..], &sum.to_le_bytes(), lines].concat();
        write_all(disk, file, at, &block)?;
        at += block.len() as u64;
        lines.clear();
        Ok(())
    };
    for (number, shard) in core.shards.iter().enumerate() {
        for entry in shard.read().table.iter() {
            if entry.place().is_none() || Spot::disk_of(entry.place()) != usize::from(log.number) {
                continue;
            }
            lines.extend_from_slice(&entry.hash().to_le_bytes());
            lines.extend_from_slice(&entry.place().bits().to_le_bytes());
            lines.extend_from_slice(&(number as u32).to_le_bytes());
            lines.extend_from_slice(&u32::from(entry.uses()).to_le_bytes());
            if lines.len() == BLOCK * LINE {
                put(&mut lines)?;
            }
        }
    }
    if !lines.is_empty() {
        put(&mut lines)?;
    }
    put(&mut lines)?;
    disk.sync(file)?;
    disk.rename(file, FileName::Snapshot)
}

/// Reads it into the index and gives what was hot; `None` when there is none for just this state of the disk.
pub(crate) fn read<H: Head>(
    core: &Core<H>,
    log: &DiskLog,
    boot: u32,
    newest: u64,
) -> io::Result<Option<Hot>> {
    let disk = log.disk.as_ref();
    let file = FileName::Snapshot;
    let mut first = [0; HEADER];
    match read_exact(disk, file, 0, &mut first) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
            ) =>
        {
            return Ok(None);
        }
        read => read?,
    }
    if first != header(boot, newest, core.shards.len(), log) {
        return Ok(None);
    }
    let mut hot = Hot::new();
    let mut at = HEADER as u64;
    loop {
        let mut head = [0; 16];
        read_exact(disk, file, at, &mut head)?;
        let (count, sum) = head.split_at(8);
        let number = |bytes: &[u8]| {
            bytes
                .first_chunk::<8>()
                .map_or(0, |b| u64::from_le_bytes(*b))
        };
        let count = usize::try_from(number(count)).unwrap_or(usize::MAX);
        if count > BLOCK {
            return Ok(None);
        }
        let mut lines = vec![0; count * LINE];
        read_exact(disk, file, at + 16, &mut lines)?;
        if checksum(log.name ^ at, &lines) != number(sum) {
            // What was read so far is right as far as it goes; the segments know the rest.
            return Ok(None);
        }
        if count == 0 {
            return Ok(Some(hot));
        }
        at += 16 + lines.len() as u64;
        for line in lines.as_chunks::<LINE>().0 {
            let (hash, rest) = line.split_at(8);
            let (place, rest) = rest.split_at(8);
            let (shard, uses) = rest.split_at(4);
            let small = |bytes: &[u8]| {
                bytes
                    .first_chunk::<4>()
                    .map_or(0, |b| u32::from_le_bytes(*b))
            };
            let hash = u128::from(small(shard)) << 64 | u128::from(number(hash));
            let place = Place::from_bits(number(place));
            let uses = small(uses);
            if !core.recover(hash, place, u8::try_from(uses).unwrap_or(0)) {
                return Ok(Some(hot));
            }
            if uses >= HOT_USES {
                hot.push((hash, place));
            }
        }
    }
}
