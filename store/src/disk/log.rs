//! One disk's log: its segments, and reading a record back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::place::{MOST_SEGMENTS, Spot};
use super::record::{Front, HEADER, Header, What, seed};
use super::{Disk, FileName, read_exact};
use crate::counters::{Counters, count, count_by};
use crate::index::Place;
use crate::object::CHUNK;

/// Errors in a row after which a disk is given up until the next start.
const GIVE_UP: u64 = 16;
/// Bytes of the first read of a record.
const FIRST_READ: u64 = 256 << 10;

/// When the log is brought to the device. What a process wrote survives its own death in any case, and the journal of
/// purges is always brought there before a purge is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the system likes.
    None,
    /// About once a second.
    #[default]
    Interval,
    /// With each sealed segment.
    Segment,
}

/// Whether an error says that the device has no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A segment on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) len: u64,
    /// It is written no more.
    pub(crate) sealed: bool,
}

/// One disk of a store.
#[derive(Debug)]
pub(crate) struct DiskLog {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) number: u8,
    pub(crate) name: u64,
    pub(crate) key_seed: u64,
    /// Bytes that segments may take.
    pub(crate) size: AtomicU64,
    /// The same, as it was configured.
    most_bytes: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) segments: Mutex<BTreeMap<u64, Segment>>,
    pub(crate) newest: AtomicU64,
    /// Segments up to this one are not reclaimed: the process before this one reads them still.
    pub(crate) spared: AtomicU64,
    /// All segments of before are in the index, or given up.
    pub(crate) recovered: AtomicBool,
    failed: AtomicBool,
    errors: AtomicU64,
    pub(crate) counters: Arc<Counters>,
}

/// A record that was read and verified.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) header: Header,
    pub(crate) key: Box<[u8]>,
    pub(crate) head: Box<[u8]>,
    pub(crate) chunks: Vec<Bytes>,
    /// Where the body lies.
    pub(crate) body_place: Place,
}

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadError {
    /// Its segment is not there any more.
    Gone,
    /// What is there is not what was written.
    Corrupt,
    /// The disk does not answer; the next time it may.
    Io,
}

