//! Room on a disk: the oldest segment goes, and what of it is in use is written again.

use std::sync::atomic::Ordering;

use super::log::Loaded;
use super::record::What;
use super::segment::{Line, Listing, read_footer, scan};
use super::writer::Writer;
use crate::head::Head;
use crate::index::Place;
use crate::store::Core;

/// Segments reclaimed for one record; then it stays off the disk.
const ROUNDS: usize = 64;
/// The share of a segment that may be written again: one in four, so that reclaiming gets somewhere.
const KEPT_SHARE: u64 = 4;

impl<H: Head> Writer<H> {
    /// Reclaims until `need` bytes fit; false when they do not.
    pub(super) fn make_room(&mut self, core: &Core<H>, need: u64) -> bool {
        let size = self.log.size.load(Ordering::Relaxed);
        if need > size {
            return false;
        }
        for _ in 0..ROUNDS {
            if self.log.bytes() + need <= size {
                return true;
            }
            // The last one that is left is the one that is written: it has to end first.
            if !self.reclaim_oldest(core) && !self.end_segment(core) {
                return false;
            }
        }
        false
    }

    fn reclaim_oldest(&mut self, core: &Core<H>) -> bool {
        // Before recovery has read a segment, nobody knows what of it is in use.
        if !self.log.recovered.load(Ordering::Acquire) {
            return false;
        }
        let oldest = self
            .log
            .segments
            .lock()
            .first_key_value()
            .map(|(number, segment)| (*number, *segment));
        let Some((number, segment)) = oldest.filter(|(_, segment)| segment.sealed) else {
            return false;
        };
        if number <= self.log.spared.load(Ordering::Acquire) {
            return false;
        }
        let disk = self.log.disk.as_ref();
        let (name, seed) = (self.log.name, self.log.key_seed);
        let listing = match self.log.note(read_footer(disk, name, number, segment.len)) {
            Ok(Some(listing)) => Some(listing),
            // Its places are found to lead nowhere one by one, as they are asked for.
            _ => self
                .log
                .note(scan(disk, name, seed, number, segment.len))
                .ok()
                .flatten(),
        };
        let kept = listing.map_or_else(Vec::new, |listing| self.keep(core, number, &listing));
        let removed = self.log.note(self.log.remove_segment(number)).is_ok();
        for (hash, loaded, place) in kept {
            if removed {
                self.rewrite(core, hash, &loaded, place);
            } else {
                core.drop_place(hash, place);
            }
        }
        removed
    }

    /// Lets go what nobody uses, and gives what is to be written again.
    fn keep(
        &mut self,
        core: &Core<H>,
        number: u64,
        listing: &Listing,
    ) -> Vec<(u128, Loaded, Place)> {
        let mut kept = Vec::new();
        let mut left = listing.end / KEPT_SHARE;
        for Line {
            hash,
            offset,
            len,
            what,
        } in listing.lines.iter().copied()
        {
            let own = self.log.place(number, offset, len, what);
            if what == What::Object {
                core.leave_far(hash, own);
            }
            let Some((place, uses)) = core.place_of(hash) else {
                continue;
            };
            let current = place == own
                // A newer head of this body: it goes with its body.
                || (what == What::Object && self.log.spot(place).meta && self.log.is_head_of(place, own));
            if !current {
                continue;
            }
            let loaded = (uses > 0 && len <= left)
                .then(|| self.log.load(place, u64::MAX >> 16))
                .and_then(Result::ok);
            match loaded {
                Some(loaded) => {
                    left -= len;
                    core.unuse(hash);
                    kept.push((hash, loaded, place));
                }
                None => {
                    crate::counters::count(&core.counters.evicted_disk);
                    core.drop_place(hash, place);
                }
            }
        }
        kept
    }
}
