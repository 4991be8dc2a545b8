//! The thread that writes one disk.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::log::{DiskLog, Durability, Loaded, Segment, is_full};
use super::queue::{Job, Queue};
use super::record::{Parts, What, seed, write};
use super::segment::{EDGE, LINE, Line, footer, header};
use super::{Disk, FileName, write_all};
use crate::counters::{count, count_by};
use crate::head::Head;
use crate::index::Place;
use crate::object::Object;
use crate::store::Core;

/// Jobs taken at once.
const BATCH: usize = 256;
/// Bytes gathered for one write.
const GATHER: usize = 1 << 20;
/// How long it waits for work before it looks at the time.
const TURN: Duration = Duration::from_millis(250);
/// How often it brings to the device what it wrote.
const INTERVAL: Duration = Duration::from_secs(1);

/// The segment that is written.
#[derive(Debug)]
struct Open {
    number: u64,
    end: u64,
    lines: Vec<Line>,
}

/// What is gathered for the next write.
#[derive(Debug)]
struct Gathered<H: Head> {
    bytes: Vec<u8>,
    jobs: Vec<(Line, Landing<H>)>,
}

/// Who is to know where a record landed.
#[derive(Debug)]
pub(super) enum Landing<H: Head> {
    Object(Arc<Object<H>>),
    Head(Arc<Object<H>>),
    /// A record of before that is written again.
    Moved(Place),
    Nobody,
}

pub(crate) struct Writer<H: Head> {
    pub(super) log: Arc<DiskLog>,
    open: Option<Open>,
    gathered: Gathered<H>,
    dirty: bool,
    synced: Instant,
}

/// Runs until the queue is closed or the store is gone.
pub(crate) fn run<H: Head>(core: &Weak<Core<H>>, log: Arc<DiskLog>, queue: &Queue<H>) {
    let gathered = Gathered {
        bytes: Vec::new(),
        jobs: Vec::new(),
    };
    let mut writer = Writer {
        log,
        open: None,
        gathered,
        dirty: false,
        synced: Instant::now(),
    };
    while let Some(jobs) = queue.take(BATCH, TURN) {
        let Some(core) = core.upgrade() else { return };
        for job in jobs {
            writer.write(&core, job);
        }
        writer.flush(&core);
        writer.sync();
        drop(core);
    }
    if core.upgrade().is_some() {
        writer.seal();
    }
}

impl<H: Head> Writer<H> {
    fn write(&mut self, core: &Core<H>, job: Job<H>) {
        if self.log.is_failed() {
            return;
        }
        let mut head = Vec::new();
        match job {
            Job::Object(object) => {
                let Some(chunks) = object.body.chunks().filter(|_| !object.is_dead()) else {
                    return;
                };
                object.head.encode(&mut head);
                let parts = Parts {
                    what: What::Object,
                    id: object.id.0,
                    start: object.start,
                    soft_ms: object.soft_ms().unwrap_or(0),
                    body_place: 0,
                    body_len: object.body.len(),
                    key: object.key.bytes(),
                    head: &head,
                    chunks,
                };
                self.append(
                    core,
                    object.key.hash(),
                    &parts,
                    Landing::Object(Arc::clone(&object)),
                );
            }
            Job::Head(object, body_place) => {
                if object.is_dead() {
                    return;
                }
                object.head.encode(&mut head);
                let parts = Parts {
                    what: What::Head,
                    id: object.id.0,
                    start: object.start,
                    soft_ms: object.soft_ms().unwrap_or(0),
                    body_place: body_place.bits(),
                    body_len: object.body.len(),
                    key: object.key.bytes(),
                    head: &head,
                    chunks: &[],
                };
                self.append(
                    core,
                    object.key.hash(),
                    &parts,
                    Landing::Head(Arc::clone(&object)),
                );
            }
            Job::Gone(key) => {
                let hash = crate::hash::hash128(self.log.key_seed, &key);
                let parts = Parts {
                    what: What::Gone,
                    id: 0,
                    start: crate::Stamp::ZERO,
                    soft_ms: 0,
                    body_place: 0,
                    body_len: 0,
                    key: &key,
                    head: &[],
                    chunks: &[],
                };
                self.append(core, hash, &parts, Landing::Nobody);
            }
        }
    }