impl DiskLog {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        number: u8,
        name: u64,
        key_seed: u64,
        size: u64,
        segment_bytes: u64,
        durability: Durability,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let mut segments = BTreeMap::new();
        for file in disk.list()? {
            if let FileName::Segment(number) = file {
                segments.insert(
                    number,
                    Segment {
                        len: disk.len(file)?,
                        sealed: true,
                    },
                );
            }
        }
        let newest = segments.last_key_value().map_or(0, |(number, _)| *number);
        let bytes: u64 = segments.values().map(|segment| segment.len).sum();
        count_by(
            &counters.disk_bytes_now,
            usize::try_from(bytes).unwrap_or(usize::MAX),
        );
        Ok(Self {
            disk,
            number,
            name,
            key_seed,
            // A part is for the journal, the superblock and the snapshot.
            size: AtomicU64::new(size - size / 32),
            most_bytes: size - size / 32,
            segment_bytes,
            durability,
            segments: Mutex::new(segments),
            newest: AtomicU64::new(newest),
            spared: AtomicU64::new(0),
            recovered: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            counters,
        })
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments
            .lock()
            .values()
            .map(|segment| segment.len)
            .sum()
    }

    /// Whether another segment may be named.
    pub(crate) fn may_grow(&self) -> bool {
        let segments = self.segments.lock();
        let first = segments.first_key_value().map_or(0, |(number, _)| *number);
        self.newest.load(Ordering::Acquire) - first < MOST_SEGMENTS || segments.is_empty()
    }

    /// Notes how long a segment is now.
    pub(crate) fn set_segment(&self, number: u64, segment: Segment) {
        let mut segments = self.segments.lock();
        let before = segments
            .insert(number, segment)
            .map_or(0, |segment| segment.len);
        drop(segments);
        self.newest.fetch_max(number, Ordering::AcqRel);
        self.counters
            .disk_bytes_now
            .fetch_add(segment.len.saturating_sub(before), Ordering::Relaxed);
        self.counters
            .disk_bytes_now
            .fetch_sub(before.saturating_sub(segment.len), Ordering::Relaxed);
    }

    /// The device is full: from now on what is there is all that fits, and older segments make room.
    pub(crate) fn shrink(&self) {
        if !self.is_failed() {
            self.size
                .fetch_min(self.bytes().max(self.segment_bytes / 4), Ordering::Relaxed);
        }
    }

    /// A segment was written whole: perhaps others took the room for a while only.
    pub(crate) fn regrow(&self) {
        let size = self.size.load(Ordering::Relaxed);
        let grown = size.saturating_add(self.segment_bytes / 4);
        self.size
            .store(grown.min(self.most_bytes), Ordering::Relaxed);
    }

    /// Removes a segment's file.
    pub(crate) fn remove_segment(&self, number: u64) -> io::Result<()> {
        self.disk.remove(FileName::Segment(number))?;
        if let Some(segment) = self.segments.lock().remove(&number) {
            self.counters
                .disk_bytes_now
                .fetch_sub(segment.len, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts an error or its absence; a disk that only fails is given up.
    pub(crate) fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        match &result {
            Ok(_) => self.errors.store(0, Ordering::Relaxed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                count(&self.counters.disk_errors);
                // A full disk is full, not broken.
                let full = is_full(error);
                if !full
                    && self.errors.fetch_add(1, Ordering::Relaxed) + 1 >= GIVE_UP
                    && !self.failed.swap(true, Ordering::Relaxed)
                {
                    count(&self.counters.disks_failed);
                }
            }
        }
        result
    }

    pub(crate) fn spot(&self, place: Place) -> Spot {
        Spot::of(place, self.newest.load(Ordering::Acquire))
    }

    pub(crate) fn place(&self, segment: u64, offset: u64, len: u64, what: What) -> Place {
        Spot {
            disk: self.number,
            meta: what == What::Head,
            segment,
            offset,
            len,
        }
        .place()
    }

    /// Reads the object at `place`, its head perhaps from one record and its body from another. Body bytes beyond
    /// `most` are corrupt: nothing larger was written.
    pub(crate) fn load(&self, place: Place, most: u64) -> Result<Loaded, LoadError> {
        let first = self.load_record(place, most)?;
        if first.header.what == What::Object {
            return Ok(first);
        }
        if first.header.what == What::Gone {
            return Err(LoadError::Corrupt);
        }
        let body_place = Place::from_bits(first.header.body_place);
        let body = self.load_record(body_place, most)?;
        let same = body.header.what == What::Object
            && body.key == first.key
            && body.header.id == first.header.id;
        if !same {
            return Err(LoadError::Corrupt);
        }
        Ok(Loaded {
            chunks: body.chunks,
            body_place,
            ..first
        })
    }

    /// Only the head of a record: whether it is the head of an object whose body lies at `body`.
    pub(crate) fn is_head_of(&self, place: Place, body: Place) -> bool {
        let spot = self.spot(place);
        let mut bytes = [0; HEADER];
        let read = read_exact(
            self.disk.as_ref(),
            FileName::Segment(spot.segment),
            spot.offset,
            &mut bytes,
        );
        self.note(read).is_ok()
            && Header::read(&bytes).is_some_and(|header| header.body_place == body.bits())
    }

    fn read(&self, segment: u64, at: u64, out: &mut [u8]) -> Result<(), LoadError> {
        let read = self.note(read_exact(
            self.disk.as_ref(),
            FileName::Segment(segment),
            at,
            out,
        ));
        count_by(&self.counters.disk_bytes_read, out.len());
        read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LoadError::Gone,
            // The file ends before the record does.
            io::ErrorKind::UnexpectedEof => LoadError::Corrupt,
            _ => LoadError::Io,
        })
    }

    fn load_record(&self, place: Place, most: u64) -> Result<Loaded, LoadError> {
        let spot = self.spot(place);
        let Some(end) = self
            .segments
            .lock()
            .get(&spot.segment)
            .map(|segment| segment.len)
        else {
            return Err(LoadError::Gone);
        };
        // The segment ends where it ends: what the place says is rounded up.
        let len = spot
            .len
            .min(FIRST_READ)
            .min(end.saturating_sub(spot.offset));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.read(spot.segment, spot.offset, &mut bytes)?;
        let header = Header::read(&bytes).ok_or(LoadError::Corrupt)?;
        let layout = header.layout();
        if layout.len > end.saturating_sub(spot.offset) || header.body_len > most {
            return Err(LoadError::Corrupt);
        }
        let covered = usize::try_from(layout.covered).map_err(|_| LoadError::Corrupt)?;
        if bytes.len() < covered {
            bytes.resize(covered, 0);
            self.read(spot.segment, spot.offset, &mut bytes)?;
        }
        let front = Front::read(&bytes, seed(self.name, spot.segment)).ok_or(LoadError::Corrupt)?;
        let mut chunks = Vec::new();
        let body_len = if header.what == What::Object {
            header.body_len
        } else {
            0
        };
        let mut at = 0;
        while at < body_len {
            let len = (body_len - at).min(CHUNK as u64) as usize;
            let from = layout.body + at;
            let held = usize::try_from(from)
                .ok()
                .and_then(|from| bytes.get(from..)?.get(..len));
            let chunk = match held {
                Some(held) => held.to_vec(),
                None => {
                    let mut chunk = vec![0; len];
                    self.read(spot.segment, spot.offset + from, &mut chunk)?;
                    chunk
                }
            };
            if !front.verify_chunk(chunks.len(), &chunk) {
                return Err(LoadError::Corrupt);
            }
            chunks.push(chunk.into());
            at += len as u64;
        }
        Ok(Loaded {
            header,
            key: front.key.into(),
            head: front.head.into(),
            chunks,
            body_place: place,
        })
    }
}
