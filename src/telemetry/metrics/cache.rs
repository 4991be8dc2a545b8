//! What the cache counts: per route here, over the whole store where it is scraped.

use std::sync::Arc;

use super::book::Book;
use super::declare;
use super::family::{Counter, Family, Group};
use super::{CounterCell, GroupCell};
use crate::telemetry::cache::{CacheAnswer, Forward, Refusal};

/// Handles of the cache of one route.
#[derive(Clone, Debug)]
pub struct RouteCacheMetrics {
    answers: Group,
    forwards: Group,
    refusals: Group,
    bytes: Counter,
    bytes_saved: Counter,
}

impl RouteCacheMetrics {
    /// A request was answered, with this many bytes of body.
    #[inline]
    pub fn answered(&self, how: CacheAnswer, body_bytes: u64) {
        self.answers.inc(how.index());
        self.bytes.add(body_bytes);
        if how.saves_origin() {
            self.bytes_saved.add(body_bytes);
        }
    }

    /// The origin was asked.
    pub fn forwarded(&self, why: Forward) {
        self.forwards.inc(why.index());
    }

    /// An answer of the origin was not stored.
    pub fn refused(&self, why: Refusal) {
        self.refusals.inc(why.index());
    }

    /// Requests answered so far, by how.
    pub fn answers(&self, how: CacheAnswer) -> u64 {
        self.answers.get(how.index())
    }

    /// Answers of the origin not stored so far, by why.
    pub fn refusals(&self, why: Refusal) -> u64 {
        self.refusals.get(why.index())
    }

    /// Bytes of bodies sent so far, and those of them that the origin did not have to send.
    pub fn body_bytes(&self) -> (u64, u64) {
        (self.bytes.get(), self.bytes_saved.get())
    }
}

/// The families behind [`RouteCacheMetrics`].
pub(super) struct CacheFamilies {
    answers: Arc<Family<GroupCell>>,
    forwards: Arc<Family<GroupCell>>,
    refusals: Arc<Family<GroupCell>>,
    bytes: Arc<Family<CounterCell>>,
    bytes_saved: Arc<Family<CounterCell>>,
}

impl CacheFamilies {
    pub(super) fn register(book: &Book) -> prometheus::Result<Self> {
        Ok(Self {
            answers: book.counted(&declare::CACHE_ANSWERS)?,
            forwards: book.counted(&declare::CACHE_FORWARDS)?,
            refusals: book.counted(&declare::CACHE_REFUSALS)?,
            bytes: book.counted(&declare::CACHE_BYTES)?,
            bytes_saved: book.counted(&declare::CACHE_BYTES_SAVED)?,
        })
    }

    pub(super) fn route(&self, route: &str) -> RouteCacheMetrics {
        RouteCacheMetrics {
            answers: self.answers.get(&[route]),
            forwards: self.forwards.get(&[route]),
            refusals: self.refusals.get(&[route]),
            bytes: self.bytes.get(&[route]),
            bytes_saved: self.bytes_saved.get(&[route]),
        }
    }
}