    /// Writes a record of a segment that is reclaimed again.
    pub(super) fn rewrite(&mut self, core: &Core<H>, hash: u128, loaded: &Loaded, place: Place) {
        let parts = Parts {
            what: What::Object,
            id: loaded.header.id,
            start: loaded.header.start,
            soft_ms: loaded.header.soft_ms,
            body_place: 0,
            body_len: loaded.header.body_len,
            key: &loaded.key,
            head: &loaded.head,
            chunks: &loaded.chunks,
        };
        if self.append(core, hash, &parts, Landing::Moved(place)) {
            count(&self.log.counters.disk_reinserted);
        }
    }

    fn append(
        &mut self,
        core: &Core<H>,
        hash: u128,
        parts: &Parts<'_>,
        landing: Landing<H>,
    ) -> bool {
        // The front is measured generously: header, checksums, two paddings.
        let front = 96 + parts.key.len() + parts.head.len() + parts.chunks.len() * 8;
        let len = front as u64
            + parts
                .chunks
                .iter()
                .map(|chunk| chunk.len() as u64)
                .sum::<u64>();
        // A large object gets a segment of its own: it goes when it is old, and takes nobody with it.
        let alone = len > self.log.segment_bytes / 8;
        let is_gone = parts.what == What::Gone;
        if !self.prepare(core, len, alone) {
            // Reclaiming comes back here for what it keeps; that is dropped then.
            self.refuse(core, &landing, is_gone);
            return false;
        }
        let Some(open) = &self.open else { return false };
        let begin = self.gathered.bytes.len();
        if write(
            parts,
            seed(self.log.name, open.number),
            &mut self.gathered.bytes,
        )
        .is_none()
        {
            self.gathered.bytes.truncate(begin);
            return false;
        }
        let offset = open.end + begin as u64;
        let len = (self.gathered.bytes.len() - begin) as u64;
        self.gathered.jobs.push((
            Line {
                hash,
                offset,
                len,
                what: parts.what,
            },
            landing,
        ));
        if self.gathered.bytes.len() >= GATHER || alone {
            self.flush(core);
        }
        if alone {
            self.seal();
        }
        true
    }

    /// Makes sure that a segment is open in which `len` bytes fit and for which there is room.
    fn prepare(&mut self, core: &Core<H>, len: u64, alone: bool) -> bool {
        // Making room may write what a reclaimed segment keeps, and so fill or end the open one: look again.
        for _ in 0..4 {
            if self.is_full(len, alone) {
                self.flush(core);
                self.seal();
            }
            let lines = self
                .open
                .as_ref()
                .map_or(1, |open| open.lines.len() + self.gathered.jobs.len() + 1);
            let footer = (lines * LINE + 2 * EDGE) as u64;
            if !self.make_room(core, self.gathered.bytes.len() as u64 + len + footer) {
                return false;
            }
            if !self.is_full(len, alone) {
                return self.open.is_some() || self.begin_segment();
            }
        }
        false
    }

    /// Ends the open segment, if anything is in it.
    pub(super) fn end_segment(&mut self, core: &Core<H>) -> bool {
        self.flush(core);
        let ends = self
            .open
            .as_ref()
            .is_some_and(|open| !open.lines.is_empty());
        if ends {
            self.seal();
        }
        ends
    }

    fn is_full(&self, len: u64, alone: bool) -> bool {
        let gathered = self.gathered.bytes.len() as u64;
        self.open.as_ref().is_some_and(|open| {
            let lines = (open.lines.len() + self.gathered.jobs.len() + 1) * LINE + EDGE;
            let fits = alone || open.end + gathered + len + lines as u64 <= self.log.segment_bytes;
            !fits || (alone && !(open.lines.is_empty() && gathered == 0))
        })
    }

    fn begin_segment(&mut self) -> bool {
        if !self.log.may_grow() {
            return false;
        }
        let number = self.log.newest.load(Ordering::Acquire) + 1;
        let begun = write_all(
            self.log.disk.as_ref(),
            FileName::Segment(number),
            0,
            &header(self.log.name, number),
        );
        let begun = self.log.note(begun).is_ok();
        // The number is used up, whether it worked or not: no place may mean two things.
        self.log.newest.fetch_max(number, Ordering::AcqRel);
        let file = FileName::Segment(number);
        // Tried at every object: a full device would be filled with empty files, each of which takes a name.
        if begun || self.log.disk.remove(file).is_err() {
            let len = if begun { EDGE as u64 } else { 0 };
            let sealed = !begun;
            self.log.set_segment(number, Segment { len, sealed });
        }
        if begun {
            self.open = Some(Open {
                number,
                end: EDGE as u64,
                lines: Vec::new(),
            });
        }
        begun
    }

