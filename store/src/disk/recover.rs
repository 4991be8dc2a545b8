//! Filling the index from what is on disk, while requests are served.
//!
//! Segments are read from the newest to the oldest, so the first record of a key is the one that counts. A key that
//! was filled or removed since the start is not touched any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::log::{DiskLog, Segment};
use super::record::What;
use super::segment::{footer, read_footer, scan};
use super::snapshot;
use super::{FileName, write_all};
use crate::counters::count;
use crate::head::Head;
use crate::index::Place;
use crate::store::Core;

/// Keys that are remembered as gone; more end the recovery of what is older.
const GONE: usize = 1 << 20;
/// Objects read into memory after a clean stop, of those that were used most.
const HOT: usize = 100_000;

/// Recovers one disk. `boot` is the start that wrote last.
pub(crate) fn run<H: Head>(core: &Arc<Core<H>>, log: &DiskLog, boot: u32, segments: &[(u64, u64)]) {
    let newest = segments.last().map_or(0, |(number, _)| *number);
    let hot = match log.note(snapshot::read(core, log, boot, newest)) {
        Ok(Some(hot)) => Some(hot),
        _ => None,
    };
    // It holds for this start only: what is written from now on is not in it.
    let _ = log.note(log.disk.remove(FileName::Snapshot));
    if hot.is_none() {
        from_segments(core, log, segments);
    }
    log.recovered.store(true, Ordering::Release);
    core.recovery_ended();
    for (hash, place) in hot.unwrap_or_default().into_iter().take(HOT) {
        // Room for what comes in meanwhile is left.
        if core.is_closing() || core.budget.used() > core.budget.limit() / 10 * 9 {
            break;
        }
        core.preload(log, hash, place);
    }
}

fn from_segments<H: Head>(core: &Arc<Core<H>>, log: &DiskLog, segments: &[(u64, u64)]) {
    let mut gone = HashSet::new();
    for (number, len) in segments.iter().rev() {
        if core.is_closing() {
            return;
        }
        let sealed = log
            .note(read_footer(log.disk.as_ref(), log.name, *number, *len))
            .ok()
            .flatten();
        let listing = match sealed {
            Some(listing) => listing,
            None => {
                let scanned = scan(log.disk.as_ref(), log.name, log.key_seed, *number, *len);
                let Ok(Some(listing)) = log.note(scanned) else {
                    // Not a segment of this store, or not readable: it is reclaimed in its turn.
                    count(&core.counters.disk_corrupt);
                    continue;
                };
                seal(log, *number, &listing);
                listing
            }
        };
        for line in listing.lines.iter().rev() {
            if line.what == What::Gone {
                gone.insert(line.hash);
                continue;
            }
            if !gone.contains(&line.hash)
                && !core.recover(
                    line.hash,
                    log.place(*number, line.offset, line.len, line.what),
                    0,
                )
            {
                return;
            }
        }
        if gone.len() > GONE {
            return;
        }
    }
}

/// Gives a segment that a crash left open its footer, so that it is not scanned again.
fn seal(log: &DiskLog, number: u64, listing: &super::segment::Listing) {
    let file = FileName::Segment(number);
    let bytes = footer(log.name, number, listing.end, &listing.lines);
    let written = log
        .disk
        .set_len(file, listing.end)
        .and_then(|()| write_all(log.disk.as_ref(), file, listing.end, &bytes));
    if log.note(written).is_ok() {
        log.set_segment(
            number,
            Segment {
                len: listing.end + bytes.len() as u64,
                sealed: true,
            },
        );
    }
}

/// An object that was hot.
pub(crate) type Hot = Vec<(u128, Place)>;
