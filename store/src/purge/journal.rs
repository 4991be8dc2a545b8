//! The journal: purges on disk before they are acknowledged.
//!
//! One thread writes; what comes while it writes goes with the next write. A purge is in force before it is written,
//! so a disk that fails or hangs costs the acknowledgement, not the purge. At the start, and when it has grown, the
//! journal is written anew with what is in force and what is kept for other nodes.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::record::{LINE, Line};
use super::stream::Stream;
use super::table::{Mark, Purges};
use super::{Kind, Purge, Scope};
use crate::disk::{Disk, FileName, read_exact, write_all};
use crate::stamp::Stamp;

/// Lines that wait to be written; more are refused.
const WAITING: usize = 65_536;
/// Bytes by which the journal may grow until it is written anew.
const GROWTH: u64 = 4 << 20;
/// Lines of one write.
const BATCH: usize = 1_024;

/// Why a purge was not acknowledged. It is in force in this process all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketError {
    /// The journal cannot be written: after a restart the purge would be forgotten.
    NotWritten,
    /// It was not written in time; it may be later.
    TooSlow,
}

impl std::fmt::Display for TicketError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::NotWritten => "the purge is in force, but its journal cannot be written: a restart would forget it",
            Self::TooSlow => "the purge is in force, but its journal was not written in time",
        })
    }
}

impl std::error::Error for TicketError {}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<[u8; LINE]>,
    /// Lines that were ever taken.
    taken: u64,
    /// Lines that are on disk.
    written: u64,
    /// Lines up to this one that were not on disk when the last write failed.
    failed: u64,
    errors: u64,
    wakers: Vec<Waker>,
    stop: bool,
}

/// What the thread and the tickets share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The journal of a store.
#[derive(Debug)]
pub(crate) struct Journal {
    name: u64,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A purge on its way to the journal: a future, or [`Ticket::wait`].
#[derive(Debug)]
#[must_use = "the purge is acknowledged when this says so"]
pub struct Ticket {
    /// `None` for a store without a journal.
    line: Option<(Arc<Shared>, u64)>,
    refused: bool,
}

impl Ticket {
    /// Of a store in memory: there is nothing that a restart could bring back.
    pub(crate) fn done() -> Self {
        Self {
            line: None,
            refused: false,
        }
    }

    fn refused() -> Self {
        Self {
            line: None,
            refused: true,
        }
    }

    fn state(&self, state: &State) -> Option<Result<(), TicketError>> {
        let (_, line) = self.line.as_ref()?;
        if state.written >= *line {
            return Some(Ok(()));
        }
        (state.failed >= *line).then_some(Err(TicketError::NotWritten))
    }

    /// Waits on this thread, at most for `longest`.
    ///
    /// # Errors
    /// The purge is in force but not in the journal.
    pub fn wait(self, longest: Duration) -> Result<(), TicketError> {
        let deadline = Instant::now() + longest;
        let Some((shared, _)) = &self.line else {
            return if self.refused {
                Err(TicketError::NotWritten)
            } else {
                Ok(())
            };
        };
        let mut state = shared.state.lock();
        loop {
            if let Some(done) = self.state(&state) {
                return done;
            }
            if shared.changed.wait_until(&mut state, deadline).timed_out() {
                return self.state(&state).unwrap_or(Err(TicketError::TooSlow));
            }
        }
    }
}

impl Future for Ticket {
    type Output = Result<(), TicketError>;

    /// Bounded by the disk: use a timeout of the runtime beside it.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((shared, _)) = &self.line else {
            return Poll::Ready(if self.refused {
                Err(TicketError::NotWritten)
            } else {
                Ok(())
            });
        };
        let mut state = shared.state.lock();
        if let Some(done) = self.state(&state) {
            return Poll::Ready(done);
        }
        if !state
            .wakers
            .iter()
            .any(|waker| waker.will_wake(context.waker()))
        {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// What a journal said when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Lines that were understood.
    pub(crate) lines: usize,
    /// A line in the middle was not: everything counts as purged.
    pub(crate) damaged: bool,
}

impl Journal {
    /// Reads the journal of the store `name` into `purges` and `stream`, writes it anew and begins to write.
    /// `fresh` says that the store is new: it has none. A store that should have one and has not counts as purged.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        name: u64,
        fresh: bool,
        purges: &Arc<Purges>,
        stream: &Arc<Mutex<Stream>>,
    ) -> io::Result<(Self, Read)> {
        let read = match read_all(disk.as_ref(), name, purges, &mut stream.lock()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && fresh => Read::default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Read {
                lines: 0,
                damaged: true,
            },
            read => read?,
        };
        if read.damaged {
            // Which purges are missing nobody knows: all objects are older than this one.
            let all = Purge {
                scope: Scope::All,
                kind: Kind::Hard,
                at_ms: 0,
            };
            purges.apply(&all, |_| ());
            // Nor up to which number there were any. The clock is beyond every count of purges, so that whoever knows
            // this stream finds a gap, and never takes a new purge for one that it has seen.
            stream.lock().restore_own(unix_ms(), None);
        }
        let end = rewrite(disk.as_ref(), name, purges, &stream.lock())?;
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("cache-purges".into())
            .spawn({
                let (shared, disk) = (Arc::clone(&shared), Arc::clone(disk));
                let (purges, stream) = (Arc::clone(purges), Arc::clone(stream));
                let anew = move |disk: &dyn Disk| rewrite(disk, name, &purges, &stream.lock());
                move || write(&shared, disk.as_ref(), end, &anew)
            })?;
        Ok((
            Self {
                name,
                shared,
                thread: Mutex::new(Some(thread)),
            },
            read,
        ))
    }

