//! Memory within its limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Core, Shard};
use crate::counters::count;
use crate::head::Head;
use crate::index::table::Evicted;
use crate::object::Object;

/// Times that room is looked for, when others take it meanwhile.
const ROUNDS: usize = 4;

impl<H: Head> Core<H> {
    /// Lets objects go until memory is within its limit; whether it is.
    pub(crate) fn make_room(&self) -> bool {
        for _ in 0..ROUNDS {
            let over = self.budget.over();
            if over == 0 {
                return true;
            }
            let (mut freed, mut empty) = (0, 0);
            while freed < over && empty <= self.shards.len() {
                let at = self.hand.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1);
                let Some(shard) = self.shards.get(at) else {
                    break;
                };
                let evicted = shard
                    .write()
                    .table
                    .evict(|object| Arc::strong_count(object) > 1);
                let Some(evicted) = evicted else {
                    empty += 1;
                    continue;
                };
                empty = 0;
                freed += evicted.object.charge();
                self.note_evicted(&evicted);
            }
            if freed == 0 {
                break;
            }
        }
        self.budget.over() == 0
    }

    fn note_evicted(&self, evicted: &Evicted<Object<H>>) {
        let counters = &self.counters;
        if evicted.object.body.far().is_some() {
            // Its body was not in memory.
            return;
        }
        count(if evicted.main {
            &counters.evicted_main
        } else {
            &counters.evicted_small
        });
        counters
            .age_at_eviction_s
            .record(evicted.object.stored.elapsed().as_secs());
        counters
            .size_at_eviction_bytes
            .record(evicted.object.body.len());
    }

    /// Tells the budget what a shard's table takes.
    pub(crate) fn count_index(&self, shard: &mut Shard<H>) {
        let bytes = shard.table.bytes();
        let (more, less) = (
            bytes.saturating_sub(shard.counted),
            shard.counted.saturating_sub(bytes),
        );
        self.budget.add(more);
        self.budget.sub(less);
        self.index_total.fetch_add(more, Ordering::Relaxed);
        self.index_total.fetch_sub(less, Ordering::Relaxed);
        shard.counted = bytes;
    }

    pub(crate) fn index_bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().table.bytes())
            .sum()
    }

    pub(crate) fn objects(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().table.len())
            .sum()
    }
}