    /// What could not be written must not be found in an older form after a restart.
    fn refuse(&mut self, core: &Core<H>, landing: &Landing<H>, is_gone: bool) {
        if let Landing::Object(object) | Landing::Head(object) = landing
            && !is_gone
        {
            core.not_written(object);
        }
    }

    /// Writes what was gathered, and tells the index.
    pub(super) fn flush(&mut self, core: &Core<H>) {
        let bytes = std::mem::take(&mut self.gathered.bytes);
        let mut jobs = std::mem::take(&mut self.gathered.jobs);
        let Some(open) = &mut self.open else { return };
        if bytes.is_empty() {
            return;
        }
        let (disk, file) = (self.log.disk.as_ref(), FileName::Segment(open.number));
        let written = write_all(disk, file, open.end, &bytes);
        let done = match self.log.note(written) {
            Ok(()) => jobs.len(),
            // Not all of it fits: what does is kept, and the disk is smaller than it was said to be.
            Err(error) if is_full(&error) => prefix(disk, file, open.end, &bytes, &jobs),
            Err(_) => 0,
        };
        let failed = jobs.split_off(done);
        let end = jobs
            .last()
            .map_or(open.end, |(line, _)| line.offset + line.len);
        count_by(
            &self.log.counters.disk_bytes_written,
            (end - open.end) as usize,
        );
        open.end = end;
        let segment = Segment {
            len: end,
            sealed: false,
        };
        self.log.set_segment(open.number, segment);
        self.dirty = true;
        let number = open.number;
        open.lines.extend(jobs.iter().map(|(line, _)| *line));
        for (line, landing) in jobs {
            let place = self.log.place(number, line.offset, line.len, line.what);
            match landing {
                Landing::Object(object) => core.landed(&object, place, place),
                Landing::Head(object) => core.landed(&object, place, object.body_place()),
                Landing::Moved(before) => core.moved(line.hash, before, place),
                Landing::Nobody => {}
            }
        }
        if failed.is_empty() {
            self.gathered.bytes = bytes;
            self.gathered.bytes.clear();
            return;
        }
        // Part of what failed may stand there: the segment ends before it, and the next one begins.
        self.seal();
        self.log.shrink();
        for (_, landing) in &failed {
            if let Landing::Object(object) | Landing::Head(object) = landing {
                core.not_written(object);
            }
        }
    }

    /// Ends the open segment with its footer. Without one it is scanned at the next start.
    pub(super) fn seal(&mut self) {
        let Some(open) = self.open.take() else { return };
        let footer = footer(self.log.name, open.number, open.end, &open.lines);
        let file = FileName::Segment(open.number);
        let disk = self.log.disk.as_ref();
        let sealed = disk
            .set_len(file, open.end)
            .and_then(|()| write_all(disk, file, open.end, &footer));
        let synced = |()| {
            if self.log.durability == Durability::None {
                Ok(())
            } else {
                disk.sync(file)
            }
        };
        let sealed = self.log.note(sealed.and_then(synced));
        let more = if sealed.is_ok() {
            footer.len() as u64
        } else {
            0
        };
        if sealed.is_ok() {
            self.log.regrow();
        }
        self.log.set_segment(
            open.number,
            Segment {
                len: open.end + more,
                sealed: true,
            },
        );
        self.dirty = false;
    }

    fn sync(&mut self) {
        if !self.dirty
            || self.log.durability != Durability::Interval
            || self.synced.elapsed() < INTERVAL
        {
            return;
        }
        if let Some(open) = &self.open {
            // A failure is counted; the bytes stay with the system, which writes them when it can.
            let _ = self
                .log
                .note(self.log.disk.sync(FileName::Segment(open.number)));
        }
        self.dirty = false;
        self.synced = Instant::now();
    }
}

/// Writes records one by one until one does not fit; gives how many did.
fn prefix<H: Head>(
    disk: &dyn Disk,
    file: FileName,
    begin: u64,
    bytes: &[u8],
    jobs: &[(Line, Landing<H>)],
) -> usize {
    let fits = |line: &Line| {
        let from = usize::try_from(line.offset - begin).unwrap_or(usize::MAX);
        let record = bytes
            .get(from..)
            .and_then(|rest| rest.get(..line.len as usize));
        record.is_some_and(|record| write_all(disk, file, line.offset, record).is_ok())
    };
    jobs.iter().take_while(|(line, _)| fits(line)).count()
}
