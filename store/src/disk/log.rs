//! One disk's log: its segments, and reading a record back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::hold::Holds;
use super::place::{MOST_SEGMENTS, Spot};
use super::record::{Front, HEADER, Header, What, seed};
use super::{Disk, FileName, read_exact, read_whole};
use crate::counters::{Counters, count, count_by};
use crate::index::Place;
use crate::object::CHUNK;

/// Errors in a row after which a disk is given up until the next start.
const GIVE_UP: u64 = 16;
/// Bytes of the first read of a record.
const FIRST_READ: u64 = 256 << 10;
/// The same of a record whose body is not read with it: a head, and the checksums of 256 MiB.
const FRONT_READ: u64 = 32 << 10;

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
    /// Segments that bodies are read from.
    pub(super) holds: Holds,
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
    /// Where exactly, when it was not read because of its size.
    pub(crate) located: Option<Located>,
}

/// A body on disk, and what its chunks are compared with.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) segment: u64,
    /// Where it begins.
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// Of the checksums.
    pub(crate) seed: u64,
    pub(crate) sums: Box<[u64]>,
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
            holds: Holds::default(),
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

    /// Bytes of all segments, and of those that are removed and still read.
    pub(crate) fn bytes(&self) -> u64 {
        let segments = self.segments.lock();
        let listed: u64 = segments.values().map(|segment| segment.len).sum();
        listed + self.holds.gone_bytes()
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

    /// Removes a segment's file. Who reads a body from it may go on, within bounds; until then its bytes are taken.
    pub(crate) fn remove_segment(&self, number: u64) -> io::Result<()> {
        self.disk.remove(FileName::Segment(number))?;
        let mut segments = self.segments.lock();
        let Some(Segment { len, .. }) = segments.remove(&number) else {
            return Ok(());
        };
        if !self.holds.removed(number, len, self.most_bytes) {
            self.counters
                .disk_bytes_now
                .fetch_sub(len, Ordering::Relaxed);
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
        self.load_or_locate(place, most, u64::MAX)
    }

    /// The same, but a body above `least_far` bytes is only located.
    pub(crate) fn load_or_locate(
        &self,
        place: Place,
        most: u64,
        least_far: u64,
    ) -> Result<Loaded, LoadError> {
        let first = self.load_record(place, most, least_far)?;
        if first.header.what == What::Object {
            return Ok(first);
        }
        if first.header.what == What::Gone {
            return Err(LoadError::Corrupt);
        }
        let body_place = Place::from_bits(first.header.body_place);
        let body = self.load_record(body_place, most, least_far)?;
        let same = body.header.what == What::Object
            && body.key == first.key
            && body.header.id == first.header.id;
        if !same {
            return Err(LoadError::Corrupt);
        }
        Ok(Loaded {
            chunks: body.chunks,
            located: body.located,
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
        let file = FileName::Segment(segment);
        let read = read_exact(self.disk.as_ref(), file, at, out);
        self.note_read(read, out)
    }

    /// Reads from a segment that is held, perhaps after it was removed.
    pub(super) fn read_held(&self, segment: u64, at: u64, out: &mut [u8]) -> Result<(), LoadError> {
        let Some(file) = self.holds.file(segment) else {
            return self.read(segment, at, out);
        };
        let read = read_whole(at, out, |at, out| file.read_at(at, out));
        self.note_read(read, out)
    }

    fn note_read(&self, read: io::Result<()>, out: &[u8]) -> Result<(), LoadError> {
        let read = self.note(read);
        count_by(&self.counters.disk_bytes_read, out.len());
        read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LoadError::Gone,
            // The file ends before the record does.
            io::ErrorKind::UnexpectedEof => LoadError::Corrupt,
            _ => LoadError::Io,
        })
    }

    fn load_record(&self, place: Place, most: u64, least_far: u64) -> Result<Loaded, LoadError> {
        let spot = self.spot(place);
        let Some(end) = self
            .segments
            .lock()
            .get(&spot.segment)
            .map(|segment| segment.len)
        else {
            return Err(LoadError::Gone);
        };
        let first_read = if spot.len > least_far {
            FRONT_READ
        } else {
            FIRST_READ
        };
        // The segment ends where it ends: what the place says is rounded up.
        let len = spot
            .len
            .min(first_read)
            .min(end.saturating_sub(spot.offset));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.read(spot.segment, spot.offset, &mut bytes)?;
        let header = Header::read(&bytes).ok_or(LoadError::Corrupt)?;
        let layout = header.layout();
        let is_far = header.what == What::Object && header.body_len > least_far;
        if layout.len > end.saturating_sub(spot.offset) || (header.body_len > most && !is_far) {
            return Err(LoadError::Corrupt);
        }
        let covered = usize::try_from(layout.covered).map_err(|_| LoadError::Corrupt)?;
        if bytes.len() < covered {
            bytes.resize(covered, 0);
            self.read(spot.segment, spot.offset, &mut bytes)?;
        }
        let seed = seed(self.name, spot.segment);
        let front = Front::read(&bytes, seed).ok_or(LoadError::Corrupt)?;
        let located = is_far.then(|| Located {
            segment: spot.segment,
            offset: spot.offset + layout.body,
            len: header.body_len,
            seed,
            sums: front.sums(),
        });
        let mut chunks = Vec::new();
        let body_len = if header.what == What::Object && !is_far {
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
            located,
            body_place: place,
        })
    }
}
