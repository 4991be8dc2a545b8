//! What a lookup gives.

use std::sync::Arc;

use crate::counters::count;
use crate::disk::Fetch;
use crate::fill::flow::Flow;
use crate::head::Head;
use crate::object::{Object, ObjectId};
use crate::reader::Reader;
use crate::stamp::Stamp;

/// Where a hit came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Memory.
    Memory,
    /// A fill that was running.
    Fill,
    /// Disk.
    Disk,
}

/// A purge or an expiry made the object stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soft {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// The answer of a lookup.
#[derive(Debug)]
pub enum Lookup<H: Head> {
    /// It is here.
    Hit(Hit<H>),
    /// It lies on disk: this future reads it, or finds that it is not there after all. Of one above 1 MiB it reads the
    /// head, and the reader reads the body.
    Disk(Fetch<H>),
    /// It is not.
    Miss,
}

impl<H: Head> Lookup<H> {
    /// What is here now.
    #[must_use]
    pub fn hit(self) -> Option<Hit<H>> {
        match self {
            Self::Hit(hit) => Some(hit),
            Self::Disk(_) | Self::Miss => None,
        }
    }

    /// What is here, after at most two seconds of waiting for a disk.
    pub async fn fetched(self) -> Option<Hit<H>> {
        match self {
            Self::Hit(hit) => Some(hit),
            Self::Disk(fetch) => fetch.await,
            Self::Miss => None,
        }
    }
}

/// An object that was found.
#[derive(Debug)]
pub struct Hit<H: Head> {
    source: Source<H>,
    tier: Tier,
    soft: Option<Soft>,
}

#[derive(Debug)]
enum Source<H: Head> {
    Object(Arc<Object<H>>),
    Flow(Arc<Flow<H>>, Reader<H>),
}

impl<H: Head> Hit<H> {
    pub(crate) fn of_object(object: Arc<Object<H>>, tier: Tier) -> Self {
        if object.body.far().is_some() {
            count(&object.counters.disk_streams);
        }
        Self {
            tier,
            soft: object.soft_ms().map(|since_ms| Soft { since_ms }),
            source: Source::Object(object),
        }
    }

    pub(crate) fn of_flow(flow: Arc<Flow<H>>, reader: Reader<H>, soft: Option<Soft>) -> Self {
        Self {
            source: Source::Flow(flow, reader),
            tier: Tier::Fill,
            soft,
        }
    }

    /// The head, shared with all hits.
    #[must_use]
    pub fn head(&self) -> &Arc<H> {
        match &self.source {
            Source::Object(object) => &object.head,
            Source::Flow(flow, _) => &flow.head,
        }
    }

    /// Which generation.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        match &self.source {
            Source::Object(object) => object.id,
            Source::Flow(flow, _) => ObjectId(flow.start.bits()),
        }
    }

    /// When the origin was last asked about it.
    #[must_use]
    pub fn start(&self) -> Stamp {
        match &self.source {
            Source::Object(object) => object.start,
            Source::Flow(flow, _) => flow.start,
        }
    }

    /// Bytes of the body; of a fill that runs, what the origin said.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.source {
            Source::Object(object) => Some(object.body.len()),
            Source::Flow(flow, _) => flow.whole_len().or(flow.length),
        }
    }

    /// Whether the body is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Where it came from.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Whether it was made stale.
    #[must_use]
    pub fn soft(&self) -> Option<Soft> {
        self.soft
    }

    /// Bytes of memory it takes; 0 while it is filled. Of one whose body is read from disk, those of its head.
    #[must_use]
    pub fn weight(&self) -> usize {
        match &self.source {
            Source::Object(object) => object.charge(),
            Source::Flow(..) => 0,
        }
    }

    /// Reads the body from its beginning; [`Reader::seek`] goes elsewhere.
    #[must_use]
    pub fn into_reader(self) -> Reader<H> {
        match self.source {
            Source::Object(object) => Reader::of_object(object),
            Source::Flow(_, reader) => reader,
        }
    }
}