    /// Takes a purge to be written.
    pub(crate) fn note(&self, node: u64, number: u64, stamp: Stamp, purge: Purge) -> Ticket {
        let line = Line::Purge {
            node,
            number,
            stamp,
            purge,
        };
        let mut state = self.shared.state.lock();
        if state.stop || state.waiting.len() >= WAITING {
            return Ticket::refused();
        }
        state.waiting.push_back(line.encode(self.name));
        state.taken += 1;
        self.shared.changed.notify_all();
        Ticket {
            line: Some((Arc::clone(&self.shared), state.taken)),
            refused: false,
        }
    }

    /// The store's name: random when it was made, and the same as long as its first disk.
    pub(crate) fn name(&self) -> u64 {
        self.name
    }

    /// Writes that failed.
    pub(crate) fn errors(&self) -> u64 {
        self.shared.state.lock().errors
    }

    /// Writes what waits and ends the thread.
    pub(crate) fn close(&self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // It panics nowhere; if it did, its purges were never acknowledged.
            drop(thread.join());
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// The thread: takes lines, writes them, says so.
fn write(
    shared: &Shared,
    disk: &dyn Disk,
    mut end: u64,
    anew: &dyn Fn(&dyn Disk) -> io::Result<u64>,
) {
    let mut limit = end + GROWTH;
    let mut state = shared.state.lock();
    loop {
        while state.waiting.is_empty() {
            if state.stop {
                return;
            }
            shared.changed.wait(&mut state);
        }
        let count = state.waiting.len().min(BATCH);
        let batch: Vec<u8> = state
            .waiting
            .iter()
            .take(count)
            .flatten()
            .copied()
            .collect();
        drop(state);
        let mut done = write_all(disk, FileName::Journal, end, &batch)
            .and_then(|()| disk.sync(FileName::Journal));
        end += batch.len() as u64;
        if done.is_ok() && end > limit {
            // All that was taken is in force, so it stands in the new one, this batch and what waits too.
            match anew(disk) {
                Ok(len) => (end, limit) = (len, len + GROWTH),
                // Perhaps the old one is in its place still, perhaps not: nothing is acknowledged until one is whole.
                Err(error) => done = Err(error),
            }
        }
        state = shared.state.lock();
        match done {
            Ok(()) => {
                state.waiting.drain(..count);
                state.written += count as u64;
            }
            Err(_) => {
                // The lines stay and are written again, over what may stand there in part.
                end -= batch.len() as u64;
                state.errors += 1;
                state.failed = state.taken;
                if state.stop {
                    wake(&mut state, shared);
                    return;
                }
            }
        }
        wake(&mut state, shared);
        if done.is_err() {
            shared
                .changed
                .wait_for(&mut state, Duration::from_millis(100));
        }
    }
}

fn wake(state: &mut State, shared: &Shared) {
    state.wakers.drain(..).for_each(Waker::wake);
    shared.changed.notify_all();
}

fn read_all(disk: &dyn Disk, name: u64, purges: &Purges, stream: &mut Stream) -> io::Result<Read> {
    let len = disk.len(FileName::Journal)?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?];
    read_exact(disk, FileName::Journal, 0, &mut bytes)?;
    let (lines, _) = bytes.as_chunks::<LINE>();
    let decoded: Vec<Option<Line>> = lines.iter().map(|line| Line::decode(name, line)).collect();
    // Lines that were not written whole stand at the end: none of them was acknowledged.
    let whole = decoded
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |last| last + 1);
    let mut read = Read::default();
    for line in decoded.iter().take(whole) {
        match line {
            Some(line) => {
                read.lines += 1;
                restore(line, purges, stream);
            }
            None => read.damaged = true,
        }
    }
    // The first line is written with the file: without it something took it away.
    read.damaged |= read.lines == 0;
    Ok(read)
}

fn restore(line: &Line, purges: &Purges, stream: &mut Stream) {
    match *line {
        Line::Purge {
            node: 0,
            number,
            stamp,
            purge,
        } => {
            stream.restore_own(number, Some(purge));
            purges.restore(purge.scope, Mark::of(&purge, stamp));
        }
        Line::Purge {
            node,
            number,
            stamp,
            purge,
        } => {
            if stream.see(node, number) != super::Applied::Known {
                purges.restore(purge.scope, Mark::of(&purge, stamp));
            }
        }
        Line::Mark { stamp, purge } => purges.restore(purge.scope, Mark::of(&purge, stamp)),
        Line::Node { node, number } => stream.restore_node(node, number),
        Line::Last { number } => stream.restore_own(number, None),
    }
}

/// Writes what is in force as a new journal and puts it in the place of the old one; gives its length.
fn rewrite(disk: &dyn Disk, name: u64, purges: &Purges, stream: &Stream) -> io::Result<u64> {
    let mut out = Vec::new();
    let mut put = |line: Line| out.extend_from_slice(&line.encode(name));
    let before = stream.last() - stream.own().count() as u64;
    put(Line::Last { number: before });
    for (number, purge) in stream.own() {
        // In force as marks below; here only so that others can ask for them.
        put(Line::Purge {
            node: 0,
            number,
            stamp: Stamp::ZERO,
            purge,
        });
    }
    stream
        .nodes()
        .for_each(|(node, number)| put(Line::Node { node, number }));
    purges.with(|marks| {
        marks
            .iter()
            .flat_map(|(scope, mark)| Line::of_mark(scope, mark))
            .for_each(&mut put);
    });
    disk.remove(FileName::JournalNew)?;
    write_all(disk, FileName::JournalNew, 0, &out)?;
    disk.sync(FileName::JournalNew)?;
    disk.rename(FileName::JournalNew, FileName::Journal)?;
    Ok(out.len() as u64)
}
